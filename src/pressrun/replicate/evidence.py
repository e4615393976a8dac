"""What was measured: a tidy table, one number for each seed, arm, metric and step. Verdicts and figures follow from it alone."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["At", "Curve", "Evidence", "EvidenceError", "Row", "number"]

# How a metric over steps becomes one number a seed; a whole number names the step itself.
At = Literal["first", "last", "max", "min", "mean"] | int

_T = TypeVar("_T", bound=np.generic)

COLUMNS = ("seed", "arm", "metric", "value", "unit", "step")


class EvidenceError(ValueError):
    """Evidence that cannot be what it says, or is asked for something it does not hold."""


class Row(NamedTuple):
    """One number. `step` is None for what is measured once."""

    seed: int
    arm: str
    metric: str
    value: float
    unit: str = "1"
    step: int | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric over the steps of one arm: two arrays of the same length, `step` rising."""

    step: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Series:
    """What one seed recorded of one metric in one arm. Without steps there is one value and `step` is None."""

    step: NDArray[np.int64] | None
    value: NDArray[np.float64]


class Evidence:
    """An immutable table with the columns seed, arm, metric, value, unit and step, in which the order of rows has no meaning.

    A metric has one unit throughout. A seed records it in an arm either once, without a step, or once at each step.
    Two tables are equal when they hold the same rows; NaN equals NaN.
    """

    __slots__ = ("_series", "_units")
    _series: Mapping[tuple[str, str], Mapping[int, _Series]]
    _units: Mapping[str, str]

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        found: dict[tuple[str, str], dict[int, dict[int | None, float]]] = {}
        units: dict[str, str] = {}
        for seed, arm, metric, value, unit, step in rows:
            if units.setdefault(metric, unit) != unit:
                raise EvidenceError(f"metric {metric!r} was recorded in two units, {units[metric]!r} and {unit!r}; it needs one")
            points = found.setdefault((metric, arm), {}).setdefault(seed, {})
            if step in points:
                raise EvidenceError(f"{_cell(metric, arm, seed, step)} was recorded twice; each number is recorded once")
            if points and (step is None) != (None in points):
                raise EvidenceError(f"{_cell(metric, arm, seed)} was recorded both with and without a step; use one of the two")
            points[step] = value
        self._series = {key: {seed: _series(found[key][seed]) for seed in sorted(found[key])} for key in sorted(found)}
        self._units = {metric: units[metric] for metric in sorted(units)}

    @classmethod
    def from_rows(cls, rows: Iterable[Row | Mapping[str, object]]) -> Evidence:
        """From rows in any order: `Row` values, or mappings with its fields (`unit` and `step` may be left out).

        Raises:
            EvidenceError: if a row lacks a field or holds one of the wrong kind, a number is recorded twice, a metric has two
                units, or a metric comes both with and without a step.
        """
        return cls(_checked(row, where) for where, row in enumerate(rows, start=1))

    @classmethod
    def read(cls, path: Path | str) -> Evidence:
        """From a parquet file that `write` made.

        Raises:
            EvidenceError: if the file is missing, is no parquet file, or does not hold the six columns.
        """
        # pyarrow is loaded only where a file is touched, so that reading claims stays quick.
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise EvidenceError(f"{path} cannot be read as a parquet file: {_first_line(error)}") from error
        missing = [name for name in COLUMNS if name not in table.column_names]
        if missing:
            raise EvidenceError(f"{path} is no evidence: it lacks the columns {', '.join(missing)}")
        columns = (table.column(name).to_pylist() for name in COLUMNS)
        return cls.from_rows(dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True))

    def write(self, path: Path | str) -> None:
        """To a parquet file, whole or not at all. The same evidence gives the same bytes with the same version of pyarrow."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.string(), pa.int64())
        columns = list(zip(*self.rows(), strict=True)) or [()] * len(COLUMNS)
        arrays = [pa.array(column, type=kind, from_pandas=False) for column, kind in zip(columns, kinds, strict=True)]
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                pq.write_table(pa.Table.from_arrays(arrays, names=list(COLUMNS)), file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise

    def rows(self) -> Iterator[Row]:
        """Every row, ordered by metric, arm, seed and step."""
        for (metric, arm), seeds in self._series.items():
            for seed, series in seeds.items():
                steps = [None] if series.step is None else series.step.tolist()
                for step, value in zip(steps, series.value.tolist(), strict=True):
                    yield Row(seed, arm, metric, value, self._units[metric], step)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that recorded anything, rising."""
        return tuple(sorted({seed for seeds in self._series.values() for seed in seeds}))

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, in alphabetical order."""
        return tuple(sorted({arm for _, arm in self._series}))

    @property
    def metrics(self) -> Mapping[str, str]:
        """Every metric with its unit, in alphabetical order."""
        return dict(self._units)

    def values(self, metric: str, arm: str, at: At = "last") -> dict[int, float]:
        """One number a seed. A seed without one (nothing recorded, or no such step) is left out.

        Args:
            metric: its name.
            arm: its name.
            at: which number of a metric over steps: "first", "last", "max", "min", "mean", or a step. NaN anywhere makes the
                last three NaN. A metric without steps has one number, which all but a step name.

        Raises:
            EvidenceError: if no seed recorded the metric in the arm.
        """
        picked = ((seed, _pick(series, at)) for seed, series in self._find(metric, arm).items())
        return {seed: value for seed, value in picked if value is not None}

    def curves(self, metric: str, arm: str) -> dict[int, Curve]:
        """The metric over the steps, one curve a seed.

        Raises:
            EvidenceError: if no seed recorded the metric in the arm, or it was recorded without steps.
        """
        curves = {}
        for seed, series in self._find(metric, arm).items():
            if series.step is None:
                raise EvidenceError(f"{_cell(metric, arm, seed)} was recorded without steps, so it has no curve; use values")
            curves[seed] = Curve(series.step, series.value)
        return curves

    def mean_curve(self, metric: str, arm: str) -> Curve:
        """The mean over the seeds at each step that every one of them recorded. Raises as `curves` does."""
        curves = list(self.curves(metric, arm).values())
        shared = curves[0].step
        for curve in curves[1:]:
            shared = np.intersect1d(shared, curve.step)
        stacked = np.stack([curve.value[np.isin(curve.step, shared)] for curve in curves])
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN here, and says so in the figure
            return Curve(shared, _frozen(stacked.mean(axis=0)))

    def select(
        self,
        *,
        seeds: Collection[int] | None = None,
        arms: Collection[str] | None = None,
        metrics: Collection[str] | None = None,
    ) -> Evidence:
        """The rows of these seeds, arms and metrics; None keeps all."""
        return Evidence(
            row
            for row in self.rows()
            if (seeds is None or row.seed in seeds)
            and (arms is None or row.arm in arms)
            and (metrics is None or row.metric in metrics)
        )

    def _find(self, metric: str, arm: str) -> Mapping[int, _Series]:
        try:
            return self._series[metric, arm]
        except KeyError:
            arms = [known for name, known in self._series if name == metric]
            if arms:
                recorded = f"{metric!r} was recorded in the arms {', '.join(arms)}"
            else:
                recorded = f"recorded metrics are {', '.join(self._units) or 'none'}"
            raise EvidenceError(f"nothing was recorded of metric {metric!r} in arm {arm!r}; {recorded}") from None

    def __len__(self) -> int:
        return sum(len(series.value) for seeds in self._series.values() for series in seeds.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return self._units == other._units and _same_series(self._series, other._series)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Evidence: {len(self)} numbers, {len(self.seeds)} seeds, {len(self.arms)} arms, {len(self.metrics)} metrics>"


def number(value: object) -> float:
    """A float from a bool, an int, a float, or a tensor or array of one element (through its `item`).

    Raises:
        EvidenceError: if it is none of these.
    """
    if not isinstance(value, (bool, int, float)):
        item = getattr(value, "item", None)
        if item is None:
            raise EvidenceError(f"a recorded value must be a number, got {value!r:.80}")
        if getattr(value, "shape", ()) not in ((), (1,)):
            raise EvidenceError(
                f"a recorded value must be one number, got an array of shape {tuple(getattr(value, 'shape', ()))}"
            )
        value = item()
        if not isinstance(value, (bool, int, float)):
            raise EvidenceError(f"a recorded value must be a real number, got {value!r:.80}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _checked(row: Row | Mapping[str, object], where: int) -> Row:
    fields = row._asdict() if isinstance(row, Row) else row
    try:
        seed, arm, metric, value = (fields[name] for name in COLUMNS[:4])
    except KeyError as missing:
        raise EvidenceError(f"row {where} of the evidence lacks {missing}") from None
    unit, step = fields.get("unit", "1"), fields.get("step")
    for name, given in (("seed", seed), ("step", step)):
        if not _is_whole(given) and not (name == "step" and given is None):
            raise EvidenceError(f"{name} must be a whole number, got {given!r:.80} in row {where} of the evidence")
    for name, given in (("arm", arm), ("metric", metric), ("unit", unit)):
        if not isinstance(given, str) or not given:
            raise EvidenceError(f"{name} must be a word, got {given!r:.80} in row {where} of the evidence")
    try:
        as_number = number(value)
    except EvidenceError as error:
        raise EvidenceError(f"{error} in row {where} of the evidence") from None
    return Row(
        int(cast(int, seed)),
        cast(str, arm),
        cast(str, metric),
        as_number,
        cast(str, unit),
        None if step is None else int(cast(int, step)),
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63


def _series(points: Mapping[int | None, float]) -> _Series:
    if None in points:
        return _Series(None, _frozen(np.array([points[None]], dtype=np.float64)))
    steps = sorted(cast(Mapping[int, float], points))
    return _Series(
        _frozen(np.array(steps, dtype=np.int64)), _frozen(np.array([points[step] for step in steps], dtype=np.float64))
    )


def _pick(series: _Series, at: At) -> float | None:
    value = series.value
    if isinstance(at, int):
        hits = value[series.step == at] if series.step is not None else value[:0]
        return float(hits[0]) if len(hits) else None
    with np.errstate(invalid="ignore", over="ignore"):  # the mean of inf and -inf is NaN, which the verdict reports
        match at:
            case "first":
                return float(value[0])
            case "last":
                return float(value[-1])
            case "max":
                return float(value.max())
            case "min":
                return float(value.min())
            case "mean":
                return float(value.mean())
    raise EvidenceError(f"at must be first, last, max, min, mean or a step, got {at!r}")


def _same_series(a: Mapping[tuple[str, str], Mapping[int, _Series]], b: Mapping[tuple[str, str], Mapping[int, _Series]]) -> bool:
    return a.keys() == b.keys() and all(
        a[key].keys() == b[key].keys() and all(_same(a[key][seed], b[key][seed]) for seed in a[key]) for key in a
    )


def _same(a: _Series, b: _Series) -> bool:
    same_steps = a.step is b.step if a.step is None or b.step is None else np.array_equal(a.step, b.step)
    return same_steps and np.array_equal(a.value, b.value, equal_nan=True)


def _frozen(array: NDArray[_T]) -> NDArray[_T]:
    array.setflags(write=False)
    return array


def _cell(metric: str, arm: str, seed: int, step: int | None = None) -> str:
    return f"metric {metric!r} of arm {arm!r}, seed {seed}" + ("" if step is None else f", step {step}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
