"""How facts are written on pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import conditional_escape, format_html_join
from django.utils.safestring import SafeString, mark_safe

from pressrun import __version__
from pressrun.web.papers.lists import PaperList, week_name
from pressrun.web.papers.models import Paper, slug_of
from pressrun.web.papers.results import Piece

register = template.Library()

_OPEN, _CLOSE = mark_safe("<mark>"), mark_safe("</mark>")  # nosec
_FOR_SCRIPT = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@register.simple_tag
def asset(path: str) -> str:
    """The address of a static file, with the version, so that an upgrade is not hidden by a cache."""
    return f"{static(path)}?v={__version__}"


@register.filter
def who(paper: Paper) -> str:
    """ "Peiyu Liu and 2 others" when the authors are named, "7 authors" when only counted."""
    names, count = paper.author_names, paper.author_count or 0
    match len(names):
        case 0:
            return f"{count:,} {'author' if count == 1 else 'authors'}" if count else ""
        case 1:
            return names[0]
        case 2:
            return f"{names[0]} and {names[1]}"
        case more:
            return f"{names[0]} and {more - 1} others"


@register.filter
def day(value: date | None) -> str:
    """6 Feb 2026"""
    return f"{value.day} {value:%b} {value.year}" if value else ""


@register.filter
def long_day(value: date | None) -> str:
    """Monday 20 April 2026"""
    return f"{value:%A} {value.day} {value:%B} {value.year}" if value else ""


@register.filter
def counted(number: int, noun: str) -> str:
    """1 paper, 2,000 papers"""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.filter
def web(url: str) -> str:
    """The address if it is http or https, else nothing: a source may have written anything."""
    return url if re.match(r"https?://[^\s\"'<>]+$", url or "", re.IGNORECASE) else ""


@register.filter
def author_url(name: str) -> str:
    return reverse("author", args=[slug_of(name[:200])])


@register.filter
def with_marks(pieces: Iterable[Piece]) -> SafeString:
    """Pieces of text, escaped, those that match between <mark> and </mark>."""
    return format_html_join("", "{}{}{}", ((_OPEN, text, _CLOSE) if hit else ("", text, "") for text, hit in pieces))


@register.filter
def quoted(words: Iterable[str]) -> SafeString:
    """“a”, “b” and “c”, each in bold."""
    parts = [f"<b>“{conditional_escape(word)}”</b>" for word in words]
    return mark_safe(", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else "")  # nosec  # noqa: S308  escaped above


@register.filter
def as_json_ld(facts: dict[str, Any]) -> SafeString:
    """JSON that can stand between script tags: what could end them, or begin a comment, is written as an escape."""
    return mark_safe(json.dumps(facts, ensure_ascii=False).translate(_FOR_SCRIPT))  # nosec  # noqa: S308  escaped by the table


@register.filter
def feed(shown: PaperList, kind: str) -> str:
    return shown.feed_url(kind)


@register.filter
def neighbour_url(when: date, period: str) -> str:
    """The list of the same kind that holds a day."""
    match period:
        case "week":
            return reverse("week", args=[week_name(when)])
        case "month":
            return reverse("month", args=[when.isoformat()[:7]])
        case _:
            return reverse("day", args=[when.isoformat()])


@register.filter
def neighbour_name(when: date, period: str) -> str:
    match period:
        case "week":
            return f"Week {when.isocalendar().week}"
        case "month":
            return f"{when:%B %Y}"
        case _:
            return f"{when:%a} {when.day} {when:%b} {when.year}"
