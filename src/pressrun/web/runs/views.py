"""The pages of runs. Reading is open to all; what starts or ends a run is a POST of somebody who may."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from pressrun.replicate import Evidence, EvidenceError
from pressrun.replicate.compare import compare as compare_runs
from pressrun.replicate.ending import EVIDENCE
from pressrun.replicate.record import RunError, RunRecord, load_record
from pressrun.replicate.runs import cancel as cancel_run
from pressrun.web.errors import BadInput
from pressrun.web.papers.lists import page_of
from pressrun.web.papers.models import Paper
from pressrun.web.runs import access, claims, facts, installed, overview, pricing, starting, sync
from pressrun.web.runs.badge import badge_of
from pressrun.web.runs.live import stream
from pressrun.web.runs.models import STATES, VERDICTS, Run
from pressrun.web.runs.scene import Scene, scene_of
from pressrun.web.runs.starting import Refused

PER_PAGE = 50
# A figure is drawn by code that anybody may have written: it may show, and do nothing.
_SHUT = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_FILES = {
    "figure.svg": ("figures/figure.svg", "image/svg+xml"),
    "figure.png": ("figures/figure.png", "image/png"),
    "evidence.parquet": (EVIDENCE, "application/vnd.apache.parquet"),
    "run.json": ("run.json", "application/json"),
    "cards.json": ("cards.json", "application/json"),
    "stdout.txt": ("stdout.txt", "text/plain; charset=utf-8"),
}


@never_cache
@require_GET
def owner(request: HttpRequest) -> HttpResponse:
    """Whoever comes with the printed token is the owner, in this browser."""
    access.become_owner(request, request.GET.get("token", "")[:200])
    return redirect("home")


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, paper_id: str) -> HttpResponse:
    """Start a run of a paper, and go to its page. A form that does not fit comes back with what is wrong."""
    paper = _paper(paper_id)
    if request.method != "POST":
        return redirect(f"{reverse('runs')}?paper={paper.public_id}")
    access.check_may_run(request)
    given = {name: str(value)[:2000] for name, value in request.POST.items()}
    try:
        run = starting.run_paper(paper, given, access.requester(request))
    except Refused as refused:
        context = {"paper": paper, "given": given, "errors": refused.errors}
        return render(request, "runs/start.html", context, status=400)
    return redirect(run)


@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """All runs, the newest first."""
    sync.catch_up()
    chosen = _filters(request)
    rows = Run.objects.select_related("paper").defer("paper__abstract")
    if chosen["state"]:
        rows = rows.filter(problem__gt="") if chosen["state"] == "unreadable" else rows.filter(state=chosen["state"], problem="")
    if chosen["preset"]:
        rows = rows.filter(preset=chosen["preset"])
    if chosen["verdict"]:
        rows = rows.filter(words__contains=f"|{chosen['verdict']}|")
    if chosen["paper"]:
        named = Paper.objects.by_id(chosen["paper"]).values("pk")
        rows = rows.filter(Q(paper__in=named) | Q(paper_ref=chosen["paper"]) | Q(replication=chosen["paper"]))
    page = page_of(rows, request.GET.get("page", "1"), PER_PAGE)
    context = {
        "page": page,
        "chosen": chosen,
        "states": (*STATES, "unreadable"),
        "verdicts": VERDICTS,
        "presets": ("smoke", "laptop", "paper"),
        "any_chosen": any(chosen.values()),
        "may_run": access.may_run(request),
    }
    return render(request, "runs/runs.html", context)


def _filters(request: HttpRequest) -> dict[str, str]:
    known = {"state": (*STATES, "unreadable"), "preset": ("smoke", "laptop", "paper"), "verdict": VERDICTS}
    chosen = {name: request.GET.get(name, "") for name in known}
    for name, value in chosen.items():
        if value and value not in known[name]:
            raise BadInput(f"{name} must be one of {', '.join(known[name])}, got {value[:40]!r}.")
    return chosen | {"paper": request.GET.get("paper", "").replace("\0", "").strip()[:200]}


@require_safe
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """One run: what it does now, or what came of it."""
    found = _run(run_id)
    try:
        context = _context(request, found)
    except RunError as problem:
        return render(request, "runs/broken.html", {"run": found, "sentence": sync.told(problem)})
    template = "runs/_moving.html" if request.GET.get("part") == "live" else "runs/run.html"
    return render(request, template, context)


def _context(request: HttpRequest, found: Run) -> dict[str, Any]:
    record = _record(found)
    rows = claims.of_run(found)
    replication = installed.by_name(record.replication)
    expected = (
        pricing.expected_seconds(replication, record.preset, len(record.seeds)) if found.moving and not record.changed else None
    )
    scene: Scene = scene_of(record, [row.card for row in rows], expected)
    others = Run.objects.filter(replication=found.replication, problem="", moving=False).exclude(pk=found.pk)[:5]
    return {
        "run": found,
        "record": record,
        "rows": rows,
        "scene": scene,
        "charts": [chart for chart in scene.charts if chart.judged] or list(scene.charts),
        "more_charts": [chart for chart in scene.charts if not chart.judged] if any(c.judged for c in scene.charts) else [],
        "has_figure": (record.path / "figures/figure.svg").is_file(),
        "has_evidence": (record.path / EVIDENCE).is_file(),
        "may_cancel": found.moving and access.may_cancel(request, found),
        "may_run": access.may_run(request) and replication is not None,
        "started": record.created.timestamp(),
        "others": others,
        "parent": Run.objects.filter(run_id=record.parent).first() if record.parent else None,
        "cards_now": {card.id: card.version for card in replication.cards} if replication else {},
    }


@require_GET
async def events(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """What happens to a run, as server-sent events, from the beginning or after the last one that the browser had."""
    found = await sync_to_async(_run)(run_id)
    cursor = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    response = StreamingHttpResponse(stream(sync.runs_dir() / found.folder, cursor[:10_000]), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy that collects an answer before passing it on would show nothing
    return response


@require_POST
def cancel(request: HttpRequest, run_id: str) -> HttpResponse:
    """Ask for the end of a run."""
    found = _run(run_id)
    access.check_may_cancel(request, found)
    try:
        cancel_run(_record(found), access.requester(request))
    except RunError as problem:
        raise BadInput(sync.told(problem)) from problem
    sync.sync_run(sync.runs_dir() / found.folder)
    return redirect(found)


@require_POST
def again(request: HttpRequest, run_id: str) -> HttpResponse:
    """The same run once more."""
    found = _run(run_id)
    access.check_may_run(request)
    try:
        return redirect(starting.again(_record(found), access.requester(request)))
    except RunError as problem:
        raise BadInput(sync.told(problem)) from problem


@require_safe
def compare(request: HttpRequest, first: str, second: str) -> HttpResponse:
    """Two runs side by side."""
    one, other = _run(first), _run(second)
    try:
        found = compare_runs(_record(one), _record(other))
    except RunError as problem:
        raise BadInput(sync.told(problem)) from problem
    sections = (("What was asked for", found.asked), ("What it ran on", found.surroundings))
    return render(request, "runs/compare.html", {"one": one, "other": other, "comparison": found, "sections": sections})


@require_safe
def bundle(request: HttpRequest, run_id: str) -> HttpResponse:
    """The run as one signed file."""
    from pressrun.replicate.bundle import bundle as pack  # its libraries are large, and few ask for it

    record = _record(_run(run_id))
    if not record.state.final:
        raise BadInput(f"run {record.id} is {record.state}; it can be bundled when it is over.")
    if record.imported:
        raise BadInput(f"run {record.id} was made elsewhere; pass on the bundle that it came in.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            packed = pack(record, Path(settings.HOME) / "signing-key", Path(folder) / f"{record.id}.zip")
        except RunError as problem:
            raise BadInput(sync.told(problem)) from problem
        response = HttpResponse(packed.read_bytes(), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{record.id}.zip"'
    return response


@require_safe
def file(request: HttpRequest, run_id: str, name: str) -> HttpResponse:
    """One of a run's files: its figure, evidence, record, cards or output."""
    found = _run(run_id)
    path = sync.runs_dir() / found.folder
    if name == "evidence.csv":
        content, kind = _as_csv(path), "text/csv; charset=utf-8"
    elif name == "stdout.txt" and not (path / "stdout.txt").is_file():
        content, kind = _output_so_far(path), _FILES[name][1]
    elif name in _FILES and (path / _FILES[name][0]).is_file():
        content, kind = (path / _FILES[name][0]).read_bytes(), _FILES[name][1]
    else:
        raise Http404(f"Run {found.run_id} has no file {name[:80]}.")
    response = HttpResponse(content, content_type=kind)
    shown = kind.startswith(("image/", "text/plain"))
    response["Content-Disposition"] = f'{"inline" if shown else "attachment"}; filename="{found.run_id}-{name}"'
    response["Content-Security-Policy"] = _SHUT
    return response


def _as_csv(path: Path) -> bytes:
    try:
        evidence = Evidence.read(path / EVIDENCE)
    except EvidenceError:
        raise Http404(f"Run {path.name} has no evidence that can be read.") from None
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("seed", "arm", "metric", "value", "unit", "step"))
    table.writerows(
        (row.seed, row.arm, row.metric, row.value, row.unit, "" if row.step is None else row.step) for row in evidence.rows()
    )
    return text.getvalue().encode()


def _output_so_far(path: Path) -> bytes:
    """What the seeds of a run that is not over have printed, the last of each."""
    outputs = sorted((path / "seeds").glob("*.txt"))
    return b"".join(f"--- seed {output.stem}\n".encode() + output.read_bytes()[-(2**20) :] for output in outputs)


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """All papers, claims and verdicts at a glance."""
    sync.catch_up()
    filters = overview.filters_of(request.GET)
    context = {
        "filters": filters,
        "found": overview.overview(filters),
        "verdicts": (*VERDICTS, overview.NOT_RUN),
        "orders": overview.ORDERS,
        "problems": installed.problems() if access.is_owner(request) else (),  # they name places of this machine
    }
    return render(request, "runs/ledger.html", context)


@require_safe
def ledger_csv(request: HttpRequest) -> HttpResponse:
    """The ledger as a table, a row a claim, with the same filters as the page."""
    sync.catch_up()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = ("verdict", "scale", "estimate", "low", "high", "threshold", "unit", "n", "preset", "seconds", "machine", "judged")
    table.writerow(("paper", "title", "replication", "claim", "version", *columns, "run"))
    for _, entries in overview.overview(overview.filters_of(request.GET)).groups:
        for entry in entries:
            for cell in entry.cells:
                if (outcome := cell.outcome) is None:
                    continue
                values = [getattr(outcome, column) for column in columns]
                told = ["" if value is None else value.isoformat() if hasattr(value, "isoformat") else value for value in values]
                run_id = outcome.run.run_id if outcome.run else "elsewhere"
                table.writerow((outcome.paper_ref, entry.title, entry.name, cell.claim_id, outcome.version, *told, run_id))
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="ledger.csv"'
    return response


@require_safe
def badge(request: HttpRequest, paper_id: str) -> HttpResponse:
    """The verdicts of a paper as an image for a README."""
    paper = _paper(paper_id)
    outcomes = facts.latest(paper)
    if not outcomes and installed.of_paper(paper) is None:
        raise Http404(f"Nobody has written a replication of {paper.public_id} yet, so there is no badge.")
    shown = badge_of(settings.SITE_NAME, [(each.css_verdict, each.verdict) for each in outcomes])
    response = render(request, "runs/badge.svg", {"badge": shown}, content_type="image/svg+xml")
    response["Cache-Control"] = "max-age=300"
    response["Content-Security-Policy"] = _SHUT
    return response


def _paper(paper_id: str) -> Paper:
    found = None if "\0" in paper_id or len(paper_id) > 500 else Paper.objects.by_id(paper_id).first()
    if found is None:
        raise Http404(f"There is no paper {paper_id[:100]} on this site.")
    return found


def _run(run_id: str) -> Run:
    """The row of a run, brought up to date. A run that has no row yet gets one."""
    rows = Run.objects.select_related("paper").filter(run_id=run_id)
    found = None if "\0" in run_id else rows.first()
    if found is None or not (sync.runs_dir() / found.folder).is_dir():
        sync.catch_up()
        found = None if "\0" in run_id else rows.all().first()
    if found is None:
        raise Http404(f"There is no run {run_id[:120]} here.")
    return sync.refresh(found)


def _record(found: Run) -> RunRecord:
    return load_record(sync.runs_dir() / found.folder)
