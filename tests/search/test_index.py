"""Searching: what is found, in which order, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressrun.search import Document, IndexWriter, QueryError, SearchIndex, parse
from pressrun.search.words import tokens
from tests.search.conftest import PAPERS, WordEncoder
from tests.search.test_query import TYPED


def ids(index: SearchIndex, query: str, **asked: object) -> list[str]:
    return [hit.id for hit in index.search(query, **asked).hits]  # type: ignore[arg-type]


SPIKING, GUARD, SPARSE, NOTE = (paper.id for paper in PAPERS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("inhibiting", [SPIKING]),
        ("NAIVE", [NOTE]),
        ("lovelace", [SPIKING]),
        ("nunez", [SPIKING]),
        ('"active neurons"', [SPARSE]),
        ('"neurons active"', []),
        ('"ada lovelace"', [SPIKING]),
        ('"josé núñez ada"', []),
        ("neurons -spiking", [SPARSE]),
        ('neurons -"few active"', [SPIKING]),
        ("字", [NOTE]),
        ("alpha", [NOTE]),
        ("bold", [NOTE]),
        ("zebra", []),
        ("the of", [SPARSE]),
        ("-neurons", [GUARD, NOTE]),
    ],
)
def test_words_find_papers(index: SearchIndex, query: str, expected: list[str]) -> None:
    assert ids(index, query) == expected


@pytest.mark.parametrize("query", ["inhibitoin", "inhibtion", "inhibitiom", "inhibittion", "unhibition"])
def test_one_typing_error_is_forgiven(index: SearchIndex, query: str) -> None:
    assert ids(index, query) == [SPIKING]


def test_two_typing_errors_and_short_words_are_not_guessed(index: SearchIndex) -> None:
    assert ids(index, "inhubitiom") == []
    assert ids(index, "fwe") == []


def test_a_misspelt_word_counts_less_than_one_that_is_there(path: Path) -> None:
    with IndexWriter(path) as writer:
        writer.add(
            [Document("right", "plasticity rules", ""), Document("near", "plasticitz rules", ""), Document("third", "guards", "")]
        )
        writer.commit()
    assert ids(SearchIndex.open(path), "plasticity") == ["right"]


@pytest.mark.parametrize("start", ["inh", "inhibi", "inhibiti", "inhibitio", "inhibition"])
def test_the_last_word_may_go_on(index: SearchIndex, start: str) -> None:
    assert ids(index, f"lateral {start}", prefix_last=True) == [SPIKING]
    assert ids(index, start, prefix_last=True) == [SPIKING]


def test_only_the_last_word_goes_on(index: SearchIndex) -> None:
    assert ids(index, "inh") == []
    assert ids(index, "inh zebra", prefix_last=True) == []


def test_before_anything_is_embedded_words_alone_work(index: SearchIndex) -> None:
    (hit,) = index.search("latent guard").hits
    assert (hit.id, hit.lexical_rank, hit.semantic_rank) == (GUARD, 1, None)
    assert index.search("latent guard", mode="semantic").hits == ()


def test_meaning_finds_a_paper_without_the_word(embedded: SearchIndex) -> None:
    result = embedded.search("refuses")
    assert [(hit.id, hit.lexical_rank, hit.semantic_rank, hit.matched) for hit in result.hits] == [(GUARD, None, 1, ())]
    assert (result.total, result.total_is_exact) == (1, True)
    assert embedded.search("refuses", mode="lexical").hits == ()


def test_a_hit_says_why_it_is_there(embedded: SearchIndex) -> None:
    hit = embedded.search("Inhibiting neurons of Ada Lovelace").hits[0]
    assert hit.id == SPIKING
    assert hit.matched == ("Inhibiting", "neurons", "Ada", "Lovelace")
    assert hit.lexical_rank == 1


def test_a_paper_whose_title_is_typed_comes_first(path: Path) -> None:
    chatty = Document("chatty", "Remarks", "sparse coding of natural images " * 30)
    with IndexWriter(path) as writer:
        writer.add([chatty, *PAPERS])
        writer.commit()
    assert ids(SearchIndex.open(path), "Sparse coding of natural images")[0] == SPARSE


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("has:code", {SPIKING, GUARD}),
        ("has:code -has:replication", {SPIKING}),
        ("has:verdict", {SPIKING, GUARD}),
        ("verdict:matched", {SPIKING}),
        ("verdict:VOID", {SPIKING}),
        ('verdict:"not matched"', {GUARD}),
        ("runs:<2min", {SPIKING}),
        ("runs:100..", {GUARD}),
        ("runs:90", {SPIKING}),
        ("author:ada", {SPIKING, SPARSE}),
        ('author:"ada byron"', {SPARSE}),
        ("author:nunez", {SPIKING}),
        ("org:zurich", {SPIKING}),
        ("org:zurich org:harbour", {SPIKING, GUARD}),
        ('topic:"spiking networks"', {SPIKING}),
        ("topic:networks topic:inhibition", {SPIKING}),
        ("topic:vision topic:inhibition", set()),
        ("year:2024 year:2020", {SPARSE, NOTE}),
        ("after:2024", {SPIKING, GUARD}),
        ("before:2024", {NOTE}),
        ("listed:2026-02-06", {SPIKING}),
        ("votes:10..20", {SPIKING}),
        ("neurons year:2025", {SPIKING}),
        ("refuses year:2025", {GUARD}),
        ("refuses year:2024", set()),
    ],
)
def test_filters_hold_on_both_sides(embedded: SearchIndex, query: str, expected: set[str]) -> None:
    result = embedded.search(query)
    assert {hit.id for hit in result.hits} == expected
    assert result.total == len(expected)


def test_a_filter_the_index_does_not_know_is_refused_in_a_sentence(index: SearchIndex) -> None:
    with pytest.raises(QueryError, match="This index has no field 'colour'"):
        index.search(parse("colour:red", {"colour": str}))


def test_the_order_can_be_chosen(embedded: SearchIndex) -> None:
    assert ids(embedded, "sort:votes") == [GUARD, SPIKING, SPARSE, NOTE]
    assert ids(embedded, "sort:date") == [GUARD, SPIKING, SPARSE, NOTE]
    assert ids(embedded, "neurons sort:date") == [SPIKING, SPARSE]
    assert ids(embedded, "neurons images sort:votes") == [SPARSE]
    assert ids(embedded, "") == [GUARD, SPIKING, SPARSE, NOTE]


def test_facets_count_the_answer(embedded: SearchIndex) -> None:
    facets = embedded.search("neurons", facets=True, mode="lexical").facets
    assert facets == {
        "year": (("2025", 1), ("2024", 1)),
        "topic": (("inhibition", 1), ("spiking networks", 1), ("vision", 1)),
        "org": (("Zürich Neuro Lab", 1),),
        "author": (("Ada Byron", 1), ("Ada Lovelace", 1), ("Bruno Field", 1), ("José Núñez", 1)),
        "has": (("code", 1), ("runs", 1), ("verdict", 1)),
        "verdict": (("matched", 1), ("void", 1)),
    }
    assert embedded.search("refuses", facets=True).facets["org"] == (("Harbour Labs", 1),)
    assert embedded.search("year:2025", facets=True).facets["has"][0] == ("code", 2)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("2509.00001", SPIKING),
        ("arXiv:2509.00001v2", SPIKING),
        ("https://arxiv.org/pdf/2509.00001v1", SPIKING),
        ("https://huggingface.co/papers/2509.00001", SPIKING),
        ("10.1000/abc.1", SPIKING),
        ("https://doi.org/10.1000/ABC.1", SPIKING),
        ("untitled-note", NOTE),
        ("2509.99999", None),
        ("neurons", None),
        ("see 2509.00001", None),
    ],
)
def test_an_id_or_address_names_its_paper(index: SearchIndex, typed: str, expected: str | None) -> None:
    assert index.search(typed).direct == expected


def test_pages_are_cut_from_one_order(path: Path) -> None:
    papers = [
        Document(f"p{number:04}", f"neurons {'and neurons ' * (number % 7)}", "", votes=number % 5) for number in range(700)
    ]
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add(papers)
        writer.commit()
        writer.embed()
    index = SearchIndex.open(path, encoder=WordEncoder())
    whole = ids(index, "neurons", limit=700)
    assert len(set(whole)) == 700
    assert [one for start in range(0, 700, 50) for one in ids(index, "neurons", limit=50, offset=start)][:400] == whole[:400]
    assert index.search("neurons", offset=5000).hits == ()
    assert index.search("neurons", limit=0).total == 700


@pytest.mark.parametrize(("limit", "offset"), [(-1, 0), (10, -1), (1001, 0)])
def test_a_page_that_cannot_be_is_refused(index: SearchIndex, limit: int, offset: int) -> None:
    with pytest.raises(ValueError, match="limit must be 0 to 1000 and offset not negative"):
        index.search("neurons", limit=limit, offset=offset)


def test_similar_papers_come_from_vectors_or_else_from_words(index: SearchIndex, path: Path) -> None:
    by_words = index.similar(SPIKING)
    assert by_words[0].id == SPARSE
    assert by_words[0].lexical_rank == 1
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.embed()
    by_meaning = index.similar(SPIKING, limit=2)
    assert len(by_meaning) == 2
    assert by_meaning[0].semantic_rank == 1
    assert SPIKING not in {hit.id for hit in by_meaning}
    assert index.similar("nobody") == []


def test_a_directory_without_an_index_is_an_empty_index(path: Path) -> None:
    index = SearchIndex.open(path)
    assert index.search("neurons").hits == ()
    assert index.similar("x") == []
    assert index.status().documents == 0
    with IndexWriter(path) as writer:
        writer.add(PAPERS)
        writer.commit()
    assert ids(index, "guard") == [GUARD]


def test_the_status_counts_papers_by_rung(embedded: SearchIndex, path: Path) -> None:
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add([Document("new", "New", "")])
        writer.delete([NOTE])
        writer.commit()
    status = embedded.status()
    assert status.documents == 4
    assert status.embedded == {"none": 1, "linear": 0, "opening": 0, "whole": 3}
    assert (status.generation, status.model, status.lists) == (1, "words", 0)
    assert status.bytes > 0
    assert status.built is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(query=TYPED, prefix=st.booleans())
def test_no_query_breaks_the_search(embedded: SearchIndex, query: str, prefix: bool) -> None:
    try:
        result = embedded.search(query, prefix_last=prefix, facets=True)
    except QueryError:
        return
    assert len(result.hits) <= result.total
    assert len({hit.id for hit in result.hits}) == len(result.hits)


@pytest.mark.parametrize(
    "query", ["text:neurons", "row:[0 TO 9]", "neurons) OR (*:*", "id:2509.00001 OR 1=1", "author:*", "neur*", "/neur.*/"]
)
def test_nothing_typed_is_syntax_of_the_engine(index: SearchIndex, query: str) -> None:
    plain = "".join(character if character.isalnum() or character.isspace() else " " for character in query)
    if query == "author:*":
        assert ids(index, query) == []
    else:
        assert set(ids(index, query)) <= set(ids(index, plain))


def test_a_pasted_abstract_and_a_long_word_are_searched(index: SearchIndex) -> None:
    assert ids(index, "spiking " + " ".join(f"word{number}" for number in range(1000)))[0] == SPIKING
    assert ids(index, "x" * 9000) == []


days = st.dates(date(2019, 1, 1), date(2026, 12, 31))
names = st.lists(st.sampled_from(["Ada Lovelace", "Bruno Field", "José Núñez", "Ada Byron"]), max_size=3, unique=True).map(tuple)
papers = st.builds(
    Document,
    id=st.just(""),
    title=st.just("neurons"),
    text=st.sampled_from(["", "cells", "cells and guards"]),
    authors=names,
    organisation=st.sampled_from(["", "Zürich Lab", "Harbour"]),
    topics=st.lists(st.sampled_from(["vision", "spiking networks"]), max_size=2, unique=True).map(tuple),
    published=st.none() | days,
    votes=st.integers(0, 30),
    has_code=st.booleans(),
    extra=st.fixed_dictionaries({}, optional={"verdict": st.sampled_from(["matched", "void"]), "runs": st.integers(0, 500)}),
)
CONDITIONS = {
    "year:2022..2024": lambda paper: paper.published is not None and 2022 <= paper.published.year <= 2024,
    "-year:2022..2024": lambda paper: not (paper.published is not None and 2022 <= paper.published.year <= 2024),
    "before:2023-05": lambda paper: paper.published is not None and paper.published < date(2023, 5, 1),
    "votes:>=10": lambda paper: paper.votes >= 10,
    "author:ada": lambda paper: any("ada" in tokens(name) for name in paper.authors),
    'author:"ada byron"': lambda paper: "Ada Byron" in paper.authors,
    "org:zurich": lambda paper: paper.organisation == "Zürich Lab",
    "topic:networks": lambda paper: "spiking networks" in paper.topics,
    "has:code": lambda paper: paper.has_code,
    "-has:code": lambda paper: not paper.has_code,
    "verdict:void": lambda paper: paper.extra.get("verdict") == "void",
    "has:verdict": lambda paper: "verdict" in paper.extra,
    "runs:<2min": lambda paper: paper.extra.get("runs", 120) < 120,
    "cells": lambda paper: "cells" in paper.text,
    "-guards": lambda paper: "guards" not in paper.text,
}


@settings(max_examples=15, deadline=None)
@given(
    found=st.lists(papers, min_size=1, max_size=25), chosen=st.sets(st.sampled_from(sorted(CONDITIONS)), min_size=1, max_size=3)
)
def test_filters_keep_exactly_the_papers_they_describe(
    tmp_path_factory: pytest.TempPathFactory, found: list[Document], chosen: set[str]
) -> None:
    path = tmp_path_factory.mktemp("filters") / "index"
    numbered = [replace(paper, id=f"p{number}") for number, paper in enumerate(found)]
    everything = Document("all", "zzz", "", extra={"verdict": "other", "runs": 10**6})
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add([*numbered, everything])
        writer.commit()
        writer.embed()
    expected = {paper.id for paper in numbered if all(CONDITIONS[one](paper) for one in chosen)}
    result = SearchIndex.open(path, encoder=WordEncoder()).search(" ".join(sorted(chosen)) + " -zzz", limit=100, mode="lexical")
    assert {hit.id for hit in result.hits} == expected
    assert result.total == len(expected)


@pytest.mark.usefixtures("embedded")
def test_an_answer_is_remembered_until_the_index_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    index = SearchIndex.open(path, encoder=WordEncoder(), remember=2)
    ranked = index._ranked
    monkeypatch.setattr(index, "_ranked", lambda *given: (asked.append(given[1].text), ranked(*given))[1])
    first = index.search("inhibition")
    again = index.search("inhibition")
    assert replace(again, took_ms=0) == replace(first, took_ms=0)
    assert asked == ["inhibition"]
    index.search("inhibition", limit=1)  # another page, another mode: another answer
    index.search("inhibition", mode="lexical")
    index.search("inhibition")  # forgotten for the two since
    assert asked == ["inhibition"] * 4
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add([Document("new", "Inhibition anew", "")])
        writer.commit()
    assert "new" in [hit.id for hit in index.search("inhibition").hits]


def test_without_being_told_so_an_index_remembers_nothing(index: SearchIndex) -> None:
    index.search("inhibition")
    assert not index._answers
