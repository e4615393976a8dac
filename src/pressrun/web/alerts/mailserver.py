"""The mail server, as the owner names it in one address: smtps://user:password@mail.example or smtp://localhost:25."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

__all__ = ["Server", "parse_sender", "parse_server", "parse_site"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"implicit": 465, "start": 587, "off": 25}
Tls = Literal["implicit", "start", "off"]


@dataclass(frozen=True)
class Server:
    """Where mail goes. `tls`: from the first byte, by STARTTLS (and not without), or off."""

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)


def parse_server(text: str) -> Server | None:
    """The server of an address; None of an empty one.

    smtps:// is TLS from the start; smtp:// is STARTTLS, or plain where the host is this machine or `?tls=off` says so.

    Raises:
        ImproperlyConfigured: for another scheme, no host, a port that is none, or a password that would go out in the clear.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ImproperlyConfigured("PRESSRUN_SMTP must read like smtps://user:password@mail.example:465.") from None
    if parts.scheme not in {"smtp", "smtps"} or not host:
        raise ImproperlyConfigured("PRESSRUN_SMTP must begin with smtp:// or smtps:// and name a host.")
    off = parse_qs(parts.query).get("tls") == ["off"] or host in _LOOPBACK
    tls: Tls = "implicit" if parts.scheme == "smtps" else "off" if off else "start"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if password and tls == "off" and host not in _LOOPBACK:
        raise ImproperlyConfigured("PRESSRUN_SMTP would send the password in the clear; leave ?tls=off out.")
    return Server(host, port or _PORTS[tls], tls, user, password)


def parse_sender(text: str) -> str:
    """The address that mails come from: nothing but an address, because it goes to the server as it is."""
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}", text):
        raise ImproperlyConfigured(f"PRESSRUN_MAIL_FROM must be an address like papers@example.org, got {text[:60]!r}.")
    return text


def parse_site(text: str) -> str:
    """The address that mails lead to, without a slash at the end."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]{1,250}/?", text):
        raise ImproperlyConfigured(f"PRESSRUN_URL must read like https://papers.example.org, got {text[:60]!r}.")
    return text.rstrip("/")
