"""What a worker sets before a seed, and what it says of itself."""

from __future__ import annotations

import errno
import os
import random

import numpy as np
import pytest

from pressrun.replicate.local import ending, variables
from pressrun.replicate.worker import code_used, libraries, settle_chance, told


def test_the_seed_settles_every_generator() -> None:
    def drawn() -> tuple[float, float]:
        settle_chance(3, threads=1)
        return random.random(), float(np.random.random())  # noqa: NPY002

    assert drawn() == drawn()


def test_the_seed_settles_torch_where_it_is_loaded() -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    try:
        done = settle_chance(3, threads=1)
        first = torch.rand(3)
        settle_chance(3, threads=1)
        assert torch.equal(first, torch.rand(3))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
        assert done["torch"] == 3
        assert libraries()["torch"] == torch.__version__
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_it_says_which_code_ran() -> None:
    used = code_used("tests.replicate.fixtures.coin")
    assert len(used["pressrun.replicate.worker"]) == 64
    assert "tests.replicate.test_worker" in used
    assert not any(name.startswith("numpy") for name in used)


@pytest.mark.parametrize(
    ("problem", "kind", "sentence"),
    [
        (ValueError("two\n lines"), "error", "ValueError: two lines"),
        (KeyError(), "error", "KeyError"),
        (MemoryError(), "memory", "memory could not be had"),
        (OSError(errno.EFBIG, "File too large"), "output", "a file grew beyond the output limit"),
    ],
)
def test_it_tells_a_problem_in_one_line(problem: BaseException, kind: str, sentence: str) -> None:
    assert (told(problem).kind, told(problem).sentence) == (kind, sentence)


@pytest.mark.parametrize(
    ("code", "state", "note"),
    [
        (0, "succeeded", ""),
        (7, "failed", "ended with exit code 7 and said nothing; see its output"),
        (-9, "failed", "was killed by signal 9 (SIGKILL), as the kernel does when memory runs out"),
        (-24, "timed out", "hit the CPU limit"),
        (-25, "failed", "wrote more than the output limit"),
    ],
)
def test_it_tells_how_a_worker_ended(code: int, state: str, note: str) -> None:
    assert ending(code, None) == (state, note)


def test_a_worker_gets_only_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    monkeypatch.setenv("PYTHONPATH", "src" + os.pathsep + "/opt/lib")
    given = variables(2, tmp_path, "a-run")  # type: ignore[arg-type]
    assert "AWS_SECRET_ACCESS_KEY" not in given
    assert "HTTPS_PROXY" not in given
    assert given["PYTHONPATH"] == f"{os.path.abspath('src')}{os.pathsep}/opt/lib"  # noqa: PTH100
    assert {given[f"{library}_NUM_THREADS"] for library in ("OMP", "MKL", "OPENBLAS")} == {"2"}
