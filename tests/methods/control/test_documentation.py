"""The pages about the two rooms show code that runs, and name what the rooms export."""

import re
from pathlib import Path

import pytest

from pressrun.methods import control

DOCS = Path(__file__).parents[3] / "docs/methods"


@pytest.mark.parametrize("page", ["control", "reinforcement"])
def test_the_code_on_the_page_runs(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), flags=re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)


def test_the_page_names_every_motor_converter_reference_and_controller() -> None:
    text = (DOCS / "control.md").read_text()
    classes = {name for name in control.__all__ if isinstance(getattr(control, name), type) or name == "bang_bang"}
    assert {name for name in classes if f"{name}" not in text} <= {"Motor", "Converter", "Reference", "Ratings", "PolynomialLoad"}
