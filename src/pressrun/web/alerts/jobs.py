"""The periodic work of mails, notifications and webhooks."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from pressrun.web.alerts import retention
from pressrun.web.alerts.digests import compose_due
from pressrun.web.alerts.outbox import deliver
from pressrun.web.alerts.spreading import announce, spread
from pressrun.web.alerts.webhooks import deliver_webhooks
from pressrun.web.ops.jobs import job

__all__ = ["clean_alerts", "deliver_mail", "digest", "notify", "send_due"]


def send_due(address: str = "") -> str:
    """Makes the digests that are due, or those of one address, and sends what waits in the outbox."""
    made = compose_due(address=address)
    return f"{made} made, {deliver(recipient=address)}"


@job("digest", every=timedelta(minutes=5))
def digest() -> str:
    """Makes the digests that are due and sends them."""
    return send_due()


@job("deliver-mail", every=timedelta(minutes=1))
def deliver_mail() -> str:
    """Sends what waits in the outbox, and tries again what failed."""
    return str(deliver())


@job("notify", every=timedelta(minutes=1))
def notify() -> str:
    """Tells followers and webhooks of what happened."""
    announced, told = announce(), spread()
    return f"{announced} papers announced, {told} events told, {deliver_webhooks()} posts taken"


@job("clean-alerts", every=timedelta(days=1))
def clean_alerts() -> str:
    """Removes old events, read notifications, sent mails, and subscriptions that nobody confirmed."""
    return retention.clean(timezone.now())
