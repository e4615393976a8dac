"""Text is cleaned of what nobody can see, names are turned round, TeX accents become letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.catalog.names import direct, family_given
from pressrun.catalog.text import from_latex, one_line, paragraphs, without_markup


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  two\n  words ", "two words"),
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("safe\u202eevil\u2066", "safeevil"),
        ("don\x92t", "don’t"),
        ("\ufeffTitle\ufffe", "Title"),
        ("half \ud800 pair", "half pair"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("$\\ell_1$ 84.4\\%", "$\\ell_1$ 84.4\\%"),
        ("نیم\u200cفاصله 👩\u200d🔬", "نیم\u200cفاصله 👩\u200d🔬"),
    ],
)
def test_it_takes_out_what_nobody_can_see(raw: str, clean: str) -> None:
    assert one_line(raw) == clean


@given(st.text(st.characters(codec=None)))
def test_clean_text_stays_as_it_is(text: str) -> None:
    assert one_line(one_line(text)) == one_line(text)
    assert paragraphs(paragraphs(text)) == paragraphs(text)
    assert not set(one_line(text)) & {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x202E, 0xFEFF)}


def test_it_keeps_paragraphs() -> None:
    assert paragraphs(" One\nline. \r\n \t\r\n Two. ") == "One line.\n\nTwo."


def test_arxiv_marks_paragraphs_by_two_blanks() -> None:
    assert paragraphs("  One\nline.\n  Two.\n", indented=True) == "One line.\n\nTwo."
    assert paragraphs("One\n    line.") == "One line."


def test_html_is_taken_out_of_html_and_left_alone_in_text() -> None:
    assert paragraphs(without_markup("<p>One &nbsp;<em>word</em></p><p>x &lt; y</p>")) == "One word\n\nx < y"
    assert without_markup("if a<b and c>d") == "if a<b and c>d"


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("Bal\\'azs", "Balázs"),
        ('M{\\"u}ller', "Müller"),
        ("{\\O}rsted \\ss", "Ørsted ß"),
        ("10\\,000 -- 20~000", "10 000 – 20 000"),
        ("$\\ell_1$ \\& more", "$\\ell_1$ & more"),
        ("50% of a_b # c", "50% of a_b # c"),
        ("{Caps} {{Twice}}", "Caps Twice"),
        ("no tex", "no tex"),
        ("{ unbalanced", " unbalanced"),
    ],
)
def test_it_reads_tex(tex: str, text: str) -> None:
    assert from_latex(tex) == text


@given(st.text(alphabet="\\{}$%&~^'\"abc \n-", max_size=40))
def test_no_tex_is_too_strange(text: str) -> None:
    assert isinstance(from_latex(text), str)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ada Bee", ("Bee", "Ada", "")),
        ("Ludwig van der Berg", ("van der Berg", "Ludwig", "")),
        ("Martin Luther King Jr.", ("King", "Martin Luther", "Jr.")),
        ("Plato", ("Plato", "", "")),
        ("", ("", "", "")),
    ],
)
def test_it_tells_family_and_given_names_apart(name: str, parts: tuple[str, str, str]) -> None:
    assert family_given(name) == parts


def test_it_turns_names_round() -> None:
    assert direct("van der Berg, Ludwig") == "Ludwig van der Berg"
    assert direct("King, Jr., Martin") == direct("King, Martin, Jr.") == "Martin King Jr."
    assert direct("Ada Bee") == "Ada Bee"
    assert direct("a, b, c, d") == "a, b, c, d"
