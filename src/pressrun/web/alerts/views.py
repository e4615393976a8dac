"""The pages of mails, notifications and webhooks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pressrun.web.alerts import links, subscribing, wording
from pressrun.web.alerts.models import Notification, Reader, Subscription
from pressrun.web.alerts.schedule import zones
from pressrun.web.alerts.subscribing import Wish
from pressrun.web.errors import BadInput
from pressrun.web.papers.lists import page_of
from pressrun.web.people.limits import limit, spend
from pressrun.web.people.roles import Role, needs

PER_PAGE = 30
_OFTEN = (("daily", "every day"), ("weekly", "every Monday"), ("monthly", "on the first of the month"))
_EXPIRED = "This link is not complete, or it is too old. Ask for the mails again to get a fresh one."


def user_of(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


# Subscriptions


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def subscriptions(request: HttpRequest) -> HttpResponse:
    """Asking for mails; for those signed in, also the mails that they get."""
    if request.method != "POST":
        return _subscriptions(request, request.GET)
    try:
        at_once = _ask(request)
    except BadInput as problem:
        return _subscriptions(request, request.POST, problem=str(problem), status=400)
    if at_once:
        return redirect(f"{reverse('subscriptions')}?said=added")
    return _subscriptions(request, QueryDict(), said="asked")


def _ask(request: HttpRequest) -> bool:
    given, user = request.POST, user_of(request)
    known = bool(user and subscribing.confirmed_address(user))
    address = "" if known else subscribing.checked_address(given.get("address", ""))
    spend(request, "mail", address)
    wish = Wish(given.get("what", ""), given.get("often", ""), given.get("query", ""), given.get("timezone", "UTC"), _hour(given))
    return subscribing.ask(wish, timezone.now(), address=address, user=user)


def _hour(given: QueryDict) -> int:
    text = given.get("hour", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise BadInput(f"an hour is 0 to 23, got {text[:20]!r}.")
    return int(text)


def _subscriptions(
    request: HttpRequest, given: QueryDict, *, problem: str = "", said: str = "", status: int = 200
) -> HttpResponse:
    user = user_of(request)
    reader = subscribing.reader_of(user) if user else None
    usual_zone = reader.timezone if reader else "UTC"
    context = {
        "address": subscribing.confirmed_address(user) if user else "",
        "given": {
            "address": given.get("address", "")[:254],
            "what": given.get("what", "trending"),
            "query": given.get("query", "")[:300],
            "often": given.get("often", "weekly"),
            "timezone": given.get("timezone", usual_zone),
            "hour": given.get("hour", str(reader.hour if reader else 7)),
        },
        "problem": problem,
        "said": said or ("added" if given.get("said") == "added" else "saved" if given.get("said") == "saved" else ""),
    }
    return render(request, "alerts/subscriptions.html", context | _choices() | _mails(reader), status=status)


def _choices() -> dict[str, Any]:
    return {"zones": zones(), "hours": [(str(hour), f"{hour:02}:00") for hour in range(24)], "rhythms": _OFTEN}


def _mails(reader: Reader | None) -> dict[str, Any]:
    """What a reader gets, for the page that changes it."""
    rows = reader.subscriptions.exclude(state=Subscription.State.STOPPED) if reader else ()
    return {"reader": reader, "subscriptions": [(row, wording.title(row), wording.list_path(row)) for row in rows]}


@limit("write")
@require_POST
@needs(Role.MEMBER)
def save_subscriptions(request: HttpRequest) -> HttpResponse:
    """Changes that somebody who is signed in makes to their mails."""
    user = user_of(request)
    reader = subscribing.reader_of(user) if user else None
    if reader is None:
        raise BadInput("You get no mails that could be changed.")
    _save(reader, request.POST)
    return redirect(f"{reverse('subscriptions')}?said=saved")


def _save(reader: Reader, given: QueryDict) -> None:
    """Zone and hour, a rhythm or the end for each subscription, and mail again after a pause."""
    now = timezone.now()
    if given.get("do") == "stop-all":
        for row in reader.subscriptions.all():
            subscribing.stop(row)
        return
    subscribing.set_times(reader, given.get("timezone", ""), _hour(given), now)
    reader.refresh_from_db()
    for row in reader.subscriptions.filter(state=Subscription.State.ACTIVE).select_related("reader"):
        often = given.get(f"often-{row.pk}", row.often)
        if often == "never":
            subscribing.stop(row)
        elif often != row.often:
            subscribing.change(row, often, now)
    if given.get("do") == "resume":
        subscribing.resume(reader)


@never_cache
@limit("write")
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest, token: str) -> HttpResponse:
    """What a reader gets, by the signed link that every mail carries: no sign-in."""
    key = links.opened("preferences", token)
    reader = Reader.objects.filter(pk=int(key)).first() if key else None
    if reader is None:
        raise Http404(_EXPIRED)
    if request.method == "POST":
        _save(reader, request.POST)
        return redirect(f"{request.path}?said=saved")
    context = {"token": token, "said": "saved" if request.GET.get("said") == "saved" else ""}
    return render(request, "alerts/preferences.html", context | _choices() | _mails(reader))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """The second step of the double opt-in. Opening the link alone confirms nothing: mail scanners open links."""
    subscription = subscribing.subscription_of("confirm", token)
    if subscription is None or subscription.state == Subscription.State.STOPPED:
        raise Http404(_EXPIRED)
    if request.method == "POST":
        subscribing.confirm(subscription, timezone.now())
    return render(request, "alerts/confirm.html", _about(subscription) | {"done": subscription.state == "active"})


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def stop(request: HttpRequest, token: str) -> HttpResponse:
    """The end of one subscription, by one POST without cookies (RFC 8058). A GET shows the button and changes nothing."""
    subscription = subscribing.subscription_of("stop", token)
    if subscription is None:
        raise Http404(_EXPIRED)
    if request.method == "POST":
        subscribing.stop(subscription)
        subscription.refresh_from_db()
    return render(request, "alerts/stop.html", _about(subscription) | {"done": subscription.state == "stopped"})


def _about(subscription: Subscription) -> dict[str, Any]:
    return {
        "asked": wording.asked(subscription),
        "due": subscription.due,
        "preferences": links.preferences_path(subscription.reader),
        "address": _masked(subscription.reader.email),
    }


def _masked(address: str) -> str:
    """a…@example.org: enough to know one's own, for a link that may have been passed on."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


# Notifications


@never_cache
@require_safe
@needs(Role.MEMBER)
def notifications(request: HttpRequest) -> HttpResponse:
    """What happened that concerns the user, the newest first."""
    rows = Notification.objects.filter(user=user_of(request)).select_related("event__paper", "event__actor__profile")
    page = page_of(rows, request.GET.get("page", "1"), PER_PAGE)
    shown = [
        (row, wording.sentence(row.event, you=True), wording.path(row.event), wording.marks(row.event))
        for row in page.object_list
    ]
    return render(request, "alerts/notifications.html", {"page": page, "shown": shown})


@limit("write")
@require_POST
@needs(Role.MEMBER)
def mark_read(request: HttpRequest) -> HttpResponse:
    """Marks one notification as read and leads to what it tells of; without a number, marks all."""
    rows = Notification.objects.filter(user=user_of(request), read=None)
    key = request.POST.get("notification", "")
    if not key:
        rows.update(read=timezone.now())
        return redirect("notifications")
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        raise BadInput(f"a notification has a number, got {key[:40]!r}.")
    row = Notification.objects.filter(user=user_of(request), pk=int(key)).select_related("event__paper").first()
    if row is None:
        raise Http404("There is no such notification for you.")
    rows.filter(pk=row.pk).update(read=timezone.now())
    return redirect(wording.path(row.event))
