"""The rules by which a claim is judged, as data: what is compared, and from where on it counts.

A rule reads one number a seed out of the evidence, and is decided by the 95 % interval of their mean, [lo, hi]. With the signs
turned so that larger is better and 0 is no effect, a threshold t gives `matched` if lo >= t, `not matched` if hi < t and lo <= 0,
`partly matched` if 0 < lo and hi < t, else `too noisy`. So a claim whose true effect is exactly t comes out as matched in
2.5 % of all runs where the numbers of the seeds are normally distributed.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from pressrun.replicate.evidence import At, Evidence, EvidenceError
from pressrun.replicate.verdicts import JSON, Acceptance, Judgement, judge_counts, judge_values, no_evidence, worst

__all__ = [
    "Above",
    "All",
    "Below",
    "Contrast",
    "Difference",
    "Equivalent",
    "Monotone",
    "Ordered",
    "Rate",
    "Ratio",
    "Rule",
    "RuleError",
    "Within",
    "rule_from_json",
]


class RuleError(ValueError):
    """A rule that cannot decide anything as it is written."""


class Rule(ABC):
    """What all rules can do. Each is a frozen dataclass; `rule_from_json(rule.to_json())` equals it."""

    @abstractmethod
    def sentence(self) -> str:
        """What has to hold, in plain words."""

    @abstractmethod
    def judge(self, evidence: Evidence) -> Judgement:
        """The judgement on this evidence. It depends on the evidence only, in whatever order that was recorded."""

    @abstractmethod
    def reads(self) -> frozenset[tuple[str, str]]:
        """The (metric, arm) pairs it needs."""

    @abstractmethod
    def to_json(self) -> JSON:
        """As JSON types: its class under "rule", and its fields as far as they differ from their defaults."""


@dataclass(frozen=True)
class _Measured(Rule):
    """A rule on one number a seed.

    `exact` says that the numbers are no sample (theory, counting, a deterministic algorithm): then the value decides, and the
    seeds have to agree. `tolerance` is how far it may lie outside what is accepted, and the seeds from each other.
    """

    exact: bool = field(default=False, kw_only=True)
    tolerance: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, _clean(type(self).__name__, each, getattr(self, each.name)))
        if self.tolerance < 0:
            raise RuleError(f"{self._name} needs a tolerance of 0 or more, got {self.tolerance}")
        if self.tolerance and not self.exact:
            raise RuleError(f"{self._name} takes a tolerance only with exact=True; otherwise the interval decides")
        self._check()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self) -> None:
        """Raise RuleError where the fields do not go together."""

    @property
    @abstractmethod
    def accepts(self) -> Acceptance:
        """The values it accepts, and the value of no effect."""

    @abstractmethod
    def _says(self) -> str:
        """The sentence without its full stop and the remark on exactness."""

    @abstractmethod
    def _operands(self) -> Sequence[tuple[str, str, At]]:
        """What it reads of each seed: (metric, arm, at)."""

    def _combine(self, numbers: Sequence[float]) -> float:
        """One number from what one seed has, in the order of `_operands`; NaN if they have no result."""
        return numbers[0]

    def _unit(self, evidence: Evidence) -> str:
        return evidence.metrics[self._operands()[0][0]]

    def sentence(self) -> str:
        if not self.exact:
            return f"{self._says()}."
        tolerance = f" with a tolerance of {_exactly(self.tolerance)}" if self.tolerance else ""
        return f"{self._says()}. This result is exact: its value decides{tolerance}, and all seeds have to agree."

    def reads(self) -> frozenset[tuple[str, str]]:
        return frozenset((metric, arm) for metric, arm, _ in self._operands())

    def judge(self, evidence: Evidence) -> Judgement:
        return self._if_recorded(evidence, self._judge)

    def _judge(self, evidence: Evidence) -> Judgement:
        numbers = self._numbers(evidence)
        return judge_values(
            {seed: self._combine(of_seed) for seed, of_seed in numbers.items()},
            self.accepts,
            unit=self._unit(evidence),
            exact=self.exact,
            tolerance=self.tolerance,
            size=max((abs(each) for of_seed in numbers.values() for each in of_seed if math.isfinite(each)), default=0.0),
        )

    def _numbers(self, evidence: Evidence) -> dict[int, tuple[float, ...]]:
        """What each seed of the evidence has for each operand, NaN where nothing. A seed that recorded one arm and not
        the other is not left out: what made it silent may be just what the claim is about."""
        columns = [evidence.values(metric, arm, at) for metric, arm, at in self._operands()]
        return {seed: tuple(column.get(seed, math.nan) for column in columns) for seed in evidence.seeds}

    def _if_recorded(self, evidence: Evidence, judge: Callable[[Evidence], Judgement]) -> Judgement:
        for metric, arm in sorted(self.reads()):
            try:
                evidence.values(metric, arm)
            except EvidenceError as error:
                return no_evidence(self.accepts, str(error), exact=self.exact)
        return judge(evidence)

    def to_json(self) -> JSON:
        given = {
            each.name: getattr(self, each.name) for each in dataclasses.fields(self) if getattr(self, each.name) != each.default
        }
        return {"rule": self._name} | {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


@dataclass(frozen=True)
class Difference(_Measured):
    """`metric` in `arm` minus that in the arm `minus`, paired over seeds. No effect is 0."""

    metric: str
    arm: str
    minus: str = field(kw_only=True)
    at_least: float | None = field(default=None, kw_only=True)
    at_most: float | None = field(default=None, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_one_threshold(self._name, self.at_least, self.at_most)
        _need_different(self._name, self.arm, self.minus)

    @property
    def accepts(self) -> Acceptance:
        return _one_sided(self.at_least, self.at_most, null=0.0)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return (self.metric, self.arm, self.at), (self.metric, self.minus, self.at)

    def _combine(self, numbers: Sequence[float]) -> float:
        return numbers[0] - numbers[1]

    def _says(self) -> str:
        return f"{_subject(self.metric, self.arm, self.at)} is {_compared(self.at_least, self.at_most, f'that of {_name(self.minus)}')}"


@dataclass(frozen=True)
class Ratio(_Measured):
    """`metric` in `arm` over that in the arm `over`: the geometric mean of the ratios of the seeds, with its interval from their
    logarithms. No effect is 1. Two zeros and negative numbers have no ratio. An exact tolerance is relative: 0.01 is 1 %."""

    metric: str
    arm: str
    over: str = field(kw_only=True)
    at_least: float | None = field(default=None, kw_only=True)
    at_most: float | None = field(default=None, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_one_threshold(self._name, self.at_least, self.at_most)
        _need_different(self._name, self.arm, self.over)
        threshold = self.at_most if self.at_least is None else self.at_least
        if threshold is not None and threshold <= 0:
            raise RuleError(f"Ratio needs a threshold above 0, got {_exactly(threshold)}")

    @property
    def accepts(self) -> Acceptance:
        return _one_sided(self.at_least, self.at_most, null=1.0)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return (self.metric, self.arm, self.at), (self.metric, self.over, self.at)

    def _combine(self, numbers: Sequence[float]) -> float:
        above, below = numbers
        if math.isnan(above) or math.isnan(below) or min(above, below) < 0 or above == below == 0:
            return math.nan
        return math.inf if below == 0 else above / below

    def _judge(self, evidence: Evidence) -> Judgement:
        ratios = {seed: self._combine(numbers) for seed, numbers in self._numbers(evidence).items()}
        judged = judge_values(ratios, self.accepts, exact=self.exact, tolerance=self.tolerance, log=True)
        if judged.missing:
            return dataclasses.replace(judged, note=f"{judged.note} (a ratio needs two numbers of 0 or more, not both 0)")
        return judged

    def _says(self) -> str:
        word, threshold = ("at least", self.at_least) if self.at_least is not None else ("at most", self.at_most)
        return f"{_subject(self.metric, self.arm, self.at)} is {word} {_exactly(threshold)} times that of {_name(self.over)}"


@dataclass(frozen=True)
class Above(_Measured):
    """`metric` in `arm` is at least `at_least`. What chance gives, or no effect, is `chance`."""

    metric: str
    arm: str
    at_least: float = field(kw_only=True)
    chance: float = field(default=0.0, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_beyond_chance(self._name, self.at_least, None, self.chance or None)

    @property
    def accepts(self) -> Acceptance:
        return Acceptance(self.at_least, math.inf, self.chance)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return ((self.metric, self.arm, self.at),)

    def _says(self) -> str:
        return f"{_subject(self.metric, self.arm, self.at)} is at least {_exactly(self.at_least)}{_chance(self.chance or None)}"


@dataclass(frozen=True)
class Below(_Measured):
    """`metric` in `arm` is at most `at_most`. Without a value that chance gives nothing is partly matched."""

    metric: str
    arm: str
    at_most: float = field(kw_only=True)
    chance: float | None = field(default=None, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_beyond_chance(self._name, None, self.at_most, self.chance)

    @property
    def accepts(self) -> Acceptance:
        return Acceptance(-math.inf, self.at_most, self.chance)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return ((self.metric, self.arm, self.at),)

    def _says(self) -> str:
        return f"{_subject(self.metric, self.arm, self.at)} is at most {_exactly(self.at_most)}{_chance(self.chance)}"


@dataclass(frozen=True)
class Within(_Measured):
    """`metric` in `arm` lies between `low` and `high`: matched when the whole interval does, not matched when none of it does."""

    metric: str
    arm: str
    low: float = field(kw_only=True)
    high: float = field(kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        if self.low > self.high:
            raise RuleError(f"Within needs low below high, got {_exactly(self.low)} and {_exactly(self.high)}")

    @property
    def accepts(self) -> Acceptance:
        return Acceptance(self.low, self.high)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return ((self.metric, self.arm, self.at),)

    def _says(self) -> str:
        return f"{_subject(self.metric, self.arm, self.at)} lies between {_exactly(self.low)} and {_exactly(self.high)}"


@dataclass(frozen=True)
class Equivalent(_Measured):
    """`metric` in `arm` differs from that in the arm `to` by no more than `margin`, paired over seeds. Decided as `Within`:
    no difference found is not enough, the whole interval has to be small."""

    metric: str
    arm: str
    to: str = field(kw_only=True)
    margin: float = field(kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_different(self._name, self.arm, self.to)
        if self.margin < 0:
            raise RuleError(f"Equivalent needs a margin of 0 or more, got {_exactly(self.margin)}")

    @property
    def accepts(self) -> Acceptance:
        return Acceptance(-self.margin, self.margin)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return (self.metric, self.arm, self.at), (self.metric, self.to, self.at)

    def _combine(self, numbers: Sequence[float]) -> float:
        return numbers[0] - numbers[1]

    def _says(self) -> str:
        subject = _subject(self.metric, self.arm, self.at)
        return f"{subject} differs from that of {_name(self.to)} by no more than {_exactly(self.margin)}, either way"


@dataclass(frozen=True)
class Monotone(_Measured):
    """`metric` rises or falls with a factor: Spearman's rank correlation, one a seed. No effect is 0; a flat course counts as 0.

    The factor is the order of `arms`; or the metric `by` as measured in them; or, with over="step", the steps of one arm.
    """

    metric: str
    arms: tuple[str, ...]
    direction: Literal["rises", "falls"] = "rises"
    at_least: float = field(default=0.9, kw_only=True)
    over: Literal["arms", "step"] = field(default="arms", kw_only=True)
    by: str = field(default="", kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        if self.direction not in ("rises", "falls"):
            raise RuleError(f"Monotone needs the direction rises or falls, got {self.direction!r}")
        if self.over == "step":
            if len(self.arms) != 1 or self.by or self.at != "last":
                raise RuleError(f"Monotone over the steps needs one arm and neither by nor at, got {', '.join(self.arms)}")
        elif self.over != "arms":
            raise RuleError(f"Monotone goes over arms or step, got {self.over!r}")
        elif len(self.arms) < 3:
            raise RuleError(f"Monotone needs at least 3 arms in the order of the factor, got {len(self.arms)}")
        if not 0 < self.at_least <= 1:
            raise RuleError(f"Monotone needs a correlation above 0 and up to 1, got {_exactly(self.at_least)}")

    @property
    def accepts(self) -> Acceptance:
        rises = Acceptance(self.at_least, math.inf, 0.0)
        return rises if self.direction == "rises" else rises.mirrored()

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return tuple((metric, arm, self.at) for metric in filter(None, (self.metric, self.by)) for arm in self.arms)

    def _combine(self, numbers: Sequence[float]) -> float:
        arms = len(self.arms)
        return _rank_correlation(numbers[arms:] if self.by else range(arms), numbers[:arms])

    def _judge(self, evidence: Evidence) -> Judgement:
        if self.over == "arms":
            per_seed = {seed: self._combine(numbers) for seed, numbers in self._numbers(evidence).items()}
        else:
            curves = evidence.curves(self.metric, self.arms[0])
            per_seed = dict.fromkeys(evidence.seeds, math.nan)
            per_seed |= {seed: _rank_correlation(curve.step.tolist(), curve.value.tolist()) for seed, curve in curves.items()}
        judged = judge_values(per_seed, self.accepts, exact=self.exact, tolerance=self.tolerance, size=1.0)
        if judged.low is None or judged.high is None:
            return judged
        # A correlation lies in [-1, 1], and so does every threshold: the cut takes nothing from the decision.
        return dataclasses.replace(judged, low=max(judged.low, -1.0), high=min(judged.high, 1.0))

    def _says(self) -> str:
        metric = f"the {_measured(self.metric, self.at)}"
        if self.over == "step":
            course = f"over the steps of {_name(self.arms[0])}"
        elif self.by:
            course = f"with the {_measured(self.by, self.at)} over {_list(self.arms)}"
        else:
            course = f"from {_name(self.arms[0])} over {_list(self.arms[1:-1])} to {_name(self.arms[-1])}"
        sign, bound = (1, "at least") if self.direction == "rises" else (-1, "at most")
        return _capital(f"{metric} {self.direction} {course}: the rank correlation is {bound} {_exactly(sign * self.at_least)}")


@dataclass(frozen=True)
class Ordered(_Measured):
    """`metric` falls from each of `arms` to the next by at least `gap`.

    Each neighbouring pair is judged as a `Difference` and all have to hold; what is shown is the weakest pair. The mean over
    seeds of each seed's smallest gap would not do: it lies below every true gap, so that a true order could come out as not
    matched.
    """

    metric: str
    arms: tuple[str, ...]
    gap: float = field(default=0.0, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        if len(self.arms) < 2:
            raise RuleError(f"Ordered needs at least 2 arms, largest first, got {len(self.arms)}")
        if self.gap < 0:
            raise RuleError(f"Ordered needs a gap of 0 or more, got {_exactly(self.gap)}")

    @property
    def accepts(self) -> Acceptance:
        return Acceptance(self.gap, math.inf, 0.0)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return tuple((self.metric, arm, self.at) for arm in self.arms)

    def _judge(self, evidence: Evidence) -> Judgement:
        judged = [
            (Difference(self.metric, a, minus=b, at_least=self.gap, at=self.at, exact=self.exact, tolerance=self.tolerance), a, b)
            for a, b in zip(self.arms, self.arms[1:], strict=False)
        ]
        gaps = [(rule.judge(evidence), f"smallest gap: {_name(a)} above {_name(b)}") for rule, a, b in judged]
        word = worst([gap.verdict for gap, _ in gaps])
        weakest, pair = min(
            (each for each in gaps if each[0].verdict == word),
            key=lambda each: math.inf if each[0].margin is None else each[0].margin,
        )
        return dataclasses.replace(weakest, note="; ".join(filter(None, (pair, weakest.note))))

    def _says(self) -> str:
        by = f", each time by at least {_exactly(self.gap)}" if self.gap else ", or stays level"
        chain = ", then ".join(_name(arm) for arm in self.arms[1:])
        return _capital(f"the {_measured(self.metric, self.at)} falls from {_name(self.arms[0])} to {chain}{by}")


@dataclass(frozen=True)
class Rate(_Measured):
    """The share of `trials` that are `successes`, two metrics of counts, pooled over seeds; n is the number of trials.

    It is meant for trials that are independent of each other and between seeds, such as sampled answers of one model. Where a
    seed trains a model of its own, the seeds are the sample: record the share and use `Above` or `Below`.
    """

    successes: str
    trials: str
    arm: str
    at_least: float | None = field(default=None, kw_only=True)
    at_most: float | None = field(default=None, kw_only=True)
    chance: float | None = field(default=None, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_one_threshold(self._name, self.at_least, self.at_most)
        _need_different(self._name, self.successes, self.trials, "metrics")
        for share in (self.at_least, self.at_most, self.chance):
            if share is not None and not 0 <= share <= 1:
                raise RuleError(f"Rate needs shares from 0 to 1, got {_exactly(share)}")
        _need_beyond_chance(self._name, self.at_least, self.at_most, self.chance)

    @property
    def accepts(self) -> Acceptance:
        return _one_sided(self.at_least, self.at_most, null=self.chance)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return (self.successes, self.arm, self.at), (self.trials, self.arm, self.at)

    def _judge(self, evidence: Evidence) -> Judgement:
        counts = {seed: (numbers[0], numbers[1]) for seed, numbers in self._numbers(evidence).items()}
        return judge_counts(counts, self.accepts, exact=self.exact, tolerance=self.tolerance)

    def _says(self) -> str:
        word, share = ("at least", self.at_least) if self.at_least is not None else ("at most", self.at_most)
        successes, trials = _measured(self.successes, self.at), _measured(self.trials, self.at)
        return f"In {_name(self.arm)}, {successes} make up {word} {_exactly(share)} of {trials}{_chance(self.chance)}"


@dataclass(frozen=True)
class Contrast(_Measured):
    """The mean of `metric` over the arms `plus` minus its mean over the arms `minus`, paired over seeds. No effect is 0.

    With two arms on each side it is half the difference of their differences: (a - b) - (c - d) is twice the contrast of
    plus=(a, d) with minus=(b, c).
    """

    metric: str
    plus: tuple[str, ...] = field(kw_only=True)
    minus: tuple[str, ...] = field(kw_only=True)
    at_least: float | None = field(default=None, kw_only=True)
    at_most: float | None = field(default=None, kw_only=True)
    at: At = field(default="last", kw_only=True)

    def _check(self) -> None:
        _need_one_threshold(self._name, self.at_least, self.at_most)
        both = set(self.plus) & set(self.minus)
        if both:
            raise RuleError(f"Contrast needs different arms on its two sides, got {', '.join(sorted(both))} on both")

    @property
    def accepts(self) -> Acceptance:
        return _one_sided(self.at_least, self.at_most, null=0.0)

    def _operands(self) -> Sequence[tuple[str, str, At]]:
        return tuple((self.metric, arm, self.at) for arm in (*self.plus, *self.minus))

    def _combine(self, numbers: Sequence[float]) -> float:
        sides = numbers[: len(self.plus)], numbers[len(self.plus) :]
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN: that seed has no result, and the note says so
            return float(np.mean(sides[0]) - np.mean(sides[1]))

    def _says(self) -> str:
        subject = _capital(f"the {_measured(self.metric, self.at)} of {_list(self.plus)}")
        mean = ", on average," if len(self.plus) > 1 else ""
        return f"{subject}{mean} is {_compared(self.at_least, self.at_most, f'that of {_list(self.minus)}')}"


@dataclass(frozen=True, init=False)
class All(Rule):
    """Several rules that all have to hold: its verdict is the worst of theirs, in the order not matched, too noisy, partly
    matched, matched. What is shown besides the parts is the first part with that verdict."""

    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        if len(rules) < 2:
            raise RuleError(f"All needs at least 2 rules, got {len(rules)}")
        for rule in rules:
            if not isinstance(rule, Rule):
                raise RuleError(f"All needs rules, got {rule!r:.80}")
        object.__setattr__(self, "rules", rules)

    def sentence(self) -> str:
        numbered = " ".join(f"({i}) {rule.sentence()}" for i, rule in enumerate(self.rules, start=1))
        return f"All of these hold: {numbered}"

    def judge(self, evidence: Evidence) -> Judgement:
        parts = tuple(rule.judge(evidence) for rule in self.rules)
        word = worst([part.verdict for part in parts])
        return dataclasses.replace(next(part for part in parts if part.verdict == word), parts=parts)

    def reads(self) -> frozenset[tuple[str, str]]:
        return frozenset().union(*(rule.reads() for rule in self.rules))

    def to_json(self) -> JSON:
        return {"rule": "All", "rules": [rule.to_json() for rule in self.rules]}


KINDS: dict[str, type[_Measured]] = {
    kind.__name__: kind for kind in (Difference, Ratio, Above, Below, Within, Equivalent, Monotone, Ordered, Rate, Contrast)
}


def rule_from_json(given: Mapping[str, object]) -> Rule:
    """The rule that `to_json` made.

    Raises:
        RuleError: if `given` names no rule, or its fields do not make one.
    """
    if not isinstance(given, Mapping):
        raise RuleError(f"a rule must be a JSON object, got {given!r:.80}")
    name, fields = given.get("rule"), {key: value for key, value in given.items() if key != "rule"}
    if name == "All":
        rules = fields.pop("rules", None)
        if not isinstance(rules, list) or fields:
            raise RuleError(f"All needs a list of rules and nothing else, got {dict(given)!s:.120}")
        return All(*(rule_from_json(rule) for rule in rules))
    if not isinstance(name, str) or name not in KINDS:
        raise RuleError(f"a rule must be one of {', '.join(sorted([*KINDS, 'All']))}, got {name!r:.80}")
    try:
        return cast(Callable[..., Rule], KINDS[name])(**fields)
    except TypeError as error:
        raise RuleError(f"{name} cannot be made of {', '.join(fields) or 'nothing'}: {error}") from None


def _clean(rule: str, given: dataclasses.Field[object], value: object) -> object:
    """The value of a field as it is kept: numbers as finite floats, names as non-empty words, several as tuples."""
    kind = str(given.type)
    if given.name == "at":
        if value not in ("first", "last", "max", "min", "mean") and (not isinstance(value, int) or isinstance(value, bool)):
            raise RuleError(f"{rule} needs at to be first, last, max, min, mean or a step, got {value!r:.80}")
    elif kind.startswith("float"):
        if value is None and "None" in kind:
            return None
        if not isinstance(value, (int, float, np.floating)) or isinstance(value, bool) or not math.isfinite(value):
            raise RuleError(f"{rule} needs {given.name} to be a finite number, got {value!r:.80}")
        return float(value)
    elif kind.startswith("tuple"):
        if isinstance(value, str) or not isinstance(value, Sequence) or not value or not all(_is_word(each) for each in value):
            raise RuleError(f"{rule} needs {given.name} to be several names, got {value!r:.80}")
        if len(set(value)) < len(value):
            raise RuleError(f"{rule} needs {given.name} to be different, got {', '.join(value)}")
        return tuple(value)
    elif kind == "bool":
        if not isinstance(value, bool):
            raise RuleError(f"{rule} needs {given.name} to be true or false, got {value!r:.80}")
    elif not _is_word(value) and not (value == "" and given.default == ""):
        raise RuleError(f"{rule} needs {given.name} to be a name, got {value!r:.80}")
    return value


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _need_one_threshold(rule: str, at_least: float | None, at_most: float | None) -> None:
    if (at_least is None) == (at_most is None):
        raise RuleError(f"{rule} needs either at_least or at_most, got {'neither' if at_least is None else 'both'}")


def _need_different(rule: str, a: str, b: str, what: str = "arms") -> None:
    if a == b:
        raise RuleError(f"{rule} needs two different {what}, got {a} twice")


def _need_beyond_chance(rule: str, at_least: float | None, at_most: float | None, chance: float | None) -> None:
    if chance is None:
        return
    if (at_least is not None and at_least < chance) or (at_most is not None and at_most > chance):
        threshold = at_least if at_least is not None else at_most
        raise RuleError(
            f"{rule} needs a threshold that chance does not meet, got {_exactly(threshold)} with chance at {_exactly(chance)}"
        )


def _one_sided(at_least: float | None, at_most: float | None, *, null: float | None) -> Acceptance:
    return Acceptance(
        -math.inf if at_least is None else at_least,
        math.inf if at_most is None else at_most,
        null,
    )


def _rank_correlation(factor: Sequence[float], values: Sequence[float]) -> float:
    """Spearman's correlation; 0 if either is constant, NaN if a number is missing or there are fewer than 3."""
    if len(values) < 3 or any(map(math.isnan, (*factor, *values))):
        return math.nan
    if len(set(factor)) == 1 or len(set(values)) == 1:
        return 0.0
    from scipy import stats

    return float(stats.spearmanr(factor, values).statistic)


def _measured(metric: str, at: At) -> str:
    if isinstance(at, int):
        return f"{_name(metric)} at step {at}"
    return {"first": "first ", "last": "", "max": "largest ", "min": "smallest ", "mean": "mean "}[at] + _name(metric)


def _subject(metric: str, arm: str, at: At) -> str:
    return _capital(f"the {_measured(metric, at)} of {_name(arm)}")


def _compared(at_least: float | None, at_most: float | None, other: str) -> str:
    """ "higher than that of b by at least 0.1" and its seven siblings."""
    threshold = at_least if at_least is not None else at_most
    if threshold == 0:
        return f"{'at least' if at_least is not None else 'at most'} {other}"
    if at_least is not None:
        if at_least > 0:
            return f"higher than {other} by at least {_exactly(at_least)}"
        return f"not lower than {other} by more than {_exactly(-at_least)}"
    at_most = cast(float, at_most)
    if at_most < 0:
        return f"lower than {other} by at least {_exactly(-at_most)}"
    return f"not higher than {other} by more than {_exactly(at_most)}"


def _chance(chance: float | None) -> str:
    return "" if chance is None else f", where chance gives {_exactly(chance)}"


def _list(names: Sequence[str]) -> str:
    *most, last = map(_name, names)
    return f"{', '.join(most)} and {last}" if most else last


def _name(name: str) -> str:
    return name.replace("_", " ")


def _exactly(value: float | None) -> str:
    """A threshold as it was written, with a true minus sign."""
    return "none" if value is None else f"{value:.15g}".replace("-", "−")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
