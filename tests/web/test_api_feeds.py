"""Feeds, sitemap and the files of a paper."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from lxml import etree
from pytest_django import Settings

from pressrun.catalog import Paper
from pressrun.web.api import feeds, sitemaps
from pressrun.web.papers import lists, models
from pressrun.web.papers.ingest import Report, save

NAMES = {"a": "http://www.w3.org/2005/Atom", "dc": "http://purl.org/dc/elements/1.1/", "pr": feeds.NAMESPACE}
LISTS = [
    "",
    "/papers",
    "/papers/date/2026-04-20",
    "/papers/week/2026-W17",
    "/papers/month/2026-04",
    "/papers/trending",
    "/authors/zhouchen-lin",
    "/organisations/peking-university",
    "/topics/inhibition",
]


@pytest.mark.parametrize("address", LISTS)
def test_every_list_has_a_json_feed(client: Client, papers: tuple[Paper, ...], address: str) -> None:
    answer = client.get(f"{address}/feed.json")
    assert answer["Content-Type"] == "application/feed+json; charset=utf-8"
    feed = json.loads(answer.content)
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["feed_url"] == f"http://testserver{address}/feed.json"
    assert feed["items"]
    for item in feed["items"]:
        assert item["id"].startswith("urn:uuid:")
        assert item["content_text"]
        assert item["date_published"].endswith("Z")


def test_the_lists_own_addresses_lead_to_their_feeds(client: Client, papers: tuple[Paper, ...]) -> None:
    day = lists.of_day(date(2026, 4, 20), "trending")
    assert day.feed_url("atom") == "/papers/date/2026-04-20/feed.atom?sort=trending"
    for name in feeds.FORMATS:
        assert client.get(day.feed_url(name)).status_code == 200
        assert client.get(lists.trending().feed_url(name)).status_code == 200


def test_rss_says_what_readers_trip_over(client: Client, papers: tuple[Paper, ...]) -> None:
    feed = etree.fromstring(client.get("/papers/feed.rss").content)
    item = feed.xpath("channel/item[pr:id='2509.23253']", namespaces=NAMES)[0]
    assert item.xpath("dc:creator/text()", namespaces=NAMES) == ["Peiyu Liu", "Jianhao Ding", "Zhaofei Yu"]
    assert item.xpath("string(guid/@isPermaLink)") == "false"
    assert item.xpath("string(pubDate)") == "Mon, 20 Apr 2026 00:00:00 +0000"
    assert item.xpath("category/text()") == ["inhibition", "spiking networks"]
    assert item.xpath("string(link)") == "http://testserver/papers/2509.23253"
    assert item.xpath("string(pr:votes)", namespaces=NAMES) == "31"
    assert item.xpath("string(pr:organisation)", namespaces=NAMES) == "Peking University"
    assert not feed.xpath("channel/managingEditor")
    links = {link.get("rel"): link.get("href") for link in feed.xpath("channel/a:link", namespaces=NAMES)}
    assert links == {
        "self": "http://testserver/papers/feed.rss",
        "prev-archive": "http://testserver/papers/date/2026-04-16/feed.rss",
    }


def test_atom_names_its_neighbours_and_says_that_a_day_is_over(client: Client, papers: tuple[Paper, ...]) -> None:
    feed = etree.fromstring(client.get("/papers/date/2026-04-16/feed.atom").content)
    links = {link.get("rel"): link.get("href") for link in feed.xpath("a:link", namespaces=NAMES)}
    assert links == {
        "alternate": "http://testserver/papers/date/2026-04-16",
        "self": "http://testserver/papers/date/2026-04-16/feed.atom",
        "next-archive": "http://testserver/papers/date/2026-04-20/feed.atom",
    }
    day = feed.xpath("pr:day", namespaces=NAMES)[0]
    assert dict(day.attrib) == {"date": "2026-04-16", "papers": "2", "over": "true"}
    entry = feed.xpath("a:entry[pr:id='math/0309136']", namespaces=NAMES)[0]
    assert entry.xpath("a:author/a:name/text()", namespaces=NAMES) == ["Mingqing Xiao", "Zhouchen Lin"]
    assert entry.xpath("string(a:published)", namespaces=NAMES) == "2026-04-16T00:00:00+00:00"


def test_the_day_that_is_running_is_not_over(client: Client, db: None) -> None:
    today = datetime.now(UTC).date() + timedelta(days=1)  # tomorrow, so that midnight can't fail the test
    save([Paper(title="New", arxiv_id="2601.00001", listed=today)], Report())
    feed = json.loads(client.get("/papers/feed.json").content)
    assert feed["_pr"]["day"] == {"date": today.isoformat(), "papers": 1, "over": False}


def test_an_items_id_is_the_same_on_every_host_and_after_a_change(
    client: Client, papers: tuple[Paper, ...], settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    first = client.get("/papers/feed.json").json()["items"][1]["id"]
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    row.abstract = "Changed."
    row.derive()
    row.save()
    items = client.get("/papers/feed.json", headers={"host": "papers.example.org"}).json()["items"]
    assert first in {item["id"] for item in items}


def test_a_feed_has_an_etag_and_answers_304(client: Client, papers: tuple[Paper, ...]) -> None:
    for name in feeds.FORMATS:
        first = client.get(f"/papers/feed.{name}")
        assert first["Last-Modified"]
        again = client.get(f"/papers/feed.{name}", headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(f"/papers/feed.{name}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_empty_list_is_an_empty_feed_that_does_not_change(client: Client, db: None) -> None:
    for name in feeds.FORMATS:
        first = client.get(f"/papers/date/2026-04-18/feed.{name}")
        assert first.status_code == 200
        again = client.get(f"/papers/date/2026-04-18/feed.{name}", headers={"If-None-Match": first["ETag"]})
        assert again.status_code == 304
        assert client.get(f"/papers/feed.{name}").status_code == 200


def test_a_search_is_a_feed_with_its_filters(client: Client, indexed: tuple[Paper, ...]) -> None:
    feed = client.get("/search/feed.json?q=spiking+topic:inhibition&mode=lexical").json()
    assert [item["_pr"]["id"] for item in feed["items"]] == ["2509.23253"]
    assert feed["title"] == "Search: spiking topic:inhibition · pressrun"
    assert feed["home_page_url"] == "http://testserver/search?q=spiking+topic%3Ainhibition&mode=lexical"
    assert client.get("/search/feed.atom").status_code == 200


def test_pages_link_to_each_other(client: Client, db: None) -> None:
    save([Paper(title=f"P{n}", arxiv_id=f"2601.{n:05}", listed=date(2026, 4, 20)) for n in range(60)], Report())
    first = client.get("/papers/date/2026-04-20/feed.json?sort=new").json()
    assert len(first["items"]) == 50
    assert first["next_url"] == "http://testserver/papers/date/2026-04-20/feed.json?sort=new&page=2"
    second = client.get("/papers/date/2026-04-20/feed.json?sort=new&page=2").json()
    assert len(second["items"]) == 10
    assert "next_url" not in second


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/papers/date/2026-02-30/feed.rss", 400),
        ("/papers/week/2026-W54/feed.atom", 400),
        ("/papers/feed.json?page=0", 400),
        ("/papers/feed.json?page=9", 400),
        ("/papers/feed.json?sort=colour", 400),
        ("/search/feed.json?q=a&mode=fuzzy", 400),
        ("/search/feed.json?q=a&page=21", 400),
        ("/search/feed.json?q=year:soon", 400),
        ("/authors/nobody/feed.rss", 404),
        ("/topics/%00/feed.rss", 400),
    ],
)
def test_what_can_not_be_a_feed_says_so(client: Client, papers: tuple[Paper, ...], address: str, status: int) -> None:
    answer = client.get(address, headers={"Accept": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


def test_a_feed_is_written_without_a_request(papers: tuple[Paper, ...], indexed: tuple[Paper, ...]) -> None:
    latest = etree.fromstring(feeds.as_text(base="https://papers.example.org/").encode())
    assert latest.xpath("string(a:link[@rel='self']/@href)", namespaces=NAMES) == "https://papers.example.org/papers/feed.atom"
    assert len(latest.xpath("a:entry", namespaces=NAMES)) == 3
    trending = json.loads(feeds.as_text(trending=True, format="json", base="https://papers.example.org"))
    assert len(trending["items"]) == 5
    found = json.loads(feeds.as_text(query="refuse", format="json", base="https://papers.example.org"))
    assert found["items"][0]["url"] == "https://papers.example.org/papers/2510.06036"


# The sitemap

SITEMAP = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}


def test_the_sitemap_holds_every_page(client: Client, papers: tuple[Paper, ...]) -> None:
    index = etree.fromstring(client.get("/sitemap.xml").content)
    shards = index.xpath("//s:loc/text()", namespaces=SITEMAP)
    assert len(shards) == 6
    found = set()
    for shard in shards:
        answer = client.get(shard.removeprefix("http://testserver"))
        found |= set(etree.fromstring(answer.content).xpath("//s:loc/text()", namespaces=SITEMAP))
    paths = {address.removeprefix("http://testserver") for address in found}
    assert {"/", "/papers/2509.23253", "/papers/math/0309136", "/papers/date/2026-04-20", "/topics/inhibition"} <= paths
    assert {"/authors/zhouchen-lin", "/organisations/rednote-hilab", "/about"} <= paths
    for path in paths:
        assert client.get(path).status_code == 200


def test_shards_are_bounded(client: Client, papers: tuple[Paper, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps.Papers, "limit", 2)
    models.Paper.objects.filter(arxiv_id="2509.23253").update(withdrawn=True)
    index = client.get("/sitemap.xml").text
    assert "sitemap-papers.xml?p=2" in index
    assert "sitemap-papers.xml?p=3" not in index
    assert client.get("/sitemap-papers.xml?p=3").status_code == 404
    assert client.get("/sitemap-nothing.xml").status_code == 404
    assert sitemaps.LIMIT == 10_000


# Files of one paper


def test_a_paper_is_a_markdown_file(client: Client, papers: tuple[Paper, ...]) -> None:
    answer = client.get("/papers/2509.23253v2.md")
    assert answer["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.text.startswith(
        "# Lateral Inhibition Trains Deep Spiking Networks\n\n- Authors: Peiyu Liu, Jianhao Ding, Zhaofei Yu\n"
    )
    assert "- Page: http://testserver/papers/2509.23253\n" in answer.text
    assert "## Summary\n\nSplitting each layer" in answer.text
    assert "- Authors: 11 authors\n" in client.get("/papers/2510.06036.md").text
    models.Paper.objects.filter(arxiv_id="2509.23253").update(withdrawn=True)
    assert "**This paper was withdrawn.**" in client.get("/papers/2509.23253.md").text


def test_a_paper_is_cited_in_three_formats(client: Client, papers: tuple[Paper, ...]) -> None:
    bibtex = client.get("/papers/2509.23253.bib")
    assert bibtex["Content-Type"] == "application/x-bibtex; charset=utf-8"
    assert bibtex["Content-Disposition"] == 'inline; filename="2509.23253.bib"'
    assert "Liu, Peiyu and Ding, Jianhao and Yu, Zhaofei" in bibtex.text
    ris = client.get("/papers/math/0309136.ris")
    assert ris["Content-Disposition"] == 'inline; filename="math-0309136.ris"'
    assert "AU  - Xiao, Mingqing" in ris.text
    (csl,) = client.get("/papers/10.1371/journal.pcbi.1011459.csl.json").json()
    assert csl["DOI"] == "10.1371/journal.pcbi.1011459"
    assert csl["author"][0] == {"family": "Rentzeperis", "given": "Ilias"}


@pytest.mark.parametrize("ending", ["md", "bib", "ris", "csl.json"])
def test_a_file_of_no_paper_is_not_found(client: Client, papers: tuple[Paper, ...], ending: str) -> None:
    answer = client.get(f"/papers/9999.99999.{ending}", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no paper '9999.99999' here."})
