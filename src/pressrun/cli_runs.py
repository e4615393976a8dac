"""The commands that run papers. Like all commands they parse and print; runs are made, judged and kept by `pressrun.replicate`."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pressrun._terminal import AsJson, Quiet, err, out, print_json, safe, site

if TYPE_CHECKING:
    from pressrun.replicate import Replication, Verdict
    from pressrun.replicate.knobs import Value
    from pressrun.replicate.record import RunRecord
    from pressrun.replicate.watch import Event
    from pressrun.web.runs.ledger import Judged

MARKS = {"matched": "✓", "partly matched": "◐", "not matched": "✕", "too noisy": "≈", "void": "∅"}
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or an unambiguous beginning of it.")]


class Place(StrEnum):
    LOCAL = "local"
    RAY = "ray"


def run(
    paper: Annotated[str, typer.Argument(help="arXiv id, DOI or address of a paper, or the name of a replication.")],
    preset: Annotated[
        str, typer.Option(help="smoke (does it run?), laptop (minutes) or paper (the paper's own size).")
    ] = "laptop",
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="How many seeds; default 5, for smoke 1.")] = None,
    first_seed: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="The first seed; the others count up from it. A ledger's begin at 100.")
    ] = 0,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KNOB=VALUE", help="Another value of a knob; may be repeated.")
    ] = [],  # noqa: B006  Typer reads it, nobody changes it
    on: Annotated[
        Place | None, typer.Option(help="Processes of this machine, or a Ray cluster; ray when RAY_ADDRESS is set.")
    ] = None,
    wall: Annotated[float, typer.Option(min=1, help="Seconds after which the run is stopped.")] = 3600,
    memory: Annotated[float, typer.Option(min=0.1, help="Gigabytes that all seeds together may use.")] = 8,
    watch: Annotated[bool, typer.Option("--watch/--detach", help="Stay until it is over, or leave it running.")] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a paper's claims on this machine and judge them."""
    with site():
        from django.conf import settings as django_settings

        from pressrun.replicate import changed, settings
        from pressrun.replicate.record import Limits
        from pressrun.replicate.runs import start, submit
        from pressrun.web.runs.sync import runs_dir

        replication = _replication(paper)
        usual = _preset(replication, preset)
        config = settings(replication.knobs, usual, _overrides(set_))
        place = on.value if on else "ray" if os.environ.get("RAY_ADDRESS") else "local"
        record = submit(
            runs_dir(),
            replication,
            config,
            preset,
            changed(usual, config),
            range(first_seed, first_seed + (seeds or (1 if preset == "smoke" else 5))),
            on="ray" if place == "ray" else "local",
            limits=Limits(wall=wall, memory=int(memory * 1e9)),
            requester="the command line",
            command=shlex.join(["pressrun", *sys.argv[1:]]),
        )
        start(record, at_once=django_settings.RUNS_AT_ONCE)
        if watch:
            record = _watch(record, quiet or as_json)
        _end(record, watch, quiet, as_json)


def _replication(text: str) -> Replication:
    from pressrun.replicate import discover, replication_for
    from pressrun.web.errors import BadInput
    from pressrun.web.papers.models import Paper
    from pressrun.web.runs.installed import of_paper

    found = discover()
    row = Paper.objects.by_id(text).first()
    chosen = found.replications.get(text) or replication_for(text) or (of_paper(row) if row else None)
    if chosen:
        return chosen
    for problem in found.problems:
        err.print(problem, markup=False, soft_wrap=True)
    known = ", ".join(sorted(f"{each.paper} ({each.name})" for each in found.replications.values()))
    raise BadInput(f"there is no replication of {text[:200]!r} here; there are {known or 'none'}.")


def _preset(replication: Replication, name: str) -> Mapping[str, Value]:
    from pressrun.web.errors import BadInput

    if name not in replication.presets:
        raise BadInput(f"the preset must be one of {', '.join(replication.presets)}, got {name[:40]!r}.")
    return replication.presets[name]


def _overrides(given: list[str]) -> dict[str, str]:
    from pressrun.web.errors import BadInput

    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise BadInput(f"--set takes KNOB=VALUE, got {name[:80]!r}.")
    return {name: value for name, _, value in pairs}


def _watch(record: RunRecord, quiet: bool) -> RunRecord:
    """Show what happens until the run is over. Ctrl-C leaves it running and says how to go on."""
    from pressrun.replicate.runs import read_run
    from pressrun.replicate.watch import watch

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
            bars: dict[int, TaskID] = {seed: progress.add_task(f"seed {seed}", total=None, said="waits") for seed in record.seeds}
            for event in watch(record):
                _show(event, progress, bars, quiet)
    except KeyboardInterrupt:
        err.print(f"\nThe run goes on. pressrun show {record.id} says how it stands, pressrun cancel {record.id} ends it.")
        raise SystemExit(130) from None
    return read_run(record.path)


def _show(event: Event, progress: Progress, bars: dict[int, TaskID], quiet: bool) -> None:
    data: dict[str, Any] = event.data
    if event.kind == "progress" and event.seed in bars:
        progress.update(bars[event.seed], completed=data["done"], total=data["total"], said=safe(str(data["label"])))
    elif event.kind == "log" and not quiet and "text" in data:
        progress.console.print(f"seed {event.seed}: {data['text']}", markup=False, soft_wrap=True)
    elif event.kind == "state" and not quiet and not err.is_terminal:
        err.print(f"{data['state']}{': ' + str(data['note']) if data['note'] else ''}", markup=False, soft_wrap=True)


def _end(record: RunRecord, watched: bool, quiet: bool, as_json: bool) -> None:
    from pressrun.web.runs.sync import sync_run

    with suppress(OSError):  # the site finds it later all the same
        sync_run(record.path)
    if as_json:
        print_json(record.model_dump(mode="json", exclude={"path"}))
    elif not watched:
        out.print(record.id)
    elif not quiet:
        print_run(record)
    if watched and record.state.value != "succeeded":
        raise SystemExit(1)


def print_run(record: RunRecord) -> None:
    """A run for people: how it ended, a verdict per claim, and where its figure is."""
    took = f" in {record.seconds:.0f} s" if record.seconds is not None else ""
    out.print(f"[bold]{safe(record.title or record.replication)}[/bold]", soft_wrap=True)
    out.print(f"{record.id}: {record.state.value}{took}, preset {record.preset}, {len(record.seeds)} seeds", markup=False)
    if record.note:
        out.print(record.note, markup=False, soft_wrap=True)
    if record.changed:
        out.print(
            f"with changed knobs: {', '.join(f'{k}={v}' for k, v in record.changed.items())}; not for the ledger", markup=False
        )
    verdicts = list(_verdicts(record))
    if verdicts:
        out.print(_verdict_table(verdicts))
        for _, verdict in verdicts:
            out.print(f"{verdict.claim_id}: {verdict.sentence}", markup=False, soft_wrap=True)
    elif record.not_judged:
        out.print(record.not_judged, markup=False, soft_wrap=True)
    figure = record.path / "figures/figure.svg"
    if record.no_figure or figure.is_file():
        out.print(f"figure  {record.no_figure or figure}", markup=False, soft_wrap=True)
    out.print(f"record  {record.path}", markup=False, soft_wrap=True)


def _verdicts(record: RunRecord) -> Iterator[tuple[str, Verdict]]:
    from pressrun.replicate import verdict_from_json
    from pressrun.replicate.ending import read_cards

    scales = {card.id: card.scale for card in read_cards(record.path)}
    for each in record.verdicts:
        verdict = verdict_from_json(dict(each))
        yield scales.get(verdict.claim_id, ""), verdict


def _verdict_table(verdicts: list[tuple[str, Verdict]]) -> Table:
    table = Table("claim", "scale", "verdict", "estimate", "95 % interval", "threshold", "n", "control", box=None, pad_edge=False)
    for scale, verdict in verdicts:
        rule = verdict.rule
        interval = f"{_number(rule.low)} to {_number(rule.high)}" if rule.low is not None else rule.kind
        threshold = (
            _number(rule.threshold)
            if rule.threshold is not None
            else f"{_number(rule.accept_low)} to {_number(rule.accept_high)}"
        )
        marked = f"{MARKS[verdict.verdict]} {verdict.verdict}"
        table.add_row(
            safe(verdict.claim_id),
            scale,
            marked,
            _number(rule.estimate),
            interval,
            threshold,
            str(rule.n),
            verdict.control.verdict,
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many runs at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs of this install, the newest first."""
    with site():
        from pressrun.replicate.record import RunError
        from pressrun.replicate.runs import read_runs
        from pressrun.web.runs.sync import runs_dir

        found = [each for _, each in zip(range(limit), read_runs(runs_dir()), strict=False)]
        if as_json:
            print_json(
                [{"problem": str(e)} if isinstance(e, RunError) else e.model_dump(mode="json", exclude={"path"}) for e in found]
            )
            return
        table = Table("run", "state", "preset", "seeds", "seconds", "verdicts", box=None, pad_edge=False)
        for each in found:
            if isinstance(each, RunError):
                err.print(str(each), markup=False, soft_wrap=True)
                continue
            seconds = f"{each.seconds:.0f}" if each.seconds is not None else ""
            words = Counter(str(verdict["verdict"]) for verdict in each.verdicts)
            said = ", ".join(f"{words[word]} {word}" for word in MARKS if words[word])
            table.add_row(each.id, each.state.value, each.preset, str(len(each.seeds)), seconds, said)
        out.print(table)


def run_here(run_id: str) -> RunRecord:
    """The record of a run of this install."""
    from pressrun.replicate.record import find_run
    from pressrun.replicate.runs import read_run
    from pressrun.web.runs.sync import runs_dir

    return read_run(find_run(runs_dir(), run_id))


def run_called(text: str) -> RunRecord | None:
    """The run of exactly this id, None where there is none."""
    from pressrun.replicate.record import RUN_ID, RunError
    from pressrun.replicate.runs import read_run
    from pressrun.web.runs.sync import runs_dir

    places = (runs_dir() / text, runs_dir() / "imported" / text) if RUN_ID.fullmatch(text) else ()
    for place in places:
        with suppress(RunError):
            return read_run(place)
    return None


def cancel(run: RunId) -> None:
    """End a run, waiting or running."""
    with site():
        from pressrun.replicate import runs as on_disk

        record = run_here(run)
        on_disk.cancel(record, by="the command line")
        err.print(f"asked run {record.id} to end")


def rerun(
    run: RunId,
    watch: Annotated[bool, typer.Option("--watch/--detach", help="Stay until it is over, or leave it running.")] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Do a run again: the same knobs, seeds and limits."""
    with site():
        from django.conf import settings as django_settings

        from pressrun.replicate import runs as on_disk
        from pressrun.web.runs.sync import runs_dir

        old = run_here(run)
        again = on_disk.rerun(old, _replication(old.replication), requester="the command line", runs_dir=runs_dir())
        on_disk.start(again, at_once=django_settings.RUNS_AT_ONCE)
        if watch:
            again = _watch(again, quiet or as_json)
        _end(again, watch, quiet, as_json)


def compare(first: RunId, second: RunId, as_json: AsJson = False) -> None:
    """Hold two runs side by side: what was asked, what they ran on, evidence and verdicts."""
    with site():
        from dataclasses import asdict

        from pressrun.replicate.compare import compare as compared

        found = compared(run_here(first), run_here(second))
        if as_json:
            print_json({"sentence": found.sentence(), **asdict(found)})
            return
        out.print(found.sentence(), markup=False, soft_wrap=True)
        table = Table("what", "first", "second", box=None, pad_edge=False)
        for each in (*found.asked, *found.surroundings):
            table.add_row(safe(each.what), safe(each.a), safe(each.b))
        for pair in found.claims:
            table.add_row(safe(pair.claim_id), pair.a.verdict if pair.a else "–", pair.b.verdict if pair.b else "–")
        if table.row_count:
            out.print(table)


def redraw(run: RunId) -> None:
    """Draw a run's figure again from its evidence."""
    with site():
        from pressrun.replicate import runs as on_disk

        record = on_disk.redraw(run_here(run))
        out.print(str(record.path / "figures/figure.svg"), markup=False, soft_wrap=True)


def bundle(
    run: RunId,
    file: Annotated[Path | None, typer.Argument(help="Where to; default RUN.zip here.")] = None,
) -> None:
    """Pack a run as a signed RO-Crate that anybody can verify offline."""
    with site():
        from pressrun.replicate.bundle import bundle as pack
        from pressrun.web.home import home

        record = run_here(run)
        made = pack(record, home() / "signing-key", file or Path(f"{record.id}.zip"))
        err.print(f"packed and signed: {made}", markup=False, soft_wrap=True)


def verify(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    take: Annotated[bool, typer.Option("--import", help="Keep it among the runs of this install when it is sound.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Import it also when its signer is not known here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove a bundle: signature, hashes, cards, and every verdict anew from the evidence. Needs no network."""
    with site(prepared=take):
        from pressrun.replicate.bundle import import_bundle, public_key, signing_key
        from pressrun.replicate.proof import verify as prove
        from pressrun.web.home import home
        from pressrun.web.runs.sync import runs_dir, sync_run

        own = [public_key(signing_key(home() / "signing-key"))]
        found = prove(file, known=own)
        if as_json:
            verdicts = {each.claim_id: each.found.verdict for each in found.verdicts if each.found}
            said = {"run": found.run_id, "sound": found.sound, "trusted": found.trusted, "sentence": found.sentence()}
            print_json(
                said | {"problems": found.problems, "notes": found.notes, "verdicts": verdicts, "cards": dict(found.cards or {})}
            )
        else:
            out.print(found.sentence(), markup=False, soft_wrap=True)
            for problem in found.problems:
                err.print(f"not sound: {problem}", markup=False, soft_wrap=True)
            for note in found.notes:
                out.print(f"note: {note}", markup=False, soft_wrap=True)
        if not found.sound:
            raise SystemExit(1)
        if take:
            record = import_bundle(file, runs_dir(), known=own, accept_unknown=trust)
            sync_run(record.path)
            err.print(f"imported as {record.path}", markup=False, soft_wrap=True)


def ledger(
    update: Annotated[
        bool, typer.Option("--update", help="Write the newest laptop run of each replication into its package's ledger.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every claim and its verdict at a glance: of the newest run here, else of the run that comes with the replication."""
    with site():
        from pressrun.replicate import replications
        from pressrun.web.runs import ledger as kept
        from pressrun.web.runs.sync import sync_shipped

        rows: list[dict[str, str]] = []
        for replication in replications().values():
            newest = _newest(replication.name)
            if update and newest:
                kept.write(kept.path_of(replication), newest)
                err.print(f"written: {kept.path_of(replication)}", markup=False, soft_wrap=True)
            shown = kept.judged(newest.path) if newest else kept.shipped(replication)
            rows.extend(_ledger_rows(replication, shown, "here" if newest else "shipped"))
        if update:
            sync_shipped()
        if as_json:
            print_json(rows)
            return
        table = Table("paper", "claim", "scale", "verdict", "from", "date", box=None, pad_edge=False)
        for row in rows:
            table.add_row(
                row["paper"],
                safe(row["claim"]),
                row["scale"],
                f"{MARKS.get(row['verdict'], '·')} {row['verdict']}",
                row["from"],
                row["date"],
            )
        out.print(table)


def _newest(name: str) -> RunRecord | None:
    from pressrun.replicate.record import RunRecord
    from pressrun.replicate.runs import read_runs
    from pressrun.web.runs.sync import runs_dir

    found = [
        each
        for each in read_runs(runs_dir(), imported=False)
        if isinstance(each, RunRecord) and each.replication == name and each.preset == "laptop" and each.counts
    ]
    # By when they were asked for: a record may be written again, to redraw its figure for one.
    return max(found, key=lambda each: each.created, default=None)


def _ledger_rows(replication: Replication, shown: Judged | None, source: str) -> Iterator[dict[str, str]]:
    verdicts = {verdict.claim_id: verdict.verdict for verdict in shown.verdicts} if shown else {}
    date = shown.record.states[-1].at.date().isoformat() if shown else ""
    for card in replication.cards:
        verdict = verdicts.get(card.id, "not run yet")
        yield {
            "paper": replication.paper,
            "claim": card.id,
            "scale": card.scale,
            "verdict": verdict,
            "from": source if shown else "",
            "date": date,
        }


def lock(
    folder: Annotated[Path | None, typer.Argument(help="A package folder of replications; default pressrun's own.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 when the lock is out of date.")] = False,
) -> None:
    """Write the claim cards of a package into its claims.lock. A changed card needs a new version and a reason."""
    with site(prepared=False):
        import pressrun
        from pressrun.replicate import lock as lock_cards

        place = folder or Path(pressrun.__file__).parent / "replications"
        changes = lock_cards(place, write=not check)
        for change in changes:
            out.print(change, markup=False, soft_wrap=True)
        if not changes:
            err.print(f"{place} is in line with its lock")
        if check and changes:
            raise SystemExit(1)


def register(app: typer.Typer) -> None:
    """Put these commands beside the others."""
    for command in (run, runs, cancel, rerun, compare, redraw, bundle, verify, ledger, lock):
        app.command()(command)
