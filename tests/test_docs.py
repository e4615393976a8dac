"""The guide names everything there is, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from pressrun import cli

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs/guide.md").read_text()


def _all(group: Any, before: str = "") -> dict[str, Any]:  # noqa: ANN401  typer brings a click of its own
    """Every command by its words: `user add` is a command of the group `user`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= _all(command, f"{before}{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


COMMANDS = _all(typer.main.get_command(cli.app))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_guide(name: str) -> None:
    assert re.search(rf"`pressrun {name}[` ]", GUIDE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_in_the_guide_at_its_command(name: str) -> None:
    (row,) = [line for line in GUIDE.splitlines() if re.match(rf"\| `pressrun {name}[` ]", line)]
    options = {
        o
        for p in COMMANDS[name].params
        if p.param_type_name == "option" and not p.hidden
        for o in (*p.opts, *p.secondary_opts)
        if o.startswith("--")
    }
    missing = {option for option in options - {"--json", "--help"} if f"`{option}" not in row}
    assert not missing


def test_the_guide_names_no_option_that_is_not_there() -> None:
    known = {o for c in COMMANDS.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    table = GUIDE.split("## Searching")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) <= known


def test_every_setting_is_in_the_guide() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/pressrun/web").rglob("*.py"))
    settings = set(re.findall(r"\"((?:PRESSRUN|DATABASE)_[A-Z_]+)\"", source)) - {"PRESSRUN_PARENT"}
    assert {name for name in settings if f"`{name}`" not in GUIDE} == set()


@pytest.mark.parametrize("page", sorted(str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))))
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), f"{page} links to {target}"
