"""What is made of a run's rows once it is over, in whatever way: evidence, verdicts, and the hashes of all that it left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from pressrun.replicate.claims import Claim, ClaimError, card_hash, claim_from_json, judge
from pressrun.replicate.evidence import Evidence, EvidenceError
from pressrun.replicate.record import DataRef, RunError, RunRecord, State, hashed_files, write_record, write_whole
from pressrun.replicate.rules import RuleError
from pressrun.replicate.run import read_rows, rows_path
from pressrun.replicate.verdicts import JSON, Verdict
from pressrun.replicate.worker import Facts, read_facts

EVIDENCE, CARDS = "evidence.parquet", "cards.json"
HOW = {
    State.QUEUED: "is queued",
    State.STARTING: "is starting",
    State.RUNNING: "is running",
    State.FAILED: "failed",
    State.TIMED_OUT: "timed out",
    State.OUT_OF_MEMORY: "ran out of memory",
    State.CANCELLED: "was cancelled",
    State.LOST: "was lost",
}
STDOUT_AT_MOST = 4 * 2**20  # bytes of stdout.txt; the whole output of each seed stays in seeds/


def write_cards(directory: Path, cards: Iterable[Claim]) -> None:
    """Keep the claim cards with the run, in full and with their hashes."""
    entries = [{"card": claim.to_json(), "hash": card_hash(claim)} for claim in cards]
    write_whole(directory / CARDS, json.dumps(entries, indent=1, ensure_ascii=False).encode())


def read_cards(directory: Path) -> tuple[Claim, ...]:
    """The claim cards that a run is judged by.

    Raises:
        RunError: if they are missing, or no cards.
    """
    try:
        return cards_in((directory / CARDS).read_bytes())
    except OSError:
        raise RunError(f"{directory / CARDS} cannot be read, so the run cannot be judged") from None


def cards_in(content: bytes) -> tuple[Claim, ...]:
    """The claim cards in the bytes of a cards.json.

    Raises:
        RunError: if they are no cards.
    """
    try:
        return tuple(claim_from_json(cast(JSON, entry["card"])) for entry in json.loads(content))
    except (ClaimError, RuleError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise RunError(f"{CARDS} does not hold claim cards: {problem}") from None


def evidence_of(directory: Path, seeds: Sequence[int], units: Mapping[str, str]) -> Evidence:
    """All rows that the seeds recorded, as far as they came.

    Raises:
        EvidenceError: if a line that is not the last of its file is no row.
    """
    found = [seed for seed in seeds if rows_path(directory / "seeds", seed).is_file()]
    return Evidence.from_rows(row for seed in found for row in read_rows(rows_path(directory / "seeds", seed), seed, units))


def judge_run(record: RunRecord) -> tuple[Verdict, ...]:
    """The verdicts on a run, from its evidence and its own cards alone. Nothing is written.

    Raises:
        RunError: if the run did not succeed, is a smoke run, or its files cannot be read.
    """
    if why := not_judged(record):
        raise RunError(f"run {record.id} has no verdicts: {why}")
    try:
        evidence = Evidence.read(record.path / EVIDENCE)
    except EvidenceError as problem:
        raise RunError(str(problem)) from None
    return tuple(judge(claim, evidence) for claim in read_cards(record.path))


def not_judged(record: RunRecord) -> str:
    """Why a run has no verdicts; empty when it has."""
    if record.state is not State.SUCCEEDED:
        return f"not judged: the run {HOW[record.state]}"
    return "not judged: smoke proves only that it runs" if record.preset == "smoke" else ""


def close(
    record: RunRecord, state: State, note: str = "", *, draw: Callable[[RunRecord], str] | None = None, **changes: object
) -> RunRecord:
    """End a run: put everything in its final place, and write the record in its final state. Evidence so far is kept.

    A run whose rows cannot be read or judged has failed, whatever its processes said. `draw` makes the figure of a run that
    succeeded and returns why there is none.
    """
    collect_output(record)
    changes |= facts_together(record)
    try:
        evidence_of(record.path, record.seeds, record.metrics).write(record.path / EVIDENCE)
        if state is State.SUCCEEDED and draw:
            changes["no_figure"] = draw(record)
        ended = with_verdicts(record.moved(state, note, **changes))
    except (EvidenceError, RuleError, RunError) as problem:
        ended = record.moved(State.FAILED, f"the evidence cannot be put together or judged: {problem}", **changes)
        ended = ended.model_copy(update={"not_judged": not_judged(ended)})
    ended = ended.model_copy(update={"files": hashed_files(record.path)})
    write_record(ended)
    return ended


def with_verdicts(record: RunRecord) -> RunRecord:
    """The record with its verdicts, or with why it has none. Raises as `judge_run` does where it should have some."""
    if why := not_judged(record):
        return record.model_copy(update={"not_judged": why})
    return record.model_copy(update={"verdicts": tuple(verdict.to_json() for verdict in judge_run(record))})


def collect_output(record: RunRecord) -> None:
    """The output of all seeds in stdout.txt, one after the other, the end of each where there is too much."""
    parts, share = [], STDOUT_AT_MOST // len(record.seeds)
    for seed in record.seeds:
        path = record.path / "seeds" / f"{seed}.txt"
        if path.is_file():
            left_out = max(0, path.stat().st_size - share)
            with path.open("rb") as file:
                file.seek(left_out)
                text = file.read(share)
            cut = f"[{left_out:,} bytes left out]\n" if left_out else ""
            parts.append(f"--- seed {seed}\n{cut}".encode() + text)
    write_whole(record.path / "stdout.txt", b"".join(parts))


def facts_together(record: RunRecord) -> dict[str, object]:
    """What the workers said about themselves, for the record. Where seeds differ, both are kept."""
    told = [facts for seed in record.seeds if (facts := read_facts(record.path / "seeds" / f"{seed}.json"))]
    if not told:
        return {}
    data = {(ref.path, ref.sha256): ref for facts in told for ref in map(DataRef.model_validate, facts.data)}
    return {
        "network": " / ".join(sorted({facts.network for facts in told})),
        "determinism": _without_seed(told[0]),
        "libraries": _merged(facts.libraries for facts in told),
        "code": _merged(facts.code for facts in told),
        "data": tuple(data[key] for key in sorted(data)),
    }


def _without_seed(facts: Facts) -> dict[str, object]:
    """What was set before each seed; that generators get the seed itself is said in words."""
    return {name: "the seed" if name in ("random", "numpy", "torch") else value for name, value in facts.determinism.items()}


def _merged(told: Iterable[Mapping[str, str]]) -> dict[str, str]:
    merged: dict[str, set[str]] = {}
    for each in told:
        for name, value in each.items():
            merged.setdefault(name, set()).add(value)
    return {name: " / ".join(sorted(values)) for name, values in sorted(merged.items())}
