"""Roles are ordered by what they may do."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pressrun.web.errors import SignInNeeded
from pressrun.web.people.models import AccessToken, Profile
from pressrun.web.people.roles import Role, check, needs, role_of
from tests.web.people.conftest import Make


def _request(method: str, user: User | AnonymousUser, *scopes: str) -> HttpRequest:
    request = RequestFactory().generic(method, "/")
    request.user = user
    if scopes:
        request.token = AccessToken(user_id=user.pk, scopes=list(scopes))  # type: ignore[attr-defined]
    return request


def test_roles_compare_by_rank_and_not_by_letters() -> None:
    assert Role.READER < Role.MEMBER < Role.CURATOR < Role.OWNER
    assert not Role.READER > Role.OWNER
    assert Role.CURATOR >= Role.CURATOR
    assert max(Role.OWNER, Role.READER) is Role.OWNER
    assert Role("owner") > Role("reader")


def test_nobody_is_a_reader() -> None:
    assert role_of(AnonymousUser()) is Role.READER


def test_one_who_is_kept_out_is_a_reader(somebody: Make) -> None:
    ada = somebody("ada", Role.OWNER)
    ada.is_active = False
    assert role_of(ada) is Role.READER


def test_a_user_without_a_profile_is_a_member(somebody: Make) -> None:
    ada = somebody("ada")
    Profile.objects.all().delete()
    ada.refresh_from_db()
    assert role_of(ada) is Role.MEMBER


@pytest.mark.parametrize(
    ("scopes", "reads_as", "writes_as"),
    [
        ((), Role.OWNER, Role.OWNER),
        (("read",), Role.MEMBER, Role.READER),
        (("read", "run"), Role.MEMBER, Role.READER),
        (("read", "write"), Role.MEMBER, Role.MEMBER),
        (("read", "admin"), Role.OWNER, Role.OWNER),
    ],
)
def test_a_token_gives_no_more_than_its_scopes(somebody: Make, scopes: tuple[str, ...], reads_as: Role, writes_as: Role) -> None:
    owner = somebody("grace", Role.OWNER)
    assert role_of(_request("GET", owner, *scopes)) is reads_as
    assert role_of(_request("POST", owner, *scopes)) is writes_as
    assert role_of(_request("DELETE", owner, *scopes)) is writes_as


def test_a_token_never_gives_more_than_the_user_has(somebody: Make) -> None:
    assert role_of(_request("POST", somebody("ada", Role.READER), "read", "admin")) is Role.READER


def test_each_refusal_says_what_is_needed(somebody: Make) -> None:
    ada = somebody("ada")
    with pytest.raises(SignInNeeded, match=r"^Sign in to do this\.$"):
        check(_request("POST", AnonymousUser()), Role.MEMBER)
    with pytest.raises(PermissionDenied, match=r"^Only curators and owners of this site may do this\.$"):
        check(_request("POST", ada), Role.CURATOR)
    with pytest.raises(PermissionDenied, match=r"^This access token may not do this; it needs the scope write\.$"):
        check(_request("POST", ada, "read"), Role.MEMBER)
    with pytest.raises(PermissionDenied, match=r"^This access token may not do this; it needs the scope admin\.$"):
        check(_request("GET", somebody("grace", Role.OWNER), "write"), Role.CURATOR)
    check(_request("POST", ada), Role.MEMBER)
    check(_request("GET", AnonymousUser()), Role.READER)


def test_a_view_that_needs_a_role_runs_for_no_other(somebody: Make) -> None:
    ran = []

    @needs(Role.CURATOR)
    def view(request: HttpRequest, word: str) -> HttpResponse:
        ran.append(word)
        return HttpResponse()

    view(_request("GET", somebody("grace", Role.CURATOR)), word="yes")
    with pytest.raises(PermissionDenied):
        view(_request("GET", somebody("ada")), word="no")
    assert ran == ["yes"]
