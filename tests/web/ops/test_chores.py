"""Harvests, clean-up, re-runs and backups as periodic work: what goes, what stays."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from pressrun.web.ops import chores, jobs, worker
from pressrun.web.ops.jobs import enqueue
from pressrun.web.papers.models import ImportRun, Paper
from pressrun.web.runs.models import Outcome, Run

pytestmark = pytest.mark.django_db

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.mark.django_db(transaction=True)
def test_a_harvest_reads_every_source_and_one_that_fails_stops_no_other(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {name: kind for name, kind in jobs.registered().items() if name.startswith("harvest")}
    monkeypatch.setattr(jobs, "_jobs", only)
    good = tmp_path / "library.bib"
    good.write_text("@article{a, title = {Inhibition in Example Nets}, author = {Example, Erkki}, year = {2021}}")
    settings.HARVEST = [str(tmp_path / "missing.bib"), str(good)]
    worker.know_jobs()
    worker.work(once=True)
    assert list(Paper.objects.values_list("title", "to_index")) == [("Inhibition in Example Nets", False)]
    rows = {row.args_kwargs["args"][1].get("location", ""): row for row in DBTaskResult.objects.all()}
    assert rows[""].return_value == "2 sources asked for"
    assert rows[str(good)].return_value == f"1 added, 0 merged, 0 unchanged, 0 rejected of {good}"
    assert rows[str(tmp_path / "missing.bib")].status == "READY"  # to be tried again
    assert "missing.bib could not be read" in rows[str(tmp_path / "missing.bib")].traceback


def test_sessions_that_are_over_go_and_the_others_stay() -> None:
    Session.objects.create(session_key="old", expire_date=LONG_AGO)
    Session.objects.create(session_key="new", expire_date=datetime.now(UTC) + timedelta(days=1))
    chores.clean()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


def test_done_work_goes_after_its_days_and_waiting_work_never(settings: Settings) -> None:
    for location in ("done", "waits"):
        enqueue("harvest-source", location=location)
    DBTaskResult.objects.update(enqueued_at=LONG_AGO)
    DBTaskResult.objects.filter(args_kwargs__args__1__location="done").update(status="SUCCESSFUL", finished_at=LONG_AGO)
    settings.KEEP_WORK_DAYS = 0
    chores.clean()
    assert DBTaskResult.objects.count() == 2
    settings.KEEP_WORK_DAYS = 30
    chores.clean()
    assert [row.args_kwargs["args"][1] for row in DBTaskResult.objects.all()] == [{"location": "waits"}]


def test_of_each_source_the_last_report_and_the_last_whole_one_stay(settings: Settings) -> None:
    settings.KEEP_IMPORTS_DAYS = 30
    made = [
        ImportRun.objects.create(location="a", identity="a", format="bibtex", state=state)
        for state in ("finished", "finished", "stopped", "stopped")
    ]
    ImportRun.objects.update(started=LONG_AGO)
    fresh = ImportRun.objects.create(location="b", identity="b", format="bibtex", state="stopped")
    chores.clean()
    assert set(ImportRun.objects.values_list("pk", flat=True)) == {made[1].pk, made[3].pk, fresh.pk}


def test_old_runs_go_unless_they_are_the_newest_or_in_the_ledger(settings: Settings, tmp_path: Path) -> None:
    settings.KEEP_RUNS_DAYS = 30

    def run(name: str, created: datetime, **facts: object) -> Run:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        status = (folder / "run.json").stat()
        stamp = f"{status.st_mtime_ns} {status.st_size}"
        return Run.objects.create(run_id=name, folder=name, created=created, stamp=stamp, **facts)

    run("old", LONG_AGO)
    run("newest", LONG_AGO, newest=True)
    run("fresh", datetime.now(UTC))
    judged = run("in-the-ledger", LONG_AGO, counts=True)
    Outcome.objects.create(
        run=judged, replication="r", claim_id="c", number=1, version=1, verdict="matched", scale="toy", preset="laptop",
        judged=LONG_AGO, latest=True,
    )  # fmt: skip
    assert chores._old_runs() == 1
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"newest", "fresh", "in-the-ledger"}
    assert not Run.objects.filter(run_id="old").exists()
    settings.KEEP_RUNS_DAYS = 0
    assert chores._old_runs() == 0


def test_old_runs_are_done_again_one_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def again(record: object, requester: str) -> Run:
        asked.append((record, requester))
        return Run(run_id="the-second")

    monkeypatch.setattr(chores, "read_run", lambda path: path.name)
    monkeypatch.setattr(chores.starting, "again", again)
    for name, created in (("first", LONG_AGO), ("second", LONG_AGO + timedelta(days=1)), ("fresh", datetime.now(UTC))):
        Run.objects.create(run_id=name, folder=name, created=created, newest=True, counts=True)
    settings.RERUN_DAYS = 0
    assert chores.rerun() is None
    settings.RERUN_DAYS = 30
    assert chores.rerun() == "first again as the-second"
    assert asked == [("first", "the schedule")]
    Run.objects.create(run_id="moving", folder="moving", created=datetime.now(UTC), moving=True)
    assert chores.rerun() is None
    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_backups_are_made_where_the_setting_says_and_the_last_few_stay(settings: Settings, tmp_path: Path) -> None:
    assert chores.backup() is None
    settings.BACKUPS = str(tmp_path / "safe")
    settings.KEEP_BACKUPS = 2
    (tmp_path / "safe").mkdir()
    for day in ("20250101-000000", "20250102-000000", "20250103-000000"):
        (tmp_path / "safe" / f"pressrun-{day}.tar.gz").touch()
    (tmp_path / "safe" / "mine.tar.gz").touch()
    said = chores.backup()
    assert said is not None
    assert "holds 0 papers and 0 runs" in said
    names = sorted(path.name for path in (tmp_path / "safe").iterdir())
    assert names[:2] == ["mine.tar.gz", "pressrun-20250103-000000.tar.gz"]
    assert len(names) == 3
    with tarfile.open(tmp_path / "safe" / names[2]) as archive:
        assert archive.getnames()[-1] == "manifest.json"
