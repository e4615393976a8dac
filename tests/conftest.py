"""Fixtures that several parts share: a few papers, and an index over them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from django.core.cache import cache
from pytest_django import Settings

from pressrun.catalog import Author, Links, Paper

LATEST = date(2026, 4, 20)
EARLIER = date(2026, 4, 16)

PAPERS = (
    Paper(
        title="Lateral Inhibition Trains Deep Spiking Networks",
        arxiv_id="2509.23253",
        summary="Splitting each layer into excitatory and inhibitory neurons lets deep spiking networks train without normalisation.",
        authors=(Author("Peiyu Liu", "Zhejiang University"), Author("Jianhao Ding"), Author("Zhaofei Yu")),
        published=date(2025, 9, 27),
        listed=LATEST,
        organisation="Peking University",
        topics=("spiking networks", "inhibition"),
        categories=("cs.NE", "cs.LG"),
        links=Links(code="https://github.com/example/ei-snn"),
        comments=1,
        upvotes=31,
    ),
    Paper(
        title="Refusal Falls off a Cliff",
        arxiv_id="2510.06036",
        abstract="Reasoning models mean to refuse while they think, then lose the intention. What makes a language model refuse is found in a few heads.",
        author_count=11,
        published=date(2025, 10, 7),
        listed=LATEST,
        organisation="rednote-hilab",
        topics=("refusal",),
        upvotes=22,
    ),
    Paper(
        title="Beyond $\\ell_1$ sparse coding in V1",
        doi="10.1371/journal.pcbi.1011459",
        summary="Neurons that suppress their neighbours settle on few active cells.",
        authors=(Author("Ilias Rentzeperis"), Author("Luca Calatroni"), Author("Laurent U. Perrinet"), Author("Dario Prandi")),
        published=date(2023, 1, 24),
        listed=LATEST,
        topics=("vision", "inhibition"),
        journal="PLoS Computational Biology",
    ),
    Paper(
        title="A bihemispheric controller for motor learning",
        abstract="Two networks, one a side, share the motor control of an arm and learn in sleep what they practised awake.",
        author_count=1,
        published=date(2024, 5, 3),
        listed=EARLIER,
        topics=("motor control",),
        upvotes=4,
    ),
    Paper(
        title="Hebbian projection for continual learning",
        arxiv_id="math/0309136",
        abstract="Brains learn without forgetting. Hebbian projection lets spiking networks learn one task after another without forgetting.",
        authors=(Author("Mingqing Xiao"), Author("Zhouchen Lin")),
        published=date(2024, 2, 19),
        listed=EARLIER,
        topics=("continual learning", "spiking networks"),
    ),
)


@pytest.fixture(autouse=True)
def _own_home(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Every test has a data directory and a cache of its own."""
    settings.HOME = tmp_path
    cache.clear()
    yield
    _forget_index()


@pytest.fixture(autouse=True)
def _no_replications(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The site of a test knows no replications but those that the test brings: `shelf`."""
    if request.node.path.parent.name not in {"web", "clients", "browser"}:
        yield
        return
    from pressrun.replicate import discovery
    from pressrun.web.runs import installed

    found = discovery._entry_points
    monkeypatch.setattr(discovery, "_entry_points", lambda: [pair for pair in found() if pair[1][0] != "pressrun"])
    installed.forget()
    yield
    installed.forget()


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package beside ours that brings a replication of the first paper, found as any installed package is."""
    from pressrun.web.runs import installed
    from tests.web.runs import SHELF

    monkeypatch.syspath_prepend(str(SHELF))
    monkeypatch.setenv("PYTHONPATH", str(SHELF))  # for the processes that run it
    installed.forget()


def _forget_index() -> None:
    if indexing := sys.modules.get("pressrun.web.papers.indexing"):
        indexing.index.cache_clear()


@pytest.fixture
def papers(db: None) -> tuple[Paper, ...]:
    """Five papers on two days: named and counted authors, with and without abstract, code, DOI, votes."""
    from pressrun.web.papers.ingest import Report, save

    save(list(PAPERS), Report())
    return PAPERS


@pytest.fixture
def indexed(papers: tuple[Paper, ...]) -> tuple[Paper, ...]:
    """The same papers, searchable by words. Nothing is embedded, so no model is loaded."""
    from pressrun.web.papers.indexing import index_pending

    _forget_index()
    index_pending()
    return papers
