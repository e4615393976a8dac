"""Rows after records. Cheap enough for every page: what is over and unchanged is not read again."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import F

from pressrun.replicate import Claim, Verdict
from pressrun.replicate.record import IMPORTED, RUN_ID, RunError, RunRecord, State
from pressrun.replicate.runs import read_run
from pressrun.web.alerts.events import publish
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed, ledger
from pressrun.web.runs.models import Outcome, Run

__all__ = ["catch_up", "refresh", "runs_dir", "start_up", "sync_all", "sync_run", "sync_shipped", "told"]

log = logging.getLogger(__name__)

NEWS = timedelta(days=2)
"""Verdicts of a run that ended longer ago are no news."""


def runs_dir() -> Path:
    """Where the runs of this installation are."""
    return Path(settings.HOME) / "runs"


def start_up() -> int:
    """For the start of a site: every row is brought up to date, and runs whose supervisor is gone are written as lost.

    Returns how many runs were found lost.
    """
    lost = Run.objects.filter(state="lost")
    before = set(lost.values_list("pk", flat=True))
    sync_all()
    return lost.exclude(pk__in=before).count()


def sync_all() -> None:
    """Bring all rows up to date: runs, papers that arrived since, and the ledgers that come with replications."""
    _sync_folders(_folders(), also_known=True)
    for run in Run.objects.filter(moving=True):
        refresh(run)  # a record whose supervisor died is as it was, and yet over
    for ref in Run.objects.filter(paper=None).values_list("paper_ref", flat=True).distinct():
        if paper := installed.paper_of(ref):
            Run.objects.filter(paper=None, paper_ref=ref).update(paper=paper)
            Outcome.objects.filter(paper=None, paper_ref=ref).update(paper=paper)
            _to_index([paper.pk])
    sync_shipped()
    cache.set("runs-seen", _seen())


def catch_up() -> None:
    """Rows of new runs, and of those that still move. For every page that shows runs."""
    for run in Run.objects.filter(moving=True):
        refresh(run)
    seen = _seen()
    if cache.get("runs-seen") != seen:
        _sync_folders(_folders(), also_known=False)
        cache.set("runs-seen", seen)


def told(problem: Exception) -> str:
    """What is wrong with a run, for everybody to read: without the place of the data directory."""
    return f"{str(problem).replace(f'{runs_dir()}/', '')}."


def refresh(run: Run) -> Run:
    """The row after what its record says now."""
    if run.moving or run.problem:
        sync_run(runs_dir() / run.folder)
        run.refresh_from_db()
    return run


def sync_run(path: Path) -> Run | None:
    """Make or update the row of the run in a directory; None where there is none any more."""
    folder = path.relative_to(runs_dir()).as_posix() if path.is_absolute() else path.as_posix()
    path = runs_dir() / folder
    try:
        record = read_run(path)
    except RunError as problem:
        return _broken(path, folder, told(problem))
    paper = installed.paper_of(record.paper)
    columns = _columns(record, folder, paper)
    if not record.state.final and (same := _as_known(record.id, columns)):
        return same  # every page that shows runs asks after those that move, and reading must not become writing
    judged = _judged(path) if record.counts else None
    with transaction.atomic():
        before = Run.objects.filter(run_id=record.id).first()
        run, _ = Run.objects.update_or_create(run_id=record.id, defaults=columns)
        if judged and not (before and before.counts and before.outcomes.exists()):
            run.outcomes.all().delete()
            Outcome.objects.bulk_create(_outcomes(judged, run, paper))
        elif judged is None and run.outcomes.exists():
            _to_index([paper.pk] if paper else [])
            run.outcomes.all().delete()
        if before is None or before.state != run.state or before.counts != run.counts:
            _settle(run.replication)
        if judged and paper and run.state == State.SUCCEEDED.value and not (before and before.counts):
            _publish(run, paper)
    return run


def _as_known(run_id: str, columns: Mapping[str, object]) -> Run | None:
    """The row of a run, if it says the same already."""
    run = Run.objects.select_related("paper").filter(run_id=run_id).first()
    return run if run and all(getattr(run, name) == value for name, value in columns.items()) else None


def _publish(run: Run, paper: Paper) -> None:
    """Make known which claims got their first verdict, or another one, unless that is old: a restored site tells no old news."""
    if run.ended is None or datetime.now(UTC) - run.ended > NEWS:
        return
    changed = run.outcomes.exclude(before=F("verdict")).order_by("number")
    claims = [{"claim": each.claim_id, "verdict": each.verdict, "before": each.before} for each in changed]
    if claims:
        data = {"run": run.run_id, "url": run.get_absolute_url(), "claims": claims}
        publish("verdict", paper=paper, data=data, key=f"verdict:{run.run_id}")


def sync_shipped() -> None:
    """Show the ledgers that come with replications for those that never ran here with verdicts that count."""
    for replication in installed.replications().values():
        found = ledger.shipped(replication)
        rows = Outcome.objects.filter(run=None, replication=replication.name)
        paper = installed.paper_of(replication.paper)
        if found is None:
            rows.delete()
        elif not _is_current(rows, found, paper):
            with transaction.atomic():
                rows.delete()
                Outcome.objects.bulk_create(_outcomes(found, None, paper))
                _settle(replication.name)
    gone = set(Outcome.objects.filter(run=None).values_list("replication", flat=True)) - set(installed.replications())
    Outcome.objects.filter(run=None, replication__in=gone).delete()


def _is_current(rows: Iterable[Outcome], found: ledger.Judged, paper: Paper | None) -> bool:
    kept = {(row.claim_id, row.version, row.verdict, row.judged, row.paper_id) for row in rows}
    key = paper.pk if paper else None
    return kept == {(card.id, verdict.version, verdict.verdict, found.record.states[-1].at, key) for card, verdict in found.pairs}


def _seen() -> str:
    """Changes whenever a run's directory comes or goes."""
    return ",".join(str(folder.stat().st_mtime_ns) for folder in (runs_dir(), runs_dir() / IMPORTED) if folder.is_dir())


def _folders() -> Iterator[Path]:
    for folder in (runs_dir(), runs_dir() / IMPORTED):
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.name != IMPORTED and (path / "run.json").is_file())


def _sync_folders(folders: Iterable[Path], *, also_known: bool) -> None:
    """Rows of runs that have none, or with `also_known` an old one; rows whose run is gone go too."""
    known = dict(Run.objects.values_list("folder", "stamp"))
    left = set(known)
    for path in folders:
        folder = path.relative_to(runs_dir()).as_posix()
        left.discard(folder)
        if folder not in known or (also_known and known[folder] != _stamp(path)):
            sync_run(path)
    # A run that was just asked for is a directory before it has a record.
    left = {folder for folder in left if not (runs_dir() / folder).is_dir()}
    gone = Run.objects.filter(folder__in=left)
    touched = set(gone.values_list("replication", flat=True))
    _to_index(set(Outcome.objects.filter(run__in=gone, paper__isnull=False).values_list("paper_id", flat=True)))
    gone.delete()
    for name in touched:
        _settle(name)


def _stamp(path: Path) -> str:
    try:
        status = (path / "run.json").stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"


def _columns(record: RunRecord, folder: str, paper: Paper | None) -> dict[str, object]:
    words = [str(verdict.get("verdict", "")) for verdict in record.verdicts]
    return {
        "folder": folder,
        "stamp": _stamp(record.path),
        "paper": paper,
        "paper_ref": record.paper[:200],
        "replication": record.replication[:120],
        "title": record.title,
        "preset": record.preset[:20],
        "changed": bool(record.changed),
        "imported": record.imported,
        "counts": record.counts,
        "state": record.state.value,
        "moving": not record.state.final,
        "created": record.created,
        "ended": record.states[-1].at if record.state.final else None,
        "seconds": record.seconds,
        "seeds": len(record.seeds),
        "requester": record.requester[:200],
        "words": f"|{'|'.join(words)}|"[:2000] if words else "",
        "problem": "",
    }


def _broken(path: Path, folder: str, problem: str) -> Run | None:
    """The row of a run whose record cannot be read: it says why, and keeps what was known before."""
    run_id = path.name
    if not path.is_dir() or not RUN_ID.fullmatch(run_id):
        Run.objects.filter(folder=folder).delete()
        return None
    changes = {"folder": folder, "stamp": _stamp(path), "problem": problem, "moving": False}
    made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    run, _ = Run.objects.update_or_create(run_id=run_id, defaults=changes, create_defaults={**changes, "created": made})
    return run


def _judged(path: Path) -> ledger.Judged | None:
    try:
        return ledger.judged(path)
    except RunError as problem:
        log.warning("the verdicts of a run are left out of the ledger: %s", problem)
        return None


def _outcomes(judged: ledger.Judged, run: Run | None, paper: Paper | None) -> list[Outcome]:
    record = judged.record
    return [
        Outcome(
            run=run,
            paper=paper,
            paper_ref=record.paper[:200],
            replication=record.replication[:120],
            preset=record.preset[:20],
            seconds=record.seconds,
            machine=judged.machine[:300],
            judged=record.states[-1].at,
            **_of_claim(number, card, verdict),
        )
        for number, (card, verdict) in enumerate(judged.pairs, start=1)
    ]


def _of_claim(number: int, card: Claim, verdict: Verdict) -> dict[str, object]:
    rule = verdict.rule
    threshold = rule.threshold
    return {
        "number": number,
        "claim_id": card.id,
        "version": verdict.version,
        "verdict": verdict.verdict,
        "scale": card.scale,
        "estimate": rule.estimate,
        "low": rule.low,
        "high": rule.high,
        "threshold": None if math.isnan(threshold) else threshold,
        "unit": rule.unit[:40],
        "n": rule.n,
    }


def _settle(name: str) -> None:
    """Say anew which outcomes of a replication are the latest, what each claim was before, and which run is the newest."""
    outcomes = list(Outcome.objects.filter(replication=name).order_by("judged", "pk"))
    here = [outcome for outcome in outcomes if outcome.run_id]
    last = here[-1].run_id if here else None
    word: dict[str, str] = {}
    moved: set[int] = set()
    for outcome in outcomes:
        was = outcome.latest
        outcome.latest = outcome.run_id == last
        outcome.before = ""
        if outcome.run_id:
            outcome.before, word[outcome.claim_id] = word.get(outcome.claim_id, ""), outcome.verdict
        if outcome.latest != was and outcome.paper_id:
            moved.add(outcome.paper_id)
    Outcome.objects.bulk_update(outcomes, ["latest", "before"])
    _to_index(moved)
    runs = Run.objects.filter(replication=name)
    newest = runs.filter(changed=False, imported=False, problem="").order_by("-created", "-pk").first()
    runs.filter(newest=True).update(newest=False)
    if newest:
        runs.filter(pk=newest.pk).update(newest=True)


def _to_index(papers: Iterable[int]) -> None:
    """Mark papers for the search index, and for whoever harvests: what is known of them changed."""
    if papers := list(papers):
        Paper.objects.filter(pk__in=papers).update(to_index=True, modified=datetime.now(UTC))
