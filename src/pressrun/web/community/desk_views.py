"""The curators' desk: what waits for a decision, the day's list, and the log of all that was decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from pressrun.web.community import authorship, curating, discussion, metadata, moderation, submitting
from pressrun.web.community.acting import signed_in, text_of
from pressrun.web.community.models import AuditEntry, AuthorClaim, Ban, MailDomain, Report, Submission
from pressrun.web.community.views import paper_of
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, role_of

SHOWN = 50
LOG_PAGE = 100


@require_safe
def desk(request: HttpRequest) -> HttpResponseBase:
    """Everything that waits, the oldest first."""
    signed_in(request, Role.CURATOR)
    reports = Report.objects.filter(settled=None).select_related(
        "comment__paper", "comment__author__profile", "reporter__profile"
    )
    claims = AuthorClaim.objects.filter(state=AuthorClaim.State.WAITING).select_related("paper", "user__profile")
    context: dict[str, Any] = {
        "submissions": Submission.objects.filter(state=Submission.State.WAITING).select_related("user__profile")[:SHOWN],
        "reports": reports[:SHOWN],
        "claims": claims[:SHOWN],
        "verified": AuthorClaim.objects.filter(state=AuthorClaim.State.VERIFIED).select_related("paper", "user__profile")
        .order_by("-decided")[:SHOWN],
        "bans": Ban.objects.select_related("user__profile").order_by("-pk")[:SHOWN],
        "domains": MailDomain.objects.all(),
        "owner": role_of(request) >= Role.OWNER,
        "today": timezone.now().date(),
    }  # fmt: skip
    return render(request, "community/desk.html", context)


@require_POST
def submission(request: HttpRequest, uid: str) -> HttpResponseBase:
    actor = signed_in(request, Role.CURATOR)
    found = get_object_or_404(Submission, uid=uid[:40].replace("\0", ""))
    listed = _choice(request, {"list": True, "refuse": False})
    day = lists.parse_day(request.POST["day"]) if listed and request.POST.get("day") else None
    row = submitting.decide(actor, found, listed=listed, day=day, reason=request.POST.get("reason", ""))
    messages.success(request, f"“{row.record['title']}” is {'on the list' if listed else 'refused'}.")
    return redirect("desk")


@require_POST
def report(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A report: hide the comment, or let it stand."""
    actor = signed_in(request, Role.CURATOR)
    found = get_object_or_404(Report.objects.select_related("comment__paper", "comment__author"), pk=pk)
    if _choice(request, {"hide": True, "stand": False}):
        moderation.hide(actor, found.comment, request.POST.get("reason", ""))
    else:
        moderation.settle(actor, found)
    return redirect("desk")


@require_POST
def comment(request: HttpRequest, uid: str) -> HttpResponseBase:
    actor = signed_in(request, Role.CURATOR)
    found = discussion.find(uid)
    if _choice(request, {"hide": True, "show": False}):
        moderation.hide(actor, found, request.POST.get("reason", ""))
    else:
        moderation.show(actor, found)
    return redirect(found.get_absolute_url())


@require_POST
def lock(request: HttpRequest, paper_id: str) -> HttpResponseBase:
    actor, paper = signed_in(request, Role.CURATOR), paper_of(paper_id)
    if _choice(request, {"lock": True, "unlock": False}):
        moderation.lock(actor, paper, request.POST.get("reason", ""))
    else:
        moderation.unlock(actor, paper)
    return redirect("discussion", paper.public_id)


@require_POST
def ban(request: HttpRequest, name: str) -> HttpResponseBase:
    """Ban a member for a number of days, or for good where none is given; or lift the ban."""
    actor = signed_in(request, Role.CURATOR)
    person = User.objects.filter(username=name.replace("\0", "")).first()
    if person is None:
        raise Http404(f"There is nobody called {name[:100]} here.")
    if _choice(request, {"ban": True, "lift": False}):
        days = request.POST.get("days", "").strip()
        if days and not (days.isascii() and days.isdigit() and 1 <= int(days[:6]) <= 3650):
            raise BadInput(f"days must be a whole number from 1 to 3650, or empty for good, got {days[:40]!r}.")
        until = timezone.now() + timedelta(days=int(days)) if days else None
        moderation.ban(actor, person, request.POST.get("reason", ""), until)
        messages.success(request, f"{name} may not write {f'for {days} days' if days else 'any more'}.")
    else:
        moderation.unban(actor, person)
        messages.success(request, f"{name} may write again.")
    return redirect("desk")


@require_POST
def author_claim(request: HttpRequest, pk: int) -> HttpResponseBase:
    actor = signed_in(request, Role.OWNER)
    found = get_object_or_404(AuthorClaim, pk=pk)
    verified = _choice(request, {"verify": True, "refuse": False})
    authorship.decide(actor, found, verified=verified, reason=request.POST.get("reason", ""))
    return redirect("desk")


@require_POST
def mail_domain(request: HttpRequest) -> HttpResponseBase:
    actor = signed_in(request, Role.OWNER)
    domain, organisation = text_of(request, "domain", 200), text_of(request, "organisation", 200)
    authorship.trust_domain(actor, domain, organisation, on=_choice(request, {"trust": True, "distrust": False}))
    return redirect("desk")


@require_safe
def day_list(request: HttpRequest) -> HttpResponseBase:
    """The list of a day (today's, where none is named) with all that a curator can do to it."""
    signed_in(request, Role.CURATOR)
    day = _day(request.GET)
    shown = lists.of_day(day)
    papers = list(shown.papers.select_related("placement", "organisation").defer("abstract")[:500])
    context = {
        "day": day,
        "list": shown,
        "papers": papers,
        "off": curating.taken_off(day),
        "complete": curating.complete_since(day),
    }
    return render(request, "community/day_list.html", context)


@require_POST
def change_day(request: HttpRequest) -> HttpResponseBase:
    """One change of a day's list: order, add, take-off, put-back, complete, reopen."""
    actor, day = signed_in(request, Role.CURATOR), _day(request.POST)
    match request.POST.get("do", ""):
        case "order":
            curating.order(actor, day, _places(request.POST))
        case "add":
            _add(request, actor, day)
        case "take-off":
            reason = text_of(request, "reason", 300, needed=False)
            curating.take_off(actor, paper_of(request.POST.get("paper", "")), reason)
        case "put-back":
            curating.put_back(actor, paper_of(request.POST.get("paper", "")))
        case "complete" | "reopen" as act:
            curating.complete(actor, day, on=act == "complete")
        case other:
            raise BadInput(f"a list can be ordered, added to, taken from, completed and reopened, got {other[:40]!r}.")
    return redirect(f"{reverse('desk-list')}?day={day}")


def _add(request: HttpRequest, actor: User, day: date) -> None:
    given = text_of(request, "paper", 500)
    found = Paper.objects.by_id(given).first()
    try:
        row = curating.add_known(actor, found, day) if found else curating.add(actor, metadata.fetch_record(given), day)
    except metadata.NotFetched as problem:
        raise BadInput(f"{str(problem).rstrip('.')}; submit it by hand instead.") from problem
    messages.success(request, f"“{row.title}” is on the list of {day}.")


@require_safe
def audit_log(request: HttpRequest) -> HttpResponseBase:
    """What curators and owners did, the latest first."""
    signed_in(request, Role.CURATOR)
    rows = AuditEntry.objects.all()
    if who := request.GET.get("by", "").replace("\0", ""):
        rows = rows.filter(actor_name=who[:150])
    page = lists.page_of(rows, request.GET.get("page", "1"), LOG_PAGE)
    return render(request, "community/log.html", {"page": page, "by": who})


def _choice(request: HttpRequest, choices: Mapping[str, bool]) -> bool:
    """Which of two buttons of a form was pressed."""
    given = request.POST.get("do", "")
    if given not in choices:
        raise BadInput(f"do must be {' or '.join(choices)}, got {given[:40]!r}.")
    return choices[given]


def _day(given: Mapping[str, str]) -> date:
    return lists.parse_day(given["day"]) if given.get("day") else datetime.now(UTC).date()


def _places(given: Mapping[str, str]) -> dict[int, int | None]:
    """`place-<key of a paper>`: a number from 1, or nothing."""
    places: dict[int, int | None] = {}
    for name, text in given.items():
        key = name.removeprefix("place-")
        if key == name:
            continue
        if not (key.isascii() and key.isdigit() and len(key) < 16):
            raise BadInput(f"there is no paper {key[:40]!r}.")
        if text and not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 100_000):
            raise BadInput(f"a place is a whole number from 1, or empty, got {text[:40]!r}.")
        places[int(key)] = int(text) if text else None
    return places
