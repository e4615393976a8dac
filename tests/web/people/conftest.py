"""People of every role, by whom the tests ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from pressrun.web.people.tokens import make

PASSWORD = "correct horse battery"

Make = Callable[..., User]


@pytest.fixture
def somebody(db: None) -> Make:
    """Makes an account of a name and a role."""

    def account(name: str = "ada", role: Role = Role.MEMBER) -> User:
        return make_account(name, f"{name}@example.org", PASSWORD, role)

    return account


@pytest.fixture
def signed_in(somebody: Make) -> Callable[..., Client]:
    """A browser in which somebody of a role signed in just now, with their password."""

    def browser(name: str = "ada", role: Role = Role.MEMBER) -> Client:
        somebody(name, role)
        return sign_in(name)

    return browser


def sign_in(login: str, password: str = PASSWORD) -> Client:
    client = Client()
    response = client.post("/account/login/", {"login": login, "password": password})
    assert response.status_code == 302, response.content.decode()
    return client


def prove(client: Client) -> Client:
    """Give the password once more, as grave steps ask for."""
    assert client.post("/account/reauthenticate/", {"password": PASSWORD}).status_code == 302
    return client


def bearer(user: User, *scopes: str) -> dict[str, str]:
    """Headers of a program that acts for a user."""
    _, secret = make(user, "a test", list(scopes), 1)
    return {"Authorization": f"Bearer {secret}"}
