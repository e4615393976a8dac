"""The Daily Papers page as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.catalog import Paper, Rejected, SourceError, open_source
from tests.catalog.samples import PAGE

AS_OF = date(2026, 11, 22)


def read(folder: Path, text: str, as_of: date | None = AS_OF) -> list[object]:
    path = folder / "page"
    path.write_text(text, encoding="utf-8")
    return list(open_source(path, as_of=as_of))


def test_it_reads_every_field(tmp_path: Path) -> None:
    synapses, refusal, bare, feet = read(tmp_path, PAGE)
    assert synapses == Paper(
        title="Silent Synapses: Learning When to Listen",
        abstract=(
            "We show that synapses which stay silent still learn. Gains of 84.4\\% with 3times3 kernels follow from $\\ell_1$ costs."
            " Code is at https://example.org/silent."
        ),
        author_count=3,
        published=date(2025, 9, 27),
        listed=date(2026, 4, 20),
    )
    assert isinstance(refusal, Paper)
    assert isinstance(bare, Paper)
    assert isinstance(feet, Paper)
    assert (refusal.organisation, refusal.author_count, refusal.published, refusal.comments) == (
        "quiet-lab",
        None,
        date(2025, 10, 7),
        2,
    )
    assert (bare.title, bare.published, bare.author_count, bare.listed) == (
        "Paper Without a Last Block",
        None,
        None,
        date(2026, 4, 20),
    )
    assert bare.abstract.startswith("The abstract of this one")
    assert (feet.published, feet.author_count, feet.comments) == (date(2026, 2, 6), 1, None)


def page(day: str, *days: str) -> str:
    entries = "".join(f"\n\nTitle {n}\n\nAn abstract that says little.\n\n  • 2 authors\n·\n{d}\n" for n, d in enumerate(days))
    return f"Daily Papers\n\nbyAK\n\n{day}\n{entries}"


@pytest.mark.parametrize(
    ("day", "days", "as_of", "listed"),
    [
        # The latest year in which the page's day has come.
        ("Apr 20", ["Apr 19"], date(2026, 4, 20), "2026-04-20"),
        ("Apr 20", ["Apr 19"], date(2026, 4, 19), "2025-04-20"),
        ("Apr 20", ["Apr 19", "Oct 7, 2025"], date(2028, 1, 1), "2027-04-20"),
        # Never a year that the page prints, even where the clock is wrong.
        ("Apr 20", ["Apr 19", "Oct 7, 2025"], date(2020, 1, 1), "2026-04-20"),
        # Without as_of, a list of older papers is of the year behind its newest, whenever it is read.
        ("Apr 20", ["Apr 19", "Oct 7, 2019", "Oct 7, 2018"], None, "2020-04-20"),
        # A 29 February leaves leap years.
        ("Mar 2", ["Feb 29"], date(2027, 1, 1), "2024-03-02"),
        # A day with a year needs no guessing.
        ("Apr 20, 2023", ["Apr 19, 2023"], AS_OF, "2023-04-20"),
    ],
)
def test_it_finds_the_year_of_the_page(tmp_path: Path, day: str, days: list[str], as_of: date | None, listed: str) -> None:
    first = read(tmp_path, page(day, *days), as_of)[0]
    assert isinstance(first, Paper)
    assert str(first.listed) == listed


def test_days_without_a_year_are_of_the_pages_year(tmp_path: Path) -> None:
    papers = read(tmp_path, page("Apr 20", "Feb 6", "Oct 7, 2025 2", "Apr 12 7"))
    assert [(str(p.published), p.comments) for p in papers if isinstance(p, Paper)] == [
        ("2026-02-06", None),
        ("2025-10-07", 2),
        ("2026-04-12", 7),
    ]


def test_a_day_that_does_not_exist_is_one_rejected_entry(tmp_path: Path) -> None:
    first, second, third = read(tmp_path, page("Apr 20", "Feb 30", "soon", "Apr 1"))
    assert first == Rejected(
        "record 1",
        "Feb 30 is no day of the year 2026",
        "Title 0\n\nAn abstract that says little.\n\n  • 2 authors\n·\nFeb 30".replace("\n\n", "\n"),
    )
    assert isinstance(second, Rejected)
    assert second.why == "'soon' stands where the entry's day should, such as 'Feb 6' or 'Oct 7, 2025 2'"
    assert isinstance(third, Paper)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.97])
def test_a_page_cut_short_gives_what_is_whole(tmp_path: Path, keep: float) -> None:
    *whole, last = read(tmp_path, PAGE[: int(len(PAGE) * keep)])
    assert len(whole) == {0.5: 1, 0.9: 3, 0.97: 3}[keep]
    assert all(isinstance(paper, Paper) for paper in whole)
    assert isinstance(last, Rejected)
    assert last.why == "the file ends in the middle of an entry"


def test_other_line_ends_and_marks_do_not_matter(tmp_path: Path) -> None:
    plain = read(tmp_path, PAGE)
    for data in (PAGE.replace("\n", "\r\n").encode(), PAGE.encode("utf-8-sig"), PAGE.encode("utf-16")):
        (tmp_path / "page").write_bytes(data)
        assert list(open_source(tmp_path / "page", as_of=AS_OF)) == plain


def test_wrong_bytes_cost_one_entry(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(PAGE.encode().replace(b"stay silent", b"stay \xff\xfe silent"))
    first, *others = open_source(tmp_path / "page", as_of=AS_OF)
    assert isinstance(first, Rejected)
    assert (first.where, first.why) == ("record 1", "the record holds bytes that are not UTF-8")
    assert [type(other) for other in others] == [Paper, Paper, Paper]


def test_it_goes_on_behind_any_entry(tmp_path: Path) -> None:
    every = read(tmp_path, PAGE)
    reader = open_source(tmp_path / "page", as_of=AS_OF)
    positions = [reader.position for _ in reader]
    for number, position in enumerate(positions, start=1):
        assert list(open_source(tmp_path / "page", as_of=AS_OF, position=position)) == every[number:]


def test_a_position_of_another_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page").write_text(PAGE)
    with pytest.raises(
        SourceError, match=r"the position 'ris@1:1' does not belong to .*page, which is the Daily Papers page as plain text"
    ):
        open_source(tmp_path / "page", position="ris@1:1")


WORDS = st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=1, max_size=8).map(" ".join)


@dataclass(frozen=True)
class Entry:
    title: str
    abstract: str
    who: int | str
    day: date
    comments: int | None

    def rendered(self, year: int) -> str:
        who = self.who if isinstance(self.who, str) else f"  • {self.who} authors"
        shown = "" if self.day.year == year else f", {self.day.year}"
        comments = "" if self.comments is None else f" {self.comments}"
        return f"{self.title}\n\n{self.abstract}\n\n{who}\n·\n{self.day:%b} {self.day.day}{shown}{comments}\n\n"

    def paper(self, listed: date) -> Paper:
        count, organisation = (None, self.who.split()[0]) if isinstance(self.who, str) else (self.who, "")
        return Paper(
            title=self.title,
            abstract=self.abstract,
            author_count=count,
            organisation=organisation,
            published=self.day,
            listed=listed,
            comments=self.comments,
        )


ENTRIES = st.builds(
    Entry,
    title=WORDS.map(str.title).filter(lambda title: title.split() == title.strip().split()),
    abstract=WORDS.map(lambda words: f"{words} ends here."),
    who=st.integers(0, 5000) | st.text("abcdef-", min_size=1, max_size=9).map(lambda name: f"{name} {name}"),
    day=st.dates(date(2000, 1, 1), date(2026, 4, 20)),
    comments=st.none() | st.integers(0, 999),
)


@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_it_reads_back_what_is_rendered_in_this_layout(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    text = "new\n\nDaily Papers\n\nbyAK and friends\n\nApr 20\n\n" + "".join(entry.rendered(2026) for entry in entries)
    found = read(tmp_path_factory.getbasetemp(), text, date(2026, 4, 20))
    assert found == [entry.paper(date(2026, 4, 20)) for entry in entries]
