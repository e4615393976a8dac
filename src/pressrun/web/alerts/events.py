"""Something happened: one row in the caller's transaction. Whoever it concerns is told of it; followers and webhooks hear of it later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from pressrun.web.alerts.models import Event, Notification
from pressrun.web.papers.models import Paper

__all__ = ["publish"]


@transaction.atomic
def publish(
    kind: str,
    *,
    paper: Paper | None = None,
    actor: User | None = None,
    to: Iterable[User] = (),
    data: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Write an event down, and a notification for each user in `to` but the actor.

    `data` is JSON that the sentence about the event may use: `url` (the path to lead to), `text` (an excerpt of what was written),
    `claims`, `votes`. An event with a `key` that was published before is not published again; those in `to` are told, unless they
    were.

    Raises:
        ValueError: for a kind that there is none of.
    """
    if kind not in Event.Kind.values:
        raise ValueError(f"there is no event {kind!r}; there are {', '.join(Event.Kind.values)}")
    facts = {"kind": kind, "paper": paper, "actor": actor, "data": dict(data or {})}
    event = Event.objects.get_or_create(key=key, defaults=facts)[0] if key else Event.objects.create(**facts)
    told = {user.pk for user in to} - {actor.pk if actor else None}
    Notification.objects.bulk_create((Notification(user_id=pk, event=event) for pk in sorted(told)), ignore_conflicts=True)
