"""No threshold moves unseen: a card that changes needs a higher version and a reason."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from pressrun.replicate import Evidence, LockError, Run, judge, lock
from pressrun.replicate.lock import LOCK, dotted_name, read_lock
from pressrun.replicate.run import read_rows, rows_path

MODULE = '''
"""Bigger is better (doi:10.1/x).

More about it.
"""
from __future__ import annotations
from dataclasses import dataclass
from pressrun.replicate import Above, Claim, Evidence, Run, knob

PAPER = "10.1/x"
CLAIMS = (
    Claim(
        id="is-big",
        paper="It is big (table 1).",
        tested="It is at least 0.5.",
        scale="toy",
        rule=Above("size", "ours", at_least=0.5),
        control=Above("size", "theirs", at_least=0.5),
    ),
)
METRICS = {"size": "m"}
NOT_TESTED = ("How heavy it is.",)


@dataclass(frozen=True)
class Config:
    steps: int = knob(10, low=1, high=100, help="steps")


PRESETS = {"smoke": Config(steps=1), "laptop": Config(), "paper": Config(steps=100)}


def replicate(config, seed, run):
    run.record("ours", size=1.0)


def draw(evidence):
    raise NotImplementedError
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one replication and a helper that must not be imported."""
    folder = tmp_path / "lock_me"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "bigger.py").write_text(MODULE)
    (folder / "helper.py").write_text("raise RuntimeError('imported')\n")
    return folder


def edit(package: Path, *changes: tuple[str, str]) -> None:
    source = (package / "bigger.py").read_text()
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    (package / "bigger.py").write_text(source)


def version(number: int, reason: str) -> tuple[str, str]:
    return 'scale="toy",', f'scale="toy", version={number}, reason={reason!r},'


def refused(package: Path) -> str:
    before = (package / LOCK).read_bytes() if (package / LOCK).exists() else None
    with pytest.raises(LockError) as error:
        lock(package)
    assert ((package / LOCK).read_bytes() if (package / LOCK).exists() else None) == before
    return str(error.value)


def test_it_writes_all_that_a_page_needs(package: Path) -> None:
    assert lock(package) == ("bigger is new, with 1 claims",)
    entry = read_lock(package / LOCK)["bigger"]
    assert [entry[key] for key in ("name", "paper", "title", "module", "metrics", "not_tested", "presets")] == [
        "bigger",
        "10.1/x",
        "Bigger is better (doi:10.1/x).",
        "lock_me.bigger",
        {"size": "m"},
        ["How heavy it is."],
        {"smoke": {"steps": 1}, "laptop": {"steps": 10}, "paper": {"steps": 100}},
    ]
    assert entry["config"] == [
        {"name": "steps", "kind": "int", "default": 10, "low": 1, "high": 100, "choices": [], "unit": "", "help": "steps"}
    ]


def test_nothing_changes_when_nothing_changed(package: Path) -> None:
    lock(package)
    before = (package / LOCK).read_bytes()
    assert lock(package) == ()
    assert lock(package, write=False) == ()
    assert (package / LOCK).read_bytes() == before


def test_a_check_writes_nothing(package: Path) -> None:
    assert lock(package, write=False) == ("bigger is new, with 1 claims",)
    assert not (package / LOCK).exists()


def test_it_leaves_imported_modules_as_they_were(package: Path) -> None:
    path = list(sys.path)
    lock(package)
    assert "lock_me.bigger" not in sys.modules
    assert sys.path == path


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ((('"ours", at_least=0.5', '"ours", at_least=0.4'),), "rule"),
        ((('"theirs", at_least=0.5', '"theirs", at_least=0.6'),), "control"),
        ((("It is at least 0.5.", "It is 0.5 or more."),), "tested"),
        ((('scale="toy"', 'scale="full"'), ("table 1", "table 2")), "paper, scale"),
    ],
)
def test_a_changed_card_is_refused(package: Path, change: tuple[tuple[str, str], ...], fields: str) -> None:
    lock(package)
    edit(package, *change)
    assert (
        refused(package) == f"bigger: claim is-big changed ({fields}) and is still at version 1; it needs version 2 and a reason"
    )


def test_a_changed_card_with_version_and_reason_is_taken_and_the_old_one_kept(package: Path) -> None:
    lock(package)
    old = read_lock(package / LOCK)["bigger"]["cards"]
    edit(package, ('"ours", at_least=0.5', '"ours", at_least=0.4'), version(2, "the table was misread"))
    assert lock(package, write=False)[0] == "bigger: claim is-big goes from version 1 to 2: the table was misread"
    assert lock(package)[0] == "bigger: claim is-big goes from version 1 to 2: the table was misread"
    assert read_lock(package / LOCK)["bigger"]["history"] == old
    edit(package, ("version=2", "version=3"), ("at_least=0.4", "at_least=0.3"), ("misread", "misread twice"))
    lock(package)
    history = read_lock(package / LOCK)["bigger"]["history"]
    assert [entry["card"]["version"] for entry in history] == [1, 2]  # type: ignore[attr-defined]


def test_a_lower_version_is_refused(package: Path) -> None:
    edit(package, version(3, "r"))
    lock(package)
    edit(package, ("version=3", "version=2"))
    assert refused(package) == "bigger: claim is-big changed (version) and is still at version 2; it needs version 4 and a reason"


def test_a_version_without_a_reason_is_refused(package: Path) -> None:
    lock(package)
    edit(package, version(2, ""))
    assert refused(package) == "bigger.py: claim is-big is at version 2 and needs a reason why it changed"


SECOND = (
    "CLAIMS = (",
    "CLAIMS = (\n    Claim('is-small', 'p', 't', 'toy', Above('size', 'a', at_least=1), Above('size', 'b', at_least=1)),",
)


def test_a_claim_does_not_vanish_without_a_word(package: Path) -> None:
    edit(package, SECOND)
    lock(package)
    (package / "bigger.py").write_text(MODULE)
    assert refused(package) == "bigger: claim is-small is gone; a claim is withdrawn by saying why in WITHDRAWN"
    edit(package, ("NOT_TESTED", 'WITHDRAWN = {"is-small": "the paper took it back"}\nNOT_TESTED'))
    assert lock(package)[0] == "bigger: claim is-small is withdrawn: the paper took it back"
    entry = read_lock(package / LOCK)["bigger"]
    assert [kept["card"]["id"] for kept in entry["history"]] == ["is-small"]  # type: ignore[attr-defined]
    assert entry["withdrawn"] == {"is-small": "the paper took it back"}
    assert lock(package) == ()
    (package / "bigger.py").write_text(MODULE)
    edit(package, SECOND)
    assert refused(package) == "bigger: claim is-small was withdrawn; to bring it back it needs a higher version and a reason"


def test_a_claim_is_not_both_tested_and_withdrawn(package: Path) -> None:
    edit(package, ("NOT_TESTED", 'WITHDRAWN = {"is-big": "why"}\nNOT_TESTED'))
    assert refused(package) == "bigger.py has claim is-big both in CLAIMS and in WITHDRAWN"


def test_a_changed_source_is_told_and_needs_no_version(package: Path) -> None:
    lock(package)
    edit(package, ("size=1.0", "size=2.0"))
    assert lock(package) == ("bigger: source_sha256 changed",)


def test_a_change_within_the_same_second_is_seen(package: Path) -> None:
    lock(package)
    edit(package, ('"ours", at_least=0.5', '"ours", at_least=0.7'))
    assert "changed (rule)" in refused(package)


def test_a_replication_that_is_gone_is_told(package: Path) -> None:
    lock(package)
    (package / "bigger.py").unlink()
    assert lock(package) == ("bigger is gone",)


def test_a_package_that_is_the_replication_itself_is_locked_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "lock_one"
    folder.mkdir()
    (folder / "__init__.py").write_text(MODULE)
    lock(folder)
    assert read_lock(folder / LOCK)["lock_one"]["module"] == "lock_one"


def test_a_module_is_named_from_the_outermost_package(package: Path) -> None:
    inner = package / "inner"
    inner.mkdir()
    (inner / "__init__.py").write_text("")
    assert dotted_name(inner / "x.py") == ("lock_me.inner.x", package.parent)
    assert dotted_name(inner / "__init__.py") == ("lock_me.inner", package.parent)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('"""Bigger is better (doi:10.1/x).\n\nMore about it.\n"""', ""),
            "bigger.py needs a docstring whose first line says what is true",
        ),
        (('PAPER = "10.1/x"', "PAPER = 10.1"), "bigger.py needs in PAPER an arXiv id or a DOI, got 10.1"),
        (("CLAIMS = (", "_CLAIMS = ("), "bigger.py needs CLAIMS, a tuple of at least one Claim"),
        (('id="is-big"', 'id="Is big"'), "bigger.py: a claim's id must be lower-case words joined by hyphens, got 'Is big'"),
        (('"ours", at_least=0.5', '"ours"'), "bigger.py cannot be imported: TypeError: "),
        (('{"size": "m"}', "{}"), "bigger.py: claim is-big reads metric 'size', which METRICS does not declare"),
        (('{"size": "m"}', '{"size": 1}'), "bigger.py needs in METRICS a dict from name to text, got {'size': 1}"),
        (
            ('NOT_TESTED = ("How heavy it is.",)', 'NOT_TESTED = ("How heavy it is.")'),
            "bigger.py needs NOT_TESTED, a tuple of sentences, got",
        ),
        (("frozen=True", "frozen=False"), "bigger.py: Config must be a frozen dataclass"),
        (("class Config", "class Knobs"), "bigger.py cannot be imported: NameError: name 'Config' is not defined"),
        (
            ('"smoke": Config(steps=1), ', ""),
            "bigger.py needs PRESETS, a Config for each of smoke, laptop, paper and for nothing else",
        ),
        (("Config(steps=1)", "Config(steps=0)"), "bigger.py: steps must be a whole number from 1 to 100, got '0'"),
        (("def draw", "def drew"), "bigger.py needs a function draw"),
        (("def draw(evidence):", "def draw(evidence)"), "bigger.py is no Python: expected ':'"),
        (("CLAIMS = (", "CLAIMS = 2 * ("), "bigger.py has two claims with the id is-big"),
    ],
)
def test_what_is_no_replication_is_refused_in_one_sentence(package: Path, change: tuple[str, str], sentence: str) -> None:
    edit(package, change)
    assert refused(package).startswith(sentence)
    assert "\n" not in refused(package)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2, "replications": {}}', '{"format": 1, "replications": {"a": 1}}']
)
def test_a_broken_lock_file_is_not_overwritten(package: Path, content: str) -> None:
    (package / LOCK).write_text(content)
    assert str(package / LOCK) in refused(package)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"nowhere is no folder, so it has no replications to lock$"):
        lock(tmp_path / "nowhere")


def test_its_file_is_json_for_people(package: Path) -> None:
    lock(package)
    text = (package / LOCK).read_text(encoding="utf-8")
    assert json.loads(text)["format"] == 1
    assert text.endswith("\n")
    assert text.count("\n") > 40


def test_the_module_shown_in_the_contract_is_a_replication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "shown_in_docs.py").write_text(source)
    assert lock(tmp_path) == ("shown_in_docs is new, with 1 claims",)

    monkeypatch.syspath_prepend(str(tmp_path))
    shown = importlib.import_module("shown_in_docs")
    del sys.modules["shown_in_docs"]
    for seed in range(5):
        run = Run(tmp_path, seed, shown.METRICS)
        shown.replicate(shown.PRESETS["laptop"], seed, run)
        run.close()
    evidence = Evidence.from_rows(row for seed in range(5) for row in read_rows(rows_path(tmp_path, seed), seed, shown.METRICS))
    assert judge(shown.CLAIMS[0], evidence).verdict == "matched"
    assert len(shown.draw(evidence).axes) == 1


def test_the_lines_that_use_the_method_are_kept_for_the_page(package: Path) -> None:
    edit(package, ("NOT_TESTED = (", 'USE = """\nimport math\n"""\nNOT_TESTED = ('))
    lock(package)
    assert read_lock(package / LOCK)["bigger"]["use"] == "import math"


def test_lines_of_use_that_are_no_python_are_refused(package: Path) -> None:
    edit(package, ("NOT_TESTED = (", 'USE = "import ("\nNOT_TESTED = ('))
    assert refused(package).startswith("bigger.py needs in USE a few lines of Python that use the method, got 'import (':")
