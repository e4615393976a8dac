"""What may be kept by caches, and what not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from pressrun.catalog import Paper
from pressrun.web.people.roles import Role
from tests.web.people.conftest import Make, bearer

Browser = Callable[..., Client]


@pytest.mark.parametrize("address", ["/account", "/account/tokens", "/account/export", "/account/delete", "/people"])
def test_pages_of_accounts_are_kept_by_no_cache(signed_in: Browser, address: str) -> None:
    response = signed_in("grace", Role.OWNER).get(address)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]


def test_a_page_that_names_its_reader_is_not_passed_on_to_another(signed_in: Browser, papers: tuple[Paper, ...]) -> None:
    response = signed_in("ada").get("/")
    assert "Your account: </span>ada" in response.content.decode()
    assert "Cookie" in response.headers["Vary"]
    assert "Sign in</a>" in Client().get("/").content.decode()


def test_an_answer_to_a_token_is_not_passed_on_without_it(somebody: Make, papers: tuple[Paper, ...]) -> None:
    answer = Client().get("/api/daily_papers", headers=bearer(somebody("ada"), "read"))
    assert "Authorization" in answer.headers["Vary"]


def test_what_anonymous_programs_read_may_be_kept_by_any_cache(papers: tuple[Paper, ...]) -> None:
    assert "Cookie" not in Client().get("/api/daily_papers").headers.get("Vary", "")
