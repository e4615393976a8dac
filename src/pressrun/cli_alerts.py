"""The command that makes and sends digests. It parses and prints; what is sent to whom is decided elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pressrun._terminal import AsJson, Quiet, out, print_json, short, site


def digest(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show who would get what now, and send nothing.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Make what is due and send what waits.")] = False,
    to: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Only this reader, and now, whatever the hour; a period's mail comes once all the same."
        ),
    ] = "",
    pause: Annotated[
        bool,
        typer.Option("--pause", help="With --to: no more mail to this reader, whose mail comes back, until they let it go on."),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Mail digests: how things stand, what would be sent, or send it."""
    with site():
        from django.utils import timezone

        from pressrun.web.alerts import digests, outbox, report
        from pressrun.web.errors import BadInput

        if dry_run + send + pause > 1:
            raise BadInput("--dry-run, --send and --pause exclude each other.")
        address = to.strip().casefold()
        now = timezone.now()
        if address and not report.known(address):
            raise BadInput(f"nobody at {to[:80]!r} gets digests here.")
        if pause:
            if not address:
                raise BadInput("--pause needs --to with the address of the reader.")
            report.pause(address, now)
        if send:
            made = digests.compose_due(now, address)
            done = outbox.deliver(recipient=report.recipient_of(address) if address else "")
            facts = {"made": made, "sent": done.sent, "later": done.later, "failed": done.failed, "dropped": done.dropped}
            if as_json:
                print_json({**facts, "why": done.why})
            elif not quiet:
                out.print(
                    f"{made} made, {done}.{f' The last problem: {done.why}.' if done.why else ''}", markup=False, soft_wrap=True
                )
            raise SystemExit(1 if done.later or done.failed else 0)
        _print(report.previews(now, address) if dry_run else report.standing(now, address), as_json, dry_run)


def _print(rows: list[dict[str, object]], as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("Nothing would be sent now." if dry_run else "Nobody gets digests yet.")
        return
    table = Table(*rows[0], box=None, header_style="dim")
    for row in rows:
        table.add_row(*(short(str(value), 70) for value in row.values()))
    out.print(table)
