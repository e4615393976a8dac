"""The ledger that comes with a replication: the record of a run elsewhere, with its cards, so that its verdicts can be shown before
anybody ran it here. It is `ledger/<name>.json` beside the replication's module, in whatever package that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pressrun.replicate import Claim, Replication, Verdict, verdict_from_json
from pressrun.replicate.ending import CARDS, cards_in, read_cards
from pressrun.replicate.record import RunError, RunRecord, load_record, parse_record, write_whole

__all__ = ["Judged", "judged", "path_of", "shipped", "write"]


@dataclass(frozen=True)
class Judged:
    """A run with verdicts: its record, the cards it was judged by, and the verdicts, one a card and in their order."""

    record: RunRecord
    cards: tuple[Claim, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def pairs(self) -> Iterator[tuple[Claim, Verdict]]:
        """Each card with its verdict."""
        by_id = {verdict.claim_id: verdict for verdict in self.verdicts}
        return ((card, by_id[card.id]) for card in self.cards if card.id in by_id)

    @property
    def machine(self) -> str:
        return self.record.machine.sentence() if self.record.machine else ""


def judged(path: Path) -> Judged:
    """A run's directory, as far as it concerns verdicts.

    Raises:
        RunError: if its record or its cards cannot be read.
    """
    record = load_record(path)
    return Judged(record, read_cards(path), _verdicts(record))


def path_of(replication: Replication) -> Path:
    """Where its ledger is, or would be."""
    return replication.source.parent / "ledger" / f"{replication.name}.json"


def shipped(replication: Replication) -> Judged | None:
    """The ledger of a replication; None where there is none, or one that is not of these claims or cannot be read."""
    path = path_of(replication)
    try:
        status = path.stat()
        found = _read(path, status.st_mtime_ns, status.st_size)
    except (OSError, RunError):
        return None
    return found if found.record.replication == replication.name else None


def write(path: Path, run: RunRecord) -> None:
    """Write the ledger of a replication from a run that counts.

    Raises:
        RunError: if the run has no verdicts that count.
    """
    if not run.counts:
        raise RunError(f"run {run.id} does not count for the ledger: it needs verdicts, and no knob but the preset's")
    cards = json.loads((run.path / CARDS).read_bytes())
    entry = {"record": json.loads(run.model_dump_json(exclude={"path"})), "cards": cards}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(entry, indent=1, ensure_ascii=False) + "\n").encode())


@lru_cache(maxsize=256)
def _read(path: Path, _modified: int, _size: int) -> Judged:
    try:
        entry = cast(dict[str, Any], json.loads(path.read_bytes()))
        record, cards = json.dumps(entry["record"]).encode(), json.dumps(entry["cards"]).encode()
    except (ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{path} is not a ledger: {problem}") from None
    parsed = parse_record(record, str(path))
    return Judged(parsed, cards_in(cards), _verdicts(parsed))


def _verdicts(record: RunRecord) -> tuple[Verdict, ...]:
    try:
        return tuple(verdict_from_json(each) for each in record.verdicts)
    except ValueError as problem:
        raise RunError(f"the verdicts of run {record.id} cannot be read: {problem}") from None
