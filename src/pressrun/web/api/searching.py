"""Search for the APIs and feeds: the index finds, the database fills in, both in the index's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pressrun.search import Hit, QueryError, Results
from pressrun.web.errors import BadInput
from pressrun.web.papers.indexing import index
from pressrun.web.papers.models import Paper
from pressrun.web.papers.results import papers_in_order

__all__ = ["Found", "Mode", "search", "similar"]

Mode = Literal["hybrid", "lexical", "semantic"]


@dataclass(frozen=True)
class Found:
    """A page of search results: what the index said, and the papers that the database still has, with their hits."""

    results: Results
    papers: tuple[tuple[Paper, Hit], ...]

    @property
    def rows(self) -> list[Paper]:
        return [paper for paper, _ in self.papers]


def search(text: str, *, limit: int, offset: int = 0, mode: str = "hybrid", facets: bool = False) -> Found:
    """The papers that a query finds. A query or mode that can't be used is bad input."""
    if mode not in get_args(Mode):
        raise BadInput(f"mode must be one of {', '.join(get_args(Mode))}, got {mode[:40]!r}.")
    try:
        results = index().search(text, limit=limit, offset=offset, mode=mode, facets=facets)  # type: ignore[arg-type]  # checked above
    except QueryError as problem:
        raise BadInput(str(problem)) from problem
    return Found(results, tuple(papers_in_order(results.hits)))


def similar(paper: Paper, *, limit: int) -> list[tuple[Paper, Hit]]:
    """The papers nearest to this one, nearest first."""
    return papers_in_order(index().similar(paper.public_id, limit=limit))
