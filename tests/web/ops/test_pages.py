"""What the owner and the machines that watch a site get to see, and what nobody else does."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse
from django_tasks_db.models import DBTaskResult
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from pressrun.web.ops import worker
from pressrun.web.ops.jobs import enqueue
from pressrun.web.ops.logs import Impersonal, without_people
from pressrun.web.ops.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("olga", "olga@example.org", "a long pass phrase"))
    return client


def test_everybody_may_ask_whether_the_site_lives_and_learns_no_more(client: Client) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


def test_a_site_without_its_database_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(connection, "cursor", gone)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "no database"})


def test_the_owner_sees_findings_and_the_work_behind_the_pages(owner: Client) -> None:
    worker.know_jobs()
    Job.objects.filter(name="harvest").update(paused=True)
    page = owner.get("/health").content.decode()
    assert "Reads the sources that PRESSRUN_HARVEST names." in page
    assert re.search(r"<dt>paused</dt><dd>harvest", page)
    said = owner.get("/health", headers={"Accept": "application/json"}).json()
    found = {finding["what"]: finding for finding in said["findings"]}
    assert found["site"]["state"] == "not running"
    assert found["work"]["state"] == "0 pieces wait"


def test_work_that_failed_and_work_that_waits_for_long_want_the_owners_eye(owner: Client) -> None:
    enqueue("clean")
    DBTaskResult.objects.update(status="FAILED", finished_at=datetime.now(UTC), worker_ids=["a"])
    enqueue("runs")
    DBTaskResult.objects.filter(queue_name="runs").update(enqueued_at=datetime.now(UTC) - timedelta(hours=1))
    said = owner.get("/health", headers={"Accept": "application/json"}).json()
    found = {finding["what"]: finding for finding in said["findings"] if not finding["fine"]}
    assert said["status"] == "attention"
    assert found["work: clean"]["state"] == "failed the last time"
    assert found["work"]["state"] == "1 pieces wait, 1 for over 15 minutes"
    DBTaskResult.objects.filter(queue_name="clean").update(status="SUCCESSFUL")
    said = owner.get("/health", headers={"Accept": "application/json"}).json()
    assert "work: clean" not in {finding["what"] for finding in said["findings"]}


def test_metrics_are_for_the_owner(client: Client, owner: Client) -> None:
    assert Client().get("/metrics", headers={"Accept": "application/json"}).status_code == 401
    member = Client()
    member.force_login(User.objects.create_user("mia"))
    assert member.get("/metrics").status_code == 403
    assert owner.get("/metrics").status_code == 200


def test_metrics_count_requests_by_route_and_say_how_the_site_stands(owner: Client, papers: object) -> None:
    def read() -> dict[tuple[str, ...], float]:
        text = owner.get("/metrics").content.decode()
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = read()
    owner.get("/papers/2509.23253")
    owner.get("/papers/2510.06036")
    owner.get("/nowhere/at-all")
    after = read()
    counted = ("pressrun_requests_total", "GET", "paper", "200")
    assert after[counted] - before.get(counted, 0) == 2
    unknown = {key for key in after.keys() - before.keys() if key[0] == "pressrun_requests_total" and key[-1] == "404"}
    assert all("at-all" not in part for key in unknown for part in key)
    assert after[("pressrun_papers",)] == 5
    assert after[("pressrun_processes", "worker")] == 0
    assert after[("pressrun_work_delay_seconds",)] == 0


def test_this_machine_may_read_metrics_where_the_setting_says_so_but_not_through_a_proxy(
    client: Client, settings: Settings
) -> None:
    settings.METRICS = "loopback"
    settings.ALLOWED_HOSTS = ["*"]
    ask = {"Accept": "application/json"}
    assert client.get("/metrics", headers={"Host": "localhost:8017"}).status_code == 200
    assert client.get("/metrics", headers={**ask, "Host": "papers.example.org"}).status_code == 401
    assert client.get("/metrics", headers={**ask, "Host": "localhost", "X-Forwarded-For": "203.0.113.9"}).status_code == 401
    assert client.get("/metrics", headers={**ask, "Host": "localhost"}, REMOTE_ADDR="203.0.113.9").status_code == 401


def test_metrics_may_be_off(owner: Client, settings: Settings) -> None:
    settings.METRICS = "off"
    assert owner.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("mail to ada@example.org failed", "mail to [mail address] failed"),
        ("from 203.0.113.9 and 2001:db8::1.", "from [address] and [address]."),
        ("203.0.113.9:443: refused", "[address]:443: refused"),
        ("Bearer pr_abcdEFGH12345678 refused", "Bearer [token] refused"),
        ("GET /search?q=my+illness&page=2 took long", "GET /search?[query] took long"),
        ("done in 12:30:05 with pressrun 0.4.1", "done in 12:30:05 with pressrun 0.4.1"),
        ("is it fine? yes", "is it fine? yes"),
    ],
)
def test_the_log_names_nobody(said: str, written: str) -> None:
    assert without_people(said) == written


def test_a_logged_error_names_the_route_and_not_the_address(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    keep = Impersonal()
    caplog.handler.addFilter(keep)
    try:
        client.get("/authors/ada-lovelace")
        logging.getLogger("x").error("no %s", "ada@example.org", exc_info=ValueError("mail ada@example.org"))
    finally:
        caplog.handler.removeFilter(keep)
    assert "Not Found: /authors/<str:slug>" in caplog.text
    assert "ada" not in caplog.text.replace("Not Found", "")
    assert "ValueError: mail [mail address]" in caplog.text


def test_every_request_is_a_line_in_the_log_without_who_or_where(
    client: Client, papers: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pressrun.requests"):
        client.get("/papers/2509.23253?secret=1")
    (record,) = [record for record in caplog.records if record.name == "pressrun.requests"]
    assert re.fullmatch(r"GET paper 200 [\d.]+ ms", record.getMessage())


def test_the_json_log_is_one_object_a_line(settings: Settings) -> None:
    from pythonjsonlogger.json import JsonFormatter

    from pressrun.web.settings import LOGGING

    how = LOGGING["formatters"]["json"]  # type: ignore[index]
    formatter = JsonFormatter(how["format"], style=how["style"], rename_fields=how["rename_fields"])  # type: ignore[index]
    record = logging.LogRecord("pressrun.requests", logging.INFO, "", 0, "GET %s", ("paper",), None)
    record.status = 200
    said = json.loads(formatter.format(record))
    assert {key: said[key] for key in ("level", "logger", "message", "status")} == {
        "level": "INFO",
        "logger": "pressrun.requests",
        "message": "GET paper",
        "status": 200,
    }
    assert "time" in said


def _ours() -> list[type]:
    return [model for model in admin.site._registry if model.__module__.startswith("pressrun.")]


def test_the_owner_finds_every_list_of_the_admin_and_can_search_it(owner: Client, papers: object) -> None:
    worker.know_jobs()
    enqueue("clean")
    for model, page in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = owner.get(address, {"q": "paper"} if page.search_fields else {})
        assert answer.status_code == 200, address
        if model in _ours():
            assert page.search_fields, f"{address} can't be searched"


def test_the_owner_pauses_work_does_it_now_and_repeats_what_failed(owner: Client) -> None:
    worker.know_jobs()
    jobs = reverse("admin:ops_job_changelist")

    def act(address: str, action: str, *chosen: object) -> None:
        assert owner.post(address, {"action": action, "_selected_action": chosen}).status_code == 302

    clean = Job.objects.get(name="clean").pk
    act(jobs, "pause", clean)
    assert list(Job.objects.filter(paused=True).values_list("name", flat=True)) == ["clean"]
    act(jobs, "go_on", clean)
    assert not Job.objects.filter(paused=True).exists()
    act(jobs, "do_now", clean, Job.objects.get(name="harvest-source").pk)
    row = DBTaskResult.objects.get()
    assert (row.queue_name, row.status) == ("clean", "READY")
    DBTaskResult.objects.update(status="FAILED", worker_ids=["a", "b", "c"])
    act(reverse("admin:ops_jobrun_changelist"), "again", row.pk)
    row.refresh_from_db()
    assert (row.status, row.worker_ids) == ("READY", [])


def test_the_doctor_names_an_old_backup(settings: Settings, tmp_path: Path) -> None:
    from pressrun.web.ops.health import backups

    settings.BACKUPS = str(tmp_path)
    assert list(backups()) == [("backup", "none yet", True, "")]
    (tmp_path / "pressrun-20260101-000000.tar.gz").touch()
    old = datetime.now(UTC).timestamp() - timedelta(days=3, hours=1).total_seconds()
    import os

    os.utime(tmp_path / "pressrun-20260101-000000.tar.gz", (old, old))
    assert list(backups()) == [("backup", "3 days and 1 hours old", False, "see why the work `backup` is not done")]
