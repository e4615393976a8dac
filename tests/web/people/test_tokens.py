"""Programs that act by access token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from pressrun.catalog import Paper
from pressrun.web.errors import BadInput
from pressrun.web.people import tokens
from pressrun.web.people.models import AccessToken
from pressrun.web.people.roles import Role
from pressrun.web.runs.access import new_token
from tests.web.people.conftest import PASSWORD, Make, bearer, prove

Browser = Callable[..., Client]
STRICT = Client(enforce_csrf_checks=True)


def test_a_token_is_shown_once_and_kept_as_its_hash(signed_in: Browser) -> None:
    client = prove(signed_in("ada"))
    made = client.post("/account/tokens", {"name": "my laptop", "scopes": ["read", "write"], "days": "7"})
    secret = made.content.decode().split('id="secret" tabindex="0">')[1].split("<")[0]
    token = AccessToken.objects.get()
    assert secret.startswith("pr_")
    assert len(secret) == 46
    assert secret not in str(AccessToken.objects.values().get())
    assert (token.prefix, token.scopes) == (secret[:9], ["read", "write"])
    later = client.get("/account/tokens").content.decode()
    assert "my laptop" in later
    assert secret not in later
    assert Client().get("/api/whoami-v2", headers={"Authorization": f"Bearer {secret}"}).json()["name"] == "ada"


def test_a_token_is_made_after_the_password_was_given_once_more(signed_in: Browser) -> None:
    client = signed_in("ada")
    asked = client.post("/account/tokens", {"name": "my laptop", "scopes": ["read"], "days": "7"})
    assert asked.headers["Location"].startswith("/account/reauthenticate/")
    assert not AccessToken.objects.exists()
    client.post(asked.headers["Location"], {"password": "wrong", "next": "/account/tokens"})
    assert not AccessToken.objects.exists()
    shown = client.post(asked.headers["Location"], {"password": PASSWORD, "next": "/account/tokens"})
    assert "Copy the token my laptop now" in shown.content.decode()


def test_it_says_who_it_is_as_the_hugging_face_api_does(somebody: Make) -> None:
    headers = bearer(somebody("ada"), "write")
    answer = Client().get("/api/whoami-v2", headers=headers).json()
    token = AccessToken.objects.get()
    made = token.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert answer == {
        "type": "user", "id": str(token.user_id), "name": "ada", "fullname": "ada", "email": "ada@example.org",
        "emailVerified": True, "isPro": False, "avatarUrl": "", "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "a test", "role": "write", "createdAt": made}},
    }  # fmt: skip


@pytest.mark.parametrize("header", ["Bearer hf_abcdef", "Basic YWRhOmFkYQ==", "Bearer", "pr_x"])
def test_a_token_of_another_site_is_left_alone(papers: tuple[Paper, ...], header: str) -> None:
    assert Client().get("/api/daily_papers", headers={"Authorization": header}).status_code == 200
    assert Client().get("/api/whoami-v2", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("spoilt", ["unknown", "revoked", "expired", "kept out"])
def test_a_token_that_does_not_work_is_refused_everywhere(somebody: Make, spoilt: str) -> None:
    user = somebody("ada")
    headers = bearer(user, "read")
    token = AccessToken.objects.get()
    if spoilt == "unknown":
        headers = {"Authorization": headers["Authorization"][:-1] + "!"}
    elif spoilt == "revoked":
        tokens.revoke(token)
    elif spoilt == "expired":
        AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=1))
    else:
        User.objects.update(is_active=False)
    for address in ("/api/whoami-v2", "/api/daily_papers", "/"):
        response = Client().get(address, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_without_write_changes_nothing_and_one_with_it_needs_no_csrf_token(
    somebody: Make, papers: tuple[Paper, ...]
) -> None:
    user = somebody("ada")
    user.user_permissions.add(Permission.objects.get(codename="add_run"))
    answers = [STRICT.post("/papers/2510.06036/runs", headers=bearer(user, scope)) for scope in ("read", "write", "run")]
    # There is no replication of this paper: 400 is as far as one comes who may.
    assert [answer.status_code for answer in answers] == [403, 403, 400]
    assert "needs the scope run" in answers[0].headers["X-Error-Message"]
    assert STRICT.post("/papers/2510.06036/runs").status_code == 403


def test_a_token_with_run_starts_nothing_for_one_who_may_not(somebody: Make, papers: tuple[Paper, ...]) -> None:
    user = somebody("ada")
    with pytest.raises(BadInput, match="ada can give a token the scopes read, write, not 'run'"):
        tokens.make(user, "a test", ["run"], 1)
    user.user_permissions.add(Permission.objects.get(codename="add_run"))
    headers = bearer(User.objects.get(pk=user.pk), "run")
    user.user_permissions.clear()
    assert STRICT.post("/papers/2510.06036/runs", headers=headers).status_code == 403


def test_it_takes_no_tokens_where_a_person_acts(somebody: Make) -> None:
    headers = bearer(somebody("ada", Role.OWNER), "admin")
    for address in ("/account", "/account/tokens", "/account/email/", "/admin/", "/people", "/owner?token=x"):
        assert Client().get(address, headers=headers).status_code == 403


def test_a_token_in_the_owners_browser_acts_for_its_own_user(somebody: Make, papers: tuple[Paper, ...]) -> None:
    """The owner's mark in a cookie must not lend its power to a program that brings both."""
    client = Client()
    client.get("/owner", {"token": new_token()})
    assert client.post("/papers/2510.06036/runs").status_code == 400
    assert client.post("/papers/2510.06036/runs", headers=bearer(somebody("ada"), "write")).status_code == 403


def test_its_use_is_noted_but_not_each_time(somebody: Make) -> None:
    headers = bearer(somebody("ada"), "read")
    Client().get("/api/whoami-v2", headers=headers)
    first = AccessToken.objects.get().last_used
    Client().get("/api/whoami-v2", headers=headers)
    assert first
    assert AccessToken.objects.get().last_used == first
    AccessToken.objects.update(last_used=first - timedelta(minutes=11))
    Client().get("/api/whoami-v2", headers=headers)
    assert AccessToken.objects.get().last_used != first - timedelta(minutes=11)


def test_nobody_revokes_the_token_of_another(signed_in: Browser, somebody: Make) -> None:
    bearer(somebody("bob"), "read")
    pk = AccessToken.objects.get().pk
    eve = signed_in("eve")
    assert eve.post(f"/account/tokens/{pk}/revoke").status_code == 404
    assert AccessToken.objects.live().count() == 1


def test_a_revoked_token_works_no_more(signed_in: Browser) -> None:
    client = signed_in("ada")
    headers = bearer(User.objects.get(), "read")
    client.post(f"/account/tokens/{AccessToken.objects.get().pk}/revoke")
    assert Client().get("/api/whoami-v2", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.READER, ("read",)),
        (Role.MEMBER, ("read", "write")),
        (Role.CURATOR, ("read", "write", "admin")),
        (Role.OWNER, ("read", "write", "run", "admin")),
    ],
)
def test_nobody_gives_a_token_more_than_they_have(somebody: Make, role: Role, scopes: tuple[str, ...]) -> None:
    assert tokens.allowed_scopes(somebody("ada", role)) == scopes


@pytest.mark.parametrize(
    ("name", "days", "sentence"),
    [
        (" ", 1, "a token needs a name of 1 to 80 characters, got 1."),
        ("x" * 81, 1, "a token needs a name of 1 to 80 characters, got 81."),
        ("x", 0, "a token lasts 1 to 3650 days, got 0."),
        ("x", 4000, "a token lasts 1 to 3650 days, got 4000."),
    ],
)
def test_it_refuses_a_token_that_does_not_fit(somebody: Make, name: str, days: int, sentence: str) -> None:
    with pytest.raises(BadInput, match=f"^{sentence}$"):
        tokens.make(somebody("ada"), name, [], days)


def test_there_is_an_end_to_tokens(somebody: Make) -> None:
    user = somebody("ada")
    for _ in range(50):
        tokens.make(user, "x", [], 1)
    with pytest.raises(BadInput, match=r"^ada has 50 tokens that work; revoke one first\.$"):
        tokens.make(user, "x", [], 1)
