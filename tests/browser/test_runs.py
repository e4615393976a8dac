"""Runs in a real browser, against the site as it is really served: a process of its own, with streams that stay open."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import _follow, _hear
from tests.web.runs import SHELF

REAL = "2409.19841"  # a replication of ours, small in its smoke preset
PATIENCE = 180_000  # ms: a real smoke run loads a learning library first

SERVE = """
import sys, django
django.setup()
import uvicorn
from pressrun.replicate import discovery
from pressrun.web import serving
if sys.argv[2] == "shelf":
    found = discovery._entry_points
    discovery._entry_points = lambda: [pair for pair in found() if pair[1][0] != "pressrun"]
serving.prepare(lambda text: None)
if sys.argv[2] == "shelf":  # with one run that is over
    import time
    from pressrun.web.papers.models import Paper
    from pressrun.web.runs import starting, sync
    run = starting.run_paper(Paper.objects.get(arxiv_id="2509.23253"), {"preset": "laptop"}, "the owner")
    while sync.refresh(run).moving:
        time.sleep(0.1)
    assert run.state == "succeeded", run.state
print(serving.owner_path(), flush=True)
uvicorn.run("pressrun.web.asgi:application", port=int(sys.argv[1]), lifespan="off", log_level="error", timeout_graceful_shutdown=1)
"""


@dataclass(frozen=True)
class Site:
    url: str
    owner: str


def served(home: Path, which: str) -> Iterator[Site]:
    """A site on a data directory of its own. It knows the replications of `shelf`, or ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PRESSRUN_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "pressrun.web.settings",
        "PYTHONPATH": str(SHELF),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("DATABASE_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), which], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    path = process.stdout.readline().strip()
    assert path.startswith("/owner?token="), "the site did not start"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield Site(f"http://127.0.0.1:{port}", path)
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served(tmp_path_factory.mktemp("real"), "ours")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served(tmp_path_factory.mktemp("tiny"), "shelf")


@pytest.fixture
def contexts(browser: Browser) -> Iterator[list[BrowserContext]]:
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


def opened(browser: Browser, contexts: list[BrowserContext], site: Site, troubles: list[str], **options: object) -> Page:
    given = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
    context = browser.new_context(base_url=site.url, **given)  # type: ignore[arg-type]
    contexts.append(context)
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("console", lambda message: _hear(message, "", troubles))
    page.on("request", lambda request: _follow(request, site.url, troubles))
    return page


def test_pressing_run_shows_a_real_replication_from_start_to_figure(
    browser: Browser, contexts: list[BrowserContext], real: Site
) -> None:
    troubles: list[str] = []
    page = opened(browser, contexts, real, troubles)
    page.goto(real.owner)
    page.goto(f"/papers/{REAL}")
    page.locator(".presets label", has_text="smoke").click()
    expect(page.locator("[data-tag=total]")).to_contain_text("time not known yet")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile(r"/runs/counter_current-"))
    expect(page.locator(".run-head .state")).to_have_text(re.compile("succeeded"), timeout=PATIENCE)
    expect(page.locator(".run-head")).to_contain_text("1 of 1 seed done")
    figure = page.locator(".sheet img")
    expect(figure).to_be_visible()
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.locator(".rail")).to_contain_text("smoke proves only that it runs")
    expect(page.locator(".strip .words")).to_have_count(0)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.locator(".run-list li")).to_have_count(1)
    assert troubles == []


def test_a_run_is_watched_reloaded_and_judged(browser: Browser, contexts: list[BrowserContext], tiny: Site) -> None:
    troubles: list[str] = []
    page, other = opened(browser, contexts, tiny, troubles), opened(browser, contexts, tiny, troubles)
    page.goto(tiny.owner)
    page.goto("/papers/2509.23253")
    page.get_by_text("Knobs").click()
    page.get_by_label("Pace").fill("0.1")
    page.get_by_role("button", name="Run", exact=True).click()
    other.goto(page.url)
    for each in (page, other):
        expect(each.locator(".chart-box")).to_be_visible(timeout=PATIENCE)
    page.reload()
    expect(page.locator(".run-head .state")).to_have_text(re.compile("running"))
    expect(page.get_by_role("button", name="Cancel the run")).to_be_visible()
    expect(other.get_by_role("button", name="Cancel the run")).to_have_count(0)
    expect(page.locator(".seeds .note").first).to_contain_text("of 20", timeout=PATIENCE)
    for each in (page, other):
        expect(each.locator(".run-head .state")).to_have_text(re.compile("succeeded"), timeout=PATIENCE)
        expect(each.locator(".claims svg.plot")).to_have_count(6)
        expect(each.locator(".log")).to_contain_text("<script>alert(2)</script> & co")
    expect(page.get_by_text("With changed knobs:")).to_be_visible()
    page.get_by_role("button", name="Same again").click()
    expect(page.get_by_role("button", name="Cancel the run")).to_be_visible()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".run-head .state")).to_have_text(re.compile("cancelled"), timeout=PATIENCE)
    assert troubles == []


def test_the_panel_shows_the_price_and_values_of_the_chosen_preset(
    browser: Browser, contexts: list[BrowserContext], tiny: Site
) -> None:
    troubles: list[str] = []
    page = opened(browser, contexts, tiny, troubles)
    page.goto("/papers/2509.23253")
    page.get_by_text("Knobs").click()
    expect(page.get_by_label("Steps")).to_have_attribute("placeholder", "20")
    page.locator(".presets label", has_text="paper").click()
    expect(page.get_by_label("Steps")).to_have_attribute("placeholder", "200")
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)
    assert troubles == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_of_runs_can_be_used_by_all(
    browser: Browser, contexts: list[BrowserContext], tiny: Site, theme: str, width: int
) -> None:
    troubles: list[str] = []
    page = opened(browser, contexts, tiny, troubles, color_scheme=theme, viewport={"width": width, "height": 900})
    page.goto(tiny.owner.replace("token=", "token=x"))  # refused, and a page like any other
    troubles.clear()
    page.goto("/runs")
    run = page.locator(".run-list h2 a", has_text="").first.get_attribute("href") or ""
    for address in ("/papers/2509.23253", "/runs", run, "/ledger"):
        page.goto(address)
        found = Axe().run(page)
        assert found.response["violations"] == [], f"{address}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    assert troubles == []


def test_a_run_can_be_read_without_script(browser: Browser, contexts: list[BrowserContext], tiny: Site) -> None:
    troubles: list[str] = []
    page = opened(browser, contexts, tiny, troubles, java_script_enabled=False)
    page.goto("/runs")
    page.locator(".run-list li", has_text="succeeded").locator("h2 a").first.click()
    expect(page.locator(".claims svg.plot")).to_have_count(6)
    expect(page.locator(".chart-box svg.chart").first).to_be_visible()
    assert troubles == []
