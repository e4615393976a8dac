"""What people do, for programs: votes, shelves, discussion, follows, submissions and days, as part of /api/v1.

A request acts for the user of its access token; that of a browser's session must carry the CSRF token, as a form does.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema, Status
from ninja.utils import check_csrf

from pressrun.web.api.answers import find_paper
from pressrun.web.api.ninja_errors import Problem, error_answers
from pressrun.web.community import curating, discussion, markdown, metadata, shelves, submitting, voting
from pressrun.web.community.acting import named, signed_in, writer
from pressrun.web.community.models import Comment, Follow, Submission
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, token_of

__all__ = ["acting", "comment_facts", "router"]

router = Router(tags=["community"])
answers: dict[Any, Any] = {**error_answers, 401: Problem, 403: Problem, 429: Problem}
PageNumber = Annotated[int, Query(1, ge=1, le=lists.LAST_PAGE)]


class Mine(Schema):
    """What the signed-in person did with a paper, and its votes."""

    paper: str
    votes: int
    voted: bool
    kept: bool
    read: bool


class CommentOut(Schema):
    """A comment. `html` is what pages show; both are "" where it was removed. `by_author` is set for verified authors of the paper."""

    id: str
    paper: str
    parent: str | None
    author: str
    name: str
    by_author: bool
    claim: str
    state: Literal["shown", "hidden", "deleted"]
    text: str
    html: str
    created: datetime
    edited: datetime | None


class CommentPage(Schema):
    """Threads of a discussion, each comment before its replies."""

    threads: int
    page: int
    pages: int
    locked: bool
    comments: list[CommentOut]


class CommentIn(Schema):
    """`parent` is the comment that this one answers; `claim` a claim of the paper's replication that its author answers."""

    text: Annotated[str, Field(min_length=1, max_length=markdown.LONGEST)]
    parent: Annotated[str, Field(max_length=40)] = ""
    claim: Annotated[str, Field(max_length=120)] = ""


class TextIn(Schema):
    text: Annotated[str, Field(min_length=1, max_length=markdown.LONGEST)]


class ShelfPage(Schema):
    total: int
    page: int
    pages: int
    papers: list[str]


class FollowOut(Schema):
    kind: Literal["author", "organisation", "topic", "search"]
    key: str
    label: str


class FollowIn(Schema):
    """`key` is the slug of an author, organisation or topic, or the text of a search."""

    kind: Literal["author", "organisation", "topic", "search"]
    key: Annotated[str, Field(min_length=1, max_length=300)]


class RecordIn(Schema):
    """A paper written down. `published` is YYYY-MM-DD."""

    title: Annotated[str, Field(min_length=1, max_length=500)]
    authors: Annotated[list[str], Field(default_factory=list, max_length=submitting.MOST_AUTHORS)]
    abstract: Annotated[str, Field(max_length=10_000)] = ""
    published: Annotated[str, Field(max_length=10)] = ""
    arxiv_id: Annotated[str, Field(max_length=60)] = ""
    doi: Annotated[str, Field(max_length=200)] = ""
    link: Annotated[str, Field(max_length=500)] = ""
    journal: Annotated[str, Field(max_length=300)] = ""


class SubmissionIn(Schema):
    """`paper` is an arXiv id, a DOI or an address, whose record is fetched; or give the `record`."""

    paper: Annotated[str, Field(max_length=500)] = ""
    record: RecordIn | None = None


class SubmissionOut(Schema):
    """`state` is here for a paper that this site had before; waiting where somebody else submitted it, too, without an `id`."""

    id: str
    state: Literal["here", "waiting", "listed", "refused"]
    title: str
    paper: str | None
    why: str


class DayOut(Schema):
    """`complete` is since when a curator says that nothing more is expected on the list; null while something may be."""

    day: date
    papers: int
    placed: int
    complete: datetime | None


def acting(request: HttpRequest, kind: str, role: Role = Role.MEMBER) -> User:
    """Who is about to write through the API. Raises as `writer` does, and where a browser's request has no CSRF token."""
    user = writer(request, kind, role)
    if token_of(request) is None and check_csrf(request) is not None:
        raise PermissionDenied(
            "A request of a browser's session needs its CSRF token in X-CSRFToken; programs use an access token."
        )
    return user


@router.get("/papers/{path:paper_id}/mine", response={200: Mine, **answers})
def mine(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Whether one voted for a paper, keeps it, has read it."""
    return _mine(signed_in(request), find_paper(paper_id))


@router.put("/papers/{path:paper_id}/vote", response={200: Mine, **answers})
def vote(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Vote for a paper; again changes nothing."""
    user = acting(request, "vote")
    return _mine(user, voting.vote(user, find_paper(paper_id), on=True))


@router.delete("/papers/{path:paper_id}/vote", response={200: Mine, **answers})
def take_vote_back(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Take one's vote back."""
    user = acting(request, "vote")
    return _mine(user, voting.vote(user, find_paper(paper_id), on=False))


@router.put("/papers/{path:paper_id}/bookmark", response={200: Mine, **answers})
def keep(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Keep a paper for later."""
    return _marked(request, paper_id, "bookmark", on=True)


@router.delete("/papers/{path:paper_id}/bookmark", response={200: Mine, **answers})
def let_go(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    return _marked(request, paper_id, "bookmark", on=False)


@router.put("/papers/{path:paper_id}/read", response={200: Mine, **answers})
def mark_read(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Mark a paper as read."""
    return _marked(request, paper_id, "read", on=True)


@router.delete("/papers/{path:paper_id}/read", response={200: Mine, **answers})
def mark_unread(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    return _marked(request, paper_id, "read", on=False)


@router.get("/bookmarks", response={200: ShelfPage, **answers})
def bookmarks(request: HttpRequest, page: PageNumber = 1) -> dict[str, Any]:
    """The papers that one keeps, by id, what was kept last first."""
    kept = Paper.objects.filter(bookmarks__user=signed_in(request)).order_by("-bookmarks__pk")
    found = lists.page_of(kept.only("public_id"), page)
    facts = {"total": found.paginator.count, "page": page, "pages": found.paginator.num_pages}
    return facts | {"papers": [paper.public_id for paper in found.object_list]}


@router.get("/papers/{path:paper_id}/comments", response={200: CommentPage, **answers})
def comments(request: HttpRequest, paper_id: str, page: PageNumber = 1) -> dict[str, Any]:
    """A paper's discussion, thread by thread, the oldest first."""
    paper = find_paper(paper_id)
    found, said = discussion.threads(paper, page)
    facts = {"threads": found.paginator.count, "page": page, "pages": found.paginator.num_pages}
    parents = {each.comment.pk: each.comment.uid for each in said}
    shown = [_comment(each, paper, parents.get(each.comment.parent_id or 0)) for each in said]
    return facts | {"locked": discussion.lock_of(paper) is not None, "comments": shown}


@router.post("/papers/{path:paper_id}/comments", response={201: CommentOut, **answers})
def add_comment(request: HttpRequest, paper_id: str, given: CommentIn) -> Status[dict[str, Any]]:
    """Say something about a paper, in Markdown."""
    user, paper = acting(request, "comment"), find_paper(paper_id)
    parent = discussion.find(given.parent) if given.parent else None
    made = discussion.post(user, paper, given.text, parent=parent, claim=given.claim)
    return Status(201, comment_facts(made))


@router.patch("/comments/{comment_id}", response={200: CommentOut, **answers})
def edit_comment(request: HttpRequest, comment_id: str, given: TextIn) -> dict[str, Any]:
    """Change one's own comment; what it said before stays readable on the site."""
    user = acting(request, "comment")
    return comment_facts(discussion.edit(user, discussion.find(comment_id), given.text))


@router.delete("/comments/{comment_id}", response={204: None, **answers})
def delete_comment(request: HttpRequest, comment_id: str) -> HttpResponse:
    """Take one's own comment back."""
    user = acting(request, "write")
    discussion.delete(user, discussion.find(comment_id))
    return HttpResponse(status=204)


@router.get("/follows", response={200: list[FollowOut], **answers})
def follows(request: HttpRequest) -> QuerySet[Follow]:
    """What one follows."""
    return Follow.objects.filter(user=signed_in(request))


@router.post("/follows", response={201: FollowOut, **answers})
def follow(request: HttpRequest, given: FollowIn) -> Status[Follow | None]:
    """Follow an author, organisation, topic or search; again changes nothing."""
    user = acting(request, "write")
    return Status(201, shelves.follow(user, given.kind, given.key.replace("\0", ""), on=True))


@router.delete("/follows", response={204: None, **answers})
def unfollow(
    request: HttpRequest, kind: Literal["author", "organisation", "topic", "search"], key: Annotated[str, Query(max_length=300)]
) -> HttpResponse:
    user = acting(request, "write")
    shelves.follow(user, kind, key, on=False)
    return HttpResponse(status=204)


@router.get("/submissions", response={200: list[SubmissionOut], **answers})
def submissions(request: HttpRequest) -> list[dict[str, Any]]:
    """One's own submissions, at most the last hundred."""
    rows = Submission.objects.filter(user=signed_in(request)).select_related("paper").order_by("-pk")[:100]
    return [_submission(row) for row in rows]


@router.post("/submissions", response={200: SubmissionOut, 201: SubmissionOut, 502: Problem, **answers})
def submit(request: HttpRequest, given: SubmissionIn) -> Status[dict[str, Any]]:
    """Submit a paper. 201 for a new submission, 200 where the paper is here or waits already; 502 where no source could be asked."""
    user = acting(request, "submit")
    submitting.check_open(user)
    try:
        record = _record(given)
        made = submitting.submit(user, given.paper or record.id, record, typed=given.record is not None)
    except submitting.AlreadyHere as known:
        paper = known.paper
        state = "here" if paper else "waiting"
        title = paper.title if paper else ""
        return Status(200, {"id": "", "state": state, "title": title, "paper": paper.public_id if paper else None, "why": ""})
    except metadata.NotFetched as problem:
        return Status(502, {"error": f"{problem} Give the record instead."})
    return Status(201, _submission(made))


@router.get("/days/{day}", response={200: DayOut, **answers})
def day(request: HttpRequest, day: str) -> dict[str, Any]:
    """A day's list: how many papers, and whether a curator says that it is complete."""
    return _day(lists.parse_day(day))


@router.put("/days/{day}/complete", response={200: DayOut, **answers})
def complete(request: HttpRequest, day: str) -> dict[str, Any]:
    """Say that nothing more is expected on a day's list; for curators."""
    actor, when = acting(request, "write", Role.CURATOR), lists.parse_day(day)
    curating.complete(actor, when, on=True)
    return _day(when)


@router.delete("/days/{day}/complete", response={200: DayOut, **answers})
def reopen(request: HttpRequest, day: str) -> dict[str, Any]:
    """Say that more may come; for curators."""
    actor, when = acting(request, "write", Role.CURATOR), lists.parse_day(day)
    curating.complete(actor, when, on=False)
    return _day(when)


def _mine(user: User, paper: Paper) -> dict[str, Any]:
    marks = shelves.marks_on(user, [paper])
    facts = {"voted": paper.pk in marks.voted, "kept": paper.pk in marks.kept, "read": paper.pk in marks.read}
    return {"paper": paper.public_id, "votes": paper.votes, **facts}


def _marked(request: HttpRequest, paper_id: str, kind: str, *, on: bool) -> dict[str, Any]:
    user, paper = acting(request, "write"), find_paper(paper_id)
    shelves.mark(user, paper, kind, on=on)
    return _mine(user, paper)


def comment_facts(comment: Comment) -> dict[str, Any]:
    """One comment as the API shows it."""
    by_author = comment.author_id in discussion.verified_authors(comment.paper)
    names = list(comment.mentions.values_list("username", flat=True))
    said = discussion.Said(comment, markdown.render(comment.text, names), by_author)
    return _comment(said, comment.paper, comment.parent.uid if comment.parent else None)


def _comment(said: discussion.Said, paper: Paper, parent: str | None) -> dict[str, Any]:
    row = said.comment
    return {
        "id": row.uid,
        "paper": paper.public_id,
        "parent": parent,
        "author": row.author.get_username() if row.author else "",
        "name": named(row.author),
        "by_author": said.by_author,
        "claim": row.claim,
        "state": row.state,
        "text": row.text if said.shown else "",
        "html": str(said.html) if said.shown else "",
        "created": row.created,
        "edited": row.edited,
    }


def _record(given: SubmissionIn) -> Any:  # noqa: ANN401  a catalog.Paper
    if given.record is not None:
        return submitting.typed_record(given.record.model_dump() | {"authors": "\n".join(given.record.authors)})
    if not given.paper.strip():
        raise BadInput("give the paper, as an arXiv id, DOI or address, or its record.")
    if found := Paper.objects.by_id(given.paper.strip().replace("\0", "")).first():
        raise submitting.AlreadyHere(found)
    return metadata.fetch_record(given.paper)


def _submission(row: Submission) -> dict[str, Any]:
    facts = {"id": row.uid, "state": row.state, "title": str(row.record.get("title", ""))}
    return facts | {"paper": row.paper.public_id if row.paper else None, "why": row.why}


def _day(when: date) -> dict[str, Any]:
    known = curating.complete_since(when)
    count = Paper.objects.visible().filter(day=when).count()
    return {"day": when, "papers": count, "placed": curating.placed(when), "complete": known.complete if known else None}
