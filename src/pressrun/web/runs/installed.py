"""The replications that are installed here, by paper. None of them is imported: their lock files say what a page needs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from pressrun import catalog
from pressrun.replicate import Replication, discover
from pressrun.web.papers.models import Paper
from pressrun.web.runs.models import SCALES

__all__ = ["by_name", "forget", "of_paper", "paper_of", "problems", "replications", "scale_words"]

SECONDS_KEPT = 10
_looking = Lock()


@dataclass(frozen=True)
class _Known:
    by_name: Mapping[str, Replication]
    by_paper: Mapping[str, Replication]
    problems: tuple[str, ...]


def replications() -> Mapping[str, Replication]:
    """All of them by name."""
    return _known().by_name


def problems() -> tuple[str, ...]:
    """A sentence for each entry point that leads to nothing."""
    return _known().problems


def by_name(name: str) -> Replication | None:
    return _known().by_name.get(name)


def of_paper(paper: Paper) -> Replication | None:
    """The replication of a paper: ours, where several packages have one."""
    known = _known().by_paper
    keys = (key.lower() for key in (paper.arxiv_id, paper.doi, paper.public_id) if key)
    return next((known[key] for key in keys if key in known), None)


def paper_of(ref: str) -> Paper | None:
    """The paper here that a replication or record names."""
    return Paper.objects.by_id(ref).order_by("pk").first() if ref and "\0" not in ref else None


def scale_words(scales: Iterable[str]) -> str:
    """The one scale among several, or the smallest and the largest."""
    found = sorted(set(scales), key=SCALES.index)
    return " to ".join(dict.fromkeys((found[0], found[-1]))) if found else ""


def forget() -> None:
    """Look again at what is installed."""
    _look.cache_clear()


def _known() -> _Known:
    moment = int(time.monotonic() / SECONDS_KEPT)
    with _looking:  # when the time is up one looks, and not everybody who asks meanwhile
        return _look(moment)


@lru_cache(maxsize=1)
def _look(_moment: int) -> _Known:
    """Reading the metadata of installed packages takes longer than a page may."""
    found = discover()
    by_paper: dict[str, Replication] = {}
    for each in sorted(found.replications.values(), key=lambda one: (one.distribution != "pressrun", one.name)):
        for key in filter(None, (catalog.arxiv_id_in(each.paper), catalog.doi_in(each.paper), each.paper)):
            by_paper.setdefault(key.lower(), each)
    return _Known(found.replications, by_paper, found.problems)
