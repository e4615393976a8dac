"""pressrun user: accounts, roles, tokens and invitations for whoever holds the data directory."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from typer.testing import CliRunner, Result

from pressrun import cli
from pressrun.web.people.models import AccessToken
from pressrun.web.people.owner import owner_user
from pressrun.web.people.roles import Role, role_of
from tests.web.people.conftest import PASSWORD, Make, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pressrun.web.serving.prepare", lambda say: None)


def user(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["user", *arguments], input=stdin)


def test_an_account_that_it_adds_can_sign_in_at_once() -> None:
    made = json.loads(user("add", "Grace", "grace@example.org", "--role", "owner", "--json").stdout)
    assert made["name"] == "grace"
    assert sign_in("grace", made["password"]).get("/people").status_code == 200


def test_it_reads_a_password_without_showing_it() -> None:
    result = user("add", "ada", "ada@example.org", "--password-from-stdin", stdin=f"{PASSWORD}\n")
    assert result.exit_code == 0
    assert PASSWORD not in result.output
    sign_in("ada")


@pytest.mark.parametrize(
    ("name", "email", "password", "part"),
    [
        ("ada", "new@example.org", PASSWORD, "there is an account called ada already."),
        ("bob", "ADA@example.org", PASSWORD, "there is an account with the address ada@example.org already."),
        ("b b", "new@example.org", PASSWORD, "A name has 2 to 30 letters"),
        ("admin", "new@example.org", PASSWORD, "This name is kept for the site itself"),
        ("bob", "nowhere", PASSWORD, "Enter a valid email address."),
        ("bob", "new@example.org", "short", "This password is too short."),
        ("bob", "new@example.org", "", "This password is too short."),
    ],
)
def test_what_does_not_fit_gets_one_sentence_and_exit_code_2(
    somebody: Make, name: str, email: str, password: str, part: str
) -> None:
    somebody("ada")
    result = user("add", name, email, "--password-from-stdin", stdin=f"{password}\n")
    assert result.exit_code == 2
    assert part in result.stderr
    assert User.objects.count() == 1


def test_it_promotes_and_demotes(somebody: Make) -> None:
    somebody("ada")
    assert user("promote", "ada", "curator").exit_code == 0
    assert role_of(User.objects.get()) is Role.CURATOR
    user("promote", "ADA", "reader")
    assert role_of(User.objects.get()) is Role.READER
    assert user("promote", "bob", "owner").exit_code == 2
    assert user("promote", "ada", "emperor").exit_code == 2


def test_the_owner_at_this_machine_stays_what_it_is() -> None:
    result = user("promote", owner_user().username, "reader")
    assert result.exit_code == 2
    assert role_of(User.objects.get()) is Role.OWNER


def test_a_token_that_it_makes_works(somebody: Make) -> None:
    somebody("ada")
    result = user("token", "ada", "--scope", "write", "--days", "3", "--label", "a script", "--json")
    made = json.loads(result.stdout)
    assert made["scopes"] == ["read", "write"]
    answer = Client().get("/api/whoami-v2", headers={"Authorization": f"Bearer {made['token']}"}).json()
    assert answer["auth"]["accessToken"]["displayName"] == "a script"
    assert user("token", "ada", "--scope", "admin").exit_code == 2


def test_it_lists_accounts_without_reading_mark_up_into_them(somebody: Make) -> None:
    somebody("ada")
    listed = json.loads(user("list", "--json").stdout)
    assert [(person["name"], person["role"], person["active"]) for person in listed] == [("ada", "member", True)]
    User.objects.update(email="[red]ada@example.org")
    assert "[red]ada@example.org" in user("list").stdout


def test_an_invitation_that_it_makes_leads_to_sign_up(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "papers.example.org", "testserver"]
    link = json.loads(user("invite", "--role", "curator", "--days", "2", "--json").stdout)["link"]
    assert link.startswith("https://papers.example.org/account/invitation/")
    assert Client().get(link.removeprefix("https://papers.example.org")).headers["Location"] == "/account/signup/"


def test_after_a_lost_laptop_nothing_of_it_works(somebody: Make) -> None:
    somebody("ada")
    lost = sign_in("ada")
    user("token", "ada")
    result = user("sign-out", "ada")
    assert result.stdout == "ada: 1 sessions ended, 1 tokens revoked.\n"
    assert lost.get("/account").status_code == 302
    assert AccessToken.objects.live().count() == 0
