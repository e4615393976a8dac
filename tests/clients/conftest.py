"""What the tests of real clients share."""

from __future__ import annotations

from datetime import date

import pytest

from pressrun.catalog import Author, Paper
from pressrun.web.papers.ingest import Report, save

MANY = 250


@pytest.fixture
def many(db: None) -> tuple[Paper, ...]:
    """250 papers of one category, one a day from 2024-01-01 on, and none in the search index."""
    papers = tuple(
        Paper(
            title=f"Spiking study number {n}",
            arxiv_id=f"2401.{n:05}",
            abstract="Networks of spiking neurons, once more.",
            authors=(Author("Ada Lovelace"), Author(f"Grace Hopper{n}")),
            published=date.fromordinal(date(2024, 1, 1).toordinal() + n),
            categories=("cs.NE",),
        )
        for n in range(MANY)
    )
    save(list(papers), Report())
    return papers
