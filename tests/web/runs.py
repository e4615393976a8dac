"""What the tests of runs on the site share."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.test import Client

from pressrun.replicate import discover
from pressrun.replicate.record import RunRecord, State, StateChange, load_record, write_record
from pressrun.replicate.runs import submit
from pressrun.web.runs import starting, sync
from pressrun.web.runs.models import Run

SHELF = Path(__file__).parent / "shelf"
PAPER = "2509.23253"
PATIENCE = 90.0  # seconds after which a run that should have ended counts as stuck


def owner(host: str = "127.0.0.1") -> Client:
    """A browser whose user opened the printed address."""
    from pressrun.web.runs.access import new_token

    client = Client(REMOTE_ADDR=host)
    assert client.get("/owner", {"token": new_token()}).status_code == 302
    return client


def finished(run_id: str) -> Run:
    """The run once it is over."""
    deadline = time.monotonic() + PATIENCE
    while (run := sync.refresh(Run.objects.get(run_id=run_id))).moving:
        assert time.monotonic() < deadline, f"stuck: {load_record(sync.runs_dir() / run.folder).states}"
        time.sleep(0.1)
    return run


def queued(given: dict[str, str] | None = None, requester: str = "the owner", at: datetime | None = None) -> RunRecord:
    """A run that was asked for, and that nobody started."""
    replication = discover().replications["tiny"]
    asked = starting.asked(replication, given or {})
    record = submit(
        sync.runs_dir(), replication, asked.config, asked.preset, asked.changed, asked.seeds,
        requester=requester, command=starting.command(replication, asked),
    )  # fmt: skip
    if at:
        record = record.model_copy(update={"created": at, "states": (StateChange(state=State.QUEUED, at=at),)})
        write_record(record)
    return record


def over(
    words: list[str] | None = None,
    *,
    state: State = State.SUCCEEDED,
    at: datetime | None = None,
    given: dict[str, str] | None = None,
    requester: str = "the owner",
) -> Run:
    """A run that is over, with these verdicts in the order of the claims. Nothing was run: the record is written by hand."""
    at = at or datetime(2026, 5, 1, 12, tzinfo=UTC)
    record = queued(given, requester, at)
    changes = [*record.states, StateChange(state=State.RUNNING, at=at), StateChange(state=state, at=at + timedelta(seconds=100))]
    replication = discover().replications["tiny"]
    verdicts = [verdict(card.id, word) for card, word in zip(replication.cards, words or [], strict=False)]
    write_record(record.model_copy(update={"states": tuple(changes), "verdicts": tuple(verdicts)}))
    run = sync.sync_run(record.path)
    assert run is not None
    return run


def verdict(claim: str, word: str, estimate: float = 0.5) -> dict[str, object]:
    """A verdict as a record keeps it."""
    return {
        "claim_id": claim, "version": 1, "verdict": word, "rule": judgement(word, estimate),
        "control": judgement("not matched", 0.0), "sentence": f"{word}.",
    }  # fmt: skip


def judgement(word: str, estimate: float, low: float | None = 0.4, high: float | None = 0.6) -> dict[str, object]:
    return {
        "verdict": word, "estimate": estimate, "low": low, "high": high, "n": 5, "accept_low": 0.3, "accept_high": "inf",
        "margin": 0.1, "per_seed": {str(seed): estimate for seed in range(5)}, "kind": "interval", "unit": "1", "note": "",
        "null": 0.0, "missing": [], "parts": [],
    }  # fmt: skip


def events(text: str) -> list[tuple[str, dict[str, object], str]]:
    """The (kind, data, id) of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return found
