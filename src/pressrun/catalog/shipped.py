"""The catalogue that comes with pressrun: the 50 papers of one Daily Papers page, listed on 20 April 2026."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED"]

SHIPPED = Path(__file__).with_name("data") / "daily-papers.jsonl"
"""JSON Lines as `pressrun export` writes them, with summaries of our own and no abstracts, which are others' text."""
