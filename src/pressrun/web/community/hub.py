"""What the Hugging Face papers API tells of people, and its calls that write: comment, reply, upvote, index, claim, links."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja import Field, Router, Schema, Status

from pressrun.web.api.answers import find_paper, utc
from pressrun.web.api.ninja_errors import Problem
from pressrun.web.community import authorship, curating, discussion, markdown, metadata, submitting, voting
from pressrun.web.community import models as community
from pressrun.web.community.acting import is_curator, named
from pressrun.web.community.api import acting, answers
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper

__all__ = ["People", "author_of", "collections_with", "people_of", "router"]

router = Router(tags=["community"])


@dataclass
class People:
    """Who stands behind a paper: its verified authors by the name they wrote it under, whether one of them took part in the
    discussion, and the full name of the member who submitted it."""

    authors: dict[str, User] = field(default_factory=dict)
    participating: bool = False
    submitter: str = ""


def people_of(papers: Collection[Paper]) -> dict[int, People]:
    """The people behind each paper of a page, by its key, in at most three queries."""
    found = {paper.pk: People() for paper in papers}
    claims = community.AuthorClaim.objects.filter(paper__in=found, state=community.AuthorClaim.State.VERIFIED)
    # Most papers have nobody behind them who is known here: then there is nothing more to ask.
    verified = list(claims.values_list("paper_id", "name", "user_id"))
    claimed: dict[int, set[int]] = {}
    if verified:
        users = User.objects.select_related("profile").in_bulk({user for _, _, user in verified})
        for key, name, user in verified:
            found[key].authors[name] = users[user]
            claimed.setdefault(key, set()).add(user)
        said = community.Comment.objects.filter(paper__in=claimed, state=community.Comment.State.SHOWN)
        wrote = said.filter(author__in=set().union(*claimed.values())).values_list("paper_id", "author_id")
        for key, author in wrote.order_by().distinct():
            found[key].participating |= author in claimed[key]
    names = {paper.submitted_by for paper in papers if paper.submitted_by}
    members = {user.get_username(): named(user) for user in User.objects.filter(username__in=names).select_related("profile")}
    for paper in papers:
        found[paper.pk].submitter = members.get(paper.submitted_by, "")
    return found


def author_of(user: User) -> dict[str, Any]:
    """A verified author's account, as the `user` of an author."""
    name = user.get_username()
    known = {"_id": str(user.pk), "user": name, "name": name, "fullname": named(user), "avatarUrl": ""}
    return known | {"type": "user", "isPro": False}


def collections_with(paper: Paper) -> Iterable[dict[str, str]]:
    """The shared collections that hold a paper."""
    rows = community.Collection.objects.filter(public=True, items__paper=paper).select_related("owner").order_by("pk")[:100]
    return [{"slug": f"{row.owner.get_username()}/{row.slug}", "title": row.title} for row in rows]


class CommentIn(Schema):
    comment: Annotated[str, Field(min_length=1, max_length=markdown.LONGEST)]


class CommentOut(Schema):
    """A new comment. `status` is always visible: what is removed later is no longer told of."""

    id: str
    author: str
    created_at: Annotated[str, Field(alias="createdAt")]
    status: Literal["visible"]
    content: str


class UpvoteOut(Schema):
    upvotes: int
    upvoted: bool


class IndexIn(Schema):
    arxiv_id: Annotated[str, Field(alias="arxivId", min_length=1, max_length=60)]


class IndexOut(Schema):
    """`status` is indexed, or waiting where a curator has to look."""

    id: str
    status: Literal["indexed", "waiting"]


class ClaimIn(Schema):
    """`claim_author_id` is the `_id` of an author in the paper's answer. One can only claim for oneself."""

    paper_id: Annotated[str, Field(alias="paperId", min_length=1, max_length=500)]
    claim_author_id: Annotated[str, Field(alias="claimAuthorId", min_length=1, max_length=300)]
    target_user_id: Annotated[str, Field(alias="targetUserId", max_length=150)] = ""


class ClaimOut(Schema):
    status: Literal["claimed", "claimed_verified"]


class LinksIn(Schema):
    """Addresses; "" removes one, one that is left out stays."""

    project_page: Annotated[str | None, Field(alias="projectPage", max_length=500)] = None
    github_repo: Annotated[str | None, Field(alias="githubRepo", max_length=500)] = None


class LinksOut(Schema):
    project_page: Annotated[str, Field(alias="projectPage")]
    github_repo: Annotated[str, Field(alias="githubRepo")]


@router.post("/papers/index", response={200: IndexOut, 502: Problem, **answers}, by_alias=True)
def index(request: HttpRequest, given: IndexIn) -> Status[dict[str, Any]]:
    """Bring an arXiv paper in. One that is here is left as it is."""
    user = acting(request, "submit")
    submitting.check_open(user)
    arxiv_id, _, _ = metadata.named_in(given.arxiv_id)
    if not arxiv_id:
        raise BadInput(f"arxivId is no arXiv id, got {given.arxiv_id[:60]!r}.")
    try:
        if found := Paper.objects.by_id(arxiv_id).first():
            raise submitting.AlreadyHere(found)
        made = submitting.submit(user, arxiv_id, metadata.fetch_record(arxiv_id))
    except submitting.AlreadyHere as known:
        return Status(200, {"id": arxiv_id, "status": "indexed" if known.paper else "waiting"})
    except metadata.NotFetched as problem:
        return Status(502, {"error": str(problem)})
    return Status(200, {"id": arxiv_id, "status": "indexed" if made.paper else "waiting"})


@router.post("/settings/papers/claim", response={200: ClaimOut, **answers}, by_alias=True)
def claim(request: HttpRequest, given: ClaimIn) -> dict[str, str]:
    """Say that one is an author of a paper."""
    user, paper = acting(request, "submit"), find_paper(given.paper_id)
    if given.target_user_id not in {"", user.get_username(), str(user.pk)}:
        raise PermissionDenied("One can only claim a paper for oneself.")
    number = given.claim_author_id.removeprefix(f"{paper.public_id}#")
    names = paper.author_names
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= len(names)):
        raise BadInput(f"claimAuthorId must be the _id of an author of this paper, got {given.claim_author_id[:60]!r}.")
    made = authorship.claim(user, paper, names[int(number) - 1])
    return {"status": "claimed_verified" if made.state == community.AuthorClaim.State.VERIFIED else "claimed"}


@router.post("/papers/{path:paper_id}/comment/{comment_id}/reply", response={200: CommentOut, **answers}, by_alias=True)
def reply(request: HttpRequest, paper_id: str, comment_id: str, given: CommentIn) -> dict[str, str]:
    """Answer a comment."""
    user, paper = acting(request, "comment"), find_paper(paper_id)
    return _comment(discussion.post(user, paper, given.comment, parent=discussion.find(comment_id)))


@router.post("/papers/{path:paper_id}/comment", response={200: CommentOut, **answers}, by_alias=True)
def comment(request: HttpRequest, paper_id: str, given: CommentIn) -> dict[str, str]:
    """Say something about a paper."""
    user, paper = acting(request, "comment"), find_paper(paper_id)
    return _comment(discussion.post(user, paper, given.comment))


@router.post("/papers/{path:paper_id}/upvote", response={200: UpvoteOut, **answers})
def upvote(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Vote for a paper; again changes nothing."""
    user = acting(request, "vote")
    return {"upvotes": voting.vote(user, find_paper(paper_id), on=True).votes, "upvoted": True}


@router.delete("/papers/{path:paper_id}/upvote", response={200: UpvoteOut, **answers})
def take_upvote_back(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    user = acting(request, "vote")
    return {"upvotes": voting.vote(user, find_paper(paper_id), on=False).votes, "upvoted": False}


@router.post("/papers/{path:paper_id}/links", response={200: LinksOut, **answers}, by_alias=True)
def links(request: HttpRequest, paper_id: str, given: LinksIn) -> dict[str, str]:
    """Set a paper's project page and code; for its verified authors and for curators."""
    user, paper = acting(request, "write"), find_paper(paper_id)
    if user.pk not in discussion.verified_authors(paper) and not is_curator(request):
        raise PermissionDenied("Only verified authors of this paper, and curators, may change its links.")
    row = curating.set_links(user, paper, project=given.project_page, code=given.github_repo)
    return {"projectPage": row.project_url, "githubRepo": row.code_url}


def _comment(made: community.Comment) -> dict[str, str]:
    by = made.author.get_username() if made.author else ""
    return {"id": made.uid, "author": by, "createdAt": utc(made.created), "status": "visible", "content": made.text}
