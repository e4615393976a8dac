"""The Hugging Face papers API, as its own client and command line call it.

A list item is nested (`paper` holds everything) with copies at the top of what the client looks for only there; a single
paper is flat. Counts stand at both levels, because the client takes a nested 0 for a missing number. Moments end in Z.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from ninja import NinjaAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pressrun.web import errors
from pressrun.web.api import searching
from pressrun.web.api.answers import find_paper, guarded, utc, whole_number
from pressrun.web.api.ninja_errors import Problem, answer_errors, error_answers, general_last
from pressrun.web.community import hub
from pressrun.web.community.acting import named
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Organisation, Paper, PaperQuerySet
from pressrun.web.people.roles import token_of
from pressrun.web.runs.facts import in_brief

MOST = 500
SORTS = {"publishedAt": "new", "trending": "trending"}

api = NinjaAPI(
    title="Papers, in the way of the Hugging Face API",
    version="1",
    docs_url=None,
    openapi_url="/papers-openapi.json",
    urls_namespace="huggingface",
)
answer_errors(api)


class Camel(BaseModel):
    """Views give these as dictionaries, so they need none of what ninja's own schemas do for objects, at twice the time of a list."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class AuthorOut(Camel):
    id_: str = Field(alias="_id")
    name: str
    hidden: bool
    status: Literal["claimed_verified"] | None = None
    user: UserOut | None = None


class UserOut(Camel):
    id_: str = Field(alias="_id")
    user: str
    name: str
    fullname: str
    avatar_url: str
    type: Literal["user", "org"]
    is_pro: bool


class OrganizationOut(Camel):
    id_: str = Field(alias="_id")
    name: str
    fullname: str
    avatar_url: str


class PaperOut(Camel):
    """A paper. `ai_summary` is this installation's own summary, whoever wrote it; `ai_keywords` are its topics."""

    id: str
    authors: list[AuthorOut]
    title: str
    summary: str
    upvotes: int
    discussion_id: str
    media_urls: list[str]
    published_at: str | None = None
    submitted_on_daily_at: str | None = None
    submitted_on_daily_by: UserOut
    withdrawn_at: str | None = None
    ai_summary: str | None = Field(None, alias="ai_summary")
    ai_keywords: list[str] = Field(alias="ai_keywords")
    organization: OrganizationOut | None = None
    project_page: str | None = None
    github_repo: str | None = None
    num_comments: int | None = None
    linked_models: list[str] | None = None
    linked_datasets: list[str] | None = None
    linked_spaces: list[str] | None = None
    num_total_models: int | None = None
    num_total_datasets: int | None = None
    replication: dict[str, str] | None = None


class ItemOut(Camel):
    """A paper on a list."""

    paper: PaperOut
    title: str
    summary: str
    thumbnail: str
    upvotes: int
    num_comments: int
    published_at: str | None = None
    submitted_on_daily_at: str | None = None
    submitted_by: UserOut
    is_author_participating: bool
    ai_summary: str | None = Field(None, alias="ai_summary")
    ai_keywords: list[str] = Field(alias="ai_keywords")
    organization: OrganizationOut | None = None
    project_page: str | None = None
    github_repo: str | None = None
    replication: dict[str, str] | None = None


class UserOverview(Camel):
    user: str
    fullname: str
    avatar_url: str
    type: Literal["user"]
    is_pro: bool
    num_papers: int
    orgs: list[OrganizationOut]


class OrganizationOverview(Camel):
    name: str
    fullname: str
    avatar_url: str
    num_papers: int


class TokenOut(Camel):
    display_name: str
    role: Literal["read", "write"]
    created_at: str


class AuthOut(Camel):
    type: Literal["access_token"]
    access_token: TokenOut


class WhoAmI(Camel):
    """Who a token belongs to. `auth` says which token, and what it may do."""

    type: Literal["user"]
    id: str
    name: str
    fullname: str
    email: str
    email_verified: bool
    is_pro: bool
    avatar_url: str
    orgs: list[OrganizationOut]
    auth: AuthOut


class Harnesses(Camel):
    standard_env_vars: list[str]
    harnesses: dict[str, dict[str, dict[str, str]]]


class Repositories(Camel):
    models: list[str]
    datasets: list[str]
    spaces: list[str]
    num_total_models: int
    num_total_datasets: int
    num_total_spaces: int


class Collection(Camel):
    slug: str
    title: str


class Known(TypedDict, total=False):
    """Facts that are left out, not null, where they are unknown."""

    ai_summary: str
    organization: dict[str, str]
    projectPage: str
    githubRepo: str


@api.get("/daily_papers", response={200: list[ItemOut], **error_answers}, by_alias=True, exclude_unset=True)
def daily_papers(
    request: HttpRequest,
    date: str = "",
    week: str = "",
    month: str = "",
    submitter: str = "",
    sort: str = "publishedAt",
    p: str = "0",
    limit: str = "50",
) -> list[dict[str, Any]]:
    """The papers of a day, ISO week or month of the daily list. Without any of them: those of the latest day that has
    papers, or all of a submitter's. `p` counts pages from 0; a page beyond the last is empty, as clients page until then."""
    if sort not in SORTS:
        raise BadInput(f"sort must be one of {', '.join(SORTS)}, got {sort[:40]!r}.")
    page, size = whole_number("p", p, low=0, high=lists.LAST_PAGE), whole_number("limit", limit, low=0, high=MOST)
    papers = _listed(date, week, month, everything=bool(submitter))
    if submitter:
        papers = papers.filter(_submitted_by(submitter))
    rows = papers.ranked(SORTS[sort]).with_facts()
    return _items(rows[page * size : (page + 1) * size])


@api.get("/papers/search", response={200: list[ItemOut], **error_answers}, by_alias=True, exclude_unset=True)
def search_papers(request: HttpRequest, q: str = "", limit: str = "20") -> list[dict[str, Any]]:
    """The papers that a question in own words finds, best first. The query language of the site's search works here."""
    size = whole_number("limit", limit, low=0, high=MOST)
    if not q.strip() or size == 0:
        return []
    return _items(searching.search(q, limit=size).rows)


@api.get("/papers/{path:paper_id}", response={200: PaperOut, **error_answers}, by_alias=True, exclude_unset=True)
def paper_info(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """One paper, by its id, arXiv id with or without version, DOI, or an id that it had before."""
    paper = find_paper(paper_id)
    empty = {"linkedModels": [], "linkedDatasets": [], "linkedSpaces": [], "numTotalModels": 0, "numTotalDatasets": 0}
    known = whole(paper, hub.people_of([paper])[paper.pk])
    return known | {"numComments": paper.comments, "replication": in_brief(paper)} | empty


@api.get("/arxiv/{path:paper_id}/repos", response={200: Repositories, **error_answers}, by_alias=True)
def repositories(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """Models, data sets and Spaces that cite a paper. This installation hosts none."""
    find_paper(paper_id)
    none: dict[str, Any] = {"models": [], "datasets": [], "spaces": []}
    return none | {"numTotalModels": 0, "numTotalDatasets": 0, "numTotalSpaces": 0}


@api.get("/collections", response={200: list[Collection], **error_answers}, by_alias=True)
def collections(request: HttpRequest, item: str = "") -> list[dict[str, str]]:
    """The collections that hold a paper and that their owners share; `item` is papers/ and the paper's id."""
    found = Paper.objects.by_id(item.removeprefix("papers/")).first() if item else None
    return list(hub.collections_with(found)) if found else []


@api.get("/users/{user}/overview", response={200: UserOverview, **error_answers}, by_alias=True)
def user_overview(request: HttpRequest, user: str) -> dict[str, Any]:
    """Who put papers on the list, and how many."""
    count = Paper.objects.visible().filter(_submitted_by(user)).count()
    member = User.objects.filter(username=user, is_active=True).select_related("profile").first()
    if not count and member is None:
        raise Http404(f"Nobody called {user[:100]!r} submitted a paper here.")
    known = {"user": user, "fullname": named(member) if member else user, "avatarUrl": "", "type": "user", "isPro": False}
    return known | {"numPapers": count, "orgs": []}


@api.get("/organizations/{slug}/overview", response={200: OrganizationOverview, **error_answers}, by_alias=True)
def organization_overview(request: HttpRequest, slug: str) -> dict[str, Any]:
    """An organisation, and how many of its papers are listed here."""
    found = get_object_or_404(Organisation, slug=slug)
    return {
        "name": found.slug,
        "fullname": found.name,
        "avatarUrl": "",
        "numPapers": Paper.objects.visible().filter(organisation=found).count(),
    }


@api.get("/whoami-v2", response={200: WhoAmI, 401: Problem}, by_alias=True)
def whoami(request: HttpRequest) -> HttpResponse | dict[str, Any]:
    """Whose access token this is, and whether it may write. Only a token is answered for, not a browser's session."""
    token = token_of(request)
    if token is None:
        said = "is not known here" if request.headers.get("Authorization") else "is missing"
        answer = errors.answer(request, 401, "Who are you?", f"The access token {said}; reading papers needs none.")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    user = token.user
    role = "write" if token.has("write") else "read"
    return {
        "type": "user",
        "id": str(user.pk),
        "name": user.get_username(),
        "fullname": user.profile.name,
        "email": user.email,
        "emailVerified": bool(user.email),
        "isPro": False,
        "avatarUrl": "",
        "orgs": [],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": token.name, "role": role, "createdAt": utc(token.created)},
        },
    }


@api.get("/agent-harnesses", response=Harnesses, by_alias=True)
def agent_harnesses(request: HttpRequest) -> dict[str, Any]:
    """The coding agents that the command line may report being run by. We don't ask."""
    return {"standardEnvVars": [], "harnesses": {}}


def _items(papers: Iterable[Paper]) -> list[dict[str, Any]]:
    rows = list(papers)
    people = hub.people_of(rows)
    return [item(paper, people[paper.pk]) for paper in rows]


def item(paper: Paper, people: hub.People) -> dict[str, Any]:
    """A paper as a list shows it: nested, with copies at the top."""
    listed = utc(paper.day) if paper.day else None
    top: dict[str, Any] = {
        "paper": whole(paper, people),
        "title": paper.title,
        "summary": paper.text,
        "thumbnail": "",
        "upvotes": paper.votes,
        "numComments": paper.comments,
        "submittedBy": _submitter(paper, people),
        "isAuthorParticipating": people.participating,
        "replication": in_brief(paper),
    }
    if listed:
        # The client reads the day of the list from `publishedAt`, but takes that for the paper's own date where the
        # paper has none.
        top["submittedOnDailyAt"] = listed
        if paper.published:
            top["publishedAt"] = listed
    return top | {"ai_keywords": _topics(paper), **_known(paper)}


def whole(paper: Paper, people: hub.People) -> dict[str, Any]:
    """Everything about a paper, flat. Reads `organisation` and `topics`."""
    found: dict[str, Any] = {
        "id": paper.public_id,
        "authors": [_author(paper, n, name, people) for n, name in enumerate(paper.author_names, 1)],
        "title": paper.title,
        "summary": paper.text,
        "upvotes": paper.votes,
        "discussionId": paper.public_id,
        "mediaUrls": [],
        "submittedOnDailyBy": _submitter(paper, people),
        "ai_keywords": _topics(paper),
    }
    if paper.published:
        found["publishedAt"] = utc(paper.published)
    if paper.day:
        found["submittedOnDailyAt"] = utc(paper.day)
    if paper.withdrawn:
        found["withdrawnAt"] = utc(paper.modified)
    return found | dict(_known(paper))


def _author(paper: Paper, number: int, name: str, people: hub.People) -> dict[str, Any]:
    found: dict[str, Any] = {"_id": f"{paper.public_id}#{number}", "name": name, "hidden": False}
    if user := people.authors.get(name):
        found |= {"status": "claimed_verified", "user": hub.author_of(user)}
    return found


def _known(paper: Paper) -> Known:
    found = Known()
    if paper.abstract and paper.summary:
        found["ai_summary"] = paper.summary
    if paper.organisation:
        slug = paper.organisation.slug
        found["organization"] = {"_id": slug, "name": slug, "fullname": paper.organisation.name, "avatarUrl": ""}
    if paper.project_url:
        found["projectPage"] = paper.project_url
    if paper.code_url:
        found["githubRepo"] = paper.code_url
    return found


def _topics(paper: Paper) -> list[str]:
    return [topic.name for topic in paper.filed_under]


def _submitter(paper: Paper, people: hub.People) -> dict[str, Any]:
    """Who put the paper on the list: a person where one is known, else this installation itself."""
    name = paper.submitted_by or settings.SITE_NAME
    kind = "user" if paper.submitted_by else "org"
    known = {"_id": name, "user": name, "name": name, "fullname": people.submitter or name}
    return known | {"avatarUrl": "", "type": kind, "isPro": False}


def _submitted_by(name: str) -> Q:
    return Q(submitted_by=name) | Q(submitted_by="") if name == settings.SITE_NAME else Q(submitted_by=name)


def _listed(day: str, week: str, month: str, *, everything: bool) -> PaperQuerySet:
    given = {"date": day, "week": week, "month": month}
    chosen = [(kind, text) for kind, text in given.items() if text]
    if len(chosen) > 1:
        raise BadInput(f"give one of date, week and month, got {' and '.join(kind for kind, _ in chosen)}.")
    if chosen:
        parse, list_of = lists.PERIODS[chosen[0][0]]
        return list_of(parse(chosen[0][1]), "new").papers
    if everything:
        return Paper.objects.visible()
    latest = lists.latest_day()
    return lists.of_day(latest, "new").papers if latest else Paper.objects.none()


api.add_router("", hub.router)
urlpatterns = [path("api/", (guarded(general_last(api.urls[0])), "ninja", "huggingface"))]
