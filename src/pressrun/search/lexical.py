"""The tantivy side: the schema, and queries built from objects (never from strings, so nothing typed is syntax)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tantivy
from tantivy import Occur
from tantivy import Query as Condition

from pressrun.search.document import Document
from pressrun.search.generation import IndexDamaged
from pressrun.search.query import Filter, Query
from pressrun.search.words import STOP_WORDS, english, names, prepared, stems, tokens, verbatim

__all__ = [
    "NUMBER_SLOTS",
    "Plan",
    "among",
    "any_of",
    "both",
    "constraint",
    "either",
    "indexed_text",
    "open_index",
    "plan",
    "stored_text",
    "tantivy_document",
    "texts_of",
]

NUMBER_SLOTS = 16
"""Columns kept free for whole numbers in `Document.extra`; a column nobody fills costs nothing."""

SCORED = (("text", 1.0), ("authors", 0.7))
"""The fields a word is looked for in, each with its weight. Titles count through `fusion.title_overlap`."""
FREQUENT = (0.2, 0.5)
"""A word in a larger share of the papers does not choose candidates where the query has one below that share. Of words all above the
second, which tell as little as stop words, the rarest does."""
FEW_PAPERS = 50_000
"""Below this number of papers every word is looked up: it is cheap there, and measured better."""
MOST_WORDS = 32
"""Of a longer query (a pasted abstract) the rarest words are used."""
TYPO_WEIGHT = 0.6
PREFIX_TERMS = 12
FEW_ROWS = 1000
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def open_index(path: Path, *, create: bool) -> tantivy.Index:
    """The tantivy index in a directory; with `create`, made where there is none."""
    if create:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "meta.json").exists():
        raise FileNotFoundError(f"{path} holds no index")
    try:
        index = tantivy.Index(_schema(), path=str(path)) if create else tantivy.Index.open(str(path))
    except ValueError as error:
        raise IndexDamaged(f"The index in {path} cannot be read ({error}); rebuild it.") from None
    index.config_reader("manual")
    for name, analyzer in (("english", english()), ("names", names())):
        index.register_tokenizer(name, analyzer)
    # What facets count are the values as written, so columns hold them whole.
    index.register_fast_field_tokenizer("names", verbatim())
    return index


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("tag", fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", stored=True, tokenizer_name="english")
    builder.add_text_field("authors", stored=True, fast=True, tokenizer_name="names")
    builder.add_text_field("org", fast=True, tokenizer_name="names")
    builder.add_text_field("topic", fast=True, tokenizer_name="names")
    builder.add_integer_field("row", indexed=True, fast=True)
    for name in ("year", "published", "listed", "votes", *(f"number{slot}" for slot in range(NUMBER_SLOTS))):
        builder.add_integer_field(name, fast=True)
    return builder.build()


def tantivy_document(document: Document, row: int, slots: Mapping[str, int]) -> tantivy.Document:
    """A paper as tantivy stores it; `slots` says which number column each whole number of `extra` goes to."""
    entry = tantivy.Document()
    entry.add_text("id", document.id)
    for key in {document.id.lower(), *(alias.lower() for alias in document.aliases)}:
        entry.add_text("key", key)
    # One field holds the title as its first line: words are looked up once, and phrases in either.
    entry.add_text("text", indexed_text(document))
    for field, labels in (("authors", document.authors), ("org", (document.organisation,)), ("topic", document.topics)):
        for label in labels:
            if label:
                entry.add_text(field, prepared(label))
    for tag in _tags(document):
        entry.add_text("tag", tag)
    entry.add_integer("row", row)
    entry.add_integer("votes", document.votes)
    if document.published:
        entry.add_integer("year", document.published.year)
        entry.add_integer("published", document.published.toordinal())
    if document.listed:
        entry.add_integer("listed", document.listed.toordinal())
    for name, value in document.extra.items():
        if isinstance(value, int):
            entry.add_integer(f"number{slots[name]}", value)
    return entry


def indexed_text(document: Document) -> str:
    """The title as the first line, the text after it."""
    return f"{' '.join(prepared(document.title).split())}\n{prepared(document.text)}"


def stored_text(searcher: tantivy.Searcher, place: tantivy.DocAddress) -> tuple[str, str]:
    """Title and text of a paper."""
    title, _, text = str(searcher.doc(place).get_first("text")).partition("\n")
    return title, text


def texts_of(searcher: tantivy.Searcher, schema: tantivy.Schema, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Id and indexed text of the papers in rows; a row whose paper is gone is missing."""
    places = [place for _, place in searcher.search(among(schema, rows), max(len(rows), 1), count=False).hits]
    stored = [searcher.doc(place) for place in places]
    found = searcher.fast_field_values("row", places)
    return {int(row or 0): (str(one.get_first("id")), str(one.get_first("text"))) for row, one in zip(found, stored, strict=True)}


def _tags(document: Document) -> Iterable[str]:
    if document.has_code:
        yield "has=code"
    if document.has_replication:
        yield "has=replication"
    for name, value in document.extra.items():
        yield f"has={name}"
        if not isinstance(value, int):
            yield from (f"{name}={word.lower()}" for word in ((value,) if isinstance(value, str) else value))


@dataclass(frozen=True)
class Plan:
    """How a query's words are looked up: the condition that finds and scores papers, and the number it can find at most."""

    condition: Condition
    at_most: int
    share: float
    """The share of all papers expected to have at least one of the words, taken as independent."""


def plan(
    searcher: tantivy.Searcher, schema: tantivy.Schema, query: Query, *, prefix_last: bool, every: bool = False
) -> Plan | None:
    """What the words and phrases of a query look for: any of the words, or every one; None where they hold no letter or digit.

    Stop words are left out beside others, and in a large index words that are `FREQUENT` beside rarer ones. A word that no paper has is
    replaced by those one typing error away, at less weight. With `prefix_last` the last word may go on.
    """
    groups = _groups(searcher, query, prefix_last)
    if not groups:
        return None
    papers = max(searcher.num_docs, 1)
    sizes = [max(_papers(searcher, term) for term, _ in group) for group in groups]
    most = papers if every or papers < FEW_PAPERS else _most(sizes, papers)
    kept = [at for at, size in enumerate(sizes) if every or 0 < size <= most]
    kept = sorted(sorted(kept, key=sizes.__getitem__)[:MOST_WORDS])
    found = [_lookups(searcher, schema, groups[place]) for place in kept]
    at_most = sum(size for _, size in (one for group in found for one in group))
    rest = 1.0
    for group in found:
        for _, size in group:
            rest *= 1 - min(size / papers, 1)
    if every:
        condition = both(*(any_of([lookup for lookup, _ in group]) for group in found))
    else:
        condition = any_of([lookup for group in found for lookup, _ in group])
    return Plan(condition, min(at_most, searcher.num_docs), 1 - rest)


def _most(sizes: Sequence[int], papers: int) -> float:
    """The largest number of papers that a word may be in to choose candidates."""
    rarest = min((size for size in sizes if size), default=0)
    return next((share * papers for share in FREQUENT if rarest <= share * papers), rarest)


def _groups(searcher: tantivy.Searcher, query: Query, prefix_last: bool) -> list[list[tuple[str, float]]]:
    """For each stem of the query the terms that stand for it, with their weights."""
    typed = [word for word in query.words if word.lower() not in STOP_WORDS]
    texts = typed + list(query.phrases) or list(query.words)
    last = query.words[-1] if prefix_last and query.words else None
    groups: dict[str, list[tuple[str, float]]] = {}
    for text in dict.fromkeys(texts + ([last] if last else [])):
        parts = tokens(text)
        for part in parts:
            for stem in stems(part):
                if stem not in groups:
                    groups[stem] = [(stem, 1.0), *((other, TYPO_WEIGHT) for other in _respelt(searcher, part, stem))]
                if text == last and part == parts[-1]:
                    known = {term for term, _ in groups[stem]}
                    groups[stem] += [(term, 1.0) for term in _completed(searcher, part) if term not in known]
    return list(groups.values())


def _completed(searcher: tantivy.Searcher, start: str) -> list[str]:
    """The most frequent terms a word being typed can become. Stems are shorter than words, so the start is shortened until some fit."""
    for length in range(len(start), max(len(start) - 4, min(len(start), 3) - 1), -1):
        found = dict(searcher.terms_with_prefix("authors", start[:length], limit=PREFIX_TERMS // 3))
        found |= dict(searcher.terms_with_prefix("text", start[:length], limit=PREFIX_TERMS))
        if found:
            return list(found)
    return []


def _respelt(searcher: tantivy.Searcher, word: str, stem: str) -> list[str]:
    """Up to three terms one typing error away from a word of four letters or more that no paper has."""
    if len(word) < 4 or len(word) > 24 or _papers(searcher, stem):
        return []
    found = {term: papers for term in set(stems(" ".join(_misspellings(word)))) if (papers := _papers(searcher, term))}
    return sorted(found, key=lambda term: (-found[term], term))[:3]


def _papers(searcher: tantivy.Searcher, term: str) -> int:
    return searcher.doc_freq("text", term) + searcher.doc_freq("authors", term)


def _misspellings(word: str) -> set[str]:
    """All words one deletion, swap of neighbours, replacement or insertion away."""
    letters = _LETTERS + "".join(set(word) - set(_LETTERS))
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    deleted = {left + right[1:] for left, right in cuts if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    replaced = {left + letter + right[1:] for left, right in cuts if right for letter in letters}
    inserted = {left + letter + right for left, right in cuts for letter in letters}
    return (deleted | swapped | replaced | inserted) - {word}


def _lookups(
    searcher: tantivy.Searcher, schema: tantivy.Schema, group: Sequence[tuple[str, float]]
) -> list[tuple[Condition, int]]:
    """A term in every field that holds it, with the number of papers; kept flat so that tantivy can skip (block-max WAND)."""
    return [
        (Condition.boost_query(Condition.term_query(schema, field, term, "freq"), weight * boost), papers)
        for term, weight in group
        for field, boost in SCORED
        if (papers := searcher.doc_freq(field, term))
    ]


def constraint(schema: tantivy.Schema, query: Query, slots: Mapping[str, int]) -> Condition | None:
    """What must hold for every paper of the answer: filters, phrases and exclusions; None where there is none."""
    must: list[Condition] = []
    without: list[Condition] = []
    widened: dict[str, list[Condition]] = {}
    for one in query.filters:
        condition = _filter(schema, one, slots)
        if one.negated:
            without.append(condition)
        elif one.field in ("year", "org"):
            widened.setdefault(one.field, []).append(condition)
        else:
            must.append(condition)
    must += [any_of(conditions) for conditions in widened.values()]
    must += [phrase for text in query.phrases if (phrase := _phrase(schema, text))]
    without += [phrase for text in query.without if (phrase := _phrase(schema, text))]
    if not must and not without:
        return None
    wanted = [(Occur.Must, condition) for condition in must or [Condition.all_query()]]
    return Condition.const_score_query(Condition.boolean_query(wanted + [(Occur.MustNot, one) for one in without]), 0.0)


def _filter(schema: tantivy.Schema, one: Filter, slots: Mapping[str, int]) -> Condition:
    if one.field == "has":
        return Condition.term_query(schema, "tag", f"has={one.value}")
    if one.is_range:
        low, high = (end.toordinal() if isinstance(end, date) else end for end in (one.low, one.high))
        column = f"number{slots[one.field]}" if one.field in slots else one.field
        return Condition.range_query(schema, column, tantivy.FieldType.Integer, low, high)
    if one.field in ("author", "org", "topic"):
        return _in_order(schema, "authors" if one.field == "author" else one.field, tokens(one.value))
    return Condition.term_query(schema, "tag", f"{one.field}={one.value.lower()}")


def _phrase(schema: tantivy.Schema, text: str) -> Condition | None:
    """The words side by side, in the title, the text or one author's name; None where there is no word."""
    if not stems(text):
        return None
    return any_of([_in_order(schema, "text", stems(text)), _in_order(schema, "authors", tokens(text))])


def _in_order(schema: tantivy.Schema, field: str, terms: list[str]) -> Condition:
    if not terms:
        return Condition.empty_query()
    return (
        Condition.term_query(schema, field, terms[0]) if len(terms) == 1 else Condition.phrase_query(schema, field, list(terms))
    )


def any_of(conditions: Sequence[Condition]) -> Condition:
    """At least one holds; scores add up."""
    return (
        Condition.boolean_query([(Occur.Should, condition) for condition in conditions])
        if conditions
        else Condition.empty_query()
    )


def both(*conditions: Condition | None) -> Condition:
    """All that are given hold; scores add up."""
    given = [condition for condition in conditions if condition is not None]
    if not given:
        return Condition.all_query()
    return given[0] if len(given) == 1 else Condition.boolean_query([(Occur.Must, condition) for condition in given])


def either(needed: Condition, scored: Condition | None) -> Condition:
    """`needed` holds; `scored` only adds its score."""
    return needed if scored is None else Condition.boolean_query([(Occur.Must, needed), (Occur.Should, scored)])


def among(schema: tantivy.Schema, rows: Sequence[int]) -> Condition:
    """The papers in these rows, without score."""
    if len(rows) <= FEW_ROWS:
        # Twice as fast as a term set, which walks the whole dictionary of rows.
        found = any_of([Condition.term_query(schema, "row", int(row), "basic") for row in rows])
    else:
        found = Condition.term_set_query(schema, "row", list(rows))
    return Condition.const_score_query(found, 0.0)
