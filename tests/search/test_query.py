"""What a reader types, and what is meant."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.search import Filter, QueryError, parse


def test_it_takes_words_phrases_and_exclusions_apart() -> None:
    query = parse('brains "that learn" -forget -"at once" state-of-the-art')
    assert query.words == ("brains", "state-of-the-art")
    assert query.phrases == ("that learn",)
    assert query.without == ("forget", "at once")
    assert query.meaning == "brains that learn state-of-the-art"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year:2025", Filter("year", low=2025, high=2025)),
        ("year:2020..2023", Filter("year", low=2020, high=2023)),
        ("year:..2023", Filter("year", high=2023)),
        ("year:>=2023", Filter("year", low=2023)),
        ("-year:2023", Filter("year", low=2023, high=2023, negated=True)),
        ("published:2024-02", Filter("published", low=date(2024, 2, 1), high=date(2024, 2, 29))),
        ("listed:2026-02-06..", Filter("listed", low=date(2026, 2, 6))),
        ("before:2025", Filter("published", high=date(2024, 12, 31))),
        ("after:2025-06", Filter("published", low=date(2025, 7, 1))),
        ("published:<2025-06", Filter("published", high=date(2025, 5, 31))),
        ('author:"Ada Lovelace"', Filter("author", "Ada Lovelace")),
        ("Author:hinton", Filter("author", "hinton")),
        ("-topic:vision", Filter("topic", "vision", negated=True)),
        ("has:code", Filter("has", "code")),
        ("votes:>1k", Filter("votes", low=1001)),
        ("runs:<2min", Filter("runs", high=119)),
        ("verdict:Matched", Filter("verdict", "Matched")),
    ],
)
def test_it_reads_a_filter(text: str, expected: Filter) -> None:
    query = parse(text, {"runs": int, "verdict": str})
    assert query.filters == (expected,)
    assert query.words == ()


def test_an_unknown_field_is_words() -> None:
    assert parse("c:elegans verdict:matched").words == ("c:elegans", "verdict:matched")


def test_a_field_still_being_typed_is_nothing() -> None:
    assert parse("neurons year: author:").filters == ()
    assert parse("neurons year: author:").words == ("neurons",)


@pytest.mark.parametrize("text", ['"unbalanced phrase', 'unbalanced" phrase', "“unbalanced phrase"])
def test_an_unbalanced_quote_is_no_quote(text: str) -> None:
    query = parse(text)
    assert query.words + query.phrases == ("unbalanced", "phrase")


def test_signs_without_a_letter_are_nothing() -> None:
    query = parse("- -- + && || ( ) [ * ] { } ^ ~ \\ / : ! 🙂 -🙂")
    assert (query.words, query.phrases, query.without, query.filters) == ((), (), (), ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x" * 100_000, "The query has 100,000 characters; at most 10,000 can be searched for."),
        ("year:soon", "year: needs a whole number, as in year:2025, year:10..20 or year:<120, not 'soon'."),
        (
            "published:2026-02-30",
            "published: needs a year, month or day such as 2025, 2025-02 or 2025-02-28, not '2026-02-30'.",
        ),
        ("sort:random", "sort: takes relevance, date or votes, not 'random'."),
        ("has:wings", "has: takes one of code, replication, not 'wings'."),
        ("has:code " * 51, "The query has 51 filters; at most 50 can be used together."),
    ],
)
def test_it_says_in_a_sentence_what_it_cannot_read(text: str, sentence: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert str(caught.value) == sentence


TYPED = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [
            "-",
            '"',
            ":",
            "year:",
            "author:",
            "has:",
            "sort:",
            "2020..",
            "..",
            "<",
            "neurons",
            "AND",
            "OR",
            "NOT",
            "(",
            ")",
            "*",
            "~1",
            "\x00",
            "🙂",
        ]
    )
).map("".join)


@given(TYPED)
def test_whatever_is_typed_is_a_query_or_a_sentence(text: str) -> None:
    try:
        query = parse(text, {"runs": int, "verdict": str})
    except QueryError:
        return
    assert all(any(character.isalnum() for character in word) for word in query.words + query.phrases + query.without)
