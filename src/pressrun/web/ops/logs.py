"""The log without the people in it: no mail or network addresses, no access tokens, no queries, no paths that name somebody.

Imported while the settings are read, so it imports no model.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from contextlib import suppress

__all__ = ["Impersonal", "without_people"]

_HIDDEN = (
    (re.compile(r"\bpr_[A-Za-z0-9_-]{8,}"), "[token]"),
    (re.compile(r"[^\s<>\"'=,:;]+@[^\s<>\"',:;]+\.[A-Za-z]{2,}"), "[mail address]"),
    (re.compile(r"(?<=[^\s?])\?[^\s\"'<>]+=[^\s\"'<>]*"), "?[query]"),
)
_NUMBERS = re.compile(r"(?<![\w:.])[0-9A-Fa-f:.]{3,45}(?!\w)")


def without_people(text: str) -> str:
    """The text with whatever may lead to a person replaced by its kind in brackets."""
    for pattern, kind in _HIDDEN:
        text = pattern.sub(kind, text)
    return _NUMBERS.sub(_unless_address, text)


def _unless_address(found: re.Match[str]) -> str:
    """Times and versions look alike, so an address is what parses as one, with or without a port behind it."""
    whole = found.group()
    bare = whole.rstrip(".:")
    for address in (bare, bare.partition(":")[0]):
        with suppress(ValueError):
            ipaddress.ip_address(address)
            return f"[address]{whole[len(address) :]}"
    return whole


class Impersonal(logging.Filter):
    """Takes people out of a record before it is written, its traceback included. Lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if request := record.__dict__.pop("request", None):
            message = _with_route(message, request)
        record.msg, record.args = without_people(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = without_people(record.exc_text), None
        return True


def _with_route(message: str, request: object) -> str:
    """Django's own lines name the path; the route says as much, without the names in it."""
    match = getattr(request, "resolver_match", None)
    path = getattr(request, "path", "")
    return message.replace(path, f"/{match.route}" if match else "an unknown address") if len(path) > 1 else message
