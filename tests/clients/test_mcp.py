"""The MCP server through the SDK's own client, over standard input and output and over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

pytestmark = pytest.mark.client

ROOT = Path(__file__).resolve().parents[2]
FILL = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.indexing import index_pending
from tests.conftest import PAPERS
save(list(PAPERS), Report()); index_pending()
"""
SERVE = "import django; django.setup(); from pressrun.web.api.mcp import run; run(**{})"

Ask = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An installation of its own, with five papers and their index."""
    home = tmp_path_factory.mktemp("mcp-home")
    env = {**os.environ, "PRESSRUN_HOME": str(home), "DJANGO_SETTINGS_MODULE": "pressrun.web.settings", "PYTHONPATH": str(ROOT)}
    env.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "-c", FILL], env=env, check=True, timeout=120)
    return env


@pytest.fixture(scope="module")
def address(environment: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = SERVE.format({"http": True, "port": port})
    server = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        for _ in range(600):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "the MCP server ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(params=["stdio", "http"])
def ask(request: pytest.FixtureRequest, environment: dict[str, str]) -> Ask:
    """Runs questions against the server over either transport."""
    if request.param == "http":
        where: Any = request.getfixturevalue("address")
    else:
        where = StdioServerParameters(command=sys.executable, args=["-c", SERVE.format({})], env=environment)

    def run(questions: Callable[[Client], Awaitable[None]]) -> None:
        async def talk() -> None:
            async with Client(where) as client:
                await questions(client)

        anyio.run(talk)

    return run


def test_an_agent_finds_reads_lists_and_compares(ask: Ask) -> None:
    async def questions(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "read", "list", "similar", "verdicts", "run", "run_status"}
        assert all(tool.annotations and tool.output_schema for tool in tools.values())
        assert [name for name, tool in tools.items() if not tool.annotations.read_only_hint] == ["run"]  # type: ignore[union-attr]
        assert "not full texts" in (tools["search"].description or "")

        found = await client.call_tool("search", {"query": "what makes a language model refuse", "limit": 3})
        assert not found.is_error
        assert found.structured_content is not None
        assert found.structured_content["hits"][0]["paper"]["id"] == "2510.06036"
        assert "refuse" in found.structured_content["hits"][0]["matched"]

        paper = await client.call_tool("read", {"paper": "https://arxiv.org/abs/2509.23253v2"})
        assert paper.structured_content is not None
        assert paper.structured_content["id"] == "2509.23253"
        assert "Peiyu Liu, Jianhao Ding, Zhaofei Yu" in paper.structured_content["markdown"]

        latest = await client.call_tool("list", {})
        assert latest.structured_content is not None
        assert latest.structured_content["total"] == 3
        topic = await client.call_tool("list", {"kind": "topic", "value": "spiking networks"})
        assert topic.structured_content is not None
        assert {p["id"] for p in topic.structured_content["papers"]} == {"2509.23253", "math/0309136"}

        near = await client.call_tool("similar", {"paper": "math/0309136", "limit": 2})
        assert near.structured_content is not None
        ids = [paper["id"] for paper in near.structured_content["papers"]]
        assert len(ids) == 2
        assert "math/0309136" not in ids

    ask(questions)


def test_an_agent_is_told_in_a_sentence_what_was_wrong(ask: Ask) -> None:
    wrong = [
        ("read", {"paper": "9999.99999"}, "There is no paper '9999.99999' here."),
        ("list", {"kind": "date", "value": "2026-02-30"}, "there is no day 2026-02-30."),
        ("list", {"kind": "author", "value": "Nobody"}, "there is no author 'Nobody' here."),
        ("list", {"page": 7}, "page must be from 1 to 1, got 7."),
        ("search", {"query": "year:soon"}, "year: needs a whole number"),
        ("search", {"query": "a\0b"}, "the text can't hold a NUL character."),
        ("search", {"query": "x", "limit": 1000}, "less than or equal to 50"),
        ("verdicts", {"paper": "2510.06036"}, "nobody has written a replication of 2510.06036 yet"),
        ("run_status", {"run": "nothing"}, "there is no run 'nothing' here."),
    ]

    async def questions(client: Client) -> None:
        for tool, arguments, said in wrong:
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error
            assert said in answer.content[0].text  # type: ignore[union-attr]
            assert "Traceback" not in answer.content[0].text  # type: ignore[union-attr]

    ask(questions)
