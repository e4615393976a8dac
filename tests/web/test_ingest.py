"""What an import does to the database: add, merge, keep what people typed, survive, repeat without effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pressrun.catalog.paper import Author, Extra, Links, Paper, Rejected
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, absorb, load, save

pytestmark = pytest.mark.django_db

ONE = Paper(
    title="Oja's rule, again",
    arxiv_id="2401.00001",
    authors=(Author("Erkki Example"), Author("Ada Beispiel", affiliation="Uni")),
    published=date(2024, 1, 2),
    topics=("plasticity",),
    organisation="Example Lab",
)


class Records:
    """A reader over records at hand, whose position is the number of records given out."""

    name, location = "test", "nowhere"

    def __init__(self, *records: Paper | Rejected | Extra | Exception) -> None:
        self.records, self.count = records, 0
        self.done, self.total = 0.0, None

    @property
    def position(self) -> str:
        return str(self.count)

    def __iter__(self) -> Iterator[Paper | Rejected | Extra]:
        for record in self.records:
            if isinstance(record, Exception):
                raise record
            self.count += 1
            yield record


def test_it_adds_a_paper_with_everything_it_names() -> None:
    report = load(Records(ONE))
    row = models.Paper.objects.get(public_id="2401.00001")
    assert (report.added, report.merged, report.unchanged) == (1, 0, 0)
    assert row.author_names == ["Erkki Example", "Ada Beispiel"]
    assert row.authors[1] == {"name": "Ada Beispiel", "affiliation": "Uni"}
    assert [author.slug for author in row.author_set.order_by("slug")] == ["ada-beispiel", "erkki-example"]
    assert [topic.name for topic in row.topics.all()] == ["plasticity"]
    assert row.organisation is not None
    assert row.organisation.slug == "example-lab"
    assert (row.day, row.to_index) == (date(2024, 1, 2), True)
    assert row.to_record() == ONE


def test_the_same_record_again_changes_nothing() -> None:
    load(Records(ONE))
    before = models.Paper.objects.values().get()
    report = load(Records(ONE, ONE))
    assert (report.added, report.merged, report.unchanged) == (0, 0, 2)
    assert models.Paper.objects.values().get() == before


def test_records_of_one_paper_in_one_batch_become_one_row() -> None:
    abstract = Paper(title="OJA’S RULE – AGAIN", author_count=2, abstract="A rule.", listed=date(2024, 1, 5))
    report = load(Records(ONE, abstract))
    row = models.Paper.objects.get()
    assert (report.added, report.merged) == (1, 1)
    assert (row.abstract, row.listed, row.day) == ("A rule.", date(2024, 1, 5), date(2024, 1, 5))


def test_a_newer_record_wins_and_an_older_one_only_fills_gaps() -> None:
    load(Records(replace(ONE, updated=datetime(2025, 1, 1, tzinfo=UTC), abstract="new words")))
    load(Records(replace(ONE, updated=datetime(2024, 1, 1, tzinfo=UTC), abstract="old words", journal="J. Old")))
    row = models.Paper.objects.get()
    assert (row.abstract, row.journal) == ("new words", "J. Old")
    load(Records(replace(ONE, updated=datetime(2026, 1, 1, tzinfo=UTC), abstract="newest words")))
    assert models.Paper.objects.get().abstract == "newest words"


def test_no_import_changes_what_a_person_typed() -> None:
    load(Records(ONE))
    models.Paper.objects.update(title="Oja's rule, again", abstract="typed by hand", edited=["abstract"])
    load(Records(replace(ONE, abstract="from a source", journal="J. New", updated=datetime(2030, 1, 1, tzinfo=UTC))))
    row = models.Paper.objects.get()
    assert (row.abstract, row.journal) == ("typed by hand", "J. New")


def test_a_typed_address_keeps_its_column_whatever_a_source_says() -> None:
    load(Records(ONE))
    models.Paper.objects.update(code_url="https://example.org/typed", edited=["code_url"])
    load(Records(replace(ONE, links=Links(code="https://example.org/found", pdf="https://example.org/x.pdf"))))
    assert models.Paper.objects.get().code_url == "https://example.org/typed"


def test_two_papers_of_one_title_and_year_stay_two() -> None:
    first = Paper(title="On inhibition", authors=(Author("A. Alpha"),), published=date(2020, 1, 1))
    second = Paper(title="On Inhibition", authors=(Author("B. Beta"),), published=date(2020, 5, 1))
    load(Records(first, second))
    assert sorted(models.Paper.objects.values_list("public_id", flat=True)) == ["on-inhibition-2020", "on-inhibition-2020-2"]


def test_two_rows_that_turn_out_to_be_one_paper_become_one_and_both_addresses_lead_there() -> None:
    by_doi = Paper(title="An early title", doi="10.1000/early", organisation="Early Lab")
    load(Records(ONE, by_doi))
    load(Records(replace(ONE, doi="10.1000/early")))
    row = models.Paper.objects.get()
    assert (row.public_id, row.doi, row.title) == ("2401.00001", "10.1000/early", "Oja's rule, again")
    assert models.Paper.objects.by_id("10.1000/early").get() == row
    assert models.FormerId.objects.get().public_id == "10.1000/early"


def test_what_hangs_on_a_row_moves_when_it_is_absorbed() -> None:
    load(Records(ONE, Paper(title="Another", doi="10.1000/x")))
    into, twin = models.Paper.objects.get(public_id="2401.00001"), models.Paper.objects.get(public_id="10.1000/x")
    models.FormerId.objects.create(public_id="older", paper=twin)
    absorb(twin, into)
    assert set(into.former_ids.values_list("public_id", flat=True)) == {"older", "10.1000/x"}


def test_a_rejected_record_is_counted_and_kept_with_its_reason() -> None:
    run = models.ImportRun.objects.create(location="x", identity="i", format="test")
    report = load(Records(Rejected("line 3", "no title", "{…"), ONE), run=run)
    assert (report.read, report.added, report.rejected) == (2, 1, 1)
    rejection = run.rejections.get()
    assert (rejection.where, rejection.why, rejection.raw) == ("line 3", "no title", "{…")


def test_a_record_that_does_not_fit_is_rejected_and_the_rest_goes_in() -> None:
    report = load(
        Records(replace(ONE, doi="10.1000/" + "x" * 300), replace(ONE, links=Links(code="https://e.org/" + "x" * 600)), ONE)
    )
    assert (report.added, report.rejected) == (1, 2)
    assert [r.why for r in report.rejections] == [
        "doi has 308 characters, 200 are the most",
        "the code address has 614 characters, 500 are the most",
    ]


def test_an_import_whose_source_breaks_off_keeps_all_that_was_read_and_says_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pressrun.web.papers.ingest.BATCH", 2)
    papers = [Paper(title=f"Paper {n}", arxiv_id=f"2401.0000{n}") for n in range(1, 6)]
    run = models.ImportRun.objects.create(location="x", identity="i", format="test")
    with pytest.raises(RuntimeError, match="cable out"):
        load(Records(*papers[:3], RuntimeError("cable out")), run=run)
    run.refresh_from_db()
    assert (run.state, run.position, run.why) == ("stopped", "3", "cable out")
    assert models.Paper.objects.count() == 3


def test_an_unknown_kind_of_record_is_rejected_by_name() -> None:
    report = load(Records(Extra("mood", {"x": 1})))
    assert [r.why for r in report.rejections] == ["nothing here knows records of the kind 'mood'"]


def test_a_deleted_record_takes_the_paper_off_the_lists_and_keeps_it() -> None:
    load(Records(ONE))
    load(Records(Extra("deleted", {"id": "2401.00001"})))
    assert models.Paper.objects.visible().count() == 0
    assert models.Paper.objects.get().withdrawn


def test_a_batch_costs_queries_by_the_batch_and_not_by_the_paper() -> None:
    def cost(first: int, count: int) -> int:
        numbers = range(first, first + count)
        papers = [
            Paper(title=f"T {n}", arxiv_id=f"2402.{n:05}", authors=(Author(f"N {n}"),), topics=(f"t {n}",), organisation=f"O {n}")
            for n in numbers
        ]
        with CaptureQueriesContext(connection) as queries:
            save(papers, Report())
        return len(queries)

    # SQLite takes 999 values a statement, so a few more statements for eight times the papers; 70 more would be one each.
    assert cost(100, 80) - cost(1, 10) < 10
