"""Asking for a run: the same checks for the form on the page and for agents."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from pressrun.replicate import Knob, KnobError, Replication, changed
from pressrun.replicate.record import RunError, RunRecord
from pressrun.replicate.runs import rerun, start, submit
from pressrun.web.errors import BadInput, Busy
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed, sync
from pressrun.web.runs.models import Run

__all__ = [
    "KNOB",
    "MOST_SEEDS",
    "Asked",
    "Refused",
    "again",
    "as_typed",
    "asked",
    "command",
    "form_of",
    "run_paper",
    "usual_seeds",
]

MOST_SEEDS = 50
KNOB = "knob."


class Refused(BadInput):
    """A form that cannot be run as it is filled in: a sentence for each field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()) + ".")
        self.errors = errors


@dataclass(frozen=True)
class Asked:
    """What was asked for, checked."""

    preset: str
    config: Mapping[str, Any]
    changed: Mapping[str, Any]
    seeds: tuple[int, ...]


def usual_seeds(preset: str) -> int:
    return 1 if preset == "smoke" else 5


def asked(replication: Replication, given: Mapping[str, str]) -> Asked:
    """What a form asks for: `preset`, `seeds`, and `knob.<name>` for each knob. An empty field keeps what the preset says.

    Raises:
        Refused: with a sentence for each field that does not fit.
    """
    errors: dict[str, str] = {}
    preset = given.get("preset", "") or "laptop"
    if preset not in replication.presets:
        raise Refused({"preset": f"the preset must be one of {', '.join(replication.presets)}, got {preset[:40]!r}"})
    known = {knob.name: knob for knob in replication.knobs}
    config = dict(replication.presets[preset])
    for field, text in given.items():
        if not field.startswith(KNOB) or not text.strip():
            continue
        name = field.removeprefix(KNOB)
        try:
            if name not in known:
                raise KnobError(f"there is no knob {name[:80]!r}; knobs are {', '.join(known) or 'none'}")
            config[name] = known[name].parse(text)
        except KnobError as problem:
            errors[field] = str(problem)
    try:
        seeds = _seeds(given.get("seeds", ""), preset)
    except ValueError as problem:
        errors["seeds"] = str(problem)
    if errors:
        raise Refused(errors)
    return Asked(preset, config, changed(replication.presets[preset], config), seeds)


def _seeds(text: str, preset: str) -> tuple[int, ...]:
    text = text.strip() or str(usual_seeds(preset))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_SEEDS):
        raise ValueError(f"seeds must be a whole number from 1 to {MOST_SEEDS}, got {text[:40]!r}")
    return tuple(range(int(text)))


def run_paper(paper: Paper, given: Mapping[str, str], requester: str) -> Run:
    """Put a run of a paper into the queue and start its supervisor.

    Raises:
        BadInput: if the paper has no replication, or a field does not fit.
        Busy: if too many runs wait already.
    """
    replication = installed.of_paper(paper)
    if replication is None:
        raise BadInput(f"there is no replication of {paper.public_id} here, so it cannot be run.")
    wanted = asked(replication, given)
    _check_room()
    record = submit(
        sync.runs_dir(),
        replication,
        wanted.config,
        wanted.preset,
        wanted.changed,
        wanted.seeds,
        requester=requester,
        command=command(replication, wanted),
    )
    return _started(record)


def again(record: RunRecord, requester: str) -> Run:
    """The same run once more.

    Raises:
        BadInput: if its replication is not installed, or its knobs are not those of the installed one.
        Busy: if too many runs wait already.
    """
    replication = installed.by_name(record.replication)
    if replication is None:
        raise BadInput(f"the replication {record.replication} is not installed here, so the run cannot be repeated.")
    known = {knob.name: knob for knob in replication.knobs}
    if set(known) != set(record.config):
        raise BadInput(f"the knobs of {record.replication} have changed since this run; start a new one from the paper's page.")
    try:
        for name, value in record.config.items():
            known[name].check(value)
    except KnobError as problem:
        raise BadInput(f"{problem}; start a new run from the paper's page.") from None
    _check_room()
    return _started(rerun(record, replication, requester=requester, runs_dir=sync.runs_dir()))


def command(replication: Replication, wanted: Asked) -> str:
    """What does the same on a command line."""
    parts = ["pressrun", "run", replication.paper, "--preset", wanted.preset]
    if len(wanted.seeds) != usual_seeds(wanted.preset):
        parts += ["--seeds", str(len(wanted.seeds))]
    for name, value in wanted.changed.items():
        parts += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return shlex.join(parts)


def _check_room() -> None:
    waiting = Run.objects.filter(moving=True).count()
    if waiting >= settings.RUNS_WAITING:
        raise Busy(
            f"{waiting} runs wait or run already, which is as many as this installation takes; try again when one is over."
        )


def _started(record: RunRecord) -> Run:
    try:
        start(record, at_once=settings.RUNS_AT_ONCE)
    except (RunError, OSError) as problem:
        raise Busy(f"the run was written down but could not be started: {sync.told(problem)}") from problem
    run = sync.sync_run(record.path)
    assert run is not None  # noqa: S101  its directory was made a moment ago
    return run


@dataclass(frozen=True)
class Field:
    """A knob as a form shows it: what was typed, what each preset has, and what is wrong with it."""

    knob: Knob
    name: str
    value: str
    usual: str
    presets: Mapping[str, str]
    error: str = ""

    @property
    def step(self) -> str:
        return "1" if self.knob.kind == "int" else "any"

    @property
    def choices(self) -> tuple[str, ...]:
        return ("true", "false") if self.knob.kind == "bool" else self.knob.choices


def form_of(replication: Replication, given: Mapping[str, str], errors: Mapping[str, str], preset: str) -> list[Field]:
    """The knobs of a replication as fields."""
    return [
        Field(
            knob,
            KNOB + knob.name,
            given.get(KNOB + knob.name, "")[:200],
            as_typed(replication.presets[preset].get(knob.name, knob.default)),
            {name: as_typed(values.get(knob.name, knob.default)) for name, values in replication.presets.items()},
            errors.get(KNOB + knob.name, ""),
        )
        for knob in replication.knobs
    ]


def as_typed(value: object) -> str:
    """A knob's value as one would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)
