"""How the digests stand, for the command line."""

from __future__ import annotations

from datetime import datetime

from pressrun.web.alerts import digests, wording
from pressrun.web.alerts.models import Reader, Subscription
from pressrun.web.papers.models import Paper

__all__ = ["known", "pause", "previews", "recipient_of", "standing"]


def known(address: str) -> bool:
    return Reader.objects.filter(email=address).exists()


def recipient_of(address: str) -> str:
    """Where the mail of the reader with this address goes."""
    return digests.address_of(Reader.objects.select_related("user").get(email=address))


def pause(address: str, now: datetime) -> None:
    """No more mail to a reader, until they let it go on."""
    Reader.objects.filter(email=address, paused=None).update(paused=now, why="mail to it came back")


def standing(now: datetime, address: str = "") -> list[dict[str, object]]:
    """Every subscription with its state, and when it is due (UTC)."""
    rows = Subscription.objects.select_related("reader").order_by("reader__email", "pk")
    return [
        {
            "reader": row.reader.email,
            "gets": wording.asked(row),
            "state": "paused" if row.reader.paused else row.state,
            "due": row.due.isoformat(timespec="minutes") if row.due else "",
        }
        for row in (rows.filter(reader__email=address) if address else rows)
    ]


def previews(now: datetime, address: str = "") -> list[dict[str, object]]:
    """What the digests that are due now would hold: a row a mail."""
    shown = []
    for subscription in digests.due(now, address):
        chosen = digests.choose(subscription)
        if chosen:
            titles = Paper.objects.in_bulk(chosen.papers)
            shown.append(
                {
                    "reader": subscription.reader.email,
                    "gets": wording.asked(subscription),
                    "papers": len(chosen.papers),
                    "verdicts": len(chosen.events),
                    "first": titles[chosen.papers[0]].title if chosen.papers else "",
                }
            )
    return shown
