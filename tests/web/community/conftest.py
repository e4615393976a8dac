"""Members, curators and an owner, each with a browser that is signed in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role
from pressrun.web.people.tokens import make

SNN = "2509.23253"


def member(name: str, role: Role = Role.MEMBER) -> User:
    user = User.objects.create_user(name)
    user.profile.role = role.value
    user.profile.save()
    return user


@pytest.fixture
def ada(db: None) -> User:
    return member("ada")


@pytest.fixture
def bo(db: None) -> User:
    return member("bo")


@pytest.fixture
def curator(db: None) -> User:
    return member("curie", Role.CURATOR)


@pytest.fixture
def owner(db: None) -> User:
    return member("olga", Role.OWNER)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def with_token() -> Callable[..., dict[str, str]]:
    """The header of a fresh token for a user, with these scopes."""

    def header(user: User, *scopes: str) -> dict[str, str]:
        _, secret = make(user, "a program", list(scopes) or ["read", "write"], None)
        return {"Authorization": f"Bearer {secret}"}

    return header


@pytest.fixture
def paper(papers: object) -> Paper:
    """The paper of 31 found votes and one found comment."""
    return Paper.objects.get(public_id=SNN)
