"""From text to the terms that are indexed, and back to the places in the text that a query matches."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

__all__ = ["STOP_WORDS", "english", "names", "prepared", "stems", "tokens", "verbatim"]

LONGEST_TERM = 64
"""Bytes of a longer run of letters and digits are not indexed: no reader types it."""

# Scripts written without spaces: every character becomes a word of its own, so that a part of a sentence can be found.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])"
)

STOP_WORDS = frozenset(
    (  # noqa: SIM905  (as a list literal it would take 130 lines)
        "a about after all also am an and any are as at be because been being between both but by can could did do does doing "
        "during each few for from further had has have having he her here hers him his how i if in into is it its itself just may "
        "me might more most must my no nor not of off on once only or other our ours out over own same shall she should so some "
        "such than that the their theirs them then there these they this those through to too under until up upon us very was we "
        "were what when where which while who whom whose why will with within without would you your yours "
    ).split()
)
"""Words that say nothing of a paper's subject: left out of a query that has others."""


@cache
def english() -> TextAnalyzer:
    """Words in lower case, without accents, reduced to their English stem."""
    return _plain(Tokenizer.simple()).filter(Filter.stemmer("english")).build()


@cache
def names() -> TextAnalyzer:
    """Words in lower case, without accents; not stemmed: for people, organisations and topics."""
    return _plain(Tokenizer.simple()).build()


@cache
def verbatim() -> TextAnalyzer:
    """The whole value as one term, as it is."""
    return TextAnalyzerBuilder(Tokenizer.raw()).build()


def _plain(tokenizer: Tokenizer) -> TextAnalyzerBuilder:
    builder = TextAnalyzerBuilder(tokenizer).filter(Filter.remove_long(LONGEST_TERM))
    return builder.filter(Filter.lowercase()).filter(Filter.ascii_fold())


def prepared(text: str) -> str:
    """The text as it is analysed: accents composed, characters of scripts without spaces set apart."""
    if text.isascii():
        return text
    return _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode()))


def stems(text: str) -> list[str]:
    """The English stems of a text, in its order."""
    return english().analyze(prepared(text))


def tokens(text: str) -> list[str]:
    """The words of a name or title in lower case without accents, in its order."""
    return names().analyze(prepared(text))
