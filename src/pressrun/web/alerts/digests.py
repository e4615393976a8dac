"""Digests: which papers a reader gets, when, and the mail that carries them.

A digest is made in one transaction: the subscription's next due moment, the row in the outbox (one a subscription and period), and
the papers set aside for it (one row a reader and paper, so no paper goes to one reader twice). It is rendered when it is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.crypto import salted_hmac

from pressrun.search import IndexBusy, IndexDamaged, QueryError
from pressrun.web.alerts import links, wording
from pressrun.web.alerts.models import Event, Mail, Reader, SentPaper, Subscription
from pressrun.web.alerts.schedule import next_due, period_of
from pressrun.web.alerts.transports import wire
from pressrun.web.api.answers import one_line, site_host
from pressrun.web.community.models import Bookmark, Follow
from pressrun.web.papers import lists
from pressrun.web.papers.indexing import index
from pressrun.web.papers.models import Paper
from pressrun.web.runs.facts import strips

__all__ = ["MOST", "TOP", "Chosen", "address_of", "choose", "compose_due", "due", "give_up", "newest_hits", "rendered"]

log = logging.getLogger(__name__)

TOP = {"daily": 10, "weekly": 25, "monthly": 50}
"""How many papers from the top of Trending a digest of it looks at."""
MOST = 50
"""Papers in one mail; what is new beyond that comes with the next."""
HITS = 1000


@dataclass(frozen=True)
class Chosen:
    """What a digest holds: keys of papers in their order, and of events. `more` is set where the mail has no room for all."""

    papers: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.papers or self.events)


def due(now: datetime, address: str = "") -> list[Subscription]:
    """The subscriptions whose moment has come; with an address all of its active ones, whatever their moment."""
    rows = Subscription.objects.filter(state=Subscription.State.ACTIVE, reader__paused=None)
    rows = rows.exclude(reader__user__is_active=False).select_related("reader__user").order_by("due", "pk")
    return list(rows.filter(reader__email=address) if address else rows.filter(due__lte=now))


def compose_due(now: datetime | None = None, address: str = "") -> int:
    """Make the digests that are due, or those of one address at once; gives how many mails that came to.

    May be interrupted anywhere and run by any number of workers: each subscription is one transaction.
    """
    now = now or timezone.now()
    made = 0
    for subscription in due(now, address):
        try:
            with transaction.atomic():
                made += _compose(subscription, now, early=bool(address))
        except (
            IntegrityError
        ):  # another worker set one of these papers aside for the same reader just now; the next round sees it
            log.info("a digest of subscription %s is made in the next round", subscription.pk)
        except (IndexBusy, IndexDamaged, OSError) as problem:
            log.warning("a saved search cannot be asked, its digest waits: %s", problem)
    return made


def _compose(subscription: Subscription, now: datetime, *, early: bool) -> bool:
    """Whether there was something to send. The subscription's moment moves on in either case."""
    reader, often = subscription.reader, subscription.often
    period = period_of(often, reader.timezone, now if early or subscription.due is None else subscription.due)
    made = Mail.objects.filter(subscription=subscription, period=period).exists()
    chosen = Chosen() if made else choose(subscription)
    moved = {"due": next_due(often, reader.timezone, reader.hour, now)} | ({} if made or chosen.more else {"since": now})
    seen = Subscription.objects.filter(pk=subscription.pk, state=Subscription.State.ACTIVE, due=subscription.due)
    if not seen.update(**moved) or not chosen:
        return False
    mail = Mail.objects.create(
        key=f"digest-{subscription.pk}-{period}",
        reader=reader,
        subscription=subscription,
        period=period,
        recipient=address_of(reader),
        events=list(chosen.events),
        next_try=now,
        created=now,
    )
    SentPaper.objects.bulk_create(SentPaper(reader=reader, paper_id=pk, mail=mail) for pk in chosen.papers)
    return True


def address_of(reader: Reader) -> str:
    """Where mail to a reader goes: of one with an account, the confirmed address that the account has now."""
    if reader.user_id:
        confirmed = EmailAddress.objects.filter(user_id=reader.user_id, primary=True, verified=True).first()
        if confirmed:
            return str(confirmed.email)
    return reader.email


def choose(subscription: Subscription) -> Chosen:
    """What the next digest of a subscription holds: nothing that the reader was sent before."""
    reader = subscription.reader
    if subscription.what == Subscription.What.TRENDING:
        keys = list(lists.trending().papers.values_list("pk", flat=True)[: TOP[subscription.often]])
        return Chosen(tuple(_unsent(keys, reader)))
    since = subscription.since or subscription.asked
    if subscription.what == Subscription.What.SEARCH:
        return _cut(_unsent(_searched([subscription.query], since), reader))
    follows = _follows(reader)
    return _cut(_unsent(_followed(follows, since), reader), _verdicts(reader, follows, since))


def _cut(keys: list[int], events: Iterable[int] = ()) -> Chosen:
    return Chosen(tuple(keys[:MOST]), tuple(events), more=len(keys) > MOST)


def _unsent(keys: Collection[int], reader: Reader) -> list[int]:
    sent = set(SentPaper.objects.filter(reader=reader, paper__in=keys).values_list("paper_id", flat=True))
    return [key for key in keys if key not in sent]


def newest_hits(query: str) -> list[str]:
    """Public ids of the newest papers that have every word of a saved search. By words alone: the nearest by meaning always exist."""
    try:
        hits = index().search(query if "sort:" in query else f"{query} sort:date", limit=HITS, mode="lexical").hits
    except QueryError as problem:
        log.warning("a saved search cannot be understood any more: %s", problem)
        return []
    return [hit.id for hit in hits]


def _searched(queries: Iterable[str], since: datetime) -> list[int]:
    """Papers that came since and fit one of the searches, in the order found."""
    found = dict.fromkeys(name for query in queries for name in newest_hits(query))
    keys = dict(Paper.objects.visible().filter(public_id__in=found, created__gte=since).values_list("public_id", "pk"))
    return [keys[name] for name in found if name in keys]


def _followed(follows: Mapping[str, list[str]], since: datetime) -> list[int]:
    """New papers of followed authors, organisations, topics and searches, the newest first."""
    new = Paper.objects.visible().filter(created__gte=since)
    keys = set(_searched(follows["search"], since))
    for kind, path in (("author", "author_set"), ("organisation", "organisation"), ("topic", "topics")):
        if follows[kind]:
            keys.update(new.filter(**{f"{path}__slug__in": follows[kind]}).values_list("pk", flat=True))
    return list(Paper.objects.filter(pk__in=keys).ranked("new").values_list("pk", flat=True))


def _verdicts(reader: Reader, follows: Mapping[str, list[str]], since: datetime) -> list[int]:
    """Verdicts since then on papers that the reader bookmarked, or whose author, organisation or topic they follow."""
    concerned = (
        Q(paper__in=Bookmark.objects.filter(user=reader.user_id).values("paper"))
        | Q(paper__in=Paper.objects.filter(author_set__slug__in=follows["author"]).values("pk"))
        | Q(paper__in=Paper.objects.filter(topics__slug__in=follows["topic"]).values("pk"))
        | Q(paper__organisation__slug__in=follows["organisation"])
    )
    events = Event.objects.filter(concerned, kind=Event.Kind.VERDICT, at__gt=since, paper__withdrawn=False)
    return list(events.order_by("pk").values_list("pk", flat=True)[:MOST])


def _follows(reader: Reader) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {kind: [] for kind in Follow.Kind.values}
    for kind, key in Follow.objects.filter(user=reader.user_id).values_list("kind", "key"):
        found[kind].append(key)
    return found


def give_up(mail: Mail, why: str, now: datetime) -> None:
    """A digest could not be delivered: its papers are free for the next one. With a reason that is the reader's, mail to them pauses."""
    if mail.reader_id is None:
        return
    SentPaper.objects.filter(mail=mail).delete()
    if why:
        Reader.objects.filter(pk=mail.reader_id, paused=None).update(paused=now, why=why[:300])


def rendered(mail: Mail) -> bytes | None:
    """The digest as it goes out; None where nobody wants it any more or nothing of it is left."""
    subscription = mail.subscription
    if subscription is None or subscription.state != Subscription.State.ACTIVE or subscription.reader.paused:
        return None
    reader = subscription.reader
    if reader.user and not reader.user.is_active:
        return None
    order = list(SentPaper.objects.filter(mail=mail).values_list("paper_id", flat=True))
    rows = Paper.objects.visible().filter(pk__in=order).select_related("organisation").in_bulk()
    papers = [rows[pk] for pk in order if pk in rows]
    events = list(Event.objects.filter(pk__in=mail.events).select_related("paper", "actor__profile").order_by("pk"))
    if not papers and not events:
        return None
    return wire(_message(mail, subscription, papers, events))


def _message(mail: Mail, subscription: Subscription, papers: list[Paper], events: list[Event]) -> EmailMultiAlternatives:
    marks = strips(papers)
    stop = links.absolute(links.stop_path(subscription))
    context = {
        "subscription": subscription,
        "title": wording.title(subscription),
        "asked": wording.asked(subscription),
        "papers": [(paper, links.absolute(paper.get_absolute_url()), marks.get(paper.pk)) for paper in papers],
        "events": [(wording.sentence(event), links.absolute(wording.path(event)), wording.marks(event)) for event in events],
        "list_url": links.absolute(wording.list_path(subscription)),
        "stop_url": stop,
        "preferences_url": links.absolute(links.preferences_path(subscription.reader)),
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
    }
    message = EmailMultiAlternatives(
        one_line(wording.subject(subscription, len(papers), len(events)))[:200],
        render_to_string("alerts/mail/digest.txt", context),
        to=[mail.recipient],
        headers={
            "Date": format_datetime(mail.created),
            "Message-ID": _message_id(mail),
            "List-Id": f"<{subscription.often}.{subscription.what}.{site_host()}>",
            "List-Unsubscribe": f"<{stop}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("alerts/mail/digest.html", context), "text/html")
    return message


def _message_id(mail: Mail) -> str:
    """The same for every attempt, so that a mail that is sent twice can be told as one; not to be guessed by others."""
    secret = salted_hmac("pressrun.mail.message-id", mail.key).hexdigest()[:24]
    return f"<{mail.key}.{secret}@{site_host()}>"
