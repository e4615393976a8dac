"""The pages. A view finds what is asked for and hands it to a template; bad input is raised as `BadInput`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from pressrun.catalog import exports
from pressrun.search import Hit, IndexDamaged, QueryError
from pressrun.web.errors import BadInput, answer
from pressrun.web.papers import head, lists, results
from pressrun.web.papers.context import state
from pressrun.web.papers.indexing import index
from pressrun.web.papers.keeping import kept
from pressrun.web.papers.lists import PaperList
from pressrun.web.papers.models import (
    TRENDING_DAYS,
    Author,
    ImportRun,
    Organisation,
    Paper,
    PaperQuerySet,
    Topic,
)
from pressrun.web.people.limits import limit

QUESTIONS = (
    "what makes a language model refuse",
    "brains that learn without forgetting",
    "motor control",
    "inhibitory neurons",
)
HITS = 20
LAST_HITS_PAGE = 50
SIMILAR = 6
TOPICS_PER_PAGE = 300
RAIL_TOPICS = 12
RAIL_LIMIT = 5000  # papers; counting the topics of a longer list would cost more than showing it


@require_safe
@kept
def home(request: HttpRequest) -> HttpResponse:
    """The list of the last day that has papers."""
    day = lists.latest_day()
    if day is None:
        return render(request, "papers/welcome.html", {"questions": QUESTIONS})
    # Followed by feed, "today's list" goes on with the next day; the list of one day would not.
    shown = lists.of_day(day, _sort(request, "votes"))
    _, _, query = shown.url.partition("?")
    shown = replace(shown, url=reverse("papers") + (f"?{query}" if query else ""))
    return _show(request, shown, day, canonical=reverse("home"))


@require_safe
@kept
def period(request: HttpRequest, kind: str, when: str) -> HttpResponse:
    """The list of a day, a week or a month."""
    parse, make = lists.PERIODS[kind]
    first = parse(when)
    shown = make(first, _sort(request, "votes"))
    last = shown.papers.order_by("-day").values_list("day", flat=True).first()
    return _show(request, shown, last or first)


@require_safe
@kept
def trending(request: HttpRequest) -> HttpResponse:
    return _show(request, lists.trending(), lists.latest_day())


@require_safe
@kept
def author(request: HttpRequest, slug: str) -> HttpResponse:
    found = _named(Author, slug, "author")
    return _show(request, lists.of_author(found, _sort(request, "new")), kind="Author", search=f'author:"{found.name}"')


@require_safe
@kept
def organisation(request: HttpRequest, slug: str) -> HttpResponse:
    found = _named(Organisation, slug, "organisation")
    return _show(request, lists.of_organisation(found, _sort(request, "new")), kind="Organisation", search=f'org:"{found.name}"')


@require_safe
@kept
def topic(request: HttpRequest, slug: str) -> HttpResponse:
    found = _named(Topic, slug, "topic")
    return _show(request, lists.of_topic(found, _sort(request, "new")), kind="Topic", search=f'topic:"{found.name}"')


def _sort(request: HttpRequest, usual: str) -> str:
    return request.GET.get("sort") or usual


Named = TypeVar("Named", Author, Organisation, Topic)


def _named(model: type[Named], slug: str, kind: str) -> Named:
    found = None if "\0" in slug else model._default_manager.filter(slug=slug).first()
    if found is None:
        raise Http404(f"There is no {kind} “{slug[:100]}” on this site.")
    return found


def _show(request: HttpRequest, shown: PaperList, day: date | None = None, **facts: str) -> HttpResponse:
    """A page of a list; only its cards when the page asks for more of them."""
    page = shown.page(request.GET.get("page", "1"))
    address = facts.pop("canonical", shown.url.partition("?")[0]) + (f"?page={page.number}" if page.number > 1 else "")
    context: dict[str, Any] = {
        "list": shown, "page": page, "day": day, "sort": _current_sort(shown),
        "canonical": request.build_absolute_uri(address), **facts,
    }  # fmt: skip
    if _is_fragment(request):
        return _fragment(render(request, "papers/_cards.html", context))
    if page.paginator.count <= RAIL_LIMIT:
        context["topics"] = _topics_of(shown.papers)
    if shown.period:
        context["questions"] = QUESTIONS
    return _fragment(render(request, "papers/list.html", context))


def _current_sort(shown: PaperList) -> str:
    _, _, query = shown.url.partition("?sort=")
    return query or ("votes" if shown.period else "new")


def _topics_of(papers: PaperQuerySet) -> list[Topic]:
    """The commonest topics of a list, each with `count` papers of it."""
    inside = Topic.objects.filter(papers__in=papers.order_by().values("pk"))
    return list(inside.annotate(count=Count("papers")).order_by("-count", "name")[:RAIL_TOPICS])


def _is_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers


def _fragment(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@limit("search")
@kept
def search(request: HttpRequest) -> HttpResponseBase:
    """Results for a query. While it is typed, only the results, and its last word may be unfinished."""
    text, mode = " ".join(request.GET.get("q", "").replace("\0", " ").split()), request.GET.get("mode") or "hybrid"
    if mode not in results.MODES:
        raise BadInput(f"mode must be one of {', '.join(results.MODES)}, got {mode[:40]!r}.")
    number = _hits_page(request.GET.get("page", "1"))
    instant = _is_fragment(request)
    is_id = results.looks_like_id(text)
    named = results.named_paper(text) if is_id else None
    if named and not instant:
        return redirect(named)
    context: dict[str, Any] = {
        "query": text, "mode": mode, "modes": results.MODES, "questions": QUESTIONS, "named": named,
        "unknown_id": is_id and not named, "follow": _as_list(text, mode),
    }  # fmt: skip
    if text:
        try:
            context |= _answer(text, mode, number, typing=instant and request.headers.get("HX-Trigger-Name") == "q")
        except (IndexDamaged, OSError):
            sentence = "Search is out of order until its owner builds the index again with pressrun index --rebuild."
            return answer(request, 503, "Search is out of order", sentence)
        except QueryError as problem:
            if not instant:
                raise BadInput(str(problem)) from problem
            return _fragment(render(request, "papers/_results.html", {**context, "problem": str(problem)}, status=400))
    else:
        context["topics"] = Topic.objects.annotate(count=Count("papers")).order_by("-count", "name")[:RAIL_TOPICS]
    if instant and number > 1:
        return _fragment(render(request, "papers/_hits.html", context))
    return _fragment(render(request, "papers/_results.html" if instant else "papers/search.html", context))


def _hits_page(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LAST_HITS_PAGE):
        raise BadInput(f"page must be a whole number from 1 to {LAST_HITS_PAGE}, got {text[:40]!r}.")
    return int(text[:9])


def _answer(text: str, mode: str, number: int, *, typing: bool) -> dict[str, Any]:
    offset = (number - 1) * HITS
    found = index().search(text, limit=HITS, offset=offset, prefix_last=typing, facets=number == 1, mode=mode)  # type: ignore[arg-type]  # checked by the caller
    further = offset + HITS < found.total and number < LAST_HITS_PAGE
    return {
        "answer": found,
        "hits": results.found(found.hits, text),
        "next": f"{results.search_url(text, mode)}&page={number + 1}" if further else "",
        "left": max(found.total - offset - HITS, 0),
        "chosen": results.chosen(text, mode, found.facets),
        "facets": results.facets(found.facets, text, mode),
        "sorts": results.sorts(text, mode),
        "mode_links": [(label, results.search_url(text, name), name == mode) for name, label in results.MODES.items()],
    }


def _as_list(text: str, mode: str) -> PaperList:
    """The search as a list, for its feeds."""
    return PaperList(f"Search: {text[:80]}" if text else "Search", results.search_url(text, mode), Paper.objects.none())


@require_safe
@kept
def paper(request: HttpRequest, paper_id: str) -> HttpResponseBase:
    """One paper. Any other name of it (a former id, a version, an arXiv id, a DOI) leads to its one address."""
    found = _paper(paper_id)
    if found.public_id != paper_id:
        permanent = found.former_ids.filter(public_id=paper_id).exists()
        return redirect(found, permanent=permanent)
    url = request.build_absolute_uri(found.get_absolute_url())
    record = found.to_record()
    context = {
        "paper": found,
        "url": url,
        "highwire": head.highwire(found, url),
        "json_ld": head.json_ld(found, url),
        "description": head.description(found),
        "citations": {
            "bib": exports.bibtex(record),
            "ris": exports.ris(record),
            "csl": json.dumps([exports.csl(record)], ensure_ascii=False, indent=1),
        },
        "similar": _similar(found),
    }
    return render(request, "papers/paper.html", context)


def _similar(paper: Paper) -> list[tuple[Paper, Hit]]:
    """The nearest papers; none while the index is out of order, as the page is worth reading without them."""
    try:
        return results.papers_in_order(index().similar(paper.public_id, limit=SIMILAR))
    except (IndexDamaged, OSError):
        return []


def _paper(paper_id: str) -> Paper:
    if len(paper_id) <= 500 and "\0" not in paper_id:
        papers = Paper.objects.with_topics()
        exact = papers.filter(public_id=paper_id).first()
        if found := exact or papers.by_id(paper_id.rstrip("/")).first():
            return found
    raise Http404(
        f"There is no paper {paper_id[:100]} on this site. It may not have been imported yet, or the number has a slip in it."
    )


@require_safe
@kept
def topics(request: HttpRequest) -> HttpResponse:
    """Every topic with its number of papers, the largest first."""
    rows = Topic.objects.annotate(count=Count("papers", filter=Q(papers__withdrawn=False))).filter(count__gt=0)
    page = lists.page_of(rows.order_by("-count", "name"), request.GET.get("page", "1"), TOPICS_PER_PAGE)
    return render(request, "papers/topics.html", {"page": page})


@require_safe
@kept
def about(request: HttpRequest) -> HttpResponse:
    """What this site is, what it holds, and how to take everything away."""
    numbers = {
        "organisations": Organisation.objects.count(),
        "topics": Topic.objects.count(),
        "authors": Author.objects.count(),
        "with_code": Paper.objects.visible().exclude(code_url="").count(),
    }
    # Where an import came from may be a private path: the page tells its form, day and numbers only.
    imports = ImportRun.objects.filter(state=ImportRun.State.FINISHED)[:5]
    return render(request, "papers/about.html", {"numbers": numbers, "imports": imports, "state": state()})


@require_safe
@kept
def ranking(request: HttpRequest) -> HttpResponse:
    """How lists are sorted, with the constants in force and the papers on top as worked examples."""
    top = lists.trending().papers.defer("abstract", "summary")[:5]
    return render(request, "papers/ranking.html", {"days": TRENDING_DAYS, "examples": top})


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    lines = ("User-agent: *", "Allow: /", "Disallow: /admin/", f"Sitemap: {request.build_absolute_uri('/sitemap.xml')}", "")
    return HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")


@require_safe
def opensearch(request: HttpRequest) -> HttpResponse:
    """The description by which a browser offers this site as a search engine."""
    context = {"address": request.build_absolute_uri(reverse("search"))}
    return render(request, "papers/opensearch.xml", context, content_type="application/opensearchdescription+xml")
