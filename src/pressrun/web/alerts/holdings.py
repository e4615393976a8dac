"""What this part of the site holds of an account, for its export."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User

from pressrun.web.alerts import wording
from pressrun.web.alerts.models import Notification, SentPaper, Subscription, Webhook
from pressrun.web.people.own_data import exports

Record = dict[str, object]


@exports("subscriptions")
def subscriptions(user: User) -> Iterator[Record]:
    for row in Subscription.objects.filter(reader__user=user).select_related("reader"):
        facts = {name: getattr(row, name) for name in ("what", "query", "often", "state", "asked", "due")}
        yield {"address": row.reader.email, "timezone": row.reader.timezone, "hour": row.reader.hour, **facts}


@exports("papers_sent")
def papers_sent(user: User) -> Iterator[Record]:
    for name in SentPaper.objects.filter(reader__user=user).values_list("paper__public_id", flat=True):
        yield {"paper": name}


@exports("notifications")
def notifications(user: User) -> Iterator[Record]:
    for row in Notification.objects.filter(user=user).select_related("event__paper", "event__actor__profile"):
        yield {
            "at": row.event.at,
            "read": row.read,
            "says": wording.sentence(row.event, you=True),
            "url": wording.path(row.event),
        }


@exports("webhooks")
def webhooks(user: User) -> Iterator[Record]:
    for row in Webhook.objects.filter(user=user).values("url", "format", "kinds", "mine", "created", "paused", "why"):
        yield {**row}
