"""Evidence holds what was recorded, in no order, and says what it does not hold."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.replicate import Evidence, EvidenceError, Row, number

ROWS = (
    Row(0, "ei", "accuracy", 0.5, "1", 0),
    Row(0, "ei", "accuracy", 0.9, "1", 10),
    Row(0, "ei", "accuracy", 0.7, "1", 20),
    Row(1, "ei", "accuracy", 0.4, "1", 0),
    Row(1, "ei", "accuracy", 0.8, "1", 10),
    Row(0, "ei", "seconds", 3.0, "s"),
    Row(1, "ei", "seconds", 4.0, "s"),
    Row(0, "plain", "accuracy", 0.1, "1", 0),
)


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows of up to 3 seeds, 2 arms and 2 metrics, with and without steps."""
    rows = []
    for metric, unit in (("loss", "1"), ("time", "s")):
        for arm in ("a", "b"):
            for seed in draw(st.sets(st.integers(-2, 5), max_size=3)):
                steps = draw(st.one_of(st.just({None}), st.sets(st.integers(0, 2**62), min_size=1, max_size=4)))
                rows += [Row(seed, arm, metric, draw(st.floats(width=64)), unit, step) for step in steps]
    return rows


def test_it_knows_its_seeds_arms_and_metrics_with_their_units() -> None:
    evidence = Evidence.from_rows(ROWS)
    assert evidence.seeds == (0, 1)
    assert evidence.arms == ("ei", "plain")
    assert evidence.metrics == {"accuracy": "1", "seconds": "s"}
    assert len(evidence) == 8
    assert repr(evidence) == "<Evidence: 8 numbers, 2 seeds, 2 arms, 2 metrics>"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("first", {0: 0.5, 1: 0.4}),
        ("last", {0: 0.7, 1: 0.8}),
        ("max", {0: 0.9, 1: 0.8}),
        ("min", {0: 0.5, 1: 0.4}),
        ("mean", {0: 0.7, 1: 0.6}),
        (10, {0: 0.9, 1: 0.8}),
        (20, {0: 0.7}),
        (5, {}),
    ],
)
def test_a_metric_over_steps_becomes_one_number_a_seed(at: str | int, expected: dict[int, float]) -> None:
    assert Evidence.from_rows(ROWS).values("accuracy", "ei", at=at) == pytest.approx(expected)  # type: ignore[arg-type]


def test_a_metric_without_steps_has_one_number_but_no_step() -> None:
    evidence = Evidence.from_rows(ROWS)
    assert [evidence.values("seconds", "ei", at=at) for at in ("first", "mean", "max")] == [{0: 3.0, 1: 4.0}] * 3  # type: ignore[arg-type]
    assert evidence.values("seconds", "ei", at=0) == {}


def test_nan_is_neither_largest_nor_smallest_nor_passed_over() -> None:
    evidence = Evidence.from_rows([Row(0, "a", "loss", value, "1", step) for step, value in enumerate((1.0, math.nan, 3.0))])
    assert all(math.isnan(evidence.values("loss", "a", at=at)[0]) for at in ("max", "min", "mean"))  # type: ignore[arg-type]
    assert evidence.values("loss", "a") == {0: 3.0}


def test_its_curves_rise_in_steps() -> None:
    curves = Evidence.from_rows(reversed(ROWS)).curves("accuracy", "ei")
    assert list(curves) == [0, 1]
    assert curves[0].step.tolist() == [0, 10, 20]
    assert curves[0].value.tolist() == [0.5, 0.9, 0.7]


def test_its_arrays_cannot_be_written_to() -> None:
    curve = Evidence.from_rows(ROWS).curves("accuracy", "ei")[0]
    with pytest.raises(ValueError, match=r"read-only"):
        curve.value[0] = 1.0


def test_the_mean_curve_has_the_steps_that_all_seeds_share() -> None:
    mean = Evidence.from_rows(ROWS).mean_curve("accuracy", "ei")
    assert mean.step.tolist() == [0, 10]
    assert mean.value.tolist() == pytest.approx([0.45, 0.85])


def test_it_selects_rows() -> None:
    evidence = Evidence.from_rows(ROWS)
    assert evidence.select(seeds=(1,), metrics=("seconds",)) == Evidence.from_rows([ROWS[6]])
    assert evidence.select(arms=("plain",)).seeds == (0,)
    assert evidence.select() == evidence


@settings(deadline=None)
@given(tables(), st.randoms())
def test_the_order_of_rows_has_no_meaning(rows: list[Row], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert Evidence.from_rows(shuffled) == Evidence.from_rows(rows)
    assert repr(list(Evidence.from_rows(shuffled).rows())) == repr(list(Evidence.from_rows(rows).rows()))


@settings(deadline=None, max_examples=40)
@given(rows=tables())
def test_a_file_gives_it_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("evidence") / "evidence.parquet"
    Evidence.from_rows(rows).write(path)
    assert Evidence.read(path) == Evidence.from_rows(rows)


def test_the_same_evidence_gives_the_same_file(tmp_path: Path) -> None:
    Evidence.from_rows(ROWS).write(tmp_path / "a")
    Evidence.from_rows(reversed(ROWS)).write(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_other_number_makes_it_another() -> None:
    other = [*ROWS[:-1], ROWS[-1]._replace(value=0.1000001)]
    assert Evidence.from_rows(other) != Evidence.from_rows(ROWS)
    assert Evidence.from_rows(ROWS[:-1]) != Evidence.from_rows(ROWS)
    assert Evidence.from_rows([Row(0, "a", "m", 1.0, "s")]) != Evidence.from_rows([Row(0, "a", "m", 1.0, "ms")])
    assert Evidence.from_rows([Row(0, "a", "m", 1.0)]) != Evidence.from_rows([Row(0, "a", "m", 1.0, step=0)])


def test_it_reads_rows_given_as_mappings() -> None:
    assert Evidence.from_rows([{"seed": 0, "arm": "a", "metric": "m", "value": 1}]) == Evidence.from_rows([Row(0, "a", "m", 1.0)])


def test_it_refuses_a_number_recorded_twice() -> None:
    with pytest.raises(
        EvidenceError, match=r"^metric 'accuracy' of arm 'ei', seed 0, step 10 was recorded twice; each number is recorded once$"
    ):
        Evidence.from_rows([*ROWS, ROWS[1]])


@pytest.mark.parametrize("steps", [(None, 0), (0, None)])
def test_it_refuses_a_metric_with_and_without_steps(steps: tuple[int | None, ...]) -> None:
    with pytest.raises(
        EvidenceError, match=r"^metric 'm' of arm 'a', seed 0 was recorded both with and without a step; use one of the two$"
    ):
        Evidence.from_rows([Row(0, "a", "m", 1.0, "1", step) for step in steps])


def test_it_refuses_two_units_of_a_metric() -> None:
    with pytest.raises(EvidenceError, match=r"^metric 'm' was recorded in two units, 's' and 'ms'; it needs one$"):
        Evidence.from_rows([Row(0, "a", "m", 1.0, "s"), Row(1, "a", "m", 1.0, "ms")])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"seed": 0, "arm": "a", "metric": "m"}, "row 1 of the evidence lacks 'value'"),
        ({"seed": "0", "arm": "a", "metric": "m", "value": 1}, "seed must be a whole number, got '0' in row 1 of the evidence"),
        (
            {"seed": 2**63, "arm": "a", "metric": "m", "value": 1},
            "seed must be a whole number, got 9223372036854775808 in row 1 of the evidence",
        ),
        ({"seed": 0, "arm": "", "metric": "m", "value": 1}, "arm must be a word, got '' in row 1 of the evidence"),
        (
            {"seed": 0, "arm": "a", "metric": "m", "value": "1"},
            "a recorded value must be a number, got '1' in row 1 of the evidence",
        ),
        (
            {"seed": 0, "arm": "a", "metric": "m", "value": 1, "step": 0.5},
            "step must be a whole number, got 0.5 in row 1 of the evidence",
        ),
    ],
)
def test_it_refuses_a_row_that_is_none(row: dict[str, object], sentence: str) -> None:
    with pytest.raises(EvidenceError) as refused:
        Evidence.from_rows([row])
    assert str(refused.value) == sentence


def test_it_says_what_was_recorded_instead() -> None:
    evidence = Evidence.from_rows(ROWS)
    with pytest.raises(
        EvidenceError,
        match=r"^nothing was recorded of metric 'accuracy' in arm 'x'; 'accuracy' was recorded in the arms ei, plain$",
    ):
        evidence.values("accuracy", "x")
    with pytest.raises(
        EvidenceError, match=r"^nothing was recorded of metric 'loss' in arm 'ei'; recorded metrics are accuracy, seconds$"
    ):
        evidence.values("loss", "ei")


def test_it_has_no_curve_without_steps() -> None:
    with pytest.raises(EvidenceError, match=r"was recorded without steps, so it has no curve; use values$"):
        Evidence.from_rows(ROWS).curves("seconds", "ei")


@pytest.mark.parametrize("content", [None, b"", b"not parquet at all"])
def test_it_refuses_a_file_that_is_no_parquet(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "evidence.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"cannot be read as a parquet file: ") as refused:
        Evidence.read(path)
    assert "\n" not in str(refused.value)


def test_it_refuses_a_table_of_something_else(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"seed": [0], "arm": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(EvidenceError, match=r"other.parquet is no evidence: it lacks the columns metric, value, unit, step$"):
        Evidence.read(tmp_path / "other.parquet")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evidence.parquet"
    Evidence.from_rows(ROWS).write(path)
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *args, **options: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match=r"disk full"):
        Evidence.from_rows(ROWS[:1]).write(path)
    assert Evidence.read(path) == Evidence.from_rows(ROWS)
    assert list(tmp_path.iterdir()) == [path]


class Tensor:
    """What torch and NumPy scalars have in common."""

    def __init__(self, value: object, shape: tuple[int, ...] = ()) -> None:
        self.value, self.shape = value, shape

    def item(self) -> object:
        return self.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1.0),
        (3, 3.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.array([2]), 2.0),
        (Tensor(0.25), 0.25),
        (-(10**400), -math.inf),
    ],
    ids=["bool", "int", "float", "scalar", "array", "tensor", "too large"],
)
def test_a_number_is_a_number_in_whatever_box(value: object, expected: float) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "a recorded value must be a number, got None"),
        ("0.5", "a recorded value must be a number, got '0.5'"),
        (np.zeros((2, 3)), r"a recorded value must be one number, got an array of shape \(2, 3\)"),
        (Tensor(1j), "a recorded value must be a real number, got 1j"),
    ],
)
def test_what_is_no_number_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(EvidenceError, match=f"^{sentence}$"):
        number(value)
