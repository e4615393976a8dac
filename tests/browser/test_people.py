"""Accounts in a real browser: sign-up to sign-out, a passkey, and every page for a reader who needs help of some kind."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.core import mail
from playwright.sync_api import Page, expect

from pressrun.web.people import signup
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from tests.browser.conftest import NewPage

PASSWORD = "correct horse battery"


def _sign_in(page: Page, name: str = "ada") -> None:
    page.goto("/account/login/")
    page.get_by_label("Login").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Your account:")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_new_person_signs_up_confirms_signs_in_and_out(new_page: NewPage, script: bool) -> None:
    signup.set_policy("open")
    page = new_page(script=script)
    page.goto("/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name="Make an account").click()
    page.get_by_label("Username").fill("Ada")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make an account").click()
    found = re.search(r"http://\S+", mail.outbox[-1].body)
    assert found
    page.goto(found[0])
    page.get_by_role("button", name="Confirm").click()
    _sign_in(page)
    page.get_by_role("link", name="Your account:").click()
    page.get_by_label("Name shown to others").fill("Ada Lovelace")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Your profile is saved.")
    expect(page.get_by_role("link", name="Your account:")).to_contain_text("Ada Lovelace")
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_a_passkey_lets_its_owner_in_without_a_password(new_page: NewPage) -> None:
    make_account("ada", "ada@example.org", PASSWORD, Role.MEMBER)
    page = new_page()
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    devices.send(
        "WebAuthn.addVirtualAuthenticator", {"options": options | {"isUserVerified": True, "automaticPresenceSimulation": True}}
    )
    _sign_in(page)
    page.goto("/account/2fa/webauthn/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/recovery-codes/**")
    page.goto("/account/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/account/login/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("link", name="Your account:")).to_be_visible()


def test_a_token_is_made_shown_copied_and_revoked(new_page: NewPage) -> None:
    make_account("ada", "ada@example.org", PASSWORD, Role.MEMBER)
    page = new_page()
    _sign_in(page)
    page.goto("/account/tokens")
    page.get_by_label("What it is for").fill("my laptop")
    page.get_by_label("write").check()
    page.get_by_role("button", name="Make a token").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    assert page.locator("#secret").inner_text().startswith("pr_")
    page.goto("/account/tokens")
    page.get_by_role("button", name="Revoke my laptop").click()
    expect(page.get_by_role("status")).to_contain_text("The token my laptop works no more.")


OPEN = ["/account/login/", "/account/signup/", "/account/password/reset/", "/account/confirm-email/"]
OWN = [
    "/account", "/account/tokens", "/account/export", "/account/delete", "/account/email/", "/account/password/change/",
    "/account/2fa/", "/account/sessions/", "/account/logout/", "/people",
]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_of_accounts_is_accessible_and_fits(new_page: NewPage, width: int, theme: str) -> None:
    make_account("grace", "grace@example.org", PASSWORD, Role.OWNER)
    make_account("ada-with-a-long-name-of-thirty", "a-rather-long-address@department.example.org", PASSWORD, Role.MEMBER)
    signup.set_policy("open")
    signup.invite(User.objects.get(username="grace"), Role.CURATOR, 7, "for Ada, who asked on Tuesday")
    page = new_page(width, theme)
    wrong = [said for address in OPEN for said in _faults(page, address)]
    _sign_in(page, "grace")
    wrong += [said for address in OWN for said in _faults(page, address)]
    page.goto("/account/email/")
    if page.get_by_role("button", name="Confirm").is_visible():
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
    wrong += [said for address in ("/account/2fa/totp/activate/", "/account/email/") for said in _faults(page, address)]
    assert not wrong, "\n".join(wrong)


def _faults(page: Page, address: str) -> list[str]:
    """What axe finds on a page, and whether it is wider than the window."""
    page.goto(address)
    found = [f"{address}: {each['id']} {each['nodes'][0]['html'][:120]}" for each in Axe().run(page).response["violations"]]
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        found.append(f"{address}: wider than the window")
    return found
