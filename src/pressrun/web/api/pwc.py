"""The paths that the Papers with Code command line `pwc` reads, under /pwc/api/v1 (PWC_API_URL points it here).

Topics stand in for tasks. Methods, conferences, frameworks, benchmarks, citations and lineage are not kept here: lists of
them are empty, counts null, and a filter by one is refused, because the client must be able to trust an answer's
`applied_filters`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from pressrun.web.api import searching
from pressrun.web.api.answers import absolute, find_paper, guarded, whole_number
from pressrun.web.api.paperfiles import markdown
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper, PaperQuerySet, Topic, slug_of

MODES = {"hybrid": "hybrid", "keyword": "lexical", "semantic": "semantic"}
ORDERS = {"trending": "trending", "date_published": "published"}
NOT_KEPT = ("method", "conference", "framework")
LOOKED_AT = 5000
"""Papers that are looked at for fast risers before the answer is what was found so far."""


@require_safe
def search(request: HttpRequest) -> JsonResponse:
    """Search in own words; `start_date` and `end_date` bound the day of publication."""
    page, size = _paging(request)
    mode = request.GET.get("mode") or "hybrid"
    if mode not in MODES:
        raise BadInput(f"mode must be one of {', '.join(MODES)}, got {mode[:40]!r}.")
    text, applied = request.GET.get("q", "").strip(), _dates(request)
    if applied:
        text += f" published:{applied.get('start_date', '')}..{applied.get('end_date', '')}"
    if not text:
        return _results(request, [], 0, page, size, applied)
    found = searching.search(text, limit=size, offset=(page - 1) * size, mode=MODES[mode])
    return _results(request, found.rows, found.results.total, page, size, applied)


@require_safe
def papers(request: HttpRequest) -> JsonResponse:
    """Papers by exact filters; `applied_filters` says which were applied."""
    page, size = _paging(request)
    for name in NOT_KEPT:
        if request.GET.get(name):
            raise BadInput(f"papers are not filed by {name} here; leave the filter out.")
    applied = _dates(request)
    rows = _between(Paper.objects.visible(), applied)
    for name, condition in (("task", _with_topic), ("organization", _of_organisation), ("search", _with_text)):
        if given := request.GET.get(name):
            rows, applied[name] = rows.filter(condition(given)), given
    if authors := request.GET.getlist("author"):
        for name in authors:
            rows = rows.filter(author_set__slug=slug_of(name))
        applied["author"] = authors[0] if len(authors) == 1 else ", ".join(authors)
    if request.GET.get("has_official_implementation") == "true":
        rows, applied["has_official_implementation"] = rows.exclude(code_url=""), "true"
    shown = _filled(_ordered(request, rows))
    return _results(request, shown[(page - 1) * size : page * size], rows.count(), page, size, applied)


@require_safe
def recent(request: HttpRequest) -> JsonResponse:
    size = _limit(request)
    rows = list(_filled(Paper.objects.visible().ranked("new"))[:size])
    return _results(request, rows, len(rows), 1, size, {})


@require_safe
def trending(request: HttpRequest) -> JsonResponse:
    """The trending list; velocity is votes a day since the paper was listed."""
    size = _limit(request)
    days = whole_number("max_age_days", request.GET.get("max_age_days", "36500"), low=1, high=36500)
    velocity = _decimal("min_velocity", request.GET.get("min_velocity", "0"))
    today = datetime.now(UTC).date()
    rows = _filled(lists.trending().papers.filter(day__gte=today - timedelta(days=days)))
    fast = (p for p in islice(rows.iterator(chunk_size=500), LOOKED_AT) if p.votes >= velocity * _age(p, today))
    found = list(islice(fast, size))
    return _results(request, found, len(found), 1, size, {})


@require_safe
def related(request: HttpRequest, paper_id: str) -> JsonResponse:
    size = _limit(request)
    rows = [paper for paper, _ in searching.similar(find_paper(paper_id), limit=size)]
    return _results(request, rows, len(rows), 1, size, {})


@require_safe
def info(request: HttpRequest, paper_id: str) -> JsonResponse:
    """One paper, with its code and project page."""
    paper = find_paper(paper_id)
    facts = _summary(request, paper) | {
        "abstract": paper.text,
        "url_pdf": paper.best_pdf_url or None,
        "tasks": [_task(topic) for topic in paper.topics.all()],
        "methods": [],
        "repositories": [{"url": paper.code_url, "is_official": True}] if paper.code_url else [],
        "project_pages": [paper.project_url] if paper.project_url else [],
        "hf_models": [],
        "hf_datasets": [],
        "hf_spaces": [],
        "predecessor_papers": [],
        "successor_papers": [],
    }
    return JsonResponse(facts)


@require_safe
def read(request: HttpRequest, paper_id: str) -> HttpResponse:
    paper = find_paper(paper_id)
    text = markdown(paper, absolute(request, reverse("paper", args=[paper.public_id])))
    return HttpResponse(text, content_type="text/markdown; charset=utf-8")


@require_safe
def lineage(request: HttpRequest, paper_id: str) -> JsonResponse:
    """Which papers a paper builds on, and which build on it. Not kept here."""
    paper = find_paper(paper_id)
    return JsonResponse({"paper": {"reference": paper.public_id, "title": paper.title}, "predecessors": [], "successors": []})


@require_safe
def tasks(request: HttpRequest) -> JsonResponse:
    """Topics with their number of papers; `q` finds them by a part of the name."""
    page, size = _paging(request, usual=50)
    rows = Topic.objects.annotate(shown=Count("papers", filter=Q(papers__withdrawn=False))).order_by("name")
    if text := request.GET.get("q"):
        rows = rows.filter(Q(name__icontains=text) | Q(slug=text))
    found = [_task(topic) | {"paper_count": topic.shown} for topic in rows[(page - 1) * size : page * size]]
    return JsonResponse({"count": rows.count(), "results": found})


@require_safe
def nothing(request: HttpRequest) -> JsonResponse:
    """Areas and benchmarks: none are kept here."""
    return JsonResponse({"count": 0, "results": []})


def _results(
    request: HttpRequest, rows: Iterable[Paper], count: int, page: int, size: int, applied: dict[str, str]
) -> JsonResponse:
    found = [_summary(request, paper) for paper in rows]
    return JsonResponse({
        "count": count,
        "page": page,
        "page_size": size,
        "next_page": page + 1 if page * size < count else None,
        "applied_filters": applied,
        "results": found,
    })  # fmt: skip


def _summary(request: HttpRequest, paper: Paper) -> dict[str, Any]:
    published = paper.published.isoformat() if paper.published else None
    organisation = paper.organisation
    return {
        "id": paper.public_id,
        "arxiv_id": paper.arxiv_id,
        "route_identifier": paper.public_id,
        "title": paper.title,
        "authors": paper.author_names,
        "published": published,
        "date_published": published,
        "citation_count": None,
        "organizations": [{"id": organisation.pk, "name": organisation.name, "slug": organisation.slug}] if organisation else [],
        "conference": paper.journal or None,
        "conference_name": paper.journal or None,
        "url_abs": paper.arxiv_url or paper.doi_url or None,
        "source_url": absolute(request, reverse("paper", args=[paper.public_id])),
        "has_official_implementation": bool(paper.code_url),
        "code_repository_count": 1 if paper.code_url else 0,
    }


def _task(topic: Topic) -> dict[str, Any]:
    known = {"id": topic.pk, "slug": topic.slug, "name": topic.name, "area_id": None, "level": 0}
    return known | {"benchmark_count": 0, "evaluation_count": 0}


def _paging(request: HttpRequest, usual: int = 20) -> tuple[int, int]:
    page = whole_number("page", request.GET.get("page", "1"), low=1, high=lists.LAST_PAGE)
    return page, whole_number("page_size", request.GET.get("page_size", str(usual)), low=1, high=100)


def _limit(request: HttpRequest) -> int:
    return whole_number("limit", request.GET.get("limit", "20"), low=1, high=100)


def _decimal(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:  # NaN fails both
        raise BadInput(f"{name} must be a number from 0, got {text[:40]!r}.")
    return number


def _age(paper: Paper, today: date) -> int:
    return max((today - paper.day).days, 1) if paper.day else 1


def _dates(request: HttpRequest) -> dict[str, str]:
    """The bounds of the day of publication that are given, checked."""
    found = {name: request.GET[name] for name in ("start_date", "end_date") if request.GET.get(name)}
    days = [lists.parse_day(text) for text in found.values()]
    if len(days) == 2 and days[0] > days[1]:
        raise BadInput(f"start_date must not be after end_date, got {found['start_date']} and {found['end_date']}.")
    return found


def _between(rows: PaperQuerySet, bounds: dict[str, str]) -> PaperQuerySet:
    for name, side in (("start_date", "gte"), ("end_date", "lte")):
        if name in bounds:
            rows = rows.filter(**{f"published__{side}": lists.parse_day(bounds[name])})
    return rows


def _with_topic(text: str) -> Q:
    return Q(topics__slug=slug_of(text))


def _of_organisation(text: str) -> Q:
    return Q(organisation__slug=slug_of(text))


def _with_text(text: str) -> Q:
    return Q(title__icontains=text) | Q(abstract__icontains=text) | Q(summary__icontains=text)


def _ordered(request: HttpRequest, rows: PaperQuerySet) -> PaperQuerySet:
    order, direction = request.GET.get("order_by") or "trending", request.GET.get("order_dir") or "desc"
    if order not in ORDERS or direction not in {"asc", "desc"}:
        raise BadInput(
            f"order_by takes {' or '.join(ORDERS)} and order_dir asc or desc, got {order[:40]!r} and {direction[:40]!r}."
        )
    sign = "-" if direction == "desc" else ""
    return rows.order_by(f"{sign}{ORDERS[order]}", f"{sign}pk")


def _filled(rows: PaperQuerySet) -> PaperQuerySet:
    return rows.select_related("organisation").prefetch_related("topics")


_ROOT = "pwc/api/v1"
urlpatterns = guarded(
    [
        path(f"{_ROOT}/papers/search", search, name="pwc-search"),
        path(f"{_ROOT}/papers/recent", recent),
        path(f"{_ROOT}/papers/trending", trending),
        path(f"{_ROOT}/papers/", papers, name="pwc-papers"),
        path(f"{_ROOT}/papers", papers),
        path(f"{_ROOT}/papers/<path:paper_id>/related", related),
        path(f"{_ROOT}/papers/<path:paper_id>", info, name="pwc-paper"),
        path(f"{_ROOT}/research/papers/<path:paper_id>/read", read),
        path(f"{_ROOT}/research/papers/<path:paper_id>/lineage", lineage),
        path(f"{_ROOT}/tasks/", tasks),
        path(f"{_ROOT}/tasks", tasks),
        path(f"{_ROOT}/areas/", nothing),
        path(f"{_ROOT}/areas/with-tasks/", nothing),
        path(f"{_ROOT}/benchmarks/", nothing),
        path(f"{_ROOT}/benchmarks", nothing),
    ]
)
