"""A badge for a README: the verdicts of a paper as a small SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pressrun.web.runs.wording import tally

__all__ = ["Badge", "badge_of"]

LETTER = 6.6  # width of a letter at 11 px, measured generously: fonts differ
PATCH, GAP, ROOM = 12, 2, 8


@dataclass(frozen=True)
class Badge:
    """Lengths in px. `patches` are (x, class) pairs."""

    name: str
    words: str
    name_width: int
    width: int
    patches: tuple[tuple[int, str], ...]
    words_at: int


def badge_of(name: str, verdicts: Sequence[tuple[str, str]]) -> Badge:
    """A badge of (class, word) pairs in the order of the claims."""
    words = tally(word for _, word in verdicts) or "not run yet"
    name_width = round(len(name) * LETTER) + 2 * ROOM
    patches = tuple((name_width + ROOM + number * (PATCH + GAP), css) for number, (css, _) in enumerate(verdicts[:12]))
    words_at = name_width + ROOM + len(patches) * (PATCH + GAP) + (4 if patches else 0)
    return Badge(name, words, name_width, words_at + round(len(words) * LETTER) + ROOM, patches, words_at)
