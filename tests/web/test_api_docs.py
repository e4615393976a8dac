"""What docs/api.md says exists, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

from pressrun.catalog import Paper
from pressrun.web.api import feeds, mcp, oai

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()

FOR_TOKENS = {"/api/v1/bookmarks", "/api/v1/follows", "/api/v1/submissions", "/api/papers/index", "/api/settings/papers/claim"}


@pytest.mark.parametrize("description", ["/api/v1/openapi.json", "/api/papers-openapi.json"])
def test_every_operation_is_documented(client: Client, db: None, description: str) -> None:
    for path in client.get(description).json()["paths"]:
        shown = path if "/v1/" in path else path.replace("{paper_id}", "ID").replace("{user}", "NAME").replace("{slug}", "SLUG")
        assert f"`{shown}`" in DOCS


def test_every_tool_format_and_feed_is_documented() -> None:
    for tool in mcp.server._tool_manager.list_tools():
        assert f"| `{tool.name}` |" in DOCS
    assert all(f"`{prefix}`" in DOCS for prefix in oai.FORMATS)
    assert all(f"/feed.{name}`" in DOCS for name in feeds.FORMATS)
    assert feeds.NAMESPACE in DOCS


def test_every_address_that_the_documentation_shows_answers(client: Client, indexed: tuple[Paper, ...]) -> None:
    shown = {
        address for address in re.findall(r"`(/[^`\s]*)`", DOCS) if not re.search(r"[A-Z]{2}|\{|^/feed\.(rss|json)$", address)
    }
    assert len(shown) > 20
    for address in shown - {"/api/whoami-v2", "/arxiv/api/query", "/oai", "/api/v1", *FOR_TOKENS}:
        wanted = "?q=refuse" if address == "/api/v1/search" else ""
        assert client.get(address + wanted).status_code == 200, address
