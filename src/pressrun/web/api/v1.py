"""Our own JSON API, /api/v1. Its OpenAPI description is at /api/v1/openapi.json; docs/api.md explains it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest
from django.urls import path, reverse
from ninja import NinjaAPI, Query, Schema

from pressrun import __version__
from pressrun.web.api import searching
from pressrun.web.api.answers import absolute, find_paper, guarded
from pressrun.web.api.ninja_errors import answer_errors, error_answers, general_last
from pressrun.web.api.searching import Mode
from pressrun.web.community.api import router as community
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists, results
from pressrun.web.papers.context import state
from pressrun.web.papers.models import Author, Organisation, Paper, PaperQuerySet, Topic
from pressrun.web.runs.facts import in_full

LAST_HIT = 1000

api = NinjaAPI(
    title="pressrun",
    version="1",
    description="Papers of this installation: lists, search, similar papers. Errors are objects with one sentence in `error`.",
    docs_url=None,
    urls_namespace="v1",
)
answer_errors(api)

PageNumber = Annotated[int, Query(1, ge=1, le=lists.LAST_PAGE, description="Counted from 1.")]
PageSize = Annotated[int, Query(50, ge=1, le=200)]


class Named(Schema):
    name: str
    slug: str


class Counted(Named):
    papers: int


class CountedPage(Schema):
    total: int
    page: int
    pages: int
    items: list[Counted]


class AuthorOut(Schema):
    name: str
    affiliation: str
    orcid: str


class LinksOut(Schema):
    """Addresses; "" where there is none."""

    page: str
    arxiv: str
    pdf: str
    doi: str
    code: str
    project: str
    huggingface: str


class TrendingOut(Schema):
    """The terms of Trending; their sum is what the list is sorted by."""

    attention: float
    freshness: float
    score: float


class ClaimOut(Schema):
    """A claim under its rule. `verdict` is matched, partly matched, not matched, too noisy, void, or not run yet."""

    id: str
    paper: str
    where: str
    tested: str
    rule: str
    scale: str
    version: int
    verdict: str
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float | None
    unit: str
    n: int


class ReplicationOut(Schema):
    """What can be run of a paper, and how its claims came out in `run`; `elsewhere` where no run of this installation counts."""

    name: str
    title: str
    installed: bool
    presets: list[str]
    seconds: float | None
    run: str | None
    judged: datetime | None
    machine: str
    elsewhere: bool
    not_tested: list[str]
    claims: list[ClaimOut]


class PaperOut(Schema):
    """A paper. Unknown texts are "", unknown dates and numbers null."""

    id: str
    title: str
    abstract: str
    summary: str
    authors: list[AuthorOut]
    author_count: int | None
    published: date | None
    listed: date | None
    organisation: Named | None
    topics: list[Named]
    categories: list[str]
    arxiv_id: str
    doi: str
    journal: str
    note: str
    submitted_by: str
    votes: int
    comments: int
    withdrawn: bool
    trending: TrendingOut
    links: LinksOut
    replication: ReplicationOut | None
    modified: datetime


class Feeds(Schema):
    rss: str
    atom: str
    json_feed: str


class PaperPage(Schema):
    title: str
    total: int
    page: int
    pages: int
    page_size: int
    sort: str
    papers: list[PaperOut]


class Piece(Schema):
    text: str
    marked: bool


class Why(Schema):
    """Why a paper is among the hits: its rank by words and by meaning (null where that side did not bring it up), the
    query's words found in it, and its title and the best part of its text with the matches marked."""

    score: float
    lexical_rank: int | None
    semantic_rank: int | None
    matched: list[str]
    title: list[Piece]
    snippet: list[Piece]


class HitOut(Schema):
    paper: PaperOut
    why: Why


class FacetValue(Schema):
    value: str
    papers: int


class SearchPage(Schema):
    """A page of results. `total` is an estimate where `total_is_exact` is false. `direct` is the paper that the query
    names by id, DOI or address."""

    query: str
    mode: Mode
    total: int
    total_is_exact: bool
    took_ms: float
    page: int
    page_size: int
    direct: str | None
    hits: list[HitOut]
    facets: dict[str, list[FacetValue]]
    feeds: Feeds


class Neighbour(Schema):
    score: float
    paper: PaperOut


class Stats(Schema):
    version: str
    papers: int
    with_code: int
    authors: int
    organisations: int
    topics: int
    last_day: date | None
    indexed: int | None
    read_by_meaning: int


@api.get("/papers", response={200: PaperPage, **error_answers})
def papers(
    request: HttpRequest,
    day: str = "",
    week: str = "",
    month: str = "",
    topic: str = "",
    author: str = "",
    organisation: str = "",
    sort: str = "",
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> dict[str, Any]:
    """Papers, all or those of a day (YYYY-MM-DD), ISO week (YYYY-Www) or month (YYYY-MM), a topic, author or organisation
    (by slug). Filters can be combined. `sort` is votes, new or trending; votes is usual within a period, else new."""
    given = [(kind, text) for kind, text in (("date", day), ("week", week), ("month", month)) if text]
    if len(given) > 1:
        raise BadInput("give one of day, week and month.")
    sort = sort or ("votes" if given else "new")
    titles, rows = ["Papers"], lists.sorted_by(Paper.objects.visible(), sort)
    if given:
        parse, period = lists.PERIODS[given[0][0]]
        found = period(parse(given[0][1]), sort)
        titles, rows = [found.title], found.papers
    for kind, model, slug, column in (
        ("topic", Topic, topic, "topics"),
        ("author", Author, author, "author_set"),
        ("organisation", Organisation, organisation, "organisation"),
    ):
        if slug:
            thing = _named(model, kind, slug)
            titles.append(thing.name)
            rows = rows.filter(**{column: thing})
    return _page(request, " · ".join(titles), rows, sort, page, page_size)


@api.get("/papers/{path:paper_id}/similar", response={200: list[Neighbour], **error_answers})
def similar(request: HttpRequest, paper_id: str, limit: Annotated[int, Query(10, ge=1, le=100)] = 10) -> list[dict[str, Any]]:
    """The papers nearest to one, nearest first."""
    found = searching.similar(find_paper(paper_id), limit=limit)
    return [{"score": hit.score, "paper": paper_facts(request, paper)} for paper, hit in found]


@api.get("/papers/{path:paper_id}", response={200: PaperOut, **error_answers})
def paper(request: HttpRequest, paper_id: str) -> dict[str, Any]:
    """One paper, by its id, arXiv id with or without version, DOI, address, or an id that it had before."""
    return paper_facts(request, find_paper(paper_id))


@api.get("/search", response={200: SearchPage, **error_answers})
def search(
    request: HttpRequest,
    q: str = "",
    mode: Mode = "hybrid",
    facets: bool = False,
    page: PageNumber = 1,
    page_size: Annotated[int, Query(20, ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Search in own words, with the filters of the query language (docs/api.md). `mode` is lexical (words), semantic
    (meaning) or hybrid (both)."""
    if page * page_size > LAST_HIT:
        raise BadInput(f"page times page_size may reach hit {LAST_HIT}, got {page * page_size}; narrow the query instead.")
    if not q.strip():
        raise BadInput("q needs a query.")
    found = searching.search(q, limit=page_size, offset=(page - 1) * page_size, mode=mode, facets=facets).results
    return {
        "query": q,
        "mode": mode,
        "total": found.total,
        "total_is_exact": found.total_is_exact,
        "took_ms": round(found.took_ms, 2),
        "page": page,
        "page_size": page_size,
        "direct": found.direct,
        "hits": [_hit(request, hit) for hit in results.found(found.hits, q)],
        "facets": {name: [{"value": v, "papers": n} for v, n in values] for name, values in found.facets.items()},
        "feeds": _feeds(request, results.search_url(q, mode)),
    }


@api.get("/topics", response={200: CountedPage, **error_answers})
def topics(request: HttpRequest, page: PageNumber = 1, page_size: PageSize = 50) -> dict[str, Any]:
    """Topics by number of papers."""
    return _counted(Topic, Paper.topics.through.objects.all(), "topic", page, page_size)


@api.get("/authors", response={200: CountedPage, **error_answers})
def authors(request: HttpRequest, page: PageNumber = 1, page_size: PageSize = 50) -> dict[str, Any]:
    """Authors by number of papers. Two people of one name are one author here."""
    return _counted(Author, Paper.author_set.through.objects.all(), "author", page, page_size)


@api.get("/organisations", response={200: CountedPage, **error_answers})
def organisations(request: HttpRequest, page: PageNumber = 1, page_size: PageSize = 50) -> dict[str, Any]:
    """Organisations by number of papers."""
    return _counted(Organisation, Paper.objects.exclude(organisation=None), "organisation", page, page_size)


@api.get("/stats", response={200: Stats})
def stats(request: HttpRequest) -> dict[str, Any]:
    """What this installation holds, and how far its index has come."""
    now = state()
    return {
        "version": __version__,
        "papers": now.papers,
        "with_code": Paper.objects.visible().exclude(code_url="").count(),
        "authors": Author.objects.count(),
        "organisations": Organisation.objects.count(),
        "topics": Topic.objects.count(),
        "last_day": now.last_day,
        "indexed": now.index.documents if now.index else None,
        "read_by_meaning": now.read,
    }


def paper_facts(request: HttpRequest | None, paper: Paper) -> dict[str, Any]:
    """A paper as `PaperOut` has it. Without a request, its page is given as a path. Reads `organisation`, `topics` and
    `outcomes`."""
    page = reverse("paper", args=[paper.public_id])
    return {
        "id": paper.public_id,
        "title": paper.title,
        "abstract": paper.abstract,
        "summary": paper.summary,
        "authors": [{"affiliation": "", "orcid": ""} | person for person in paper.authors],
        "author_count": paper.author_count,
        "published": paper.published,
        "listed": paper.listed,
        "organisation": {"name": paper.organisation.name, "slug": paper.organisation.slug} if paper.organisation else None,
        "topics": [{"name": topic.name, "slug": topic.slug} for topic in paper.filed_under],
        "categories": paper.categories,
        "arxiv_id": paper.arxiv_id or "",
        "doi": paper.doi,
        "journal": paper.journal,
        "note": paper.note,
        "submitted_by": paper.submitted_by,
        "votes": paper.votes,
        "comments": paper.comments,
        "withdrawn": paper.withdrawn,
        "trending": {"attention": paper.attention, "freshness": paper.freshness, "score": paper.trending},
        "links": {
            "page": absolute(request, page) if request else page,
            "arxiv": paper.arxiv_url,
            "pdf": paper.best_pdf_url,
            "doi": paper.doi_url,
            "code": paper.code_url,
            "project": paper.project_url,
            "huggingface": paper.huggingface_url,
        },
        "replication": in_full(paper),
        "modified": paper.modified,
    }


def _named(model: type[Topic | Author | Organisation], kind: str, slug: str) -> Topic | Author | Organisation:
    thing = model._default_manager.filter(slug=slug).first()
    if thing is None:
        raise Http404(f"There is no {kind} {slug[:100]!r} here.")
    return thing


def _page(request: HttpRequest, title: str, rows: PaperQuerySet, sort: str, page: int, size: int) -> dict[str, Any]:
    shown = lists.page_of(rows.with_facts(), page, size)
    return {
        "title": title,
        "total": shown.paginator.count,
        "page": page,
        "pages": shown.paginator.num_pages,
        "page_size": size,
        "sort": sort,
        "papers": [paper_facts(request, paper) for paper in shown.object_list],
    }


def _counted(
    model: type[Topic | Author | Organisation], links: QuerySet[Any], column: str, page: int, size: int
) -> dict[str, Any]:
    """Things by number of papers. `links` are the rows that lead from a thing to a paper: counting them alone is what
    keeps this bearable with a million papers."""
    paper = "pk" if links.model is Paper else "paper"
    shown = links.order_by().exclude(**{f"{paper}__in": Paper.objects.filter(withdrawn=True).values("pk")})
    counts = shown.values(column).annotate(shown=Count("pk")).order_by("-shown", column)
    found = lists.page_of(counts, page, size)
    things = model._default_manager.in_bulk([row[column] for row in found.object_list])
    items = [Counted(name=t.name, slug=t.slug, papers=row["shown"]) for row in found.object_list for t in (things[row[column]],)]
    return {"total": found.paginator.count, "page": page, "pages": found.paginator.num_pages, "items": items}


def _hit(request: HttpRequest, found: results.Found) -> dict[str, Any]:
    why = {
        "score": found.hit.score,
        "lexical_rank": found.hit.lexical_rank,
        "semantic_rank": found.hit.semantic_rank,
        "matched": list(found.hit.matched),
        "title": _pieces(found.title),
        "snippet": _pieces(found.text),
    }
    return {"paper": paper_facts(request, found.paper), "why": why}


def _pieces(pieces: Sequence[results.Piece]) -> list[dict[str, Any]]:
    return [{"text": text, "marked": marked} for text, marked in pieces]


def _feeds(request: HttpRequest, url: str) -> dict[str, str]:
    shown = lists.PaperList("", url, Paper.objects.none())
    names = {"rss": "rss", "atom": "atom", "json_feed": "json"}
    return {name: absolute(request, shown.feed_url(ending)) for name, ending in names.items()}


api.add_router("", community)
urlpatterns = [path("api/v1/", (guarded(general_last(api.urls[0])), "ninja", "v1"))]
