"""One smoke run of each replication, shared by all tests that look at its evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pressrun.replicate import Evidence, Run, replications
from pressrun.replicate.run import read_rows, rows_path


def run_smoke(name: str, directory: Path, seed: int = 0) -> Evidence:
    module = replications()[name].load()
    directory.mkdir()
    run = Run(directory, seed, module.METRICS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        module.replicate(module.PRESETS["smoke"], seed, run)
    finally:
        torch.set_num_threads(threads)
        run.close()
    return Evidence(read_rows(rows_path(directory, seed), seed, module.METRICS))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Evidence]:
    """The evidence of a replication's smoke run, by name."""
    found: dict[str, Evidence] = {}

    def of(name: str) -> Evidence:
        if name not in found:
            found[name] = run_smoke(name, tmp_path_factory.mktemp(name) / "run")
        return found[name]

    return of
