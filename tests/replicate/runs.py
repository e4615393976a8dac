"""What several tests of runs share."""

from __future__ import annotations

import importlib
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pressrun.replicate import card_hash, knobs_of
from pressrun.replicate.discovery import Replication
from pressrun.replicate.record import RunRecord
from pressrun.replicate.run import sha256_of
from pressrun.replicate.runs import read_run, start, submit
from pressrun.replicate.supervisor import supervise

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0  # seconds after which a run that should have come somewhere counts as stuck


def fixture(name: str) -> Replication:
    """A replication of `fixtures`, as discovery would describe it."""
    module = importlib.import_module(f"tests.replicate.fixtures.{name}")
    source = Path(inspect.getfile(module))
    return Replication(
        name=name,
        paper=module.PAPER,
        title=(module.__doc__ or "").splitlines()[0],
        module=module.__name__,
        cards=module.CLAIMS,
        hashes={claim.id: card_hash(claim) for claim in module.CLAIMS},
        metrics=module.METRICS,
        not_tested=module.NOT_TESTED,
        use="",
        knobs=knobs_of(module.Config),
        presets={preset: asdict(config) for preset, config in module.PRESETS.items()},
        withdrawn={},
        history=(),
        source=source,
        source_sha256=sha256_of(source),
        distribution="fixtures",
        version="1.0",
    )


def ask(
    runs_dir: Path, name: str, *, seeds: tuple[int, ...] = (0,), preset: str = "laptop", knobs: object = None, **options: object
) -> RunRecord:
    """A queued run of a fixture."""
    replication = fixture(name)
    plain = replication.presets[preset]
    config = {**plain, **(knobs or {})}
    changed = {knob: value for knob, value in config.items() if plain[knob] != value}
    words = {"requester": "a test", "command": f"pressrun run {replication.paper}"}
    return submit(runs_dir, replication, config, preset, changed, seeds, **{**words, **options})


def trouble(runs_dir: Path, way: str, **options: object) -> RunRecord:
    """A queued run in which something goes wrong."""
    return ask(runs_dir, "trouble", knobs={"way": way}, **options)


def seen_through(record: RunRecord, stop: Callable[[], str | None] = lambda: None) -> RunRecord:
    """The run's end, with this process as its supervisor."""
    return supervise(record, 1, stop)


def run(runs_dir: Path, name: str, **options: object) -> RunRecord:
    """A run of a fixture, with a supervisor of its own, once it is over."""
    record = ask(runs_dir, name, **options)
    start(record)
    return finished(record)


def finished(record: RunRecord) -> RunRecord:
    return until(record, lambda now: now.state.final)


def until(record: RunRecord, when: Callable[[RunRecord], bool]) -> RunRecord:
    """The record once it is so."""
    deadline = time.monotonic() + PATIENCE
    while not when(now := read_run(record.path)):
        assert time.monotonic() < deadline, f"stuck in {now.states}; {told(now)}"
        time.sleep(0.05)
    return now


def recording(record: RunRecord, seeds: int = 1) -> RunRecord:
    """The record once this many seeds have recorded something."""
    return until(
        record, lambda now: len([path for path in (now.path / "seeds").glob("*[0-9].jsonl") if path.stat().st_size]) >= seeds
    )


def told(record: RunRecord) -> str:
    """Everything that a run printed."""
    texts = [record.path / "supervisor.txt", *sorted((record.path / "seeds").glob("*.txt"))]
    return "\n".join(path.read_text() for path in texts if path.exists())


def logged(record: RunRecord, seed: int = 0) -> list[str]:
    """What a seed said by run.log."""
    lines = (record.path / "seeds" / f"{seed}.events.jsonl").read_text().splitlines()
    return [event["text"] for event in map(json.loads, lines) if event["kind"] == "log"]


def gone(pid: int) -> bool:
    """Whether no process has this id any more, or only its exit status is left."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def soon(happens: Callable[[], bool]) -> bool:
    """Whether it happens, with patience."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
