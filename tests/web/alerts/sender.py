"""A worker in a process of its own, to be killed: `prepare N`, `make`, `send HOURS`."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta

import django


def prepare(readers: int) -> None:
    from django.core.management import call_command

    from pressrun.catalog import Paper as Record
    from pressrun.web.alerts.models import Reader, Subscription
    from pressrun.web.papers.ingest import Report, save

    call_command("migrate", verbosity=0)
    save([Record(title=f"Paper {n}", arxiv_id=f"2604.{n:05}", listed=date(2026, 4, 20)) for n in range(1, 4)], Report())
    now = datetime.now(UTC)
    made = Reader.objects.bulk_create(Reader(email=f"reader{n}@example.org") for n in range(readers))
    Subscription.objects.bulk_create(
        Subscription(reader=reader, what="trending", often="daily", state="active", asked=now, since=now, due=now)
        for reader in made
    )


def make() -> None:
    """Make digests, a line for each, until killed."""
    from pressrun.web.alerts import digests

    compose = digests._compose

    def told(*arguments: object, **more: object) -> bool:
        made = compose(*arguments, **more)  # type: ignore[arg-type]
        sys.stdout.write("made\n")
        sys.stdout.flush()
        return made

    digests._compose = told  # type: ignore[assignment]
    digests.compose_due()


def send(hours: int) -> None:
    from django.utils import timezone

    from pressrun.web.alerts.digests import compose_due
    from pressrun.web.alerts.outbox import deliver

    compose_due()
    deliver(timezone.now() + timedelta(hours=hours))


if __name__ == "__main__":
    django.setup()
    match sys.argv[1:]:
        case ["prepare", count]:
            prepare(int(count))
        case ["make"]:
            make()
        case ["send", hours]:
            send(int(hours))
