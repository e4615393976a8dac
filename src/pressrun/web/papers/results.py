"""Search as the page shows it: the hits with their marks and reasons, and the filters as links that edit the query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from django.urls import reverse

from pressrun import catalog
from pressrun.search import Hit, Query, highlight, parse, words_in
from pressrun.search.query import FIELDS
from pressrun.web.papers.models import Paper

__all__ = [
    "MODES",
    "Chosen",
    "Facet",
    "Found",
    "Piece",
    "chosen",
    "facets",
    "found",
    "looks_like_id",
    "marked",
    "named_paper",
    "papers_in_order",
    "search_url",
    "snippet",
    "sorts",
]

Piece = tuple[str, bool]
"""Some text, and whether the query matches it."""

MODES = {"hybrid": "words and meaning", "lexical": "words", "semantic": "meaning"}
FACETS = {
    "year": "Year",
    "topic": "Topic",
    "org": "Organisation",
    "author": "Author",
    "category": "Category",
    "has": "Has",
    "verdict": "Verdict",
    "scale": "Scale",
}
SORTS = {"relevance": "Relevance", "date": "Newest", "votes": "Most votes"}
SHOWN_VALUES = 8
SNIPPET = 280  # characters: about what two lines of a wide card and three of a phone hold

_FILTER = re.compile(r'(?<!\S)-?(?P<field>[^\W\d]\w*):(?P<value>"[^"]*"|[^\s"]+)')
# The same delimiters as the typesetting in the browser: a mark inside a formula would tear it apart.
_MATHS = re.compile(r"(\$\$[^$]+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\$(?!\s)(?:\\.|[^$\\])+?(?<!\s)\$(?!\d))", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Chosen:
    """A filter that stands in the query, and the query's address without it."""

    text: str
    url: str


@dataclass(frozen=True)
class Value:
    """One value of a facet: how many papers have it, and where choosing it, or undoing that, leads."""

    text: str
    count: int | None
    url: str
    on: bool


@dataclass(frozen=True)
class Facet:
    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Found:
    """A hit as a card shows it. `places` says which of the query's words stand where."""

    paper: Paper
    hit: Hit
    title: tuple[Piece, ...]
    text: tuple[Piece, ...]
    places: tuple[tuple[str, tuple[str, ...]], ...]


def search_url(text: str, mode: str = "hybrid") -> str:
    """The address of a search."""
    return f"{reverse('search')}?{urlencode({'q': text} | ({} if mode == 'hybrid' else {'mode': mode}))}"


def looks_like_id(text: str) -> bool:
    """Whether a query is nothing but an arXiv id, a DOI or an address."""
    if not text or len(text) > 500 or re.search(r"\s", text):
        return False
    return bool(catalog.arxiv_id_in(text) or catalog.doi_in(text) or re.match(r"https?://", text, re.IGNORECASE))


def named_paper(text: str) -> Paper | None:
    """The paper that a query names by its id (public, arXiv, DOI) or address, this site's own included."""
    if not text or len(text) > 500 or re.search(r"\s", text):
        return None
    if "/papers/" in text and re.match(r"https?://", text, re.IGNORECASE):
        text = urlsplit(text).path.partition("/papers/")[2] or text
    return Paper.objects.by_id(text).first()


def papers_in_order(hits: Sequence[Hit]) -> list[tuple[Paper, Hit]]:
    """The papers of the hits, in the order of the hits. Two queries. One that left the database since is left out."""
    rows = Paper.objects.filter(public_id__in=[hit.id for hit in hits]).with_facts()
    by_id = {paper.public_id: paper for paper in rows}
    return [(by_id[hit.id], hit) for hit in hits if hit.id in by_id]


def found(hits: Sequence[Hit], query: str) -> list[Found]:
    """The hits with their marks and reasons."""
    asked = parse(query)
    return [_found(paper, hit, asked) for paper, hit in papers_in_order(hits)]


def _found(paper: Paper, hit: Hit, query: Query) -> Found:
    texts = [text for text in (paper.summary, paper.abstract) if text]
    text = max((marked(text, query) for text in texts), key=_marks, default=[])
    in_title = words_in(paper.title, hit.matched)
    in_text = words_in("\n".join(texts), [word for word in hit.matched if word not in in_title])
    in_authors = tuple(word for word in hit.matched if word not in in_title and word not in in_text)
    places = tuple((where, words) for where, words in (("title", in_title), ("text", in_text), ("authors", in_authors)) if words)
    return Found(paper, hit, tuple(marked(paper.title, query)), tuple(snippet(text)), places)


def _marks(pieces: Iterable[Piece]) -> int:
    return sum(hit for _, hit in pieces)


def marked(text: str, query: Query | str) -> list[Piece]:
    """The text in pieces, True where the query matches. Formulas stay whole and unmarked."""
    pieces: list[Piece] = []
    for number, part in enumerate(_MATHS.split(text)):
        if number % 2:
            pieces.append((part, False))
        elif part:
            pieces.extend(highlight(part, query))
    return pieces


def snippet(pieces: Sequence[Piece], length: int = SNIPPET) -> list[Piece]:
    """A window of about `length` characters that begins with a sentence and holds the most marks, the first such one."""
    text = "".join(piece for piece, _ in pieces)
    if len(text) <= length:
        return list(pieces)
    spans, at = [], 0
    for piece, hit in pieces:
        if hit:
            spans.append(at)
        at += len(piece)
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text))]
    start = max(starts, key=lambda s: (sum(s <= place < s + length for place in spans), -s))
    end = min(len(text), start + length)
    if end < len(text):
        end = text.rfind(" ", start, end) if " " in text[start:end] else end
        if text.count("$", start, end) % 2:  # rather a little longer than half a formula
            closing = text.find("$", end)
            end = closing + 1 if 0 <= closing < end + 200 else text.rfind("$", start, end)
    return [*([("… ", False)] if start else []), *_cut(pieces, start, end), *([(" …", False)] if end < len(text) else [])]


def _cut(pieces: Sequence[Piece], start: int, end: int) -> list[Piece]:
    inside, at = [], 0
    for piece, hit in pieces:
        part = piece[max(start - at, 0) : max(end - at, 0)]
        if part:
            inside.append((part, hit))
        at += len(piece)
    return inside


def chosen(text: str, mode: str, further: Iterable[str] = ()) -> list[Chosen]:
    """The filters that stand in the query, in order; `further` names the fields that only this index knows."""
    known = {*FIELDS, *further} - {"sort"}
    found = [match for match in _FILTER.finditer(text) if match["field"].lower() in known]
    return [Chosen(match[0], search_url(_without(text, match), mode)) for match in found]


def facets(counts: Mapping[str, Sequence[tuple[str, int]]], text: str, mode: str) -> list[Facet]:
    """The facets that still can narrow the answer, or that narrow it already."""
    shown = [Facet(name, tuple(_values(field, counts.get(field, ()), text, mode))) for field, name in FACETS.items()]
    return [facet for facet in shown if len(facet.values) > 1 or any(value.on for value in facet.values)]


def _values(field: str, counts: Sequence[tuple[str, int]], text: str, mode: str) -> Iterable[Value]:
    standing = {
        match["value"].strip('"').casefold(): match
        for match in _FILTER.finditer(text)
        if match["field"].lower() == field and not match[0].startswith("-")
    }
    known = dict(counts)
    folded = {value.casefold(): value for value in known}
    for value, match in standing.items():
        name = folded.get(value, match["value"].strip('"'))
        yield Value(name, known.get(name), search_url(_without(text, match), mode), on=True)
    for value, count in counts[:SHOWN_VALUES]:
        if value.casefold() not in standing:
            yield Value(value, count, search_url(_with(text, field, value), mode), on=False)


def sorts(text: str, mode: str) -> list[Value]:
    """The orders an answer can have; the query says which."""
    bare, now = text, "relevance"
    while match := next((m for m in _FILTER.finditer(bare) if m["field"].lower() == "sort"), None):
        now = match["value"].strip('"').lower()
        bare = _without(bare, match)
    return [
        Value(label, None, search_url(bare if sort == "relevance" else _with(bare, "sort", sort), mode), on=sort == now)
        for sort, label in SORTS.items()
    ]


def _with(text: str, field: str, value: str) -> str:
    plain = value.replace('"', " ")
    if not re.fullmatch(r"[\w-]+", plain):
        plain = f'"{plain}"'
    return f"{text} {field}:{plain}".strip()


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()].rstrip()} {text[match.end() :].lstrip()}".strip()
