"""The outbox: mails wait as rows, are claimed one at a time, sent, and marked.

Each step is a commit of its own, and a claim is one conditional update, so two workers never hold one mail. A worker that is
killed before the server took its mail costs a delay, no mail. One that is killed between the server's "250" and our mark has the
mail sent a second time, under the same Message-ID: SMTP has no way to close that window, which is one mail wide.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, make_msgid
from typing import TypeVar

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.message import sanitize_address
from django.db import transaction
from django.db.models import F, OrderBy, QuerySet
from django.utils import timezone

from pressrun.web.alerts import digests
from pressrun.web.alerts.models import Delivery, Mail
from pressrun.web.alerts.transports import Later, Refused, Send, Unreachable, transport, wire
from pressrun.web.api.answers import site_host

__all__ = ["BACK_OFF", "LEASE", "Delivered", "claim", "deliver", "queue", "retry_at", "waiting"]

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
BACK_OFF = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 720, 1440))
REFUSALS = 3
"""How often a server may refuse a mail for good before we believe it."""
GIVE_UP = 3
"""After so many mails in a row that reach no server, the rest waits for the next round."""
BATCH = 100


@dataclass
class Delivered:
    """What a round of sending came to."""

    sent: int = 0
    later: int = 0
    failed: int = 0
    dropped: int = 0
    why: str = ""
    """The last thing that went wrong."""

    def __str__(self) -> str:
        return f"{self.sent} sent, {self.later} to be tried again, {self.failed} given up, {self.dropped} no longer wanted"


def retry_at(attempts: int, now: datetime, most: int = len(BACK_OFF) + 1) -> datetime | None:
    """When to try again after so many attempts of at most `most`; None once they are used up."""
    return now + BACK_OFF[attempts - 1] if attempts < most else None


def queue(message: EmailMessage, recipient: str, key: str, now: datetime | None = None) -> Mail:
    """Put a finished mail to one recipient into the outbox, in the caller's transaction. One key is one mail."""
    now = now or timezone.now()
    headers = {"Message-ID": make_msgid(domain=site_host()), "Date": format_datetime(now)}
    message.extra_headers = headers | message.extra_headers
    facts = {"recipient": recipient, "raw": wire(message), "next_try": now, "created": now}
    return Mail.objects.get_or_create(key=key, defaults=facts)[0]


def deliver(now: datetime | None = None, recipient: str = "") -> Delivered:
    """Send what waits, or what waits for one recipient. May be interrupted anywhere and run by any number of workers.

    What a person waits for, such as a link to a new password, goes before digests, however many of those there are.
    """
    report, unreachable = Delivered(), 0
    mails = Mail.objects.select_related("subscription__reader__user")
    with transport() as send:
        for mail in waiting(mails.filter(recipient=recipient) if recipient else mails, now, F("reader").asc(nulls_first=True)):
            if not claim(mail, now or timezone.now()):
                continue
            reached = _attempt(mail, send, now or timezone.now(), report)
            unreachable = 0 if reached else unreachable + 1
            if unreachable == GIVE_UP:
                break
    return report


Row = TypeVar("Row", Mail, Delivery)


def waiting(rows: QuerySet[Row], now: datetime | None, *first: OrderBy) -> Iterator[Row]:
    """Those whose time has come, by `first` and then the longest waiting. What is claimed or put off leaves the selection."""
    before: list[Row] = []
    while True:
        ready = rows.filter(state=Mail.State.WAITING, next_try__lte=now or timezone.now()).order_by(*first, "next_try", "pk")
        batch = list(ready[:BATCH])
        if not batch or batch == before:
            return
        yield from batch
        before = batch


def claim(row: Mail | Delivery, now: datetime) -> bool:
    """Whether the row is ours now: of several workers, one update finds it as it was read."""
    seen = type(row)._default_manager.filter(pk=row.pk, state=Mail.State.WAITING, next_try=row.next_try)
    row.attempts += 1
    return bool(seen.update(next_try=now + LEASE, attempts=row.attempts))


def _attempt(mail: Mail, send: Send, now: datetime, report: Delivered) -> bool:
    """Send one mail and write down what came of it; False where no server was reached."""
    try:
        raw = bytes(mail.raw) if mail.raw is not None else digests.rendered(mail)
        if raw is None:
            _finish(mail, Mail.State.DROPPED, now, "not wanted any more")
            report.dropped += 1
            return True
        send(settings.MAIL_SENDER, sanitize_address(mail.recipient, "ascii"), raw)
    except Unreachable as problem:
        _put_off(mail, now, str(problem), report, blame=False)
        return False
    except Later as problem:
        _put_off(mail, now, str(problem), report)
    except (Refused, UnicodeError) as problem:
        _put_off(mail, now, str(problem), report, most=REFUSALS)
    except Exception as problem:  # one mail that cannot be made must not hold up the others
        log.exception("a mail cannot be made: %s", mail.key)
        _put_off(mail, now, f"it cannot be made: {type(problem).__name__}", report, blame=False)
    else:
        _finish(mail, Mail.State.SENT, now, "")
        report.sent += 1
    return True


def _put_off(
    mail: Mail, now: datetime, why: str, report: Delivered, *, most: int = len(BACK_OFF) + 1, blame: bool = True
) -> None:
    """Try again later, or give up after `most` attempts; with `blame`, mail to this reader then pauses."""
    report.why = why
    again = retry_at(mail.attempts, now, most)
    if again is not None:
        Mail.objects.filter(pk=mail.pk, state=Mail.State.WAITING).update(next_try=again, why=why[:300])
        report.later += 1
        return
    with transaction.atomic():
        _finish(mail, Mail.State.FAILED, now, why)
        digests.give_up(mail, why if blame else "", now)
    report.failed += 1


def _finish(mail: Mail, state: Mail.State, now: datetime, why: str) -> None:
    """What was sent is not kept: it may hold a link that resets a password."""
    Mail.objects.filter(pk=mail.pk).update(state=state, finished=now, why=why[:300], raw=None)
