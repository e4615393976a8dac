"""Where the model server is."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

__all__ = ["USUAL", "parse_address"]

USUAL = "http://127.0.0.1:8019"
"""Where `pressrun serve-model` listens unless told otherwise."""


def parse_address(text: str) -> str:
    """The address as it was named, without a path; empty for none."""
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") not in {"", "v1"}:
        raise ImproperlyConfigured(f"PRESSRUN_MODEL_SERVER must be an address such as {USUAL}, got {text[:80]!r}.")
    return f"{parts.scheme}://{parts.netloc}"
