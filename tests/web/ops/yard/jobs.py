"""Work that says when it begins and when it ends, and lets a test decide how long it takes."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from pressrun.web.ops.jobs import job


def _trace(line: str) -> None:
    """One write to a file opened for appending: lines of several processes never mix."""
    file = os.open(Path(os.environ["YARD"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line} {os.getpid()}\n".encode())
    os.close(file)


@job("haul", tries=50)
def haul(number: int, seconds: float = 0.0) -> None:
    """Say that it begins, take a while, say that it ended."""
    _trace(f"begin {number}")
    time.sleep(seconds)
    _trace(f"end {number}")


@job("tick", every=timedelta(seconds=1))
def tick() -> None:
    """Say that a second has passed."""
    _trace("tick 0")
