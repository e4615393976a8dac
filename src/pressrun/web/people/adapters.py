"""Where django-allauth asks us: who may sign up, how often somebody may try to sign in, how second-factor secrets are kept."""

from __future__ import annotations

import ipaddress
from base64 import urlsafe_b64encode
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pressrun.web.people import limits, signup

__all__ = ["Accounts", "SecondFactor", "SocialAccounts"]


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]  # allauth brings no types
    """Accounts with a name and a password."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return signup.is_open(request)

    def save_user(self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True) -> User:
        with transaction.atomic():
            saved: User = super().save_user(request, user, form, commit=commit)
            if commit:
                _taken_or_closed(request, saved)
        return saved

    def pre_authenticate(self, request: HttpRequest, **credentials: str) -> None:
        limits.spend(request, "sign-in", key=credentials.get("email") or credentials.get("username") or "")
        super().pre_authenticate(request, **credentials)

    def pre_login(self, request: HttpRequest, user: User, **further: object) -> HttpResponse | None:
        """Nobody signs in as the owner at this machine, whatever password that account may have been given."""
        if user.profile.local:
            return cast(HttpResponse, self.respond_user_inactive(request, user))
        return cast("HttpResponse | None", super().pre_login(request, user, **further))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, object]) -> None:
        """Mails name the site as its pages do, whatever host the request came by."""
        here = SimpleNamespace(name=settings.SITE_NAME, domain=urlsplit(settings.SITE_URL).netloc)
        super().send_mail(template_prefix, email, {**context, "current_site": here})

    def get_client_ip(self, request: HttpRequest) -> str:
        """The connection's address; the server has already put the client's there, if a proxy in front is trusted."""
        try:
            return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")))
        except ValueError:
            return "::"


class SocialAccounts(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Accounts that another provider signs in. Whoever may not sign up may not do so there either."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: object) -> bool:  # noqa: ARG002  allauth gives it
        return signup.is_open(request)

    def save_user(self, request: HttpRequest, sociallogin: object, form: BaseForm | None = None) -> User:
        with transaction.atomic():
            saved: User = super().save_user(request, sociallogin, form)
            _taken_or_closed(request, saved)
        return saved


def _taken_or_closed(request: HttpRequest, user: User) -> None:
    """Use up the invitation of a new account. Leaving by an exception takes the account back."""
    if not signup.take(request, user):
        raise ImmediateHttpResponse(render(request, "account/signup_closed.html", status=403))


class SecondFactor(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors, whose secrets are kept encrypted under a key made from SECRET_KEY."""

    def encrypt(self, text: str) -> str:
        return _cipher(settings.SECRET_KEY).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
            try:
                return _cipher(key).decrypt(encrypted_text.encode()).decode()
            except InvalidToken:
                continue
        raise InvalidToken("this second factor was set up under another SECRET_KEY")


def _cipher(key: str | bytes) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"pressrun second factor").derive(
        key if isinstance(key, bytes) else key.encode()
    )
    return Fernet(urlsafe_b64encode(derived))
