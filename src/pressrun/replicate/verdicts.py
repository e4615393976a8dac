"""From numbers, one a seed, to a verdict: 95 % intervals, the decision, and what is told of it.

The interval is Student's t interval of the mean over seeds; for counts pooled over seeds it is Clopper and Pearson's (1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

__all__ = [
    "CONFIDENCE",
    "JSON",
    "Acceptance",
    "Judgement",
    "Kind",
    "Verdict",
    "Word",
    "as_text",
    "judge_counts",
    "judge_values",
    "judgement_from_json",
    "no_evidence",
    "verdict_from_json",
    "worst",
]

Word = Literal["matched", "partly matched", "not matched", "too noisy", "void"]
Kind = Literal["interval", "exact", "identical"]
JSON = dict[str, object]

CONFIDENCE = 0.95

# The verdict on several things together is the first of these that one of them has.
WORST_FIRST: tuple[Word, ...] = ("not matched", "void", "too noisy", "partly matched", "matched")

# Two numbers closer than this share of the larger number they were computed from differ by rounding only.
ROUNDING = 1e-9

# Seeds whose rates differ so much that chance alone would do it this seldom are not repeats of one rate.
SEEDS_DIFFER = 0.1


@dataclass(frozen=True)
class Acceptance:
    """The values a rule accepts, `low` to `high` (one of them infinite for a one-sided rule), and where there is no effect.

    `null` is the value of no effect; None where the rule knows none, and then nothing is partly matched.
    """

    low: float
    high: float
    null: float | None = None

    @property
    def one_sided(self) -> bool:
        return math.isinf(self.low) or math.isinf(self.high)

    def mirrored(self) -> Acceptance:
        return Acceptance(-self.high, -self.low, None if self.null is None else -self.null)

    def through(self, change: Callable[[float], float]) -> Acceptance:
        """The same acceptance on another scale, which `change`, rising, leads to. Infinite ends stay."""
        low, high = (end if math.isinf(end) else change(end) for end in (self.low, self.high))
        return Acceptance(low, high, None if self.null is None else change(self.null))

    def slackened(self, slack: float) -> Acceptance:
        """Wider by `slack`; an effect must be larger than it to count as one."""
        if self.null is None:
            return Acceptance(self.low - slack, self.high + slack)
        return Acceptance(self.low - slack, self.high + slack, self.null + (slack if math.isinf(self.high) else -slack))

    def decide(self, low: float, high: float) -> Word:
        """The verdict on an interval; on a value, when both ends are the same."""
        if math.isinf(self.low) and math.isinf(self.high):
            return "too noisy"  # rounding of numbers near the largest there are leaves no threshold to hold against
        if not self.one_sided:
            if self.low <= low and high <= self.high:
                return "matched"
            return "not matched" if high < self.low or low > self.high else "too noisy"
        if math.isinf(self.low):
            return self.mirrored().decide(-high, -low)
        if low >= self.low:
            return "matched"
        if high >= self.low:
            return "too noisy"
        return "partly matched" if self.null is not None and low > self.null else "not matched"

    def margin(self, low: float, high: float) -> float:
        """How far the unfavourable end of the interval lies inside what is accepted; negative when it lies outside."""
        # The infinite end of a one-sided rule is left out: against an infinite interval it would make NaN.
        insides = [low - self.low] * math.isfinite(self.low) + [self.high - high] * math.isfinite(self.high)
        return min(insides)


@dataclass(frozen=True)
class Judgement:
    """What a rule makes of the evidence.

    `estimate`, `low` and `high` (the 95 % interval), `accept_low` and `accept_high` are in `unit`. `low` and `high` are None
    where there is no interval: exact and identical results, fewer than 2 seeds. `n` counts seeds, for a `Rate` trials. `margin`
    is how far the unfavourable end of the interval (the value, where there is none) lies inside what is accepted; negative when
    it lies outside.
    `per_seed` leaves out the seeds without a result, which are in `missing`. `parts` are the judgements under an `All`.
    """

    verdict: Word
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    accept_low: float
    accept_high: float
    margin: float | None
    per_seed: Mapping[int, float]
    kind: Kind = "interval"
    unit: str = "1"
    note: str = ""
    null: float | None = None
    missing: tuple[int, ...] = ()
    parts: tuple[Judgement, ...] = field(default=())

    @property
    def threshold(self) -> float:
        """The end of what is accepted; of two, the one nearer to the estimate."""
        ends = [end for end in (self.accept_low, self.accept_high) if math.isfinite(end)]
        return min(ends, key=lambda end: abs(end - (self.estimate or 0.0))) if ends else math.nan

    def sentence(self) -> str:
        """The value, its interval or why there is none, and n, such as "0.21 (95 % interval 0.18 to 0.24, 5 seeds)"."""
        if self.parts:
            return "; ".join(f"{part.verdict}: {part.sentence()}" for part in self.parts)
        if self.estimate is None:
            return self.note or "no result"
        unit = "" if self.unit == "1" else f" {self.unit}"
        told = [self.note] if self.note else []
        if self.low is not None and self.high is not None:
            told.insert(0, f"95 % interval {as_text(self.low)} to {as_text(self.high)}, {self._counted()}")
        elif self.kind == "exact":
            told.insert(0, f"exact, {self._counted()}")
        return f"{as_text(self.estimate)}{unit} ({'; '.join(told)})" if told else f"{as_text(self.estimate)}{unit}"

    def _counted(self) -> str:
        seeds = len(self.per_seed)
        counted = f"{seeds} seed{'' if seeds == 1 else 's'}"
        return counted if self.n == seeds else f"{self.n:,} trials in {counted}"

    def to_json(self) -> JSON:
        """As JSON types. Infinities become the words "inf" and "-inf"."""
        return {
            "verdict": self.verdict,
            "estimate": _plain(self.estimate),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "n": self.n,
            "accept_low": _plain(self.accept_low),
            "accept_high": _plain(self.accept_high),
            "margin": _plain(self.margin),
            "per_seed": {str(seed): _plain(value) for seed, value in self.per_seed.items()},
            "kind": self.kind,
            "unit": self.unit,
            "note": self.note,
            "null": _plain(self.null),
            "missing": list(self.missing),
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True)
class Verdict:
    """What became of one claim: the word, the judgement of its rule and of its control, and both told in a sentence."""

    claim_id: str
    version: int
    verdict: Word
    rule: Judgement
    control: Judgement
    sentence: str

    def to_json(self) -> JSON:
        return {
            "claim_id": self.claim_id,
            "version": self.version,
            "verdict": self.verdict,
            "rule": self.rule.to_json(),
            "control": self.control.to_json(),
            "sentence": self.sentence,
        }


def worst(words: Sequence[Word]) -> Word:
    """The verdict on all of them together."""
    return min(words, key=WORST_FIRST.index)


def judge_values(
    per_seed: Mapping[int, float],
    accept: Acceptance,
    *,
    unit: str = "1",
    exact: bool = False,
    tolerance: float = 0.0,
    size: float = 0.0,
    log: bool = False,
) -> Judgement:
    """The judgement on the mean of one number a seed.

    Args:
        per_seed: the numbers; NaN for a seed without a result.
        accept: what is accepted, in the unit of the numbers.
        unit: for telling.
        exact: the numbers are no sample: they are decided by their value, and have to agree within `tolerance`.
        tolerance: how far an exact value may lie outside what is accepted, and from the other seeds.
        size: magnitude of the numbers from which these were computed, to know rounding from a difference.
        log: take the mean and its interval of the logarithms. Then the numbers are positive, 0 or infinite.
    """
    results = {seed: value for seed, value in per_seed.items() if not math.isnan(value)}
    missing = tuple(sorted(seed for seed, value in per_seed.items() if math.isnan(value)))
    there, back = (_log, _exp) if log else (float, float)
    values = np.sort(np.array([there(value) for value in results.values()], dtype=np.float64))
    target = accept.through(there)
    if len(values) == 0:
        return no_evidence(accept, _missing_note(missing) or "nothing was recorded", unit=unit, missing=missing, exact=exact)

    slack = ROUNDING * (1.0 if log else max(size, float(np.abs(values[np.isfinite(values)]).max(initial=0.0))))
    kind: Kind = "exact" if exact else "identical" if len(values) > 1 and _spread(values) <= slack else "interval"
    estimate, low, high = _mean(values), None, None
    word: Word
    if kind == "interval" and len(values) > 1:
        low, high = _t_interval(values)
        word, note = target.decide(low, high), ""
    elif kind == "interval":
        word, note = "too noisy", "one seed only: an interval needs at least 2"
    else:
        word, note = _decide_by_value(results, values, target, kind, tolerance, slack)
    if missing:
        word, note = "too noisy", "; ".join(filter(None, (_missing_note(missing), note)))

    ends = [back(end) for end in ((estimate, estimate) if low is None or high is None else (low, high))]
    return Judgement(
        verdict=word,
        estimate=None if math.isnan(estimate) else back(estimate),
        low=None if low is None else back(low),
        high=None if high is None else back(high),
        n=len(values),
        accept_low=accept.low,
        accept_high=accept.high,
        margin=None if math.isnan(estimate) or (kind == "interval" and low is None) else accept.margin(*ends),
        per_seed=results,
        kind=kind,
        unit=unit,
        note=note,
        null=accept.null,
        missing=missing,
    )


def judge_counts(
    counts: Mapping[int, tuple[float, float]], accept: Acceptance, *, exact: bool = False, tolerance: float = 0.0
) -> Judgement:
    """The judgement on successes out of trials, (successes, trials) a seed, pooled over the seeds.

    The interval is Clopper and Pearson's, which covers at least as often as it says when trials are independent. Where seeds
    differ more than chance allows they are not: then it is widened to hold Student's t interval of the rates of the seeds as
    well. Where all seeds have the same counts, neither 0 nor all, they are taken to repeat the same trials, which count once.
    """
    missing = tuple(sorted(seed for seed, (successes, trials) in counts.items() if not _countable(successes, trials)))
    pairs = {seed: counts[seed] for seed in counts if seed not in missing}
    rates = {seed: successes / trials for seed, (successes, trials) in pairs.items()}
    if not pairs:
        return no_evidence(accept, _missing_note(missing) or "nothing was recorded", missing=missing, exact=exact)
    if exact:
        return judge_values(rates | dict.fromkeys(missing, math.nan), accept, exact=True, tolerance=tolerance, size=1.0)

    successes, trials = (round(sum(column)) for column in zip(*pairs.values(), strict=True))
    notes = [_missing_note(missing)]
    if len(pairs) > 1 and len(set(pairs.values())) == 1 and 0 < successes < trials:
        successes, trials = successes // len(pairs), trials // len(pairs)
        notes.append("every seed has the same counts, so the trials are taken as the same and count once")
    low, high = _binomial_interval(successes, trials)
    if _seeds_differ(pairs):
        spread = _t_interval(np.sort(np.array(list(rates.values()))))
        low, high = max(0.0, min(low, spread[0])), min(1.0, max(high, spread[1]))
        notes.append("the seeds differ more than chance allows, so the interval also holds their spread")
    word = accept.decide(low, high)
    if len(pairs) < 2:
        word = "too noisy"
        notes.append("one seed only: a verdict needs at least 2")
    return Judgement(
        verdict="too noisy" if missing else word,
        estimate=successes / trials,
        low=low,
        high=high,
        n=trials,
        accept_low=accept.low,
        accept_high=accept.high,
        margin=accept.margin(low, high),
        per_seed=rates,
        note="; ".join(filter(None, notes)),
        null=accept.null,
        missing=missing,
    )


def no_evidence(
    accept: Acceptance, note: str, *, unit: str = "1", missing: tuple[int, ...] = (), exact: bool = False
) -> Judgement:
    """The judgement where there is no number at all."""
    return Judgement(
        verdict="too noisy",
        estimate=None,
        low=None,
        high=None,
        n=0,
        accept_low=accept.low,
        accept_high=accept.high,
        margin=None,
        per_seed={},
        kind="exact" if exact else "interval",
        unit=unit,
        note=note,
        null=accept.null,
        missing=missing,
    )


def judgement_from_json(given: Mapping[str, object]) -> Judgement:
    """Raises ValueError where `given` is not what `to_json` made."""
    try:
        return Judgement(
            verdict=_word(given["verdict"]),
            estimate=_number(given["estimate"]),
            low=_number(given["low"]),
            high=_number(given["high"]),
            n=int(cast(int, given["n"])),
            accept_low=_end(given["accept_low"]),
            accept_high=_end(given["accept_high"]),
            margin=_number(given["margin"]),
            per_seed={int(seed): _end(value) for seed, value in cast(Mapping[str, object], given["per_seed"]).items()},
            kind=cast(Kind, given["kind"]),
            unit=str(given["unit"]),
            note=str(given["note"]),
            null=_number(given["null"]),
            missing=tuple(cast(list[int], given["missing"])),
            parts=tuple(judgement_from_json(part) for part in cast(list[JSON], given["parts"])),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a judgement cannot be read: {error!r} in {given!s:.120}") from error


def verdict_from_json(given: Mapping[str, object]) -> Verdict:
    """Raises ValueError where `given` is not what `to_json` made."""
    try:
        return Verdict(
            claim_id=str(given["claim_id"]),
            version=int(cast(int, given["version"])),
            verdict=_word(given["verdict"]),
            rule=judgement_from_json(cast(JSON, given["rule"])),
            control=judgement_from_json(cast(JSON, given["control"])),
            sentence=str(given["sentence"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a verdict cannot be read: {error!r} in {given!s:.120}") from error


def as_text(value: float) -> str:
    """Four significant digits, with a true minus sign."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


def _decide_by_value(
    results: Mapping[int, float],
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    target: Acceptance,
    kind: Kind,
    tolerance: float,
    slack: float,
) -> tuple[Word, str]:
    if kind == "exact" and _spread(values) > tolerance + slack:
        least, most = as_text(min(results.values())), as_text(max(results.values()))
        return "too noisy", f"declared exact, but the seeds differ by more than the tolerance: from {least} to {most}"
    near = max((abs(end) for end in (target.low, target.high) if math.isfinite(end)), default=0.0)
    value = _mean(values)
    word = target.slackened((tolerance if kind == "exact" else 0.0) + max(slack, ROUNDING * near)).decide(value, value)
    return word, "" if kind == "exact" else f"the same in all {len(values)} seeds, so decided by the value, without an interval"


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The mean; NaN of infinities of both signs. Scaled first, so that it is finite for finite values, however large, and
    summed exactly, so that neither order nor sign changes a digit."""
    size = float(np.abs(values).max())
    if size == 0.0 or math.isinf(size):
        with np.errstate(invalid="ignore"):
            return float(values.mean())
    return math.fsum(values / size) / len(values) * size


def _t_interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of the finite values. It reaches to an infinity that is among them, and to both
    when fewer than 2 are finite."""
    # scipy.stats takes most of a second to load; reading claims and pages does not need it.
    from scipy import stats

    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return -math.inf, math.inf
    size = float(np.abs(finite).max()) or 1.0
    scaled = finite / size
    n, mean = len(scaled), math.fsum(scaled) / len(scaled)
    deviation = math.sqrt(math.fsum((scaled - mean) ** 2) / (n - 1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    low = -math.inf if values[0] == -math.inf else (mean - reach) * size
    high = math.inf if values[-1] == math.inf else (mean + reach) * size
    return low, high


def _binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    from scipy import stats

    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return float(interval.low), float(interval.high)


def _seeds_differ(pairs: Mapping[int, tuple[float, float]]) -> bool:
    """Whether the rates of the seeds differ more than chance allows, by the chi-squared test of homogeneity."""
    from scipy import stats

    table = np.array([(successes, trials - successes) for successes, trials in pairs.values()])
    if len(pairs) < 2 or not table.sum(axis=0).all():
        return False
    return float(stats.chi2_contingency(table, correction=False).pvalue) < SEEDS_DIFFER


def _countable(successes: float, trials: float) -> bool:
    whole = all(math.isfinite(count) and count == round(count) for count in (successes, trials))
    return whole and trials > 0 and 0 <= successes <= trials


def _spread(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return 0.0 if values[0] == values[-1] else float(values[-1] - values[0])


def _log(value: float) -> float:
    return -math.inf if value == 0 else math.log(value)


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def _missing_note(missing: Sequence[int]) -> str:
    if not missing:
        return ""
    return f"no result in seed{'' if len(missing) == 1 else 's'} {', '.join(map(str, missing))}"


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _number(value: object) -> float | None:
    return None if value is None else _end(value)


def _end(value: object) -> float:
    if isinstance(value, (int, float)) or value in ("inf", "-inf", "nan"):
        return float(cast(float, value))
    raise TypeError(f"{value!r} is not a number")


def _word(value: object) -> Word:
    if value not in WORST_FIRST:
        raise TypeError(f"{value!r} is not a verdict")
    return value
