"""Every list and every search as a feed: RSS 2.0, Atom 1.0 and JSON Feed 1.1, at the list's address followed by /feed.rss,
/feed.atom or /feed.json, with the same query string.

Readers tell items apart by their id, so that is a UUID made from the paper's id alone: the same on every host and however
often the paper changes. Facts that no format has a place for stand in a namespace of our own, prefix pr.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode
from xml.sax.xmlreader import AttributesImpl

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed
from django.utils.html import escape
from django.utils.http import http_date
from django.utils.xmlutils import SimplerXMLGenerator
from django.views.decorators.http import conditional_page, require_safe

from pressrun.web.api import searching
from pressrun.web.api.answers import clean, guarded, midnight, one_line, utc, whole_number
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.lists import PaperList
from pressrun.web.papers.models import Author, Organisation, Paper, Topic
from pressrun.web.papers.results import search_url
from pressrun.web.people.limits import spend

__all__ = ["NAMESPACE", "as_text", "item_id"]

NAMESPACE = "urn:pressrun:feed:1"
PER_PAGE = 50
LAST_SEARCH_PAGE = 20
_DC = "http://purl.org/dc/elements/1.1/"
_ATOM = "http://www.w3.org/2005/Atom"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Page:
    """One page of a list, ready to be written in any format.

    `base` is the scheme and host of the site; `url` the list's address there, `here` the feed's own, `links` the (rel,
    address) pairs that lead on. `size` counts the papers of the whole list. `day` is set for the list of one day.
    """

    base: str
    title: str
    url: str
    here: str
    papers: list[Paper]
    size: int
    links: tuple[tuple[str, str], ...] = ()
    day: date | None = None

    def address(self, path: str) -> str:
        return f"{self.base}{path}"

    def paper(self, paper: Paper) -> str:
        return self.address(reverse("paper", args=[paper.public_id]))

    @property
    def updated(self) -> datetime:
        return max((paper.modified for paper in self.papers), default=_NEVER)


def item_id(paper: Paper) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:pressrun:paper:{paper.public_id}").urn


class _Feed(SyndicationFeed):
    """What the formats share: the date of a feed is that of its newest change, so that nothing changes by waiting."""

    def latest_post_date(self) -> datetime:
        found: datetime = self.feed["updated"]
        return found


def _facts_of(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Our own elements of an item."""
    paper: Paper = item["paper"]
    facts = {
        "id": paper.public_id,
        "arxiv_id": paper.arxiv_id or "",
        "doi": paper.doi,
        "published": paper.published.isoformat() if paper.published else "",
        "listed": paper.listed.isoformat() if paper.listed else "",
        "organisation": paper.organisation.name if paper.organisation else "",
        "author_count": "" if paper.author_count is None else str(paper.author_count),
        "votes": str(paper.votes),
        "comments": str(paper.comments),
        "code": paper.code_url,
    }
    return [(f"pr:{name}", clean(text)) for name, text in facts.items() if text]


def _day_attributes(page: Page) -> dict[str, str]:
    """A day's list: how many papers it has, and whether the day is over, after which it only changes by late additions."""
    assert page.day is not None  # noqa: S101  asked by the callers
    over = page.day < datetime.now(UTC).date()
    return {"date": page.day.isoformat(), "papers": str(page.size), "over": str(over).lower()}


class Rss(_Feed, Rss201rev2Feed):
    def rss_attributes(self) -> dict[str, str]:
        return super().rss_attributes() | {"xmlns:dc": _DC, "xmlns:pr": NAMESPACE}

    def add_root_elements(self, handler: SimplerXMLGenerator) -> None:
        super().add_root_elements(handler)
        page: Page = self.feed["page"]
        for rel, address in page.links:
            handler.addQuickElement("atom:link", "", {"rel": rel, "href": page.address(address)})
        if page.day:
            handler.addQuickElement("pr:day", "", _day_attributes(page))

    def add_item_elements(self, handler: SimplerXMLGenerator, item: dict[str, Any]) -> None:
        super().add_item_elements(handler, item)
        for name in item["authors"]:
            handler.addQuickElement("dc:creator", name)
        for name, text in _facts_of(item):
            handler.addQuickElement(name, text)


class Atom(_Feed, Atom1Feed):
    def root_attributes(self) -> dict[str, str]:
        return super().root_attributes() | {"xmlns:pr": NAMESPACE}

    def add_root_elements(self, handler: SimplerXMLGenerator) -> None:
        super().add_root_elements(handler)
        page: Page = self.feed["page"]
        for rel, address in page.links:
            handler.addQuickElement("link", "", {"rel": rel, "href": page.address(address)})
        if page.day:
            handler.addQuickElement("pr:day", "", _day_attributes(page))

    def add_item_elements(self, handler: SimplerXMLGenerator, item: dict[str, Any]) -> None:
        super().add_item_elements(handler, item)
        for name in item["authors"]:
            handler.startElement("author", AttributesImpl({}))
            handler.addQuickElement("name", name)
            handler.endElement("author")
        for name, text in _facts_of(item):
            handler.addQuickElement(name, text)


def _syndicate(kind: type[_Feed], page: Page) -> str:
    feed = kind(
        title=one_line(f"{page.title} · {settings.SITE_NAME}"),
        link=page.address(page.url),
        description=one_line(f"Papers: {page.title}"),
        language=settings.LANGUAGE_CODE,
        author_name=one_line(settings.SITE_NAME) if kind is Atom else None,  # Atom asks for one where entries have none
        feed_url=page.address(page.here),
        feed_guid=page.address(page.here),
        updated=page.updated,
        page=page,
    )
    for paper in page.papers:
        feed.add_item(
            title=one_line(paper.title),
            link=page.paper(paper),
            description=escape(clean(paper.text)),  # the formats take a description for HTML
            pubdate=_day_of(paper),
            updateddate=paper.modified,
            unique_id=item_id(paper),
            unique_id_is_permalink=False,
            categories=[one_line(topic.name) for topic in paper.filed_under],
            authors=[one_line(name) for name in paper.author_names],
            paper=paper,
        )
    return feed.writeString("utf-8")


def rss(page: Page) -> str:
    return _syndicate(Rss, page)


def atom(page: Page) -> str:
    return _syndicate(Atom, page)


def json_feed(page: Page) -> str:
    """JSON Feed 1.1. Its keys for extensions begin with an underscore."""
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": one_line(f"{page.title} · {settings.SITE_NAME}"),
        "home_page_url": page.address(page.url),
        "feed_url": page.address(page.here),
        "language": settings.LANGUAGE_CODE,
        "authors": [{"name": settings.SITE_NAME}],
        "items": [_json_item(page, paper) for paper in page.papers],
    }
    links = dict(page.links)
    if "next" in links:
        feed["next_url"] = page.address(links["next"])
    feed["_pr"] = {"papers": page.size, "updated": utc(page.updated)}
    if page.day:
        attributes = _day_attributes(page)
        feed["_pr"]["day"] = {"date": attributes["date"], "papers": page.size, "over": attributes["over"] == "true"}
    return json.dumps(feed, ensure_ascii=False)


def _json_item(page: Page, paper: Paper) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": item_id(paper),
        "url": page.paper(paper),
        "title": one_line(paper.title),
        "content_text": clean(paper.text),
        "date_published": utc(_day_of(paper)),
        "date_modified": utc(paper.modified),
        "authors": [{"name": one_line(name)} for name in paper.author_names],
        "tags": [topic.name for topic in paper.filed_under],
        "_pr": {name.removeprefix("pr:"): text for name, text in _facts_of({"paper": paper})},
    }
    if paper.arxiv_url or paper.doi_url:
        item["external_url"] = paper.arxiv_url or paper.doi_url
    return item


def _day_of(paper: Paper) -> datetime:
    return midnight(paper.day or paper.created.date())


FORMATS: dict[str, tuple[Callable[[Page], str], str]] = {
    "rss": (rss, "application/rss+xml; charset=utf-8"),
    "atom": (atom, "application/atom+xml; charset=utf-8"),
    "json": (json_feed, "application/feed+json; charset=utf-8"),
}


@conditional_page
@require_safe
def feed(request: HttpRequest, kind: str, format: str, of: str = "") -> HttpResponse:
    """The feed of a list. Asked again with the ETag or date of the last answer, 304 where nothing changed."""
    number = whole_number("page", request.GET.get("page", "1"), low=1, high=lists.LAST_PAGE)
    base, here = request.build_absolute_uri("/").rstrip("/"), request.get_full_path()
    if kind == "search":
        spend(request, "search")
        page = _search(base, here, request.GET.get("q", ""), request.GET.get("mode") or "hybrid", number)
    else:
        page = _list(base, here, kind, of, request.GET.get("sort", ""), number, format)
    write, content_type = FORMATS[format]
    response = HttpResponse(write(page), content_type=content_type)
    if page.papers:
        response["Last-Modified"] = http_date(page.updated.timestamp())
    response["Cache-Control"] = "max-age=300"
    return response


def as_text(*, query: str = "", trending: bool = False, format: str = "atom", base: str) -> str:
    """A search, the trending list, or the latest day's list as a feed whose links begin with `base`."""
    base = base.rstrip("/")
    if query:
        page = _search(base, f"{reverse('search')}/feed.{format}?{urlencode({'q': query})}", query, "hybrid", 1)
    else:
        kind = "trending" if trending else "latest"
        page = _list(base, f"{reverse('trending' if trending else 'papers')}/feed.{format}", kind, "", "", 1, format)
    return FORMATS[format][0](page)


def _list(base: str, here: str, kind: str, of: str, sort: str, number: int, format: str) -> Page:
    found, day = _find(kind, of, sort)
    shown = lists.page_of(found.papers.with_topics(), number, PER_PAGE)
    links = _turns(here, number, further=shown.has_next())
    # The neighbours in time are the archive that a reader can go back through.
    for rel, neighbour in (("prev-archive", found.previous), ("next-archive", found.following)):
        if neighbour:
            links.append((rel, f"{_address_of(found.period, neighbour)}/feed.{format}"))
    papers = list(shown.object_list)
    return Page(base, found.title, found.url, here, papers, shown.paginator.count, tuple(links), day)


def _find(kind: str, of: str, sort: str) -> tuple[PaperList, date | None]:
    """The list that a page at the same address shows, and its day if it is one day's."""
    if kind in lists.PERIODS:
        parse, period = lists.PERIODS[kind]
        first = parse(of)
        return period(first, sort or "votes"), first if kind == "date" else None
    match kind:
        case "latest":
            day = lists.latest_day()
            if day is None:
                return PaperList("Papers", reverse("papers"), Paper.objects.none()), None
            return replace(lists.of_day(day, sort or "votes"), url=reverse("papers")), day
        case "trending":
            return lists.trending(), None
        case "author":
            return lists.of_author(get_object_or_404(Author, slug=of), sort or "new"), None
        case "organisation":
            return lists.of_organisation(get_object_or_404(Organisation, slug=of), sort or "new"), None
    return lists.of_topic(get_object_or_404(Topic, slug=of), sort or "new"), None


def _address_of(period: str, day: date) -> str:
    names = {"day": day.isoformat(), "week": lists.week_name(day), "month": f"{day:%Y-%m}"}
    return reverse(period, args=[names[period]])


def _search(base: str, here: str, text: str, mode: str, number: int) -> Page:
    text = text.strip()
    if number > LAST_SEARCH_PAGE:
        raise BadInput(f"page must be from 1 to {LAST_SEARCH_PAGE}, got {number}; narrow the search instead.")
    title, url = f"Search: {text[:80]}" if text else "Search", search_url(text, mode)
    if not text:
        return Page(base, title, url, here, [], 0)
    found = searching.search(text, limit=PER_PAGE, offset=(number - 1) * PER_PAGE, mode=mode)
    further = number * PER_PAGE < found.results.total and number < LAST_SEARCH_PAGE
    return Page(base, title, url, here, found.rows, found.results.total, tuple(_turns(here, number, further=further)))


def _turns(here: str, number: int, *, further: bool) -> list[tuple[str, str]]:
    """The links to the pages before and after."""
    path, _, query = here.partition("?")
    given = QueryDict(query, mutable=True)

    def page(other: int) -> str:
        given["page"] = str(other)
        return f"{path}?{given.urlencode()}"

    links = [("previous", page(number - 1))] if number > 1 else []
    return [*links, ("next", page(number + 1))] if further else links


_LISTS = (
    ("", "latest"),
    ("papers/", "latest"),
    ("papers/date/<str:of>/", "date"),
    ("papers/week/<str:of>/", "week"),
    ("papers/month/<str:of>/", "month"),
    ("papers/trending/", "trending"),
    ("search/", "search"),
    ("authors/<str:of>/", "author"),
    ("organisations/<str:of>/", "organisation"),
    ("topics/<str:of>/", "topic"),
)

urlpatterns = guarded(
    [path(f"{address}feed.{name}", feed, {"kind": kind, "format": name}) for address, kind in _LISTS for name in FORMATS]
)
