"""Exports, and that our own readers and other people's read the same papers back."""

from __future__ import annotations

import io
import json
import string
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import bibtexparser  # type: ignore[import-untyped]
import pytest
import rispy  # type: ignore[import-untyped]
from bibtexparser.bparser import BibTexParser  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.catalog import Author, Extra, Links, Paper, open_source
from pressrun.catalog.exports import Format, bibtex, bibtex_key, csl, export, extra_line, paper_from_json, paper_to_json, ris

PAPER = Paper(
    title="Noise & silence: 50% of $\\ell_1$",
    arxiv_id="2509.23253",
    doi="10.1000/xyz_1",
    abstract="They learn.",
    authors=(Author("Ada Bee"), Author("Pieter van der Berg Jr."), Author("Quiet Lab, Inc. and Friends")),
    published=date(2025, 9, 7),
    topics=("spiking networks", "silence"),
    categories=("cs.NE", "cs.LG"),
    journal="J. Quiet",
    note="12 pages",
)


def test_it_writes_bibtex() -> None:
    assert (
        bibtex(PAPER)
        == """@article{bee2025noise,
  title = {{Noise \\& silence: 50\\% of $\\ell_1$}},
  author = {Bee, Ada and van der Berg, Jr., Pieter and {Quiet Lab, Inc. and Friends}},
  year = {2025},
  month = sep,
  day = {7},
  journal = {J. Quiet},
  eprint = {2509.23253},
  archivePrefix = {arXiv},
  primaryClass = {cs.NE},
  doi = {10.1000/xyz_1},
  url = {https://arxiv.org/abs/2509.23253},
  keywords = {spiking networks, silence},
  abstract = {They learn.},
  note = {12 pages},
}"""
    )


def test_it_writes_ris() -> None:
    assert (
        ris(replace(PAPER, authors=PAPER.authors[:2]))
        == """TY  - JOUR
TI  - Noise & silence: 50% of $\\ell_1$
AU  - Bee, Ada
AU  - van der Berg, Pieter, Jr.
PY  - 2025
DA  - 2025/09/07
AB  - They learn.
JO  - J. Quiet
DO  - 10.1000/xyz_1
AN  - arXiv:2509.23253
UR  - https://arxiv.org/abs/2509.23253
KW  - spiking networks
KW  - silence
N1  - 12 pages
ER  - """
    )


def test_it_writes_csl() -> None:
    assert csl(PAPER) == {
        "id": "bee2025noise",
        "type": "article-journal",
        "title": "Noise & silence: 50% of $\\ell_1$",
        "author": [
            {"family": "Bee", "given": "Ada"},
            {"family": "van der Berg", "given": "Pieter", "suffix": "Jr."},
            {"literal": "Quiet Lab, Inc. and Friends"},
        ],
        "issued": {"date-parts": [[2025, 9, 7]]},
        "container-title": "J. Quiet",
        "number": "arXiv:2509.23253",
        "DOI": "10.1000/xyz_1",
        "URL": "https://arxiv.org/abs/2509.23253",
        "abstract": "They learn.",
        "keyword": "spiking networks, silence",
        "note": "12 pages",
    }


def test_a_paper_with_nothing_but_a_title_is_exported_too() -> None:
    bare = Paper(title="Über")
    assert bibtex(bare) == "@misc{anonymousuber,\n  title = {{Über}},\n}"
    assert ris(bare) == "TY  - UNPB\nTI  - Über\nER  - "
    assert csl(bare) == {"id": "anonymousuber", "type": "article", "title": "Über"}
    assert paper_to_json(bare) == {"title": "Über", "id": "uber"}


def test_the_key_is_family_year_word() -> None:
    assert bibtex_key(PAPER) == "bee2025noise"
    assert bibtex_key(replace(PAPER, title="The Ünïts of «Joy»", authors=(Author("Zoë de la Müller"),))) == "delamuller2025units"
    assert bibtex_key(Paper(title="神経", authors=(Author("山田"),))) == "anonymous"


def written(papers: list[Paper], format: Format) -> str:
    file = io.StringIO()
    export(papers, format, file)
    return file.getvalue()


def test_keys_in_one_file_differ_and_do_not_depend_on_the_order() -> None:
    first, second, third = (replace(PAPER, arxiv_id=f"2509.0000{n}", id=f"2509.0000{n}") for n in range(3))
    keys = [item["id"] for item in json.loads(written([first, second, third, third], "csl"))]
    assert keys == ["bee2025noise", "bee2025noise-2509-00001", "bee2025noise-2509-00002", "bee2025noise-2509-00002-2"]
    assert [item["id"] for item in json.loads(written([first, third, second], "csl"))] == [keys[0], keys[2], keys[1]]


def test_an_export_of_nothing_is_whole() -> None:
    assert written([], "jsonl") == '{"kind":"pressrun","version":1}\n'
    assert (written([], "bibtex"), written([], "ris"), written([], "csl")) == ("", "", "[]\n")


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the format is 'xml'; jsonl, bibtex, ris or csl is needed"):
        export([], "xml", io.StringIO())  # type: ignore[arg-type]


def test_an_export_is_written_as_papers_come() -> None:
    file = io.StringIO()

    def papers() -> object:
        yield PAPER
        assert "Noise" in file.getvalue()
        yield PAPER

    for format in ("jsonl", "bibtex", "ris", "csl"):  # noqa: A001
        file.truncate(0)
        export(papers(), format, file)  # type: ignore[arg-type]


def test_other_records_travel_in_the_same_file(tmp_path: Path) -> None:
    vote = Extra("vote", {"paper": "2509.23253", "by": "ada", "kind": "up"})
    (tmp_path / "export").write_text(written([PAPER], "jsonl") + extra_line(vote))
    assert list(open_source(tmp_path / "export")) == [PAPER, vote]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "a paper needs a title"),
        ({"title": 5}, "title needs to be a text, it is '5'"),
        ({"title": "T", "authors": ["Ada"]}, "an author needs to be an object with a name"),
        ({"title": "T", "authors": {}}, "authors needs to be a list, it is '{}'"),
        ({"title": "T", "topics": [1]}, "topics needs to be a list of texts"),
        ({"title": "T", "upvotes": -1}, "upvotes needs to be a count, it is -1"),
        ({"title": "T", "upvotes": True}, "upvotes needs to be a whole number, it is 'True'"),
        ({"title": "T", "withdrawn": 1}, "withdrawn needs to be true or false, it is '1'"),
        ({"title": "T", "published": "2026-02-30"}, "published needs to be a date such as 2025-09-27, it is '2026-02-30'"),
        ({"title": "T", "updated": "now"}, "updated needs to be a date and time such as 2025-09-27T12:00:00Z, it is 'now'"),
        (
            {"title": "T", "links": {"code": "javascript:alert(1)"}},
            "links.code needs to be an http(s) address, it is 'javascript:alert(1)'",
        ),
    ],
)
def test_json_of_the_wrong_shape_is_refused_with_the_reason(row: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        paper_from_json(row)
    assert str(caught.value) == why


LETTERS = st.characters(categories=["L", "N"], max_codepoint=0x17F)
SIGNS = st.sampled_from(list(string.punctuation + "–’½→"))
WORD = st.text(LETTERS | SIGNS, min_size=1, max_size=8)
FORMULA = st.sampled_from(["$\\ell_1$", "$x^{2}$", "$\\alpha \\$ 3$"])
LINE = st.lists(WORD | FORMULA, min_size=1, max_size=6).map(" ".join)
GIVEN = st.text(st.characters(categories=["Lu"], max_codepoint=0x17F), min_size=2, max_size=7)
NAMES = st.lists(GIVEN, min_size=1, max_size=3).map(" ".join) | st.builds(
    "{} {} {}".format, GIVEN, st.sampled_from(["van der", "de"]), GIVEN
)
DAYS = st.none() | st.dates(date(1900, 1, 1), date(2100, 1, 1))
CARRIED = {
    "title": LINE,
    "authors": st.lists(NAMES.map(Author), max_size=4).map(tuple),
    "published": DAYS,
    "arxiv_id": st.sampled_from(["", "2509.23253", "math.GT/0309136"]),
    "doi": st.sampled_from(["", "10.1000/xyz_(1)<2>", "10.1016/s0140-6736(05)12"]).map(lambda doi: doi.replace("<2>", "")),
    "journal": st.just("") | st.just("J. of Quiet & Noise"),
    "note": st.just("") | LINE,
}
TOPICS = st.lists(st.text(LETTERS, min_size=1, max_size=8), max_size=3).map(tuple)


def read_back(folder: Path, papers: list[Paper], format: Format) -> list[object]:
    path = folder / "back"
    path.write_text(written(papers, format), encoding="utf-8", newline="")
    return list(open_source(path))


@settings(max_examples=60, deadline=None)  # bibtexparser is slow
@given(
    st.lists(
        st.builds(Paper, **CARRIED, topics=TOPICS, abstract=st.lists(LINE, max_size=3).map("\n\n".join)), min_size=1, max_size=3
    )
)
def test_bibtex_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, papers: list[Paper]) -> None:
    papers = [replace(paper, categories=("cs.NE",) if paper.arxiv_id else ()) for paper in papers]
    assert read_back(tmp_path_factory.getbasetemp(), papers, "bibtex") == papers


@given(st.lists(st.builds(Paper, **CARRIED, topics=TOPICS, abstract=st.just("") | LINE), min_size=1, max_size=3))
def test_ris_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, papers: list[Paper]) -> None:
    papers = [replace(paper, links=Links(pdf="https://example.org/a.pdf")) for paper in papers]
    assert read_back(tmp_path_factory.getbasetemp(), papers, "ris") == papers


@given(
    st.lists(
        st.builds(Paper, **CARRIED, topics=TOPICS, abstract=st.lists(LINE, max_size=3).map("\n\n".join)), min_size=1, max_size=3
    )
)
def test_csl_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, papers: list[Paper]) -> None:
    assert read_back(tmp_path_factory.getbasetemp(), papers, "csl") == papers


CLEAN = st.just("") | LINE
COUNT = st.none() | st.integers(0, 2**31 - 1)
ADDRESS = st.just("") | st.just("https://example.org/a?b=c&d")
EVERYTHING = st.builds(
    Paper,
    **CARRIED,
    topics=st.lists(LINE, max_size=3).map(tuple),
    categories=st.lists(LINE, max_size=3).map(tuple),
    abstract=CLEAN,
    summary=CLEAN,
    author_count=COUNT,
    listed=DAYS,
    updated=st.none() | st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    organisation=CLEAN,
    links=st.builds(Links, ADDRESS, ADDRESS, ADDRESS),
    submitted_by=CLEAN,
    comments=COUNT,
    upvotes=COUNT,
    withdrawn=st.booleans(),
)


@given(st.lists(EVERYTHING, min_size=1, max_size=3))
def test_json_lines_carry_everything(tmp_path_factory: pytest.TempPathFactory, papers: list[Paper]) -> None:
    assert read_back(tmp_path_factory.getbasetemp(), papers, "jsonl") == papers


@settings(max_examples=40, deadline=None)
@given(EVERYTHING)
def test_other_peoples_readers_read_what_we_write(paper: Paper) -> None:
    entries = bibtexparser.loads(bibtex(paper), BibTexParser(common_strings=True)).entries
    assert len(entries) == 1
    assert entries[0].get("eprint", "") == paper.arxiv_id
    records = rispy.loads(ris(paper))
    assert [record["title"] for record in records] == [paper.title]
    assert len(records[0].get("authors", [])) == len(paper.authors)


# The kinds of item and of name that the schema of CSL 1.0.2 has, as far as we use them.
CSL_KEYS = {
    "id",
    "type",
    "title",
    "author",
    "issued",
    "container-title",
    "publisher",
    "number",
    "DOI",
    "URL",
    "abstract",
    "keyword",
    "note",
}
CSL_NAME_KEYS = {"family", "given", "suffix", "literal"}


@given(EVERYTHING)
def test_csl_keeps_to_its_schema(paper: Paper) -> None:
    item = csl(paper)
    assert {"id", "type", "title"} <= item.keys() <= CSL_KEYS
    assert item["type"] in {"article", "article-journal"}
    assert all(
        person.keys() <= CSL_NAME_KEYS and all(isinstance(v, str) for v in person.values()) for person in item.get("author", [])
    )
    for parts in item.get("issued", {}).get("date-parts", []):
        assert 1 <= len(parts) <= 3
        assert all(isinstance(part, int) for part in parts)
    assert all(isinstance(item.get(key, ""), str) for key in CSL_KEYS - {"author", "issued"})
