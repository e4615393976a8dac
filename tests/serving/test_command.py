"""`pressrun serve-model` as a user starts it, with the small language model where it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai import OpenAI

from pressrun.methods import activations as act
from pressrun.methods.steering import load_vector, steered

from .conftest import saved_vector, tiny

pytestmark = pytest.mark.client


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address that the command prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pressrun", "serve-model", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        assert found, said
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_smollm2_answers_as_transformers_does_with_and_without_a_vector(
    smollm2: act.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRESSRUN_HOME", raising=False)
    file = saved_vector(tmp_path, smollm2.width, 12, strength=3.0)
    batch = smollm2.inputs(["Name a colour."], chat=True)
    ids = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    def transformers() -> str:
        out = smollm2.module.generate(**ids, max_new_tokens=12, do_sample=False)
        return str(smollm2.tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))

    before = transformers()
    with steered(smollm2, load_vector(file), ids, 3.0):
        pushed = transformers()
    assert before != pushed
    with served("smollm2", "--steer", f"colour={file}") as address, OpenAI(base_url=address, api_key="none") as client:
        for steer, expected in (([], before), ([{"vector": "colour"}], pushed), (None, before)):
            answer = client.chat.completions.create(
                model="smollm2",
                messages=[{"role": "user", "content": "Name a colour."}],
                temperature=0,
                max_tokens=12,
                extra_body={} if steer is None else {"steer": steer},
            )
            assert answer.choices[0].message.content == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "whoever reaches 0.0.0.0 could use the model: give a key, best as PRESSRUN_MODEL_KEY."),
        (["--steer", "nothing.gguf"], "There is no file nothing.gguf."),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_it_says_in_one_sentence_what_does_not_fit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    from pressrun.cli import app

    model = tiny()
    model.module.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app(["serve-model", str(tmp_path), "--port", "0", *arguments], standalone_mode=False)
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
