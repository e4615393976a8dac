"""The commands of upkeep: work behind the pages, backup and restore. They parse and print; what happens is decided elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pressrun._terminal import AsJson, Quiet, err, out, print_json, site


def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing waits any more.")] = False,
    quiet: Quiet = False,
) -> None:
    """Do the work behind the pages: harvests, mails, clean-up. `pressrun serve` starts one; more may run, on other machines too."""
    parent = os.environ.get("PRESSRUN_PARENT")
    with site(prepared=parent is None):
        from pressrun.web.ops.worker import work

        if parent is None and not once and not quiet:
            err.print("at work  (Ctrl-C stops it after the piece in hand)", markup=False)
        done = work(once=once, parent=int(parent) if parent else None)
        if once and not quiet:
            out.print(f"{done} pieces of work done")


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, .tar.gz; in place of an older one only when it is whole.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole installation into one file: database, runs, keys. The site may go on working meanwhile."""
    with site(prepared=False):  # as it is: also before an upgrade changes the tables
        from pressrun.web.ops.backup import backup as write

        made = write(file)
        if as_json:
            print_json(made.as_json())
        elif not quiet:
            out.print(
                f"{made.sentence()} It holds the site's keys: keep it as you keep a password.", markup=False, soft_wrap=True
            )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `pressrun backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where an installation is already; it is backed up beside first.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only prove that the file is whole; change nothing.")] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Pause all work behind the pages: for a copy to try things out, that sends no mail.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring back an installation from a backup. Everything is checked before anything is changed."""
    with site(prepared=False):
        from pressrun.web.ops import restore as bring_back

        found = bring_back.check(file) if check else bring_back.restore(file, replace=replace, paused=paused)
        if as_json:
            print_json(found.as_json())
        elif not quiet:
            out.print(f"{found.sentence()} {'It is whole.' if check else 'It is back.'}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Put these commands beside the others."""
    for command in (worker, backup, restore):
        app.command()(command)
