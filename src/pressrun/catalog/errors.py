"""What is raised when a source cannot be read. Each says in one sentence what was given and what is needed."""

from __future__ import annotations

__all__ = ["FetchError", "SourceError"]


class SourceError(Exception):
    """A source that cannot be read, or not any further: what came out of it before stays good."""


class FetchError(SourceError):
    """An address that may not be fetched, or did not give an answer."""
