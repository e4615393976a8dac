"""The command line: one command a verb. It parses and prints; what happens is decided elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

import pressrun
from pressrun import cli_alerts, cli_models, cli_ops, cli_people, cli_runs
from pressrun._terminal import AsJson, Quiet, bar, err, fail, out, print_json, safe, short, site

if TYPE_CHECKING:
    from pressrun.web.papers.ingest import Report
    from pressrun.web.papers.lists import PaperList
    from pressrun.web.papers.models import Paper

app = typer.Typer(
    name="pressrun",
    help="Daily papers that run. Data lives in one directory: PRESSRUN_HOME, else the platform's place for user data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many papers at most.")]


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    BIBTEX = "bibtex"
    RIS = "ris"
    CSL = "csl"


class FeedFormat(StrEnum):
    ATOM = "atom"
    RSS = "rss"
    JSON = "json"


class Mode(StrEnum):
    HYBRID = "hybrid"
    LEXICAL = "lexical"
    SEMANTIC = "semantic"


def main() -> None:
    """Run a command. A problem that has a name becomes one sentence on stderr and exit code 2 (bad input) or 1 (failed)."""
    try:
        app()
    except KeyboardInterrupt:
        fail("stopped.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as problem:
        fail(f"{problem.strerror or problem}{f': {problem.filename}' if problem.filename else ''}", 1)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"pressrun {pressrun.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; default 8017, or a free one when that is taken.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Server processes.")] = 1,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Do the work behind the pages too, or leave it to `pressrun worker`.")
    ] = True,
) -> None:
    """Serve the site."""
    with site():
        from pressrun.web import serving

        listener = serving.bind(host, port)
        shown = "localhost" if host in {"127.0.0.1", "::1"} else f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        out.print(f"pressrun is at [bold]{address}/[/bold]  (Ctrl-C stops it)", soft_wrap=True)
        out.print(f"to run papers there, open {address}{serving.owner_path()}", soft_wrap=True)
        sys.stdout.flush()
        serving.serve(listener, workers, work=worker)


@app.command("import")
def import_(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Files or http(s) addresses; the format is found by content.")
    ],
    as_of: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The day a page was captured, for dates without a year.")] = "",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Read from the start, also where an earlier reading stopped.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch from private and loopback addresses too.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read papers from files and addresses into the catalogue."""
    with site():
        from pressrun.catalog import Fetcher
        from pressrun.web.papers.imports import import_source
        from pressrun.web.papers.indexing import index_pending
        from pressrun.web.papers.lists import parse_day

        day = parse_day(as_of) if as_of else None
        summary = []
        for source in sources:
            with bar(source, "records", quiet or as_json) as step:
                run, report, notes = import_source(
                    source,
                    as_of=day,
                    resume=not from_start,
                    fetch=Fetcher(allow_private=allow_private),
                    progress=_telling(step),
                )
            summary.append(
                {"source": source, "format": run.format, **_counts(report), "rejections": _rejections(report), "notes": notes}
            )
        with bar("Indexing", "papers", quiet or as_json) as step:
            index_pending(lambda done: step(done, None))
        if as_json:
            print_json(summary)
        elif not quiet:
            _print_imports(summary)
        if all(s["read"] and s["read"] == s["rejected"] for s in summary):
            raise SystemExit(1)


def _telling(step: Callable[[float, float | None], None]) -> Callable[[Report, float | None, float | None], None]:
    return lambda report, done, total: step(done or report.read, total)


def _counts(report: Report) -> dict[str, int]:
    return {name: getattr(report, name) for name in ("read", "added", "merged", "unchanged", "restored", "rejected")}


def _rejections(report: Report) -> list[dict[str, str]]:
    return [{"where": r.where, "why": r.why, "raw": r.raw[:200]} for r in report.rejections[:20]]


def _print_imports(summary: list[dict[str, Any]]) -> None:
    table = Table("source", "format", *("read", "added", "merged", "unchanged", "rejected"), box=None, pad_edge=False)
    for item in summary:
        table.add_row(
            short(item["source"], 60),
            item["format"],
            *(f"{item[n]:,}" for n in ("read", "added", "merged", "unchanged", "rejected")),
        )
    out.print(table)
    for item in summary:
        for note in item["notes"]:
            err.print(f"note: {note}", markup=False, soft_wrap=True)
        for rejection in item["rejections"]:
            err.print(f"rejected {rejection['where']}: {rejection['why']}", markup=False, soft_wrap=True)
        if item["rejected"] > len(item["rejections"]):
            err.print(
                f"… and {item['rejected'] - len(item['rejections'])} more; the admin page of the import lists the first thousand."
            )


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; standard output when left out.")] = None,
    format: Annotated[
        ExportFormat, typer.Option("--format", "-f", help="jsonl carries everything and can be imported elsewhere.")
    ] = ExportFormat.JSONL,
) -> None:
    """Write the whole catalogue."""
    with site():
        from pressrun.web.papers.imports import export_to, replaced_when_whole

        if file is None:
            export_to(sys.stdout, format.value)
            return
        with replaced_when_whole(file) as handle:
            count = export_to(handle, format.value)
        err.print(f"{count:,} papers written to {file}")


@app.command()
def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build the index anew and switch over when it is whole.")] = False,
    embed: Annotated[bool, typer.Option("--embed", help="Read papers by meaning until all are read.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", hidden=True, help="Go on reading by meaning while the server lives.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring the search index up to date, and show its state."""
    with site(prepared=not follow):
        from pressrun.web.papers import indexing

        if follow:
            indexing.follow(parent=int(os.environ.get("PRESSRUN_PARENT", os.getppid())))
            return
        if rebuild:
            with bar("Rebuilding", "papers", quiet) as step:
                indexing.rebuild(lambda done: step(done, None))
        else:
            with bar("Indexing", "papers", quiet) as step:
                indexing.index_pending(lambda done: step(done, None))
        if embed:
            with bar("Reading by meaning", "papers", quiet) as step:
                indexing.embed(progress=lambda _rung, done, total: step(done, total))
        status = indexing.status()
        if as_json:
            print_json(status)
        elif not quiet:
            for name, value in status.items():
                out.print(
                    f"{name.replace('_', ' '):<24} {value:,}"
                    if isinstance(value, int)
                    else f"{name.replace('_', ' '):<24} {value}"
                )


@app.command()
def search(
    query: Annotated[
        list[str], typer.Argument(metavar="QUERY...", help='Words, "phrases", -without, year:2025, author:, topic:, has:code …')
    ],
    limit: Limit = 10,
    mode: Annotated[Mode, typer.Option(help="By words and meaning together, or one alone.")] = Mode.HYBRID,
    as_json: AsJson = False,
) -> None:
    """Find papers in your own words."""
    with site():
        from pressrun.web.papers.indexing import index
        from pressrun.web.papers.results import papers_in_order

        results = index().search(" ".join(query), limit=limit, mode=mode.value)
        rows = papers_in_order(results.hits)
        if as_json:
            hits = [
                {**_facts(row), "score": h.score, "lexical_rank": h.lexical_rank, "semantic_rank": h.semantic_rank}
                for row, h in rows
            ]
            print_json(
                {"total": results.total, "total_is_exact": results.total_is_exact, "took_ms": results.took_ms, "hits": hits}
            )
            return
        if not rows:
            out.print("Nothing found. Fewer words or filters find more.")
            return
        _print_papers([row for row, _ in rows])
        more = "" if results.total_is_exact else "about "
        err.print(f"[dim]{more}{results.total:,} papers in {results.took_ms:.0f} ms[/dim]")


@app.command()
def show(
    paper: Annotated[str, typer.Argument(help="arXiv id, DOI, address or the id of a paper here; or the id of a run.")],
    as_json: AsJson = False,
) -> None:
    """Show one paper, or one run."""
    with site():
        if record := cli_runs.run_called(paper):
            if as_json:
                print_json(record.model_dump(mode="json", exclude={"path"}))
            else:
                cli_runs.print_run(record)
            return
        row = _paper(paper)
        if as_json:
            print_json(_facts(row))
            return
        out.print(f"[bold]{safe(row.title)}[/bold]", soft_wrap=True)
        out.print(", ".join(map(safe, row.author_names)) or f"{row.author_count or 'unknown number of'} authors")
        facts = [
            str(row.published or ""),
            safe(row.organisation.name) if row.organisation else "",
            safe(row.journal),
            row.public_id,
        ]
        out.print(" · ".join(fact for fact in facts if fact), style="dim")
        out.print(", ".join(topic.name for topic in row.topics.all()), style="dim")
        out.print()
        out.print(safe(row.abstract or row.summary))
        out.print()
        for name, url in (
            ("arXiv", row.arxiv_url),
            ("PDF", row.best_pdf_url),
            ("code", row.code_url),
            ("project", row.project_url),
            ("DOI", row.doi_url),
        ):
            if url:
                out.print(f"{name:<8} {url}", markup=False, soft_wrap=True)
        if row.note:
            out.print(f"\nNote: {safe(row.note)}")


@app.command("list")
def list_(
    date: Annotated[str, typer.Option(help="A day, YYYY-MM-DD; default the latest with papers.")] = "",
    week: Annotated[str, typer.Option(help="A week, YYYY-Www.")] = "",
    month: Annotated[str, typer.Option(help="A month, YYYY-MM.")] = "",
    trending: Annotated[bool, typer.Option("--trending", help="By the published trending formula.")] = False,
    author: Annotated[str, typer.Option(help="An author's papers.")] = "",
    organisation: Annotated[str, typer.Option(help="An organisation's papers.")] = "",
    topic: Annotated[str, typer.Option(help="A topic's papers.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the papers of a day, week, month, author, organisation or topic."""
    with site():
        chosen = _list(
            {"date": date, "week": week, "month": month, "author": author, "organisation": organisation, "topic": topic}, trending
        )
        rows = list(chosen.papers.for_cards()[:limit])
        if as_json:
            print_json({"title": chosen.title, "total": chosen.papers.count(), "papers": [_facts(row) for row in rows]})
            return
        out.print(f"[bold]{safe(chosen.title)}[/bold]")
        _print_papers(rows)


@app.command()
def similar(
    paper: Annotated[str, typer.Argument(help="arXiv id, DOI, address or the id of a paper here.")],
    limit: Limit = 10,
    as_json: AsJson = False,
) -> None:
    """List the papers nearest to one."""
    with site():
        from pressrun.web.papers.indexing import index
        from pressrun.web.papers.results import papers_in_order

        rows = papers_in_order(index().similar(_paper(paper).public_id, limit=limit))
        if as_json:
            print_json([_facts(row) | {"score": hit.score} for row, hit in rows])
            return
        _print_papers([row for row, _ in rows])


@app.command()
def feed(
    query: Annotated[str, typer.Argument(help="A search; the latest day's list when left out.")] = "",
    trending: Annotated[bool, typer.Option("--trending", help="The trending list.")] = False,
    format: Annotated[FeedFormat, typer.Option("--format", "-f")] = FeedFormat.ATOM,
    base: Annotated[str, typer.Option(help="Where the site is reached, for the links.")] = "http://localhost:8017",
) -> None:
    """Print a list or a search as a feed."""
    with site():
        from pressrun.web.api.feeds import as_text

        sys.stdout.write(as_text(query=query, trending=trending, format=format.value, base=base))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what state it is in, and what to do about problems."""
    with site(prepared=False):
        from pressrun.web.doctor import examine

        findings = examine()
        if as_json:
            print_json([{"what": f.what, "state": f.state, "fine": f.fine, "advice": f.advice} for f in findings])
        else:
            table = Table("", "what", "state", box=None, pad_edge=False)
            for finding in findings:
                table.add_row("[green]✓[/green]" if finding.fine else "[yellow]✕[/yellow]", finding.what, safe(finding.state))
                if finding.advice:
                    table.add_row("", "", f"[bold]→ {safe(finding.advice)}[/bold]")
            out.print(table)
        if not all(finding.fine for finding in findings):
            raise SystemExit(1)


@app.command()
def mcp(
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP instead of standard input and output.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on with --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on with --http.")] = 8018,
) -> None:
    """Serve search, read, list and similar to agents over the Model Context Protocol."""
    with site():
        from pressrun.web.api.mcp import run

        run(http=http, host=host, port=port)


def _paper(text: str) -> Paper:
    from pressrun.web.errors import BadInput
    from pressrun.web.papers.models import Paper

    row = Paper.objects.by_id(text).select_related("organisation").prefetch_related("topics").first()
    if row is None:
        raise BadInput(f"there is no paper {text[:200]!r} here; `pressrun search` finds papers by words.")
    return row


def _list(wanted: dict[str, str], trending: bool) -> PaperList:
    from pressrun.web.errors import BadInput
    from pressrun.web.papers import lists

    given = {name: value for name, value in wanted.items() if value}
    if len(given) + trending > 1:
        raise BadInput("give one of --date, --week, --month, --trending, --author, --organisation and --topic.")
    if trending:
        return lists.trending()
    return lists.by_name(*next(iter(given.items()), ("date", "")))


def _facts(row: Paper) -> dict[str, Any]:
    from pressrun.catalog import paper_to_json

    return {**paper_to_json(row.to_record()), "votes": row.votes, "trending": round(row.trending, 3)}


def _print_papers(rows: list[Paper]) -> None:
    table = Table(box=None, pad_edge=False, show_header=True)
    table.add_column("id", no_wrap=True, style="bold")
    table.add_column("title", ratio=1)
    table.add_column("published", no_wrap=True)
    table.add_column("votes", justify="right")
    for row in rows:
        table.add_row(safe(row.public_id), safe(row.title), str(row.published or ""), f"{row.votes}")
    out.print(table)


cli_runs.register(app)
cli_ops.register(app)
app.command()(cli_alerts.digest)
app.command("serve-model")(cli_models.serve_model)
app.add_typer(cli_people.app, name="user")
