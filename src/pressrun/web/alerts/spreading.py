"""From events to the people and webhooks that they concern. Each event is spread once, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Min, Q
from django.utils import timezone

from pressrun.web.alerts.digests import newest_hits
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Delivery, Event, Notification, Watermark, Webhook
from pressrun.web.community.models import Bookmark, Follow
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, role_of

__all__ = ["announce", "spread"]

RECENT = timedelta(days=7)
"""A paper of a list day before that is old when it arrives, and is not announced."""
BATCH = 500
_FOLLOWED = (Event.Kind.LISTED, Event.Kind.VERDICT)
_KEPT = (Event.Kind.VERDICT, Event.Kind.AUTHOR)


def announce(now: datetime | None = None) -> int:
    """Publish "paper-listed" for papers that arrived and are indexed since the last time; gives how many.

    The first time begins with the papers that come after it. Whoever follows a search that a paper fits is told at once.
    """
    now = now or timezone.now()
    with transaction.atomic():
        mark, fresh = Watermark.objects.select_for_update().get_or_create(name="announced", defaults={"pk_seen": _last_paper()})
        if fresh:
            return 0
        upto = _indexed_upto(mark.pk_seen)
        papers = Paper.objects.visible().filter(pk__gt=mark.pk_seen, pk__lte=upto, day__gte=(now - RECENT).date())
        new = {paper.public_id: paper for paper in papers.order_by("pk")}
        seekers = _seekers(new) if new else {}
        for name, paper in new.items():
            publish(Event.Kind.LISTED, paper=paper, to=seekers.get(name, ()), key=f"listed:{paper.pk}")
        Watermark.objects.filter(pk=mark.pk).update(pk_seen=upto)
    return len(new)


def _last_paper() -> int:
    return Paper.objects.aggregate(last=Max("pk"))["last"] or 0


def _indexed_upto(seen: int) -> int:
    """The last paper before the first one that still waits for the index: searches don't find that one yet."""
    waits = Paper.objects.filter(pk__gt=seen, to_index=True).aggregate(first=Min("pk"))["first"]
    return max(seen, waits - 1 if waits else _last_paper())


def _seekers(new: Iterable[str]) -> dict[str, list[User]]:
    """Who follows a search that one of these papers fits, by public id."""
    wanted, found = set(new), dict[str, list[User]]()
    follows = Follow.objects.filter(kind=Follow.Kind.SEARCH, user__is_active=True).select_related("user")
    by_query: dict[str, list[User]] = {}
    for follow in follows:
        by_query.setdefault(follow.key, []).append(follow.user)
    for query, users in by_query.items():
        for name in wanted.intersection(newest_hits(query)):
            found.setdefault(name, []).extend(users)
    return found


def spread(now: datetime | None = None) -> int:
    """Tell followers of each event that was not spread yet, and hand it to webhooks; gives how many events that were."""
    now = now or timezone.now()
    done = 0
    for event in Event.objects.filter(spread=False).order_by("pk").select_related("paper")[:BATCH]:
        with transaction.atomic():
            # Of several workers, one update finds the event not spread.
            if Event.objects.filter(pk=event.pk, spread=False).update(spread=True):
                _tell(event)
                _hand_over(event, now)
                done += 1
    return done


def _tell(event: Event) -> None:
    users = User.objects.filter(_concerned(event), is_active=True).exclude(pk=event.actor_id or 0).values_list("pk", flat=True)
    Notification.objects.bulk_create(
        (Notification(user_id=pk, event=event) for pk in users), batch_size=BATCH, ignore_conflicts=True
    )


def _concerned(event: Event) -> Q:
    """Who follows something of the paper, or keeps it, as far as the kind of event is theirs to know."""
    concerned = Q(pk__in=())
    paper = event.paper
    if paper is None or paper.withdrawn:
        return concerned
    if event.kind in _FOLLOWED:
        named = Q(kind=Follow.Kind.AUTHOR, key__in=paper.author_set.values("slug"))
        named |= Q(kind=Follow.Kind.TOPIC, key__in=paper.topics.values("slug"))
        if paper.organisation:
            named |= Q(kind=Follow.Kind.ORGANISATION, key=paper.organisation.slug)
        concerned |= Q(pk__in=Follow.objects.filter(named).values("user"))
    if event.kind in _KEPT:
        concerned |= Q(pk__in=Bookmark.objects.filter(paper=paper).values("user"))
    return concerned


def _hand_over(event: Event, now: datetime) -> None:
    hooks = Webhook.objects.filter(paused=None, user__is_active=True).select_related("user__profile")
    told = set(Notification.objects.filter(event=event, user__in=hooks.values("user")).values_list("user_id", flat=True))
    wanted = [
        hook for hook in hooks if event.kind in hook.kinds and (hook.user_id in told or not hook.mine) and _may_know(hook, event)
    ]
    Delivery.objects.bulk_create((Delivery(webhook=hook, event=event, next_try=now) for hook in wanted), ignore_conflicts=True)


def _may_know(hook: Webhook, event: Event) -> bool:
    """Reports and undecided submissions are for curators only."""
    private = event.kind in {Event.Kind.REPORT, Event.Kind.SUBMISSION}
    return not private or role_of(hook.user) >= Role.CURATOR
