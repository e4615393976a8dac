"""What a paper is, when two are one, and what is left when they are merged."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.catalog import Author, Links, Paper, arxiv_id_in, doi_in, merge, normal_title, same_paper

TEXT = st.text(max_size=12)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC)) | st.datetimes()
PAPERS = st.builds(
    Paper,
    title=st.text(min_size=1, max_size=12),
    arxiv_id=st.sampled_from(["", "2509.23253", "hep-th/9901001"]),
    doi=st.sampled_from(["", "10.1000/a"]),
    abstract=TEXT,
    authors=st.lists(st.builds(Author, TEXT), max_size=3).map(tuple),
    author_count=st.none() | st.integers(0, 9),
    published=st.none() | st.dates(),
    listed=st.none() | st.dates(),
    updated=MOMENTS,
    topics=st.lists(TEXT, max_size=3).map(tuple),
    links=st.builds(Links, TEXT, TEXT, TEXT),
    upvotes=st.none() | st.integers(0, 9),
    withdrawn=st.booleans(),
)
KEPT = st.sets(st.sampled_from(["title", "authors", "author_count", "topics", "links", "upvotes"]))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2509.23253", "2509.23253"),
        ("2509.23253v2", "2509.23253"),
        ("  arXiv:2509.23253v12  ", "2509.23253"),
        ("arXiv: 0704.0001", "0704.0001"),
        ("https://arxiv.org/abs/2509.23253?context=cs", "2509.23253"),
        ("http://arxiv.org/pdf/2509.23253v2.pdf", "2509.23253"),
        ("https://arxiv.org/html/2509.23253v1/", "2509.23253"),
        ("https://huggingface.co/papers/2509.23253#community", "2509.23253"),
        ("https://huggingface.co/papers/2509.23253.md", "2509.23253"),
        ("hep-th/9901001", "hep-th/9901001"),
        ("math.GT/0309136v1", "math.GT/0309136"),
        ("https://arxiv.org/abs/quant-ph/0201082v3", "quant-ph/0201082"),
        ("10.48550/arXiv.2509.23253", "2509.23253"),
        ("see arXiv:2509.23253.", "2509.23253"),
        ("oai:arXiv.org:2509.23253", ""),
        ("2513.00001", ""),
        ("2509.232531", ""),
        ("2509.23253-draft", ""),
        ("in 2509.23253 we", ""),
        ("٢٥٠٩.٢٣٢٥٣", ""),
        ("", ""),
    ],
)
def test_it_finds_the_arxiv_id_in_ids_and_addresses(text: str, found: str) -> None:
    assert arxiv_id_in(text) == found


@given(st.integers(0, 99), st.integers(1, 12), st.integers(0, 99999), st.sampled_from(["", "v1", "v23"]))
def test_every_form_of_an_arxiv_id_gives_the_same_id(year: int, month: int, number: int, version: str) -> None:
    arxiv_id = f"{year:02}{month:02}.{number:05}"
    forms = (
        "{}",
        "arXiv:{}",
        "https://arxiv.org/abs/{}",
        "https://arxiv.org/pdf/{}.pdf",
        "https://hf.co/papers/{}",
        "(arXiv:{} [cs.NE])",
    )
    assert {arxiv_id_in(form.format(arxiv_id + version)) for form in forms} == {arxiv_id}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.1103/PhysRevD.76.013009", "10.1103/physrevd.76.013009"),
        ("https://doi.org/10.1000/ABC.7?x=1", "10.1000/abc.7"),
        ("https://dx.doi.org/10.1000%2Fabc", "10.1000/abc"),
        ("doi:10.1000/abc.", "10.1000/abc"),
        ("(10.1000/abc)", "10.1000/abc"),
        ("10.1016/S0140-6736(05)", "10.1016/s0140-6736(05)"),
        ("10.48550/arXiv.2509.23253", ""),
        ("110.1000/abc", ""),
        ("10.1000/", ""),
        ("10.1000/...", ""),
        ("none", ""),
    ],
)
def test_it_finds_the_doi(text: str, found: str) -> None:
    assert doi_in(text) == found


@given(st.text())
def test_ids_are_looked_for_in_any_text(text: str) -> None:
    assert doi_in(arxiv_id_in(text) + doi_in(text)) in ("", doi_in(text))


def test_a_title_is_compared_without_case_accents_and_punctuation() -> None:
    assert normal_title("Beyond $\\ell_1$: Étude — Straße") == "beyondell1etudestrasse"


def test_titles_of_signs_alone_stay_apart() -> None:
    assert normal_title("! ! !") == "!!!"
    assert not same_paper(Paper(title="!!!"), Paper(title="???"))


@given(st.text())
def test_a_normal_title_is_its_own_normal_title(title: str) -> None:
    assert normal_title(normal_title(title)) == normal_title(title)


def test_a_paper_needs_a_title() -> None:
    with pytest.raises(ValueError, match="a paper needs a title"):
        Paper(title="")


def test_the_id_is_the_arxiv_id_else_the_doi_else_made_of_title_and_year() -> None:
    assert Paper(title="T", arxiv_id="2509.23253", doi="10.1000/a").id == "2509.23253"
    assert Paper(title="T", doi="10.1000/a").id == "10.1000/a"
    assert Paper(title="Étude of Noise", published=date(2025, 9, 27)).id == "etude-of-noise-2025"


def test_the_keys_are_the_ids_and_the_title() -> None:
    paper = Paper(title="Étude!", arxiv_id="2509.23253", doi="10.1000/A")
    assert paper.keys == ("arxiv:2509.23253", "doi:10.1000/a", "title:etude")


@given(PAPERS)
def test_keys_do_not_change_in_a_merge_with_itself(paper: Paper) -> None:
    assert merge(paper, paper).keys == paper.keys


def test_two_arxiv_ids_are_two_papers_even_under_one_title() -> None:
    assert not same_paper(Paper(title="T", arxiv_id="2509.23253"), Paper(title="T", arxiv_id="2509.23254"))


def test_without_ids_title_and_first_family_name_decide() -> None:
    one = Paper(title="A title", authors=(Author("Jörg van der Müller Jr."),))
    assert same_paper(one, Paper(title="A TITLE.", authors=(Author("van der Muller, J."),)))
    assert not same_paper(one, Paper(title="A TITLE.", authors=(Author("Ada Bee"),)))
    assert same_paper(one, Paper(title="A title", author_count=1))
    assert not same_paper(one, Paper(title="A title", author_count=2))


def test_the_newer_record_wins_but_never_with_nothing() -> None:
    known = Paper(title="Old", abstract="Long", published=date(2025, 9, 27), updated=datetime(2025, 1, 1, tzinfo=UTC))
    found = Paper(title="New", published=date(2025, 9, 28), updated=datetime(2025, 1, 2, tzinfo=UTC), upvotes=0)
    merged = merge(known, found)
    assert (merged.title, merged.abstract, merged.published, merged.upvotes, merged.id) == (
        "New",
        "Long",
        date(2025, 9, 27),
        0,
        "old-2025",
    )
    assert merge(found, known).title == "New"


def test_what_a_person_wrote_stays() -> None:
    merged = merge(Paper(title="Mine", topics=("a",)), Paper(title="Theirs", topics=("b",)), keep=["title", "topics"])
    assert (merged.title, merged.topics) == ("Mine", ("a",))


def test_a_moment_without_a_zone_counts_as_utc() -> None:
    bare, zoned = (
        Paper(title="Bare", updated=datetime(2025, 1, 1, 12)),  # noqa: DTZ001
        Paper(title="Zoned", updated=datetime(2025, 1, 1, 11, tzinfo=UTC)),
    )
    assert merge(bare, zoned).title == "Bare"


@given(PAPERS, PAPERS, KEPT)
def test_merging_the_same_record_twice_changes_nothing_more(known: Paper, found: Paper, keep: set[str]) -> None:
    once = merge(known, found, keep=keep)
    assert merge(once, found, keep=keep) == once
