"""What the commands share: how they speak to a terminal, and how a problem becomes one sentence."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def fail(sentence: str, code: int) -> NoReturn:
    err.print(f"pressrun: {sentence}", markup=False, soft_wrap=True)
    raise SystemExit(code)


@contextmanager
def site(prepared: bool = True) -> Iterator[None]:
    """The database and the index, ready to use; problems that have a name leave as one sentence."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pressrun.web.settings")
    django.setup()
    from django.db import DatabaseError

    from pressrun.catalog import FetchError, SourceError
    from pressrun.replicate import EvidenceError, KnobError, LockError
    from pressrun.replicate.record import RunError
    from pressrun.search import IndexBusy, IndexDamaged, QueryError
    from pressrun.web.errors import BadInput, Busy
    from pressrun.web.serving import prepare

    try:
        if prepared:
            prepare(lambda sentence: err.print(f"[dim]{sentence}[/dim]"))
        yield
    except (FetchError, IndexBusy, IndexDamaged, Busy) as problem:
        fail(str(problem), 1)
    except (BadInput, SourceError, QueryError, RunError, KnobError, LockError, EvidenceError) as problem:
        fail(str(problem), 2)
    except DatabaseError as problem:
        fail(f"the database says: {str(problem).strip().splitlines()[0]}", 1)


def safe(text: str) -> str:
    """Text from a source as Rich shall print it: as it is, without Rich reading mark-up into it."""
    return escape("".join(c if c.isprintable() or c == "\n" else " " for c in text))


def short(text: str, length: int) -> str:
    return safe(text if len(text) <= length else "…" + text[1 - length :])


def print_json(value: object) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1, default=str)
    sys.stdout.write("\n")


@contextmanager
def bar(what: str, unit: str, quiet: bool) -> Iterator[Callable[[float, float | None], None]]:
    """A progress bar on stderr; gives the function that moves it to (done, of how much)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        task = progress.add_task(short(what, 40), total=None, said="")

        def step(done: float, total: float | None) -> None:
            said = f"{done / total:.0%}" if total else f"{done:,.0f} {unit}"
            progress.update(task, completed=done, total=total, said=said)

        yield step
