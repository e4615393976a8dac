"""The page's examples run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/methods/activations.md"


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "torch.Size([30, 2, 576]) torch.Size([2, 64])" in printed
    assert "torch.Size([27, 1])" in printed
    assert names["ablated"].shape == names["patched"].shape  # type: ignore[attr-defined]
