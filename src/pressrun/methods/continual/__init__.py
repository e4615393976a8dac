"""Learning that goes on: shifts of the input."""

from __future__ import annotations

from .corruptions import CORRUPTIONS, corrupt

__all__ = ["CORRUPTIONS", "corrupt"]
