"""The pages of an account: profile, access tokens, export, farewell. Passwords, addresses and second factors are allauth's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from pressrun.web.errors import BadInput, answer
from pressrun.web.people import own_data, signup, tokens
from pressrun.web.people.forms import DeleteForm, ProfileForm, TokenForm
from pressrun.web.people.limits import limit
from pressrun.web.people.models import AccessToken
from pressrun.web.people.roles import role_of, signed_in


def _asking_again(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A view whose POST asks for the password once more, unless it was given a few minutes before."""
    return cast(Callable[[HttpRequest], HttpResponse], reauthentication_required(view, allow_get=True, app="allauth.account"))


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  signed_in saw to it
    return request.user


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    """Who one is here, and the ways to everything about one's account."""
    user = _person(request)
    form = ProfileForm(request.POST or None, instance=user.profile)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile is saved.")
        return redirect("account")
    context = {"form": form, "role": role_of(request), "local": user.profile.local}
    return render(request, "people/account.html", context, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@limit("token")
@_asking_again
def access_tokens(request: HttpRequest) -> HttpResponse:
    """One's access tokens, and a form for a new one. Its secret is shown in the answer, and never again."""
    user = _person(request)
    form = TokenForm(request.POST or None, user=user)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            context["made"], context["secret"] = tokens.make(user, data["name"], data["scopes"], data["days"])
            context["form"] = TokenForm(user=user)
        except BadInput as problem:
            form.add_error(None, str(problem))
    context["tokens"] = AccessToken.objects.filter(user=user)[:200]
    return render(request, "people/tokens.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Make one of one's tokens worthless, at once."""
    token = get_object_or_404(AccessToken, pk=pk, user=_person(request))
    tokens.revoke(token)
    messages.success(request, f"The token {token.name} works no more.")
    return redirect("access-tokens")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@limit("export")
def export(request: HttpRequest) -> HttpResponse:
    """Everything that the site holds of one's account, as one JSON file."""
    if request.method != "POST":
        return render(request, "people/export.html")
    user = _person(request)
    content = json.dumps(own_data.everything_of(user), cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
    response = HttpResponse(content, content_type="application/json; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{user.get_username()}.json"'
    return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@_asking_again
def delete(request: HttpRequest) -> HttpResponse:
    """Delete one's account, after typing its name."""
    user = _person(request)
    if user.profile.local:
        raise BadInput("This is the account of the owner at this machine; it belongs to the installation.")
    form = DeleteForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        logout(request)
        own_data.delete_account(user)
        messages.success(request, "Your account is deleted.")
        return redirect("home")
    return render(request, "people/delete.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@require_GET
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Where an invitation's link leads: to the form for a new account, if it still works."""
    if request.user.is_authenticated:
        raise BadInput("You have an account already; sign out to use an invitation.")
    if signup.policy() == "closed" or not signup.accept(request, secret[:100]):
        return render(request, "account/signup_closed.html", {"invited": True}, status=403)
    return redirect("account_signup")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = "This form was open too long, or its cookie is missing. Go back, load the page again, and send it once more."
    return answer(request, 403, "Not sent", sentence)
