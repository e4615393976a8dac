"""What every page knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from pressrun import __version__
from pressrun.search import IndexDamaged, IndexStatus
from pressrun.web.papers.indexing import index
from pressrun.web.papers.lists import latest_day
from pressrun.web.papers.models import Paper

__all__ = ["State", "site", "state"]

SECONDS_KEPT = 5


@dataclass(frozen=True)
class State:
    """How full and how fresh the installation is."""

    papers: int
    last_day: date | None
    index: IndexStatus | None

    @property
    def waiting(self) -> int:
        """Papers that search by words doesn't know yet."""
        return max(self.papers - self.index.documents, 0) if self.index else self.papers

    @property
    def read(self) -> int:
        """Papers whose text the model has read, at least its opening: those that are found by their meaning well."""
        return sum(n for rung, n in self.index.embedded.items() if rung in {"opening", "whole"}) if self.index else 0


def state() -> State:
    """The numbers of the last few seconds: counting millions of rows for every page would cost more than the page."""
    known: State | None = cache.get("papers-state")
    if known is None:
        began = time.perf_counter()
        known = State(Paper.objects.visible().count(), latest_day(), _index_status())
        # Of a large site for longer: counting must not take more than a hundredth of the time.
        cache.set("papers-state", known, max(SECONDS_KEPT, 100 * (time.perf_counter() - began)))
    return known


def _index_status() -> IndexStatus | None:
    try:
        return index().status()
    except (IndexDamaged, OSError):
        return None


def site(request: HttpRequest) -> dict[str, object]:
    """Lazy, so that a page that names no numbers, such as that of a failed database, asks for none."""
    return {"site_name": settings.SITE_NAME, "version": __version__, "state": SimpleLazyObject(state)}
