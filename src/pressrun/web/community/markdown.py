"""What people write, as safe HTML: a subset of Markdown, LaTeX left in its dollars for KaTeX, and @names that lead to people.

Two walls, each of which would do: the parser makes no HTML but that of its rules (raw HTML and images are off), and what it made
is cleaned by an allow-list of elements, attributes and address schemes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from typing import Any

import nh3
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

__all__ = ["LONGEST", "mentioned", "render"]

LONGEST = 10_000
"""Characters of one text. The forms refuse longer ones; here they are cut, so that no text takes long."""

MOST_SIGNS = 1000
"""A text with more of one sign that opens and closes something is shown as it was typed: matching them up takes the square of it."""

# No headings: the page has an outline of its own.
_TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "ol", "ul", "li"),
    *("a", "em", "strong", "s", "del"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_SCHEMES = {"http", "https", "mailto"}
# A name as sign-up takes it. What comes before must end a word, or an address would hold a name.
_MENTION = re.compile(r"(?<![\w@/.+-])@(\w(?:[\w.+-]{0,148}\w)?)")


def render(text: str, people: Collection[str] = ()) -> SafeString:
    """The text as HTML that can stand in a page as it is. `people` are the names that an @ leads from; others stay text.

    Put it into an element of class `tex`, where the page's script typesets the formulas.
    """
    return _rendered(text[:LONGEST].replace("\0", ""), frozenset(people))


@lru_cache(maxsize=1024)
def _rendered(text: str, people: frozenset[str]) -> SafeString:
    if _too_knotted(text):
        return format_html("<p>{}</p>", text)
    html = _parser().render(text, {"people": people})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        allowed_classes={"a": {"mention"}},
        url_schemes=_SCHEMES,
        link_rel="nofollow ugc noopener",
    )
    return mark_safe(clean)  # nosec  # noqa: S308  cleaned on the line above


def mentioned(text: str) -> list[str]:
    """The names that a text speaks to, each once, in order; what stands in code, formulas and links is none."""
    text = text[:LONGEST]
    if _too_knotted(text):
        return []
    found = (name for token in _texts(_parser().parse(text)) for name in _MENTION.findall(token.content))
    return list(dict.fromkeys(found))


def _too_knotted(text: str) -> bool:
    return any(text.count(sign) > MOST_SIGNS for sign in "[*_~$")


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "maxNesting": 20, "breaks": True})
    parser.enable(["linkify", "strikethrough", "table"])
    parser.disable(["html_block", "html_inline", "image", "heading", "lheading", "reference"])
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False)
    for rule in ("math_inline", "math_inline_double", "math_block"):
        parser.add_render_rule(rule, _formula)
    if parser.linkify:
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    parser.core.ruler.push("mentions", _link_mentions)
    return parser


def _formula(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:  # noqa: ANN401  as markdown-it calls it
    """The formula as it was written, between dollars: KaTeX reads it from the text of the page."""
    token = tokens[at]
    tex = escape(" ".join(token.content.split()).replace("$", ""))
    return f"<p>${tex}$</p>\n" if token.block else f"${tex}$"


def _texts(tokens: list[Token]) -> Iterator[Token]:
    """The pieces of plain text that stand in no link."""
    for token in tokens:
        inside = 0
        for child in token.children or ():
            inside += {"link_open": 1, "link_close": -1}.get(child.type, 0)
            if child.type == "text" and not inside:
                yield child


def _link_mentions(state: StateCore) -> None:
    known = {name.casefold(): name for name in state.env.get("people", ())}
    if not known:
        return
    for block in state.tokens:
        found = {id(token) for token in _texts([block])}
        if block.children:
            block.children = [
                piece for token in block.children for piece in (_split(token, known) if id(token) in found else [token])
            ]


def _split(token: Token, known: dict[str, str]) -> list[Token]:
    """One piece of text, cut where it names somebody known."""
    pieces: list[Token] = []
    at = 0
    for match in _MENTION.finditer(token.content):
        name = known.get(match[1].casefold())
        if name is None:
            continue
        pieces += [
            Token("text", "", 0, content=token.content[at : match.start()]),
            Token("link_open", "a", 1, attrs={"href": reverse("person", args=[name]), "class": "mention"}),
            Token("text", "", 0, content=match[0]),
            Token("link_close", "a", -1),
        ]
        at = match.end()
    return [*pieces, Token("text", "", 0, content=token.content[at:])] if at else [token]
