"""What a replication is handed: recording, progress, log and data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pressrun.replicate import EvidenceError, Row, Run
from pressrun.replicate.run import read_rows

UNITS = {"accuracy": "1", "time": "ms"}


def rows(folder: Path, seed: int = 3) -> list[Row]:
    return list(read_rows(folder / f"{seed}.jsonl", seed, UNITS))


def test_it_records_one_row_a_metric(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    run.record("ei", step=2, accuracy=0.25, time=7)
    assert rows(tmp_path) == [Row(3, "ei", "accuracy", 0.25, "1", 2), Row(3, "ei", "time", 7.0, "ms", 2)]


def test_it_keeps_every_bit_and_every_infinity(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    run.record("a", step=0, accuracy=0.1 + 0.2)
    run.record("a", step=1, accuracy=math.inf)
    run.record("a", step=2, accuracy=-math.inf)
    run.record("a", step=3, accuracy=math.nan)
    values = [row.value for row in rows(tmp_path)]
    assert values[:3] == [0.30000000000000004, math.inf, -math.inf]
    assert math.isnan(values[3])
    for line in (tmp_path / "3.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_it_takes_arrays_and_switches_of_one_number(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    run.record("a", step=np.int64(4), accuracy=np.float32(0.5), time=np.array(2))
    run.record("b", accuracy=True)
    assert [(row.arm, row.step, row.value) for row in rows(tmp_path)] == [("a", 4, 0.5), ("a", 4, 2.0), ("b", None, 1.0)]


def test_it_is_on_disk_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    run.record("a", accuracy=1.0)
    assert len(rows(tmp_path)) == 1  # the run is neither closed nor collected
    run.close()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (lambda run: run.record("a", loss=1.0), "metric 'loss' is not declared in METRICS, which has accuracy, time"),
        (lambda run: run.record("a", step=1, accuracy=1.0), "metric 'accuracy' of arm 'a' was recorded before at step 1"),
        (
            lambda run: run.record("a", accuracy=1.0),
            "metric 'accuracy' of arm 'a' was recorded both with and without a step; use one of the two",
        ),
        (lambda run: run.record("a", step=1.5, accuracy=1.0), "a step must be a whole number or None, got 1.5"),
        (lambda run: run.record("", accuracy=1.0), "an arm must have a name, got ''"),
        (lambda run: run.record("a", step=2), "nothing to record for arm 'a': give at least one metric, such as accuracy=0.9"),
        (
            lambda run: run.record("a", step=2, accuracy=np.ones(3)),
            "a recorded value must be one number, got an array of shape (3,) as metric 'accuracy' of arm 'a'",
        ),
        (
            lambda run: run.record("a", step=2, accuracy="0.9"),
            "a recorded value must be a number, got '0.9' as metric 'accuracy' of arm 'a'",
        ),
    ],
)
def test_it_refuses_what_cannot_be_evidence(tmp_path: Path, record: object, sentence: str) -> None:
    run = Run(tmp_path, 3, UNITS)
    run.record("a", step=1, accuracy=0.5)
    with pytest.raises(EvidenceError) as told:
        record(run)  # type: ignore[operator]
    assert str(told.value) == sentence
    assert len(rows(tmp_path)) == 1


def test_it_leaves_out_a_line_that_a_crash_cut_off(tmp_path: Path) -> None:
    Run(tmp_path, 3, UNITS).record("a", step=1, accuracy=0.5)
    with (tmp_path / "3.jsonl").open("ab") as file:
        file.write(b'{"arm": "a", "step": 2, "val')
    assert [row.step for row in rows(tmp_path)] == [1]


def test_it_names_a_broken_line(tmp_path: Path) -> None:
    Run(tmp_path, 3, UNITS).record("a", step=1, accuracy=0.5)
    with (tmp_path / "3.jsonl").open("ab") as file:
        file.write(b'{"arm": "a", "step": "x", "values": {}}\n')
    with pytest.raises(EvidenceError, match=r"^3\.jsonl, line 2, is not a line of evidence"):
        rows(tmp_path)


def test_it_gives_the_items_and_says_how_far_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    assert list(run.progress("abc", "letters")) == ["a", "b", "c"]
    events = [json.loads(line) for line in (tmp_path / "3.events.jsonl").read_text().splitlines()]
    assert (events[0]["done"], events[0]["total"]) == (0, 3)
    assert (events[-1]["done"], events[-1]["total"], events[-1]["label"]) == (3, 3, "letters")


def test_it_does_not_fill_the_disk_with_progress(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    for _ in run.progress(range(100_000)):
        pass
    assert len((tmp_path / "3.events.jsonl").read_text().splitlines()) < 1000


def test_it_counts_what_has_no_length(tmp_path: Path) -> None:
    run = Run(tmp_path, 3, UNITS)
    assert list(run.progress(iter([5, 6]))) == [5, 6]
    assert json.loads((tmp_path / "3.events.jsonl").read_text().splitlines()[-1])["total"] == 2


def test_it_notes_the_hash_of_a_data_file(tmp_path: Path) -> None:
    (tmp_path / "digits.csv").write_text("1,2\n")
    run = Run(tmp_path, 3, UNITS, data_root=tmp_path)
    assert run.data("digits.csv").read_text() == "1,2\n"
    # printf '1,2\n' | sha256sum
    assert run.data_files["digits.csv"].sha256 == "52186c933993da4082b3cdc7c40bb4bf735b391ff54a2ef78c037dda6c38a680"
    assert run.data_files["digits.csv"].size == 4


def test_it_says_which_data_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no data file iris\.csv"):
        Run(tmp_path, 3, UNITS, data_root=tmp_path).data("iris.csv")
