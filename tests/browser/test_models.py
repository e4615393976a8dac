"""The page with two answers in a real browser: with a script the answers come as they are made, without it as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from pytest_django import Settings

from pressrun.serving import Engine, shelf
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from tests.browser.conftest import NewPage
from tests.browser.test_people import PASSWORD, _sign_in
from tests.serving.conftest import live, saved_vector, tiny


@pytest.fixture
def served(tmp_path: Path, settings: Settings) -> Iterator[None]:
    model = tiny()
    vectors = shelf(model, [saved_vector(tmp_path, model.width, 0, strength=2.0, licence="CC0-1.0")])
    with live(Engine("tiny", model, vectors)) as address:
        settings.MODEL_SERVER = address.removesuffix("/v1")
        yield


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_the_same_prompt_is_answered_with_and_without(new_page: NewPage, served: None, script: bool) -> None:
    make_account("ada", "ada@example.org", PASSWORD, Role.OWNER)
    page = new_page(script=script)
    _sign_in(page)
    page.goto("/models/")
    page.get_by_label("Prompt").fill("hello")
    page.get_by_label("Tokens at most").fill("20")
    if script:
        page.get_by_label("Strength, by slider").fill("3")
        assert page.get_by_label("Strength", exact=True).input_value() == "3"
    else:
        expect(page.get_by_label("Strength, by slider")).to_be_hidden()
    page.get_by_role("button", name="Answer twice").click()
    expect(page.locator("#steered")).not_to_be_empty()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    plain, steered = (page.locator(f"#{side}").text_content() for side in ("plain", "steered"))
    assert plain
    assert plain != steered


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(new_page: NewPage, served: None, settings: Settings, width: int, theme: str) -> None:
    make_account("ada", "ada@example.org", PASSWORD, Role.OWNER)
    page = new_page(width, theme)
    _sign_in(page)
    for address in (settings.MODEL_SERVER, "http://127.0.0.1:1"):
        settings.MODEL_SERVER = address
        page.goto("/models/")
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
