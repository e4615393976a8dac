"""Taking one's data away, and leaving."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from pressrun.web.people import own_data, signup
from pressrun.web.people.models import AccessToken, Profile
from pressrun.web.people.roles import Role
from tests.web.people.conftest import PASSWORD, Make, bearer, prove

Browser = Callable[..., Client]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations that end with the test."""
    monkeypatch.setattr(own_data, "_exports", dict(own_data._exports))
    monkeypatch.setattr(own_data, "_farewells", dict(own_data._farewells))


@pytest.mark.usefixtures("parts")
def test_the_export_has_what_each_part_holds_and_no_secret(signed_in: Browser) -> None:
    @own_data.exports("poems")
    def poems(user: User) -> Iterator[dict[str, object]]:
        yield {"by": user.username, "text": "ink"}

    client = signed_in("ada")
    headers = bearer(User.objects.get(), "write")
    response = client.post("/account/export")
    found = json.loads(response.content)
    assert response.headers["Content-Disposition"] == 'attachment; filename="ada.json"'
    assert found["account"] == "ada"
    assert found["poems"] == [{"by": "ada", "text": "ink"}]
    assert found["profile"][0]["role"] == "member"
    assert found["addresses"] == [{"address": "ada@example.org", "confirmed": True, "primary": True}]
    assert found["access_tokens"][0]["scopes"] == ["read", "write"]
    assert found["sessions"][0]["ip"] == "127.0.0.1"
    text = response.content.decode()
    assert headers["Authorization"].removeprefix("Bearer ") not in text
    assert AccessToken.objects.get().digest not in text
    assert User.objects.get().password not in text


def test_nothing_leaves_by_a_link(signed_in: Browser) -> None:
    page = signed_in("ada").get("/account/export")
    assert page.headers["Content-Type"].startswith("text/html")


def test_an_account_goes_with_all_that_hangs_on_it(signed_in: Browser, somebody: Make) -> None:
    client = prove(signed_in("ada"))
    somebody("bob")
    headers = bearer(User.objects.get(username="ada"), "read")
    assert client.post("/account/delete", {"name": "bob"}).status_code == 400
    assert client.post("/account/delete", {"name": "Ada "}).headers["Location"] == "/"
    assert [user.username for user in User.objects.all()] == ["bob"]
    assert Profile.objects.count() == 1
    assert client.get("/account").status_code == 302
    assert Client().get("/api/whoami-v2", headers=headers).status_code == 401
    assert Client().post("/account/login/", {"login": "ada", "password": PASSWORD}).status_code == 200


def test_deleting_asks_for_the_password_again(signed_in: Browser) -> None:
    client = signed_in("ada")
    assert client.post("/account/delete", {"name": "ada"}).headers["Location"].startswith("/account/reauthenticate/")
    assert User.objects.filter(username="ada").exists()


@pytest.mark.usefixtures("parts")
def test_a_farewell_that_fails_leaves_everything_as_it_was(somebody: Make) -> None:
    said = []

    @own_data.farewell
    def first(user: User) -> None:
        said.append(user.username)
        user.profile.delete()

    @own_data.farewell
    def second(user: User) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        own_data.delete_account(somebody("ada"))
    assert said == ["ada"]
    assert Profile.objects.get().user.username == "ada"


def test_nobody_else_gets_the_name_of_one_who_left(somebody: Make) -> None:
    own_data.delete_account(somebody("ada"))
    signup.set_policy("open")
    response = Client().post("/account/signup/", {"username": "Ada", "email": "new@example.org", "password1": PASSWORD})
    assert "belonged to an account that is gone" in response.content.decode()
    assert not User.objects.exists()


def test_the_owner_at_this_machine_stays(db: None) -> None:
    from pressrun.web.runs.access import new_token

    client = Client()
    client.get("/owner", {"token": new_token()})
    assert client.post("/account/delete", {"name": "owner"}).status_code == 400
    assert User.objects.get().profile.role == Role.OWNER
