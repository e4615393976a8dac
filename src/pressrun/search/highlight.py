"""Which parts of a text a query matches."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from pressrun.search.query import Query, parse
from pressrun.search.words import STOP_WORDS, english, prepared, stems, tokens

__all__ = ["highlight", "matched_words", "words_in"]


def highlight(text: str, query: Query | str) -> list[tuple[str, bool]]:
    """The text cut into pieces, True for those the query matches; joined they give the text.

    Words match by their stem: `inhibiting` marks "inhibition". Stop words are marked only if the query has nothing else.
    """
    query = parse(query) if isinstance(query, str) else query
    wanted = _wanted(query)
    pieces: list[tuple[str, bool]] = []
    end = 0
    for start, stop, stem in _spans(text):
        if stem not in wanted:
            continue
        between = text[end:start]
        if pieces and not between.strip():
            pieces[-1] = (pieces[-1][0] + between + text[start:stop], True)
        else:
            pieces += [(between, False)] * bool(between) + [(text[start:stop], True)]
        end = stop
    return pieces + [(text[end:], False)] * (end < len(text))


def matched_words(query: Query, papers: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """For each paper, as text and authors, the words of the query, as typed, that are in its text (by stem) or authors."""
    asked = [(word, stems(word), tokens(word)) for word in dict.fromkeys(_telling(query.words + query.phrases))]
    return [
        tuple(word for word, parts, plain in asked if parts and (found.issuperset(parts) or people.issuperset(plain)))
        for text, authors in papers
        for found, people in ((set(stems(text)), set(tokens(authors))),)
    ]


def words_in(text: str, words: Iterable[str]) -> tuple[str, ...]:
    """Those of the words that `highlight` would mark somewhere in the text."""
    there = set(stems(text))
    return tuple(word for word in words if not there.isdisjoint(_wanted(parse(word))))


def _wanted(query: Query) -> set[str]:
    return {stem for word in _telling(query.words + query.phrases) for stem in stems(word)}


def _telling(words: tuple[str, ...]) -> list[str]:
    """The words without stop words, unless there is nothing else."""
    return [word for word in words if word.lower() not in STOP_WORDS] or list(words)


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and stem of each word of the text, in characters of the text as given."""
    shown = prepared(text)
    places = _places(text, shown) if shown != text else None
    for token in english().pre_tokenize(shown).tokens:
        start, stop = token.char_offset_from, token.char_offset_to
        yield (start, stop, token.text) if places is None else (places[start], places[stop - 1] + 1, token.text)


def _places(text: str, shown: str) -> list[int]:
    """For each character of the prepared text its place in the text as given.

    Preparing only inserts spaces and composes accents, so both are walked side by side; a character that stands in one
    and not in the other moves only that side on.
    """
    places = []
    at = 0
    for character in shown:
        here = min(at, max(len(text) - 1, 0))
        places.append(here)
        if here < len(text) and character == text[here]:
            at += 1
        elif character != " ":
            # A composed character stands for several of the text: its base and the marks that follow.
            at += len(_decomposed(character, text[here:]))
    return places


def _decomposed(character: str, rest: str) -> str:
    """The beginning of `rest` that composes to `character`; one character where nothing does."""
    for length in range(2, 8):
        if unicodedata.normalize("NFC", rest[:length]) == character and (
            length >= len(rest) or not unicodedata.combining(rest[length])
        ):
            return rest[:length]
    return rest[:1]
