"""The owner's page of people: who is here, in which role, who may sign up, and invitations."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pressrun.web.errors import BadInput
from pressrun.web.papers.lists import page_of
from pressrun.web.people import changes, signup
from pressrun.web.people.forms import InvitationForm
from pressrun.web.people.limits import limit
from pressrun.web.people.models import Invitation
from pressrun.web.people.roles import Role, needs

PER_PAGE = 50


@never_cache
@require_safe
@needs(Role.OWNER)
def people(request: HttpRequest) -> HttpResponse:
    return _show(request, InvitationForm())


def _show(request: HttpRequest, form: InvitationForm, **more: object) -> HttpResponse:
    text = request.GET.get("q", "").replace("\0", "").strip()[:100]
    rows = User.objects.select_related("profile").order_by("username")
    if text:
        rows = rows.filter(Q(username__icontains=text) | Q(email__icontains=text) | Q(profile__display_name__icontains=text))
    context = {
        "page": page_of(rows, request.GET.get("page", "1"), PER_PAGE),
        "query": text,
        "roles": list(Role),
        "policy": signup.policy(),
        "policies": signup.POLICIES,
        "invitations": Invitation.objects.waiting().select_related("invited_by")[:200],
        "form": form,
        **more,
    }
    return render(request, "people/people.html", context, status=400 if form.errors else 200)


@require_POST
@needs(Role.OWNER)
def role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give somebody another role."""
    user = _other(request, pk)
    wanted = request.POST.get("role", "")
    if wanted not in set(Role):
        raise BadInput(f"role must be one of {', '.join(Role)}, got {wanted[:40]!r}.")
    changes.give_role(user, Role(wanted))
    messages.success(request, f"{user.get_username()} is now {wanted}.")
    return redirect("people")


@require_POST
@needs(Role.OWNER)
def active(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep somebody out, or let them in again."""
    user = _other(request, pk)
    wanted = request.POST.get("active", "")
    if wanted not in {"yes", "no"}:
        raise BadInput(f"active must be yes or no, got {wanted[:40]!r}.")
    changes.set_active(user, wanted == "yes")
    messages.success(request, f"{user.get_username()} {'may sign in' if wanted == 'yes' else 'is signed out and kept out'}.")
    return redirect("people")


def _other(request: HttpRequest, pk: int) -> User:
    """A user that the owner may change: not themselves, and not the one at this machine."""
    user = get_object_or_404(User.objects.select_related("profile"), pk=pk)
    if user.pk == request.user.pk:
        raise BadInput("You can't change your own role or keep yourself out; another owner can.")
    if user.profile.local:
        raise BadInput("This is the account of the owner at this machine; it stays as it is.")
    return user


@require_POST
@needs(Role.OWNER)
def policy(request: HttpRequest) -> HttpResponse:
    """Say who may make an account."""
    signup.set_policy(request.POST.get("policy", ""))
    messages.success(request, "Sign-up is changed.")
    return redirect("people")


@never_cache
@require_POST
@needs(Role.OWNER)
@limit("invite")
def invite(request: HttpRequest) -> HttpResponse:
    """Make an invitation. Its link is shown in the answer, and never again."""
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _show(request, form)
    data = form.cleaned_data
    by = request.user if isinstance(request.user, User) else None
    _, secret = signup.invite(by, Role(data["role"]), data["days"], data["note"])
    link = request.build_absolute_uri(reverse("invitation", args=[secret]))
    return _show(request, InvitationForm(), link=link, days=data["days"])


@require_POST
@needs(Role.OWNER)
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an invitation back."""
    if signup.revoke(pk):
        messages.success(request, "The invitation works no more.")
    return redirect("people")
