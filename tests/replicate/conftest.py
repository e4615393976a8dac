"""Workers import the fixtures as this process does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pressrun.replicate.record import RunRecord
from tests.replicate import runs


@pytest.fixture(scope="session", autouse=True)
def _importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(runs.ROOT))
        patch.setenv("PRESSRUN_SECRET_KEY", "not for workers")
        yield


@pytest.fixture(scope="session")
def coin_run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run of three seeds that succeeded. Tests read it and change nothing."""
    return runs.run(tmp_path_factory.mktemp("runs"), "coin", seeds=(0, 1, 2))
