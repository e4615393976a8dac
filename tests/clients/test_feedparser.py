"""The real feedparser on every kind of feed, over HTTP."""

from __future__ import annotations

import feedparser
import pytest
from pytest_django.live_server_helper import LiveServer

from pressrun.catalog import Author, Paper
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save

pytestmark = pytest.mark.client

XML = ("rss", "atom")


@pytest.mark.parametrize("format", XML)
@pytest.mark.parametrize(
    ("address", "ids"),
    [
        ("/papers", ["2509.23253", "2510.06036", "10.1371/journal.pcbi.1011459"]),
        ("", ["2509.23253", "2510.06036", "10.1371/journal.pcbi.1011459"]),
        ("/papers/date/2026-04-16", ["a-bihemispheric-controller-for-motor-learning-2024", "math/0309136"]),
        ("/authors/zhouchen-lin", ["math/0309136"]),
        ("/organisations/rednote-hilab", ["2510.06036"]),
        ("/topics/inhibition", ["2509.23253", "10.1371/journal.pcbi.1011459"]),
    ],
)
def test_it_reads_every_list(
    live_server: LiveServer, papers: tuple[Paper, ...], address: str, format: str, ids: list[str]
) -> None:
    feed = feedparser.parse(f"{live_server.url}{address}/feed.{format}")
    assert not feed.bozo
    assert [entry.pr_id for entry in feed.entries] == ids
    assert all(entry.published_parsed for entry in feed.entries)
    assert all(entry.id.startswith("urn:uuid:") for entry in feed.entries)
    assert all(entry.link == f"{live_server.url}/papers/{entry.pr_id}" for entry in feed.entries)


@pytest.mark.parametrize("format", XML)
@pytest.mark.parametrize("address", ["/papers/week/2026-W17", "/papers/month/2026-04", "/papers/trending", "/search"])
def test_the_longer_lists_are_whole(live_server: LiveServer, indexed: tuple[Paper, ...], address: str, format: str) -> None:
    query = "?q=spiking+OR+refusal" if address == "/search" else ""
    feed = feedparser.parse(f"{live_server.url}{address}/feed.{format}{query}")
    assert not feed.bozo
    assert {entry.pr_id for entry in feed.entries} >= {"2509.23253", "2510.06036"}


@pytest.mark.parametrize("format", XML)
def test_authors_and_topics_equal_the_database(live_server: LiveServer, papers: tuple[Paper, ...], format: str) -> None:
    feed = feedparser.parse(f"{live_server.url}/papers/feed.{format}")
    for entry in feed.entries:
        row = models.Paper.objects.get(public_id=entry.pr_id)
        assert [author["name"] for author in entry.get("authors", [])] == row.author_names
        assert [tag.term for tag in entry.get("tags", [])] == [topic.name for topic in row.topics.all()]


@pytest.mark.parametrize("format", XML)
def test_asked_again_it_answers_that_nothing_changed(live_server: LiveServer, papers: tuple[Paper, ...], format: str) -> None:
    url = f"{live_server.url}/papers/feed.{format}"
    first = feedparser.parse(url)
    assert first.etag
    assert first.modified
    again = feedparser.parse(url, etag=first.etag)
    assert (again.status, again.entries) == (304, [])
    by_date = feedparser.parse(url, modified=first.modified)
    assert by_date.status == 304
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    row.title = "Another title"
    row.save()
    assert feedparser.parse(url, etag=first.etag).status == 200


@pytest.mark.parametrize("format", XML)
def test_hostile_text_stays_text(live_server: LiveServer, db: None, format: str) -> None:
    hostile = Paper(
        title="<script>alert(1)</script> $a<b$ & more\nlines",
        arxiv_id="2601.00001",
        abstract="<img src=x onerror=alert(1)> 1 < 2 & 3",
        authors=(Author("A & B <i>C</i>"),),
        listed=models.date(2026, 4, 20),
        topics=("x & y",),
    )
    save([hostile], Report())
    models.Paper.objects.update(title="<script>alert(1)</script> $a<b$ & more\nlines\x0b")
    feed = feedparser.parse(f"{live_server.url}/papers/feed.{format}", sanitize_html=False)
    assert not feed.bozo
    (entry,) = feed.entries
    assert entry.title_detail.value == "<script>alert(1)</script> $a<b$ & more lines"
    # A description is HTML, so its text is escaped once more: a reader shows the characters and runs nothing.
    assert entry.summary == "&lt;img src=x onerror=alert(1)&gt; 1 &lt; 2 &amp; 3"
    assert entry.authors[0]["name"] == "A & B <i>C</i>"
    assert entry.tags[0].term == "x & y"


def test_a_long_list_leads_on_to_its_next_page(live_server: LiveServer, many: tuple[Paper, ...]) -> None:
    url, seen = f"{live_server.url}/papers/trending/feed.atom", []
    for _ in range(5):
        feed = feedparser.parse(url)
        seen += [entry.pr_id for entry in feed.entries]
        links = {link.rel: link.href for link in feed.feed.links}
        url = links.get("next", "")
    assert url == ""
    assert len(seen) == len(set(seen)) == 250
