"""The site as a reader meets it."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage

PAGES = {
    "home": "/",
    "search": "/search?q=spiking+networks",
    "paper": "/papers/2509.23253",
    "topic": "/topics/inhibition",
    "error": "/papers/2512.99999",
    "empty search": "/search",
    "ranking": "/about/ranking",
    "about": "/about",
}
NOT_FOUND = "status of 404"


def test_a_reader_finds_opens_and_cites_a_paper(new_page: NewPage) -> None:
    page = new_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    expect(page.locator("h1")).to_have_text("Monday 20 April 2026")
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_role("searchbox").press_sequentially("hebb")
    expect(page.locator("#results article")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/search\?q=hebb$"))
    expect(page.locator("#said")).to_contain_text("1 paper")
    page.locator("#results article h2 a").click()
    expect(page.locator("h1")).to_have_text("Hebbian projection for continual learning")
    page.get_by_role("button", name="Copy BibTeX").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "Hebbian projection" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_text("RIS", exact=True).click()
    expect(page.locator("#ris-text")).to_contain_text("TY  -")
    expect(page.locator("#bib-text")).to_be_hidden()


def test_the_keys_move_open_and_search(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.keyboard.press("j")
    assert focused(page) == "Lateral Inhibition Trains Deep Spiking Networks"
    page.keyboard.press("j")
    assert focused(page) == "Refusal Falls off a Cliff"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert focused(page) == "Lateral Inhibition Trains Deep Spiking Networks"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/papers/2509.23253$"))
    page.keyboard.press("/")
    page.keyboard.type("motor jk/?")
    expect(page.locator(".quick input")).to_have_value("motor jk/?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_keys_can_be_switched_off(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Use these single-letter keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.reload()
    page.locator("body").press("j")
    assert page.evaluate("document.activeElement === document.body")


def test_the_theme_is_changed_and_remembered(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light, dark) == ("rgb(252, 252, 251)", "rgb(19, 21, 24)")
    page.goto("/about")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_formulas_are_typeset_without_a_refusal_and_prices_are_left_alone(new_page: NewPage) -> None:
    from pressrun.catalog import Paper
    from pressrun.web.papers.ingest import Report, save

    abstract = (
        r"Costs $5, or $6 for two. A bound $\frac{1}{n} \sum_i x_i^2$ and \(\sqrt{2}\). Broken $\frac{1}$ stays. "
        r"Unsafe $\href{javascript:alert(1)}{x}$ is no link."
    )
    save([Paper(title="Formulas", arxiv_id="2604.00001", abstract=abstract)], Report())
    page = new_page()
    page.goto("/papers/2604.00001")
    expect(page.locator(".text .katex").first).to_be_visible()
    text = page.locator(".text .prose").inner_text()
    assert "Costs $5, or $6 for two." in text
    assert r"Broken $\frac{1}$ stays." in text
    assert page.locator(".text a[href^=javascript]").count() == 0
    assert page.evaluate("document.fonts.load('12px KaTeX_Main').then((faces) => faces.map((face) => face.status))") == ["loaded"]


def test_search_as_you_type_keeps_its_formulas_and_tells_bad_queries(new_page: NewPage) -> None:
    page = new_page(expected="status of 400")
    page.goto("/search")
    page.get_by_role("searchbox").press_sequentially("sparse coding")
    expect(page.locator("#results article .katex")).to_have_count(1)
    page.get_by_role("searchbox").fill("sort:beauty")
    expect(page.locator("#results .notice")).to_contain_text("sort: takes relevance, date or votes")
    page.get_by_role("searchbox").fill("2509.23253")
    expect(page.locator("#results .notice")).to_contain_text("That is a paper here")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/papers/2509.23253$"))


def test_a_long_list_grows_in_place(new_page: NewPage) -> None:
    from pressrun.web.papers.ingest import Report, save
    from tests.web.test_pages import many

    save(many(60), Report())
    page = new_page()
    page.goto("/topics/shared")
    expect(page.locator("article")).to_have_count(50)
    page.get_by_role("link", name="Show more").click()
    expect(page.locator("article")).to_have_count(60)
    expect(page.locator("article h2 a").nth(50)).to_be_focused()


def test_everything_reads_and_works_without_script(new_page: NewPage) -> None:
    page = new_page(script=False)
    page.goto("/")
    expect(page.locator("article")).to_have_count(3)
    expect(page.get_by_role("button", name="Theme")).to_be_hidden()
    page.locator(".quick input").fill("motor control")
    page.keyboard.press("Enter")
    expect(page.locator("article h2").first).to_have_text("A bihemispheric controller for motor learning")
    page.locator("article h2 a").first.click()
    expect(page.locator(".text .prose")).to_contain_text("Two networks, one a side")
    page.get_by_text("CSL-JSON", exact=True).click()
    expect(page.locator("#csl-text")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(new_page: NewPage, width: int, theme: str) -> None:
    page = new_page(width, theme, expected=NOT_FOUND)
    for name, path in PAGES.items():
        page.goto(path)
        found = Axe().run(page).response["violations"]
        assert [(name, v["id"], [n["html"][:150] for n in v["nodes"]]) for v in found] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than {width} px"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent"))
