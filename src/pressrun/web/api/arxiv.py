"""arXiv's query API: /arxiv/api/query answers as arXiv's own does, from the papers of this installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from django.db.models import TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from lxml import etree

from pressrun.search import Query
from pressrun.web.api import arxiv_query
from pressrun.web.api.answers import absolute, clean, guarded, midnight, one_line, utc, whole_number
from pressrun.web.api.xml import node, root
from pressrun.web.errors import BadInput, for_header
from pressrun.web.papers.indexing import index
from pressrun.web.papers.models import Paper

PER_SLICE = 2000
IN_ALL = 30_000
FROM_INDEX = 5000
"""With more papers than this holding the words of a query, the database goes through all of them instead."""
INDEX_SLICE = 1000
SORTS = ("relevance", "lastUpdatedDate", "submittedDate")
ORDERS = ("ascending", "descending")

_ATOM = "http://www.w3.org/2005/Atom"
_OPENSEARCH = "http://a9.com/-/spec/opensearch/1.1/"
_ARXIV = "http://arxiv.org/schemas/atom"
_atom, _opensearch, _arxiv = partial(node, _ATOM), partial(node, _OPENSEARCH), partial(node, _ARXIV)


@dataclass(frozen=True)
class Asked:
    """A request, read and found usable."""

    search_query: str
    id_list: tuple[str, ...]
    sort: str
    order: str
    start: int
    size: int


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def query(request: HttpRequest) -> HttpResponse:
    """Papers that a query finds, or of a list of ids, or both, as an Atom feed. What can't be used is a 400 in Atom."""
    try:
        asked = _read(request.POST if request.method == "POST" else request.GET)
        total, papers = _find(asked)
    except BadInput as problem:
        response = _answer(_error(request, str(problem)), 400)
        response["X-Error-Message"] = for_header(str(problem))
        return response
    return _answer(_feed(request, asked, total, papers), 200)


def _read(given: QueryDict) -> Asked:
    def text(name: str, usual: str = "") -> str:
        return given.get(name) or usual

    asked = Asked(
        text("search_query").strip(),
        tuple(part.strip() for part in text("id_list").split(",") if part.strip()),
        text("sortBy", "relevance"),
        text("sortOrder", "descending"),
        whole_number("start", text("start", "0"), low=0, high=IN_ALL),
        whole_number("max_results", text("max_results", "10"), low=0, high=PER_SLICE),
    )
    if asked.sort not in SORTS:
        raise BadInput(f"sortBy must be one of {', '.join(SORTS)}, got {asked.sort[:40]!r}.")
    if asked.order not in ORDERS:
        raise BadInput(f"sortOrder must be ascending or descending, got {asked.order[:40]!r}.")
    if asked.start + asked.size > IN_ALL:
        raise BadInput(f"start and max_results may reach to result {IN_ALL}, got {asked.start + asked.size}; narrow the query.")
    if len(asked.id_list) > PER_SLICE:
        raise BadInput(f"id_list may have {PER_SLICE} ids, got {len(asked.id_list)}.")
    if not asked.search_query and not asked.id_list:
        raise BadInput("give a search_query or an id_list.")
    return asked


def _find(asked: Asked) -> tuple[int, list[Paper]]:
    """How many papers there are in all, and those of the slice. Nobody can see further than `IN_ALL`, so nothing counts on
    much beyond it: one pass in the order asked for, which stops there."""
    papers = Paper.objects.alias(category_text=Cast("categories", TextField()))
    ranks: dict[str, int] | None = None
    if asked.search_query:
        node = arxiv_query.parse(asked.search_query)
        ranks = _ranks(arxiv_query.required_texts(node))
        papers = papers.visible().filter(arxiv_query.condition(node))
        if ranks is not None:
            papers = papers.filter(public_id__in=list(ranks))
    if asked.id_list:
        places = _places(asked.id_list)
        papers, ranks = papers.filter(public_id__in=list(places)), ranks if asked.search_query else places
    if asked.sort == "relevance" and ranks is not None:
        ids = list(papers.values_list("public_id", flat=True))
        ids.sort(key=ranks.__getitem__, reverse=asked.order == "ascending")
    else:
        sign = "" if asked.order == "ascending" else "-"
        column = {"relevance": "day", "lastUpdatedDate": "modified", "submittedDate": "published"}[asked.sort]
        ordered = papers.order_by(f"{sign}{column}", f"{sign}pk").values_list("public_id", flat=True)
        ids = list(ordered[: IN_ALL + 1])
    shown = ids[asked.start : asked.start + asked.size]
    rows = {paper.public_id: paper for paper in Paper.objects.filter(public_id__in=shown)}
    return len(ids), [rows[public_id] for public_id in shown if public_id in rows]


def _ranks(texts: Sequence[str]) -> dict[str, int] | None:
    """The papers that hold all these words and phrases, by relevance, and after them those that have not reached the index
    yet. None where that would not narrow much, or where there is nothing to look up."""
    if not texts:
        return None
    wanted = Query(text=" ".join(texts), phrases=tuple(texts), meaning=" ".join(texts))
    found: list[str] = []
    while True:
        results = index().search(wanted, limit=INDEX_SLICE, offset=len(found), mode="lexical")
        if results.total > FROM_INDEX or len(found) > FROM_INDEX:
            return None
        found += [hit.id for hit in results.hits]
        if len(results.hits) < INDEX_SLICE:
            break
    waiting = list(Paper.objects.filter(to_index=True).values_list("public_id", flat=True)[: FROM_INDEX + 1])
    if len(waiting) > FROM_INDEX:
        return None
    return {public_id: place for place, public_id in enumerate(dict.fromkeys([*found, *waiting]))}


def _places(ids: Sequence[str]) -> dict[str, int]:
    """The papers of a list of ids, in its order. Ids that no paper has are left out, as arXiv does."""
    places: dict[str, int] = {}
    for text in ids:
        public_id = Paper.objects.by_id(text).values_list("public_id", flat=True).first()
        if public_id is not None:
            places.setdefault(public_id, len(places))
    return places


def _feed(request: HttpRequest, asked: Asked, total: int, papers: list[Paper]) -> etree._Element:
    asked_for = (
        f"search_query={asked.search_query}&id_list={','.join(asked.id_list)}&start={asked.start}&max_results={asked.size}"
    )
    updated = max((paper.modified for paper in papers), default=datetime(1970, 1, 1, tzinfo=UTC))
    here = absolute(request, request.get_full_path())
    return _root(
        _atom("link", href=here, rel="self", type="application/atom+xml"),
        _atom("title", one_line(f"arXiv Query: {asked_for}"), type="html"),
        _atom("id", here),
        _atom("updated", utc(updated)),
        _opensearch("totalResults", str(total)),
        _opensearch("startIndex", str(asked.start)),
        _opensearch("itemsPerPage", str(asked.size)),
        *(_entry(request, paper) for paper in papers),
    )


def _entry(request: HttpRequest, paper: Paper) -> etree._Element:
    """A paper. Its id is arXiv's own where it is an arXiv paper, because clients take the arXiv id out of it."""
    page = absolute(request, reverse("paper", args=[paper.public_id]))
    published = midnight(paper.published or paper.listed or paper.created.date())
    entry = _atom(
        "entry",
        _atom("id", f"http://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else page),
        _atom("updated", utc(paper.record_date or published)),
        _atom("published", utc(published)),
        _atom("title", one_line(paper.title)),
        _atom("summary", clean(paper.text)),
    )
    for person in paper.authors:
        author = _atom("author", _atom("name", one_line(person["name"])))
        if person.get("affiliation"):
            author.append(_arxiv("affiliation", one_line(person["affiliation"])))
        entry.append(author)
    for name, text in (("comment", paper.note), ("journal_ref", paper.journal), ("doi", paper.doi)):
        if text:
            entry.append(_arxiv(name, one_line(text)))
    entry.append(_atom("link", href=page, rel="alternate", type="text/html"))
    if paper.best_pdf_url:
        entry.append(_atom("link", title="pdf", href=clean(paper.best_pdf_url), rel="related", type="application/pdf"))
    if paper.doi:
        entry.append(_atom("link", title="doi", href=clean(paper.doi_url), rel="related"))
    if paper.categories:
        entry.append(_arxiv("primary_category", term=clean(paper.categories[0]), scheme=_ARXIV))
    entry.extend(_atom("category", term=clean(term), scheme=_ARXIV) for term in paper.categories)
    return entry


def _error(request: HttpRequest, sentence: str) -> etree._Element:
    """arXiv's way to say what was wrong: a feed whose one entry is the error."""
    moment = utc(datetime(1970, 1, 1, tzinfo=UTC))
    here = absolute(request, request.path)
    return _root(
        _atom("link", href=here, rel="self", type="application/atom+xml"),
        _atom("title", "arXiv Query"),
        _atom("id", here),
        _atom("updated", moment),
        _opensearch("totalResults", "1"),
        _opensearch("startIndex", "0"),
        _opensearch("itemsPerPage", "1"),
        _atom(
            "entry",
            _atom("id", "http://arxiv.org/api/errors"),
            _atom("title", "Error"),
            _atom("summary", clean(sentence)),
            _atom("updated", moment),
            _atom("link", href="http://arxiv.org/api/errors", rel="alternate", type="text/html"),
            _atom("author", _atom("name", "arXiv api core")),
        ),
    )


def _root(*content: etree._Element) -> etree._Element:
    feed = root(_ATOM, "feed", opensearch=_OPENSEARCH, arxiv=_ARXIV)
    feed.extend(content)
    return feed


def _answer(feed: etree._Element, status: int) -> HttpResponse:
    body = etree.tostring(feed, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return HttpResponse(body, status=status, content_type="application/atom+xml; charset=utf-8")


urlpatterns = guarded([path("arxiv/api/query", query, name="arxiv-query")])
