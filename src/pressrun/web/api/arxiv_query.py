"""arXiv's query language: from text to a condition on papers.

A query joins terms by AND, OR and ANDNOT; AND and ANDNOT bind more tightly than OR, terms side by side are joined by AND,
parentheses group. A term is a word or a "phrase", after a prefix that says where it must stand: ti (title), abs (abstract
or summary), au (author), co (comment), jr (journal), cat (category), id, all (title, abstract, authors), the default. A term
in a text matches whole words without regard to case; `word*` matches their beginnings. `submittedDate:[from TO until]` and
`lastUpdatedDate:[…]` bound the dates, each given as YYYYMMDD with an optional hour, minute and second, or *. Report numbers
(rn) are not kept here and match nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_

from django.db.models import Q
from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Author, Paper

__all__ = ["All", "Any", "Between", "Node", "Not", "Term", "condition", "parse", "required_texts"]

LONGEST = 4000
MOST_TERMS = 100
DEEPEST = 40
FIELDS = ("ti", "abs", "au", "co", "jr", "cat", "rn", "id", "all")
DATES = ("submittedDate", "lastUpdatedDate")

_GRAMMAR = rf"""
    start: either
    either: both (_OR both)*
    both: unit (_AND unit | without | unit)*
    without: _ANDNOT unit
    ?unit: term | "(" either ")" | group
    group: FIELD "(" either ")"
    term: [FIELD] (PHRASE | WORD)
        | FIELD RANGE           -> between

    FIELD.3: /({"|".join((*FIELDS, *DATES))}):/
    _ANDNOT.2: /ANDNOT(?=[\s(]|$)/
    _AND.1: /AND(?=[\s(]|$)/
    _OR.1: /OR(?=[\s(]|$)/
    PHRASE: /"[^"]*"/
    RANGE: /\[[^\[\]]*\]/
    WORD: /[^\s()"\[\]]+/
    %import common.WS
    %ignore WS
"""
_parser = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


@dataclass(frozen=True)
class Term:
    field: str
    """"" until the query or the group around it says where to look."""
    text: str
    begins: bool = False


@dataclass(frozen=True)
class Between:
    """Dates from `low` to `high`, both included; None is open."""

    field: str
    low: datetime | None
    high: datetime | None


@dataclass(frozen=True)
class All:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    part: Node


Node = Term | Between | All | Any | Not


def parse(text: str) -> Node:
    """What a query says. Raises BadInput with the place where it stops making sense."""
    if len(text) > LONGEST:
        raise BadInput(f"search_query may have {LONGEST} characters, got {len(text)}.")
    if _depth(text) > DEEPEST:
        raise BadInput(f"search_query may nest {DEEPEST} parentheses.")
    try:
        node: Node = _ToNodes().transform(_parser.parse(text))
    except UnexpectedInput as problem:
        raise BadInput(_where(text, problem)) from None
    except VisitError as problem:
        if isinstance(problem.orig_exc, BadInput):
            raise problem.orig_exc from None
        raise
    if (terms := _count(node)) > MOST_TERMS:
        raise BadInput(f"search_query may have {MOST_TERMS} terms, got {terms}.")
    return _in_field(node, "all")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _where(text: str, problem: UnexpectedInput) -> str:
    at = problem.pos_in_stream
    if at is None or (isinstance(problem, UnexpectedToken) and problem.token.type == "$END"):
        return "search_query ends too early: a term, a phrase or a closing parenthesis is missing."
    return f"search_query can't be read from character {at + 1} on: {text[at : at + 40]!r}."


class _ToNodes(Transformer[Token, Node]):
    """The parser's tree to nodes, from the leaves up."""

    def start(self, parts: list[Node]) -> Node:
        return parts[0]

    def either(self, parts: list[Node]) -> Node:
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def both(self, parts: list[Node]) -> Node:
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def without(self, parts: list[Node]) -> Node:
        return Not(parts[0])

    def group(self, parts: list[Token | Node]) -> Node:
        field = str(parts[0]).rstrip(":")
        if field in DATES:
            raise BadInput(f"{field} takes a range: {field}:[202501010000 TO 202512312359].")
        inside = parts[1]
        assert not isinstance(inside, Token)  # noqa: S101  the grammar says so
        return _in_field(inside, field)

    def term(self, parts: list[Token | None]) -> Node:
        field, word = (str(part) if part is not None else "" for part in parts)
        field = field.rstrip(":")
        if field in DATES:
            raise BadInput(f"{field} takes a range: {field}:[202501010000 TO 202512312359].")
        if not field and (unknown := re.match(r"([A-Za-z_]+):", word)):
            known = ", ".join((*FIELDS, *DATES))
            raise BadInput(f"search_query has no prefix {unknown[1][:40]!r}; it knows {known}.")
        begins = word.endswith("*")
        text = " ".join(word.strip('"').rstrip("*").split())
        if not any(character.isalnum() for character in text):
            raise BadInput(f"search_query needs letters or digits in every term, got {word[:40]!r}.")
        return Term(field, text, begins)

    def between(self, parts: list[Token]) -> Node:
        field = str(parts[0]).rstrip(":")
        bounds = re.fullmatch(r"\[\s*(\S+)\s+TO\s+(\S+)\s*\]", str(parts[1]))
        if field not in DATES or not bounds:
            raise BadInput(f"a range is written submittedDate:[202501010000 TO 202512312359], got {field}:{parts[1][:60]}.")
        return Between(field, _moment(bounds[1], last=False), _moment(bounds[2], last=True))


def _moment(text: str, *, last: bool) -> datetime | None:
    """The first or last moment that YYYYMMDD[HH[MM[SS]]] names; None for *."""
    if text == "*":
        return None
    for pattern, form, step in _MOMENTS:
        if re.fullmatch(pattern, text, re.ASCII):
            try:
                first = datetime.strptime(text, form).replace(tzinfo=UTC)
                return first + step - timedelta(microseconds=1) if last else first
            except (ValueError, OverflowError):
                break
    raise BadInput(f"a date is written YYYYMMDD, with hour and minute if wanted, got {text[:40]!r}.")


_MOMENTS = (
    (r"\d{8}", "%Y%m%d", timedelta(days=1)),
    (r"\d{10}", "%Y%m%d%H", timedelta(hours=1)),
    (r"\d{12}", "%Y%m%d%H%M", timedelta(minutes=1)),
    (r"\d{14}", "%Y%m%d%H%M%S", timedelta(seconds=1)),
)


def _in_field(node: Node, field: str) -> Node:
    """The node with `field` for every term that names none."""
    match node:
        case Term(field="", text=text, begins=begins):
            return Term(field, text, begins)
        case All(parts):
            return All(tuple(_in_field(part, field) for part in parts))
        case Any(parts):
            return Any(tuple(_in_field(part, field) for part in parts))
        case Not(part):
            return Not(_in_field(part, field))
    return node


def _count(node: Node) -> int:
    match node:
        case All(parts) | Any(parts):
            return sum(_count(part) for part in parts)
        case Not(part):
            return _count(part)
    return 1


def required_texts(node: Node) -> tuple[str, ...]:
    """Words and phrases that title, text or authors of every match must hold: what an index can look up first."""
    match node:
        case Term(field="ti" | "abs" | "all", text=text, begins=False):
            return (text,)
        case All(parts):
            return tuple(text for part in parts for text in required_texts(part))
    return ()


def condition(node: Node) -> Q:
    """The condition on a paper that a node stands for. Categories need the annotation `category_text`: their JSON as text."""
    match node:
        case All(parts):
            return reduce(and_, map(condition, parts))
        case Any(parts):
            return reduce(or_, map(condition, parts))
        case Not(part):
            return ~condition(part)
        case Between(field, low, high):
            return _dated(field, low, high)
        case Term():
            return _TERMS[node.field](node)


def _words(column: str, term: Term) -> Q:
    """Whole words of a column. The plain comparison first: it rules out most rows at a fraction of the cost."""
    spaced = re.sub(r"\\ ", r"\\s+", re.escape(term.text))
    pattern = rf"(^|\W){spaced}" + ("" if term.begins else r"(\W|$)")
    first = term.text.split()[0]
    return Q(**{f"{column}__icontains": first}) & Q(**{f"{column}__iregex": pattern})


def _text(term: Term) -> Q:
    return _words("abstract", term) | _words("summary", term)


def _author(term: Term) -> Q:
    """Authors whose name has every word of the term; a single letter is an initial. `del_maestro` is two words."""
    names = Author.objects.all()
    for word in term.text.replace("_", " ").replace(",", " ").replace(".", " ").split():
        names = names.filter(_words("name", Term("au", word, begins=term.begins or len(word) == 1)))
    return Q(pk__in=Paper.author_set.through.objects.filter(author__in=names).values("paper_id"))


def _category(term: Term) -> Q:
    return Q(category_text__icontains=f'"{term.text}' + ("" if term.begins else '"'))


def _anywhere(term: Term) -> Q:
    names = Author.objects.filter(_words("name", term))
    return (
        _words("title", term)
        | _text(term)
        | Q(pk__in=Paper.author_set.through.objects.filter(author__in=names).values("paper_id"))
    )


def _nowhere(_: Term) -> Q:
    return Q(pk__in=[])


_TERMS: dict[str, Callable[[Term], Q]] = {
    "ti": lambda term: _words("title", term),
    "abs": _text,
    "au": _author,
    "co": lambda term: _words("note", term),
    "jr": lambda term: _words("journal", term),
    "cat": _category,
    "rn": _nowhere,
    "id": lambda term: Q(pk__in=Paper.objects.by_id(term.text).values("pk")),
    "all": _anywhere,
}


def _dated(field: str, low: datetime | None, high: datetime | None) -> Q:
    """Papers are dated by the day, so a bound within a day takes in the whole of it. Records date to the second."""
    found = Q(published__isnull=False) if field == "submittedDate" else Q(record_date__isnull=False)
    column = "published" if field == "submittedDate" else "record_date"
    for bound, side in ((low, "gte"), (high, "lte")):
        if bound is not None:
            found &= Q(**{f"{column}__{side}": bound.date() if field == "submittedDate" else bound})
    return found
