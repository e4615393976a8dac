"""Authenticator apps and recovery codes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from cryptography.fernet import InvalidToken
from django.core import mail
from django.test import Client
from pytest_django import Settings

from tests.web.people.conftest import PASSWORD, prove

Browser = Callable[..., Client]


def _code(secret: str, later: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time() // 30) + later))


def _with_app(client: Client) -> str:
    """Set an authenticator app up in a browser; gives its secret."""
    prove(client)
    page = client.get("/account/2fa/totp/activate/").content.decode()
    (secret,) = re.findall(r'id="authenticator_secret" value="([A-Z2-7]+)"', page)
    assert "data:image/svg+xml" in unquote(page)
    assert client.post("/account/2fa/totp/activate/", {"code": _code(secret)}).status_code == 302
    return secret


def _asked_for_code() -> Client:
    client = Client()
    first = client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert first.headers["Location"] == "/account/2fa/authenticate/"
    assert client.get("/account").status_code == 302
    return client


def test_the_password_alone_no_longer_lets_anybody_in(signed_in: Browser) -> None:
    secret = _with_app(signed_in("ada"))
    client = _asked_for_code()
    assert client.post("/account/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert client.get("/account").status_code == 302
    client.post("/account/2fa/authenticate/", {"code": _code(secret, later=1)})
    assert client.get("/account").status_code == 200


def test_a_code_works_once(signed_in: Browser) -> None:
    secret = _with_app(signed_in("ada"))
    code = _code(secret, later=1)
    first, second = _asked_for_code(), _asked_for_code()
    for client in (first, second):
        client.post("/account/2fa/authenticate/", {"code": code})
    assert [client.get("/account").status_code for client in (first, second)] == [200, 302]


def test_a_recovery_code_works_once(signed_in: Browser) -> None:
    browser = signed_in("ada")
    _with_app(browser)
    codes = browser.get("/account/2fa/recovery-codes/download/").content.decode().split()[-10:]
    assert len(codes) == 10
    first, second = _asked_for_code(), _asked_for_code()
    for client in (first, second):
        client.post("/account/2fa/authenticate/", {"code": codes[0]})
    assert [client.get("/account").status_code for client in (first, second)] == [200, 302]


@pytest.mark.django_db(transaction=True)  # the mail waits for the commit
def test_the_person_is_told_by_mail(signed_in: Browser) -> None:
    _with_app(signed_in("ada"))
    assert {address for message in mail.outbox for address in message.to} == {"ada@example.org"}
    assert any("uthenticator" in message.subject for message in mail.outbox)


def test_setting_it_up_asks_for_the_password_again(signed_in: Browser) -> None:
    client = signed_in("ada")
    assert client.get("/account/2fa/totp/activate/").headers["Location"].startswith("/account/reauthenticate/")


def test_guessing_codes_comes_to_an_end(signed_in: Browser) -> None:
    _with_app(signed_in("ada"))
    client = _asked_for_code()
    answers = [client.post("/account/2fa/authenticate/", {"code": f"{n:06}"}).content.decode() for n in range(8)]
    assert "Incorrect code" in answers[0]
    assert "Incorrect code" not in answers[-1]


def test_its_secret_is_not_readable_in_the_database(signed_in: Browser, settings: Settings) -> None:
    secret = _with_app(signed_in("ada"))
    kept = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in kept
    assert get_adapter().decrypt(kept) == secret
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another key"
    with pytest.raises(InvalidToken):
        get_adapter().decrypt(kept)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert get_adapter().decrypt(kept) == secret
