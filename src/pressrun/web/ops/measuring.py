"""What Prometheus reads: requests by route, and the state of the site."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch
from django_tasks_db.models import DBTaskResult
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pressrun.web.ops import alive
from pressrun.web.papers.models import Paper
from pressrun.web.runs.models import Run

__all__ = ["Measured", "as_text"]

log = logging.getLogger("pressrun.requests")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUESTS = Counter("pressrun_requests", "Requests answered.", ["route", "method", "status"])
SECONDS = Histogram(
    "pressrun_request_seconds",
    "Time to the first byte of an answer.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class Measured:
    """Counts and times every request, and writes a line of it into the log at level INFO. By route, never by address or person."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = getattr(request, "came", None) or time.perf_counter()
        response = self.get_response(request)
        took = time.perf_counter() - began
        route = _route(request.resolver_match, response.status_code)
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, response.status_code).inc()
        SECONDS.labels(route).observe(took)
        facts = {"method": method, "route": route, "status": response.status_code, "ms": round(took * 1000, 1)}
        log.info("%s %s %d %.1f ms", *facts.values(), extra=facts)
        return response


def _route(match: ResolverMatch | None, status: int) -> str:
    """A name from a closed list: what visitors type must not become a series of its own."""
    if match:
        return match.view_name or match.route
    return "unknown" if status == 404 else "static or refused"


class _Site(Collector):
    """The state of the site, asked for anew at each reading."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("pressrun_papers", "Papers that lists show.", Paper.objects.visible().count())
        waiting = Paper.objects.filter(to_index=True).count()
        yield GaugeMetricFamily("pressrun_papers_to_index", "Papers that wait to be indexed.", waiting)
        yield _by("pressrun_runs", "Runs by state.", "state", _counts(Run.objects.exclude(state="").values_list("state")))
        yield _by("pressrun_work", "Pieces of work by state.", "state", _counts(DBTaskResult.objects.values_list("status")))
        yield GaugeMetricFamily("pressrun_work_delay_seconds", "How long the oldest work that could start has waited.", _delay())
        kinds = [process.kind for process in alive.living()]
        yield _by(
            "pressrun_processes", "Processes that live.", "kind", {kind: kinds.count(kind) for kind in ("server", "worker")}
        )
        free = shutil.disk_usage(settings.HOME).free
        yield GaugeMetricFamily("pressrun_disk_free_bytes", "Free space where the data directory is.", free)


def as_text() -> bytes:
    """Everything in Prometheus' text format, of all server processes together."""
    requests = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        requests = CollectorRegistry()
        MultiProcessCollector(requests)  # type: ignore[no-untyped-call]
    site = CollectorRegistry()
    site.register(_Site())
    return generate_latest(requests) + generate_latest(site)


def _by(name: str, says: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value.lower()], count)
    return family


def _counts(states: object) -> dict[str, int]:
    return dict(states.annotate(n=Count("pk")).order_by())  # type: ignore[attr-defined]


def _delay() -> float:
    """Seconds since the first of the work that could be done now could be done."""
    now = datetime.now(UTC)
    ready = DBTaskResult.objects.ready().values_list("enqueued_at", "run_after")
    return max(((now - (later if later <= now else asked)).total_seconds() for asked, later in ready.iterator()), default=0.0)
