"""The shipped catalogue is complete and holds only what its format names."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from typing import Any

import pytest

from pressrun.catalog.shipped import SHIPPED

HEADER, *PAPERS = [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]

REQUIRED = {"kind", "id", "arxiv_id", "title", "summary", "author_count", "published", "listed", "topics"}
OPTIONAL = {"doi", "authors", "organisation", "links", "journal", "comments", "note"}

each_paper = pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper["id"])


def test_it_begins_with_the_format_and_its_version() -> None:
    assert HEADER == {"kind": "pressrun", "version": 1}


def test_it_holds_fifty_papers_in_the_order_of_the_page() -> None:
    assert len(PAPERS) == 50
    assert [PAPERS[i]["id"] for i in (0, 24, 49)] == ["2509.23253", "2511.20798", "2410.07627"]


def test_no_two_papers_share_an_id_or_a_title() -> None:
    assert len({paper["id"] for paper in PAPERS}) == 50
    assert len({paper["title"].casefold() for paper in PAPERS}) == 50


@each_paper
def test_it_has_every_field_it_needs_and_no_abstract(paper: dict[str, Any]) -> None:
    assert paper.keys() >= REQUIRED
    assert paper.keys() - REQUIRED <= OPTIONAL
    assert all(value not in ("", [], {}, None) for value in paper.values())
    assert paper["kind"] == "paper"


@each_paper
def test_its_id_is_an_arxiv_id_without_a_version(paper: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d{4}\.\d{4,5}", paper["id"])
    assert paper["arxiv_id"] == paper["id"]


@each_paper
def test_it_was_published_by_the_day_it_was_listed_and_in_or_after_the_month_of_its_id(paper: dict[str, Any]) -> None:
    published = date.fromisoformat(paper["published"])
    assert paper["listed"] == "2026-04-20"
    assert published <= date(2026, 4, 20)
    # An id is given on submission to arXiv's archive, so its month is that of the first version, or the one after a
    # submission in the last days of a month.
    numbered = date(2000 + int(paper["id"][:2]), int(paper["id"][2:4]), 1)
    assert abs((published - numbered).days) <= 31


@each_paper
def test_its_authors_are_as_many_as_counted(paper: dict[str, Any]) -> None:
    assert paper["author_count"] >= 1
    if "authors" in paper:
        names = [author["name"] for author in paper["authors"]]
        assert len(set(names)) == paper["author_count"]
        assert all(name == name.strip() and name for name in names)


@each_paper
def test_its_summary_is_of_60_to_100_words_and_begins_with_a_teaser(paper: dict[str, Any]) -> None:
    assert 60 <= len(paper["summary"].split()) <= 100
    teaser = re.split(r"(?<=[.?])\s", paper["summary"])[0]
    assert 70 <= len(teaser) <= 150


def test_no_two_summaries_open_with_the_same_two_words() -> None:
    openings = Counter(tuple(paper["summary"].casefold().split()[:2]) for paper in PAPERS)
    assert [opening for opening, times in openings.items() if times > 1] == []


@each_paper
def test_its_links_are_https_addresses_of_known_kinds(paper: dict[str, Any]) -> None:
    links = paper.get("links", {})
    assert links.keys() <= {"code", "project"}
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", links.get("code", "https://github.com/none/none"))
    assert links.get("project", "https://").startswith("https://")


@each_paper
def test_it_has_two_to_four_topics(paper: dict[str, Any]) -> None:
    assert 2 <= len(paper["topics"]) <= 4
    assert len(set(paper["topics"])) == len(paper["topics"])


def test_every_topic_is_lower_case_and_used_at_least_twice() -> None:
    used = Counter(topic for paper in PAPERS for topic in paper["topics"])
    assert all(topic == topic.lower() for topic in used)
    assert [topic for topic, times in used.items() if times < 2] == []
    assert 20 <= len(used) <= 25


def test_it_says_what_the_page_says() -> None:
    by_id = {paper["id"]: paper for paper in PAPERS}
    assert by_id["2602.06941"]["published"] == "2026-02-06"  # "Feb 6" on the page, without a year
    assert by_id["2510.06036"]["organisation"] == "rednote-hilab"  # in place of the authors
    assert by_id["2601.03570"]["comments"] == 3
    assert by_id["2301.10002"]["title"] == r"Beyond $\ell_1$ sparse coding in V1"  # "ell_1" on the page
    assert by_id["2509.25843"]["author_count"] == 3  # the page shows neither authors nor a date
