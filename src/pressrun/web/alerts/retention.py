"""What is removed once nobody needs it. That a paper was sent to a reader is kept: it must not be sent again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from pressrun.web.alerts.links import CONFIRM_WITHIN
from pressrun.web.alerts.models import Event, Mail, Notification, Reader, Subscription
from pressrun.web.alerts.transports import folder

__all__ = ["EVENTS_KEPT", "MAILS_KEPT", "READ_KEPT", "clean"]

EVENTS_KEPT = timedelta(days=180)
READ_KEPT = timedelta(days=30)
MAILS_KEPT = timedelta(days=90)


def clean(now: datetime) -> str:
    """Remove what is over; says how much that was. Whoever stopped all mails without having an account is forgotten."""
    events, _ = Event.objects.filter(at__lt=now - EVENTS_KEPT).delete()
    notifications, _ = Notification.objects.filter(read__lt=now - READ_KEPT).delete()
    mails, _ = Mail.objects.exclude(state=Mail.State.WAITING).filter(created__lt=now - MAILS_KEPT).delete()
    unconfirmed = Subscription.objects.filter(state=Subscription.State.PENDING, asked__lt=now - CONFIRM_WITHIN)
    pending, _ = unconfirmed.delete()
    wanted = Subscription.objects.filter(reader=OuterRef("pk")).exclude(state=Subscription.State.STOPPED)
    waiting = Mail.objects.filter(reader=OuterRef("pk"), state=Mail.State.WAITING)
    readers, _ = Reader.objects.filter(
        ~Q(Exists(wanted)), ~Q(Exists(waiting)), user=None, created__lt=now - CONFIRM_WITHIN
    ).delete()
    files = _clean_folder(now)
    return (
        f"{events} events, {notifications} notifications, {mails} mails, {files} files, "
        f"{pending} unconfirmed subscriptions and {readers} readers removed"
    )


def _clean_folder(now: datetime) -> int:
    """The .eml files as old as the mails that are removed."""
    old = [path for path in folder().glob("*.eml") if path.stat().st_mtime < (now - MAILS_KEPT).timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
