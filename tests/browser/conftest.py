"""A real Chromium against a live server. Every page is watched: no error, no refusal by the policy, no other host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from pytest_django.live_server_helper import LiveServer

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

NewPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="there is no chromium on PATH"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Playwright runs an event loop in this thread, and Django would refuse to use the database beside one.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def new_page(browser: Browser, live_server: LiveServer, indexed: object) -> Iterator[NewPage]:
    """Opens pages, by default 1280 wide and light. What went wrong on any of them fails the test at its end."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def open_page(width: int = 1280, theme: str = "light", *, script: bool = True, expected: str = "") -> Page:
        context = browser.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=script
        )  # type: ignore[arg-type]  # a theme's name
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("console", lambda message: _hear(message, expected, troubles))
        page.on("request", lambda request: _follow(request, live_server.url, troubles))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def _hear(message: ConsoleMessage, expected: str, troubles: list[str]) -> None:
    if message.type in {"error", "warning"} and not (expected and expected in message.text):
        troubles.append(f"console: {message.text}")


def _follow(request: Request, home: str, troubles: list[str]) -> None:
    if not request.url.startswith("data:") and urlsplit(request.url).netloc != urlsplit(home).netloc:
        troubles.append(f"another host: {request.url}")
