"""Signing up, in and out, as a person does it with a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from pressrun.web.people import signup
from pressrun.web.people.models import Invitation, Profile
from pressrun.web.people.owner import owner_user
from pressrun.web.people.roles import Role, role_of
from pressrun.web.runs.access import new_token
from tests.web.people.conftest import PASSWORD, Make, sign_in

Browser = Callable[..., Client]


def _form(**other: str) -> dict[str, str]:
    return {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, **other}


def _link_in_mail() -> str:
    """The path of the link in the last mail, without the host."""
    found = re.search(r"https?://testserver(/\S+)", mail.outbox[-1].body)
    assert found
    return found[1]


def _owner() -> Client:
    client = Client()
    client.get("/owner", {"token": new_token()})
    return client


@pytest.fixture
def open_signup(db: None) -> None:
    signup.set_policy("open")


@pytest.mark.usefixtures("open_signup")
def test_a_new_person_signs_up_confirms_by_mail_and_signs_in() -> None:
    client = Client()
    assert client.post("/account/signup/", _form()).headers["Location"] == "/account/confirm-email/"
    # Nobody gets in before the address is confirmed.
    assert client.post("/account/login/", {"login": "ada", "password": PASSWORD}).headers["Location"] == "/account/confirm-email/"
    assert client.get("/account").status_code == 302
    assert mail.outbox[-1].body.startswith("Hello from pressrun!")
    link = _link_in_mail()
    assert client.get(link).status_code == 200  # a mail scanner that follows the link confirms nothing
    assert not EmailAddress.objects.get().verified
    client.post(link)
    assert EmailAddress.objects.get().verified
    assert "ada" in sign_in("ada@example.org").get("/account").content.decode()
    assert role_of(User.objects.get()) is Role.MEMBER


@pytest.mark.usefixtures("open_signup")
def test_a_form_answers_alike_for_an_address_that_has_an_account_and_one_that_has_none(somebody: Make) -> None:
    somebody("ada")
    taken = Client().post("/account/signup/", _form(username="eve"))
    free = Client().post("/account/signup/", _form(username="bob", email="bob@example.org"))
    assert (taken.status_code, taken.headers["Location"]) == (free.status_code, free.headers["Location"])
    assert [message.to for message in mail.outbox] == [["ada@example.org"], ["bob@example.org"]]
    assert not User.objects.filter(username="eve").exists()


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(somebody: Make) -> None:
    somebody("ada")
    answers = [Client().post("/account/login/", {"login": name, "password": "wrong and long"}) for name in ("ada", "bob")]
    said = [re.findall(r"errorlist[^>]*>(.*?)</ul>", answer.content.decode(), re.S) for answer in answers]
    assert said[0] == said[1]
    assert len(said[0]) == 1


def test_a_reset_answers_alike_whether_or_not_the_address_is_known(somebody: Make) -> None:
    somebody("ada")
    answers = [Client().post("/account/password/reset/", {"email": f"{name}@example.org"}) for name in ("ada", "bob")]
    assert [answer.headers["Location"] for answer in answers] == ["/account/password/reset/done/"] * 2
    assert len(mail.outbox) == 2  # the unknown one is told that there is no account, by mail


def test_a_reset_link_works_once_and_ends_the_other_sessions(signed_in: Browser) -> None:
    elsewhere = signed_in("ada")
    client = Client()
    client.post("/account/password/reset/", {"email": "ada@example.org"})
    link = _link_in_mail()
    form = client.get(link, follow=True)
    address = form.redirect_chain[-1][0]
    client.post(address, {"password1": "another long phrase", "password2": "another long phrase"})
    assert "bad token" in Client().get(link, follow=True).content.decode().lower()
    assert elsewhere.get("/account").status_code == 302
    sign_in("ada", "another long phrase")


@pytest.mark.parametrize(
    "weak",
    ["eleven char", "qwertyqwerty", "8675309867530", "ada-lovelace", "x" * 129],
    ids=["eleven characters", "common", "digits alone", "like the name", "longer than 128"],
)
@pytest.mark.usefixtures("open_signup")
def test_it_refuses_a_weak_password(weak: str) -> None:
    response = Client().post("/account/signup/", _form(username="ada-lovelace", password1=weak))
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "name", ["a", "x" * 31, "ada lovelace", "ada..l", "-ada", "owner", "Admin", "аda", "the owner", "<b>ada"]
)
@pytest.mark.usefixtures("open_signup")
def test_it_refuses_a_name_that_could_mislead(name: str) -> None:
    assert Client().post("/account/signup/", _form(username=name)).status_code == 200
    assert not User.objects.exists()


@pytest.mark.usefixtures("open_signup")
def test_names_that_differ_in_case_alone_are_one_name(somebody: Make) -> None:
    somebody("ada")
    Client().post("/account/signup/", _form(username="ADA", email="other@example.org"))
    assert User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("policy", ["invitation", "closed"])
def test_without_an_invitation_nobody_signs_up_unless_it_is_open(policy: str) -> None:
    signup.set_policy(policy)
    assert "No sign-up here now" in Client().get("/account/signup/").content.decode()
    Client().post("/account/signup/", _form())
    assert not User.objects.exists()


def _invited(role: Role = Role.MEMBER, days: int = 1) -> tuple[str, Invitation]:
    made, secret = signup.invite(None, role, days)
    return f"/account/invitation/{secret}", made


@pytest.mark.django_db
def test_an_invitation_lets_one_person_in_with_its_role() -> None:
    link, _ = _invited(Role.CURATOR)
    first, second = Client(), Client()
    for client in (first, second):  # both follow the link before either signs up
        assert client.get(link).headers["Location"] == "/account/signup/"
    first.post("/account/signup/", _form())
    second.post("/account/signup/", _form(username="eve", email="eve@example.org"))
    assert [user.username for user in User.objects.all()] == ["ada"]
    assert role_of(User.objects.get()) is Role.CURATOR
    assert Client().get(link).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("spoilt", ["expired", "revoked", "closed", "guessed"])
def test_an_invitation_that_is_over_lets_nobody_in(spoilt: str) -> None:
    link, made = _invited()
    if spoilt == "expired":
        Invitation.objects.filter(pk=made.pk).update(expires=timezone.now() - timedelta(seconds=1))
    elif spoilt == "revoked":
        assert signup.revoke(made.pk)
    elif spoilt == "closed":
        signup.set_policy("closed")
    else:
        link = link[:-1] + ("a" if link[-1] != "a" else "b")
    client = Client()
    assert client.get(link).status_code == 403
    client.post("/account/signup/", _form())
    assert not User.objects.exists()


def test_signing_out_elsewhere_ends_the_other_sessions(signed_in: Browser) -> None:
    here, lost = signed_in("ada"), sign_in("ada")
    assert UserSession.objects.count() == 2
    here.post("/account/sessions/")
    assert here.get("/account").status_code == 200
    assert lost.get("/account").status_code == 302


def test_a_session_gets_a_new_key_at_sign_in(somebody: Make) -> None:
    somebody("ada")
    client = Client()
    client.get(_invited()[0])
    before = client.session.session_key
    client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert before
    assert client.session.session_key != before


@pytest.mark.django_db
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_after_signing_in_nobody_is_sent_to_another_site(somebody: Make, target: str) -> None:
    somebody("ada")
    response = Client().post("/account/login/", {"login": "ada", "password": PASSWORD, "next": target})
    assert response.headers["Location"] == "/"


def test_whoever_was_asked_to_sign_in_comes_back_to_the_page(somebody: Make) -> None:
    somebody("ada")
    client = Client()
    asked = client.get("/account/tokens?x=1")
    assert asked.headers["Location"] == "/account/login/?next=%2Faccount%2Ftokens%3Fx%3D1"
    assert client.get("/people", headers={"Accept": "application/json"}).status_code == 401
    assert client.get("/people", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/account/login/?next=%2Fpeople"


def test_somebody_who_is_kept_out_is_out_at_once(signed_in: Browser) -> None:
    ada, owner = signed_in("ada"), signed_in("grace", Role.OWNER)
    pk = User.objects.get(username="ada").pk
    assert owner.post(f"/people/{pk}/active", {"active": "no"}).status_code == 302
    assert ada.get("/account").status_code == 302
    assert Client().post("/account/login/", {"login": "ada", "password": PASSWORD}).headers["Location"] == "/account/inactive/"
    owner.post(f"/people/{pk}/active", {"active": "yes"})
    sign_in("ada")


def test_an_owner_gives_roles_but_not_to_themselves(signed_in: Browser) -> None:
    signed_in("ada")
    owner = signed_in("grace", Role.OWNER)
    ada, grace = (User.objects.get(username=name) for name in ("ada", "grace"))
    owner.post(f"/people/{ada.pk}/role", {"role": "owner"})
    ada.refresh_from_db()
    assert (role_of(ada), ada.is_staff, ada.is_superuser) == (Role.OWNER, True, True)
    owner.post(f"/people/{ada.pk}/role", {"role": "reader"})
    ada = User.objects.get(pk=ada.pk)
    assert (role_of(ada), ada.is_staff, ada.is_superuser) == (Role.READER, False, False)
    assert owner.post(f"/people/{ada.pk}/role", {"role": "emperor"}).status_code == 400
    assert owner.post(f"/people/{grace.pk}/role", {"role": "member"}).status_code == 400
    assert owner.post(f"/people/{grace.pk}/active", {"active": "no"}).status_code == 400


def test_the_owner_invites_by_a_link_that_is_shown_once(signed_in: Browser) -> None:
    owner = signed_in("grace", Role.OWNER)
    shown = owner.post("/people/invitations", {"role": "member", "days": "3", "note": "for Ada"}).content.decode()
    (path,) = re.findall(r"http://testserver(/account/invitation/[\w-]+)", shown)
    later = owner.get("/people").content.decode()
    assert "for Ada" in later
    assert path not in later
    guest = Client()
    guest.get(path)
    guest.post("/account/signup/", _form())
    assert User.objects.filter(username="ada").exists()


def test_a_choice_on_the_page_goes_before_the_setting(signed_in: Browser, settings: Settings) -> None:
    settings.SIGNUP = "closed"
    assert signup.policy() == "closed"
    owner = signed_in("grace", Role.OWNER)
    owner.post("/people/sign-up", {"policy": "open"})
    assert signup.policy() == "open"
    assert owner.post("/people/sign-up", {"policy": "maybe"}).status_code == 400


@pytest.mark.django_db
def test_the_owner_at_this_machine_is_somebody_without_signing_up() -> None:
    client = _owner()
    page = client.get("/account").content.decode()
    assert "You are the owner at this machine" in page
    assert client.get("/people").status_code == 200
    assert client.get("/admin/").status_code == 200
    assert owner_user() == owner_user()
    assert Profile.objects.get(local=True).user.username == "owner"


@pytest.mark.django_db
def test_the_local_owner_never_becomes_an_account_that_was_called_owner_before() -> None:
    other = User.objects.create_user("owner")
    assert owner_user().username == "owner-2"
    assert role_of(User.objects.get(pk=other.pk)) is Role.MEMBER


@pytest.mark.django_db
def test_nobody_signs_in_as_the_owner_at_this_machine() -> None:
    user = owner_user()
    user.set_password(PASSWORD)
    user.save()
    EmailAddress.objects.create(user=user, email="o@example.org", verified=True, primary=True)
    response = Client().post("/account/login/", {"login": "owner", "password": PASSWORD})
    assert response.headers["Location"] == "/account/inactive/"


@pytest.mark.django_db
def test_an_account_made_past_us_has_a_profile_too() -> None:
    assert User.objects.create_superuser("root2").profile.role == "owner"
    assert User.objects.create_user("bob").profile.role == "member"


def test_a_profile_keeps_what_was_typed_on_one_line(signed_in: Browser) -> None:
    client = signed_in("ada")
    client.post("/account", {"display_name": "Ada\r\n  <b>Lovelace\u202e", "timezone": "Europe/London"})
    profile = Profile.objects.get(user__username="ada")
    assert (profile.display_name, profile.timezone) == ("Ada <b>Lovelace", "Europe/London")
    assert "Ada &lt;b&gt;Lovelace" in client.get("/").content.decode()
    for wrong in ({"timezone": "Mars/Base"}, {"display_name": "A\0da"}, {"display_name": "x" * 81}):
        assert client.post("/account", {"display_name": "Ada", "timezone": "UTC", **wrong}).status_code == 400


def test_the_admin_has_no_door_of_its_own(signed_in: Browser) -> None:
    assert Client().get("/admin/login/?next=/admin/").headers["Location"].startswith("/account/login/")
    assert Client().post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
    assert signed_in("ada", Role.CURATOR).get("/admin/login/").status_code == 403


def test_the_log_tells_of_sign_ins_without_a_name(somebody: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pressrun.web.people")
    user = somebody("ada")
    Client().post("/account/login/", {"login": "ada", "password": "a wrong password"})
    sign_in("ada")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("pressrun.web.people")]
    assert said == ["a sign-in failed", f"account {user.pk} signed in"]
