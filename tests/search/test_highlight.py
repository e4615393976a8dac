"""Which parts of a text a query marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.search import highlight, words_in


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Inhibition helps.", "inhibiting", ["Inhibition"]),
        ("Naïve Bayes", "naive", ["Naïve"]),
        ("nai\u0308ve Bayes", "naive", ["nai\u0308ve"]),
        ("Lateral inhibition helps", '"lateral inhibition"', ["Lateral inhibition"]),
        ("<b>bold</b> & <i>", "bold", ["bold"]),
        ("$\\alpha^2$ decays", "alpha", ["alpha"]),
        ("漢字のテスト", "字", ["字"]),
        ("The rule of the thumb", "the rule", ["rule"]),
        ("The rule of the thumb", "the", ["The", "the"]),
        ("nothing here", "year:2024", []),
    ],
)
def test_it_marks_words_by_their_stem(text: str, query: str, marked: list[str]) -> None:
    pieces = highlight(text, query)
    assert [piece for piece, hit in pieces if hit] == marked
    assert "".join(piece for piece, _ in pieces) == text


@given(st.text(max_size=80), st.text(alphabet="ab 漢é\u0301", max_size=8))
def test_the_pieces_always_join_to_the_text(text: str, query: str) -> None:
    assert "".join(piece for piece, _ in highlight(text, query)) == text


def test_the_words_that_are_in_a_text_are_those_that_would_be_marked() -> None:
    text = "Inhibitory neurons, and what the brain does not say"
    words = ("inhibition", "the brain", "what", "neuron", "spiking")
    assert words_in(text, words) == tuple(word for word in words if any(hit for _, hit in highlight(text, word)))
    assert words_in(text, words) == ("the brain", "what", "neuron")
