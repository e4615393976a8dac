"""Every operation of both JSON APIs, fuzzed by its own description with access tokens: nothing breaks, and no scope gives more than it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from pytest_django import Settings

from pressrun.catalog import Paper
from pressrun.web.community import metadata
from pressrun.web.community.models import Comment, Follow, Submission, Vote
from pressrun.web.people.rates import parse_rates
from pressrun.web.people.roles import Role
from tests.web.people.conftest import Make, bearer

FUZZED = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
WRITTEN = (Comment, Follow, Submission, Vote)


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Requests keep the connection that the test's transaction is on, as they do with Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Nothing is fetched from elsewhere, and no limit comes before the answer."""

    def not_fetched(*_: object) -> None:
        raise metadata.NotFetched("No record could be fetched.")

    monkeypatch.setattr(metadata, "fetch_record", not_fetched)
    settings.LIMITS = {kind: rate._replace(amount=10**6) for kind, rate in parse_rates("write=1/1h").items()}


def _codes(description: str, headers: dict[str, str]) -> dict[str, set[int]]:
    """The answers that fuzzing got of each operation that would change something."""
    operations = [each.ok() for each in schemathesis.openapi.from_wsgi(description, get_wsgi_application()).get_all_operations()]
    found = {f"{each.method.upper()} {each.path}": _answers(each, headers) for each in operations}
    return {name: codes for name, codes in found.items() if not name.startswith("GET ")}


def _answers(operation: schemathesis.APIOperation, headers: dict[str, str]) -> set[int]:
    codes = set()

    @FUZZED
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        if "paper_id" in case.path_parameters:  # a paper that is here: how ids are read has tests of its own
            case.path_parameters["paper_id"] = "2510.06036"
        response = case.call(headers=headers)
        assert response.status_code < 500 or response.status_code == 502, response.text
        codes.add(response.status_code)

    ask()
    return codes


@pytest.mark.parametrize("description", ["/api/v1/openapi.json", "/api/papers-openapi.json"])
@pytest.mark.parametrize("who", [(Role.READER, "read"), (Role.MEMBER, "read"), (Role.OWNER, "read")])
def test_who_may_only_read_changes_nothing(
    indexed: tuple[Paper, ...], somebody: Make, description: str, who: tuple[Role, str]
) -> None:
    role, scope = who
    codes = _codes(description, bearer(somebody("ada", role), scope))
    assert codes
    assert all(got <= {400, 403} for got in codes.values()), codes
    assert not any(model.objects.exists() for model in WRITTEN)


@pytest.mark.parametrize("description", ["/api/v1/openapi.json", "/api/papers-openapi.json"])
def test_a_member_who_writes_breaks_nothing_and_decides_nothing(
    indexed: tuple[Paper, ...], somebody: Make, description: str
) -> None:
    codes = _codes(description, bearer(somebody("ada"), "write"))
    assert all(got <= {400, 403} for name, got in codes.items() if "/complete" in name)
    assert any(got & {200, 201, 204} for got in codes.values()), codes
