"""The page where members name addresses that events are posted to."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from pressrun.catalog import FetchError
from pressrun.web.alerts import webhooks, wording
from pressrun.web.alerts.models import Delivery, Event, Webhook
from pressrun.web.alerts.views import user_of
from pressrun.web.errors import BadInput
from pressrun.web.people.limits import limit
from pressrun.web.people.roles import Role, needs, role_of

MOST = 10
_CURATORS = {Event.Kind.REPORT, Event.Kind.SUBMISSION}


@never_cache
@limit("write")
@require_http_methods(["GET", "HEAD", "POST"])
@needs(Role.MEMBER)
def webhooks_page(request: HttpRequest) -> HttpResponse:
    """The user's webhooks, and a form for another. A new one's secret is shown once."""
    user = user_of(request)
    assert user is not None  # noqa: S101  needed a role
    if request.method != "POST":
        return _page(request, user)
    try:
        made = _make(user, request.POST)
    except BadInput as problem:
        return _page(request, user, problem=str(problem), status=400)
    return _page(request, user, made=made)


def _make(user: User, given: QueryDict) -> Webhook:
    form = given.get("format", "")
    url, kinds = given.get("url", "").strip(), [kind for kind in given.getlist("kinds") if kind in wording.KINDS]
    if Webhook.objects.filter(user=user).count() >= MOST:
        raise BadInput(f"one account has at most {MOST} webhooks.")
    if form not in Webhook.Format.values:
        raise BadInput(f"a webhook's form is {' or '.join(Webhook.Format.values)}, got {form[:40]!r}.")
    if not kinds:
        raise BadInput("a webhook needs at least one kind of event.")
    if len(url) > 500:
        raise BadInput(f"an address has at most 500 characters, got {len(url)}.")
    try:
        webhooks.fetcher().check(url)
    except FetchError as problem:
        raise BadInput(f"{problem}.") from problem
    return Webhook.objects.create(
        user=user, url=url, format=form, kinds=kinds, mine=given.get("mine") == "1", secret=webhooks.new_secret()
    )


def _page(request: HttpRequest, user: User, *, made: Webhook | None = None, problem: str = "", status: int = 200) -> HttpResponse:
    newest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk")
    hooks = Webhook.objects.filter(user=user).annotate(
        last_state=Subquery(newest.values("state")[:1]), last_why=Subquery(newest.values("why")[:1])
    )
    curator = role_of(request) >= Role.CURATOR
    context = {
        "hooks": [(hook, [wording.KINDS[kind] for kind in wording.KINDS if kind in hook.kinds]) for hook in hooks],
        "kinds": [(kind.value, label) for kind, label in wording.KINDS.items() if curator or kind not in _CURATORS],
        "made": made,
        "problem": problem,
        "url": request.POST.get("url", "")[:500] if problem else "",
    }
    return render(request, "alerts/webhooks.html", context, status=status)


@limit("write")
@require_POST
@needs(Role.MEMBER)
def webhook(request: HttpRequest, key: int) -> HttpResponse:
    """Removes a webhook of the user's, or lets a paused one go on."""
    hook = Webhook.objects.filter(user=user_of(request), pk=key).first()
    if hook is None:
        raise Http404("There is no such webhook of yours.")
    if request.POST.get("do") == "remove":
        hook.delete()
    elif request.POST.get("do") == "resume":
        hook.deliveries.filter(state="waiting").update(next_try=timezone.now(), attempts=0)
        Webhook.objects.filter(pk=hook.pk).update(paused=None, why="")
    else:
        raise BadInput("a webhook can be told to remove or resume.")
    return redirect("webhooks")
