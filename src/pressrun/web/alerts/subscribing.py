"""Who gets digests: asking, confirming by the mail that comes, changing and stopping."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string

from pressrun.search import QueryError, parse
from pressrun.web.alerts import links, wording
from pressrun.web.alerts.models import Reader, Subscription
from pressrun.web.alerts.outbox import queue
from pressrun.web.alerts.schedule import length, next_due, zones
from pressrun.web.errors import BadInput
from pressrun.web.ops.jobs import enqueue

__all__ = ["Wish", "ask", "change", "confirm", "confirmed_address", "reader_of", "resume", "set_times", "stop", "subscription_of"]

MOST = 20
"""Subscriptions of one reader."""
AGAIN = timedelta(minutes=10)
"""How long one confirmation mail must be enough."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants by mail."""

    what: str
    often: str
    query: str = ""
    timezone: str = "UTC"
    hour: int = 7

    def checked(self) -> Wish:
        """The same, if it can be fulfilled. Raises BadInput otherwise."""
        query = " ".join(self.query.replace("\0", " ").split()) if self.what == Subscription.What.SEARCH else ""
        if self.what not in Subscription.What.values:
            raise BadInput(f"a digest is of {', '.join(Subscription.What.values)}, got {self.what[:40]!r}.")
        if self.what == Subscription.What.SEARCH and not 1 <= len(query) <= 300:
            raise BadInput(f"a saved search has 1 to 300 characters, got {len(query)}.")
        try:
            parse(query)
        except QueryError as problem:
            raise BadInput(str(problem)) from None
        _check_often(self.often)
        _check_times(self.timezone, self.hour)
        return Wish(self.what, self.often, query, self.timezone, self.hour)


def _check_often(often: str) -> None:
    if often not in Subscription.Often.values:
        raise BadInput(f"a digest comes {', '.join(Subscription.Often.values)}, got {often[:40]!r}.")


def _check_times(zone: str, hour: int) -> None:
    if zone not in zones():
        raise BadInput(f"a time zone is named like Europe/Berlin, got {zone[:60]!r}.")
    if not 0 <= hour <= 23:
        raise BadInput(f"an hour is 0 to 23, got {hour}.")


def checked_address(text: str) -> str:
    """The address in one spelling. Raises BadInput for what is none."""
    address = text.strip().casefold()
    try:
        validate_email(address)
        local, _, domain = address.rpartition("@")
        address = f"{local}@{domain.encode('idna').decode()}"
    except (ValidationError, UnicodeError):
        raise BadInput(f"a mail address reads like ada@example.org, got {text[:80]!r}.") from None
    if len(address) > 254:
        raise BadInput("a mail address has at most 254 characters.")
    return address


def confirmed_address(user: User) -> str:
    """The address that a user has proved to be theirs; "" without one."""
    found = EmailAddress.objects.filter(user=user, primary=True, verified=True).values_list("email", flat=True).first()
    return checked_address(found) if found else ""


@transaction.atomic
def reader_of(user: User) -> Reader | None:
    """The reader that a user is; made, or taken over from before the user signed up, once the account has a confirmed address."""
    found = Reader.objects.filter(user=user).first()
    address = confirmed_address(user)
    if not address or (found and found.email == address):
        return found
    same = Reader.objects.filter(email=address).first()
    if found is None:
        if same and same.user_id not in {None, user.pk}:
            return None
        found = same or Reader(email=address, timezone=_zone_of(user))
        found.user = user
        found.save()
    elif same is None:
        found.email = address
        found.save(update_fields=["email"])
    return found


def _zone_of(user: User) -> str:
    zone = str(user.profile.timezone) if hasattr(user, "profile") else "UTC"
    return zone if zone in zones() else "UTC"


@transaction.atomic
def ask(wish: Wish, now: datetime, *, address: str = "", user: User | None = None) -> bool:
    """Whether the subscription works at once, as for a user with a confirmed address. Else a mail was sent that asks to confirm it.

    Somebody who asks without an account learns nothing about an address: one that gets this already is sent its link to change it.

    Raises:
        BadInput: for a wish or address that can't be, or more subscriptions than one reader may have.
    """
    wish = wish.checked()
    reader = (reader_of(user) if user else None) if not address else None
    trusted = reader is not None and user is not None and confirmed_address(user) == reader.email
    if reader is None:
        reader = _reader_at(checked_address(address), wish, user)
    if wish.what == Subscription.What.FOLLOWS and (user is None or reader.user_id != user.pk):
        raise BadInput("Only somebody who is signed in follows something; sign in to get it by mail.")
    if reader.subscriptions.exclude(what=wish.what, query=wish.query).count() >= MOST:
        raise BadInput(f"one address has at most {MOST} subscriptions.")
    subscription = _asked_for(reader, wish, now, trusted=trusted)
    if trusted:
        confirm(subscription, now)
    elif subscription.asked == now:
        _write_to(subscription, now)
    return trusted


def _reader_at(address: str, wish: Wish, user: User | None) -> Reader:
    """The reader of an address. A new one is the user's, where the user has none yet; times of a known one stay as they are."""
    mine = user if user and not Reader.objects.filter(user=user).exists() else None
    times = {"timezone": wish.timezone, "hour": wish.hour}
    return Reader.objects.get_or_create(email=address, defaults={"user": mine, **times})[0]


def _asked_for(reader: Reader, wish: Wish, now: datetime, *, trusted: bool) -> Subscription:
    """The row of a wish. One that works stays as it is, unless the reader asks; `asked` is now where a mail is to be sent."""
    fresh = {"often": wish.often, "asked": now}
    subscription, made = Subscription.objects.get_or_create(reader=reader, what=wish.what, query=wish.query, defaults=fresh)
    if made or (not trusted and now - subscription.asked < AGAIN):
        return subscription
    if trusted or subscription.state != Subscription.State.ACTIVE:
        subscription.often, subscription.state = wish.often, Subscription.State.PENDING
    subscription.asked = now
    subscription.save()
    return subscription


def _write_to(subscription: Subscription, now: datetime) -> None:
    """Ask to confirm; of a subscription that works, send the link to change it."""
    active = subscription.state == Subscription.State.ACTIVE
    context = {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "asked": wording.asked(subscription),
        "days": links.CONFIRM_WITHIN.days,
        "url": links.absolute(links.preferences_path(subscription.reader) if active else links.confirm_path(subscription)),
    }
    name = "known" if active else "confirm"
    subject = "Your mails" if active else "Do you want these mails?"
    message = EmailMessage(
        f"{subject} · {settings.SITE_NAME}",
        render_to_string(f"alerts/mail/{name}.txt", context),
        to=[subscription.reader.email],
        headers={"Auto-Submitted": "auto-replied"},
    )
    queue(message, subscription.reader.email, f"{name}-{subscription.pk}-{now.timestamp():.0f}", now)
    enqueue("deliver-mail")


def subscription_of(purpose: str, token: str) -> Subscription | None:
    """The subscription that a link to confirm or stop was made for; of several links to confirm, the last one counts."""
    key, _, asked = links.opened(purpose, token).partition(".")
    found = Subscription.objects.select_related("reader__user").filter(pk=int(key)).first() if key else None
    if found and purpose == "confirm" and asked != f"{found.asked.timestamp():.0f}":
        return None
    return found


def confirm(subscription: Subscription, now: datetime) -> None:
    """From now on the mails come, the first of them with what is new since a period ago. Confirming twice changes nothing."""
    if subscription.state == Subscription.State.ACTIVE:
        return
    reader = subscription.reader
    subscription.state = Subscription.State.ACTIVE
    subscription.since = now - length(subscription.often)
    subscription.due = next_due(subscription.often, reader.timezone, reader.hour, now)
    subscription.save()
    resume(reader)


def stop(subscription: Subscription) -> None:
    """No more of these mails; one that waits in the outbox is dropped when its turn comes."""
    Subscription.objects.filter(pk=subscription.pk).update(state=Subscription.State.STOPPED, due=None)


def resume(reader: Reader) -> None:
    """Mail to the reader goes out again."""
    Reader.objects.filter(pk=reader.pk).update(paused=None, why="")


def set_times(reader: Reader, zone: str, hour: int, now: datetime) -> None:
    """Another time zone or hour, from the next mail on. Raises BadInput for those that there are none of."""
    _check_times(zone, hour)
    Reader.objects.filter(pk=reader.pk).update(timezone=zone, hour=hour)
    for subscription in reader.subscriptions.filter(state=Subscription.State.ACTIVE):
        Subscription.objects.filter(pk=subscription.pk).update(due=next_due(subscription.often, zone, hour, now))


def change(subscription: Subscription, often: str, now: datetime) -> None:
    """Another rhythm for a subscription that works. Raises BadInput for one that there is none of."""
    _check_often(often)
    reader = subscription.reader
    due = next_due(often, reader.timezone, reader.hour, now)
    Subscription.objects.filter(pk=subscription.pk, state=Subscription.State.ACTIVE).update(often=often, due=due)
