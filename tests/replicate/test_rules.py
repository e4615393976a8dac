"""What each rule compares, what it says, and what it refuses to be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.replicate import (
    Above,
    All,
    Below,
    Contrast,
    Difference,
    Equivalent,
    Evidence,
    Monotone,
    Ordered,
    Rate,
    Ratio,
    Row,
    Rule,
    RuleError,
    Within,
    rule_from_json,
)
from pressrun.replicate.verdicts import Word

INF = math.inf
NAN = math.nan


def table(unit: str = "1", **arms: tuple[float, ...]) -> Evidence:
    """One metric m: for each arm the numbers of seeds 0, 1, …"""
    return Evidence(Row(seed, arm, "m", value, unit) for arm, values in arms.items() for seed, value in enumerate(values))


def curves(*seeds: tuple[float, ...]) -> Evidence:
    """One metric m over the steps 0, 10, … of arm a, a tuple a seed."""
    return Evidence(
        Row(seed, "a", "m", value, "1", 10 * step) for seed, values in enumerate(seeds) for step, value in enumerate(values)
    )


# What they compare.


def test_a_difference_is_paired_over_seeds() -> None:
    # The arms overlap widely, their differences 1.0, 1.1, 0.9 do not: mean 1, deviation 0.1, reach 4.3027 * 0.1 / sqrt 3 =
    # 0.2484.
    judged = Difference("m", "a", minus="b", at_least=0.7).judge(table(unit="mV", a=(5.0, 1.1, 9.9), b=(4.0, 0.0, 9.0)))
    assert judged.verdict == "matched"
    assert judged.estimate == pytest.approx(1.0)
    assert (judged.low, judged.high) == (pytest.approx(0.7516, abs=1e-4), pytest.approx(1.2484, abs=1e-4))
    assert judged.per_seed == {0: 1.0, 1: 1.1, 2: pytest.approx(0.9)}
    assert judged.unit == "mV"


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (Difference("m", "a", minus="b", at_least=0.5), "matched"),
        (Difference("m", "a", minus="b", at_least=3), "partly matched"),
        (Difference("m", "a", minus="b", at_least=1), "too noisy"),
        (Difference("m", "a", minus="b", at_most=0.5), "not matched"),
        (Difference("m", "a", minus="b", at_most=-0.5), "not matched"),
        (Difference("m", "b", minus="a", at_most=-0.5), "matched"),
        (Difference("m", "b", minus="a", at_most=-3), "partly matched"),
        (Difference("m", "b", minus="a", at_least=-0.5), "not matched"),
        (Difference("m", "b", minus="a", at_least=-2), "matched"),
        (Ratio("m", "a", over="b", at_least=1.1), "matched"),
        (Ratio("m", "a", over="b", at_least=4), "partly matched"),
        (Ratio("m", "a", over="b", at_most=0.5), "not matched"),
        (Ratio("m", "b", over="a", at_most=0.9), "matched"),
        (Ratio("m", "b", over="a", at_most=0.1), "partly matched"),
        (Above("m", "a", at_least=1.9), "matched"),
        (Above("m", "a", at_least=4), "partly matched"),
        (Above("m", "a", at_least=4, chance=3.5), "not matched"),
        (Above("m", "b", at_least=1.0), "too noisy"),
        (Below("m", "a", at_most=4), "matched"),
        (Below("m", "a", at_most=1), "not matched"),
        (Below("m", "a", at_most=1, chance=5), "partly matched"),
        (Within("m", "a", low=1.5, high=2.7), "matched"),
        (Within("m", "a", low=2.1, high=2.7), "too noisy"),
        (Within("m", "a", low=3, high=4), "not matched"),
        (Equivalent("m", "a", to="b", margin=2), "matched"),
        (Equivalent("m", "a", to="b", margin=1), "too noisy"),
        (Equivalent("m", "a", to="b", margin=0.5), "not matched"),
        (Ordered("m", ("a", "b", "c")), "matched"),
        (Ordered("m", ("a", "b", "c"), gap=0.5), "matched"),
        (Ordered("m", ("a", "c", "b")), "not matched"),
        (Ordered("m", ("a", "b", "c"), gap=3), "partly matched"),
        (Contrast("m", plus=("a",), minus=("b", "c"), at_least=1.2), "matched"),
        (Contrast("m", plus=("b", "c"), minus=("a",), at_most=-1.2), "matched"),
        (Contrast("m", plus=("b", "c"), minus=("a",), at_least=0), "not matched"),
        (Monotone("m", ("a", "b", "c"), "falls"), "matched"),
        (Monotone("m", ("a", "b", "c"), "rises"), "not matched"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_it_comes_to_the_verdict_worked_out_by_hand(rule: Rule, word: Word) -> None:
    # 95 % intervals: a 1.98 to 2.46, b 0.82 to 1.18, c -0.26 to 0.26, a - b 0.98 to 1.46, b - c 0.71 to 1.29.
    evidence = table(a=(2.0, 2.1, 2.2, 2.3, 2.5), b=(1.0, 0.8, 1.0, 1.2, 1.0), c=(0.2, -0.1, -0.3, 0.0, 0.2))
    assert rule.judge(evidence).verdict == word


def test_a_ratio_is_the_geometric_mean() -> None:
    judged = Ratio("m", "a", over="b", at_least=1.5).judge(table(unit="s", a=(8.0, 2.0), b=(2.0, 2.0)))
    assert judged.estimate == pytest.approx(2.0)  # sqrt(4 * 1)
    assert judged.per_seed == {0: 4.0, 1: 1.0}
    assert (judged.accept_low, judged.null, judged.unit) == (1.5, 1.0, "1")


def test_a_ratio_to_zero_is_infinite_and_of_zero_is_none_at_all() -> None:
    assert Ratio("m", "a", over="b", at_least=10).judge(table(a=(1.0, 2.0), b=(0.0, 0.0))).verdict == "matched"
    assert Ratio("m", "a", over="b", at_most=0.5).judge(table(a=(0.0, 0.0), b=(1.0, 2.0))).verdict == "matched"
    assert Ratio("m", "a", over="b", at_least=0.5).judge(table(a=(0.0, 0.0), b=(1.0, 2.0))).verdict == "not matched"


@pytest.mark.parametrize("pair", [(0.0, 0.0), (-1.0, 2.0), (1.0, -2.0), (NAN, 1.0), (INF, INF)])
def test_two_numbers_without_a_ratio_are_no_result(pair: tuple[float, float]) -> None:
    judged = Ratio("m", "a", over="b", at_least=1).judge(table(a=(2.0, 2.1, pair[0]), b=(1.0, 1.0, pair[1])))
    assert (judged.verdict, judged.missing) == ("too noisy", (2,))
    assert judged.note == "no result in seed 2 (a ratio needs two numbers of 0 or more, not both 0)"


def test_an_exact_ratio_has_a_relative_tolerance() -> None:
    evidence = table(a=(0.99,), b=(1.0,))
    assert Ratio("m", "a", over="b", at_least=1, exact=True, tolerance=0.02).judge(evidence).verdict == "matched"
    assert Ratio("m", "a", over="b", at_least=1, exact=True, tolerance=0.005).judge(evidence).verdict == "not matched"


def test_a_seed_that_lacks_one_arm_is_not_left_out() -> None:
    judged = Difference("m", "a", minus="b", at_least=0.5).judge(table(a=(2.0, 2.1, 2.2), b=(1.0, 1.0)))
    assert (judged.verdict, judged.missing, judged.note) == ("too noisy", (2,), "no result in seed 2")


def test_a_seed_without_the_step_has_no_result() -> None:
    judged = Above("m", "a", at_least=0.5, at=20).judge(curves((1, 2, 3), (1, 2), (1, 2, 4)))
    assert (judged.missing, dict(judged.per_seed)) == ((1,), {0: 3.0, 2: 4.0})


@pytest.mark.parametrize(("at", "value"), [("first", 4.0), ("last", 2.0), ("max", 6.0), ("min", 2.0), ("mean", 4.0), (10, 6.0)])
def test_it_takes_the_step_it_is_told(at: str | int, value: float) -> None:
    judged = Above("m", "a", at_least=0, at=at).judge(curves((4, 6, 2), (4, 6, 2)))  # type: ignore[arg-type]
    assert judged.estimate == value


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        (Above("x", "a", at_least=1), "nothing was recorded of metric 'x' in arm 'a'; recorded metrics are m"),
        (
            Difference("m", "a", minus="x", at_least=1),
            "nothing was recorded of metric 'm' in arm 'x'; 'm' was recorded in the arms a, b",
        ),
        (Ordered("m", ("a", "b", "x")), "nothing was recorded of metric 'm' in arm 'x'; 'm' was recorded in the arms a, b"),
        (Rate("k", "n", "a", at_least=0.1), "nothing was recorded of metric 'k' in arm 'a'; recorded metrics are m"),
        (Monotone("x", ("a",), over="step"), "nothing was recorded of metric 'x' in arm 'a'; recorded metrics are m"),
    ],
)
def test_what_was_not_recorded_is_too_noisy_and_says_so(rule: Rule, note: str) -> None:
    judged = rule.judge(table(a=(1.0, 2.0), b=(1.0, 2.0)))
    assert (judged.verdict, judged.n, judged.note) == ("too noisy", 0, note)


def test_a_contrast_is_half_the_difference_of_differences() -> None:
    judged = Contrast("m", plus=("a", "d"), minus=("b", "c"), at_least=0.1).judge(
        table(a=(5.0, 6.0), b=(1.0, 1.0), c=(3.0, 3.0), d=(2.0, 2.0))
    )
    assert judged.per_seed == {0: 1.5, 1: 2.0}  # ((5 - 1) - (3 - 2)) / 2 and ((6 - 1) - (3 - 2)) / 2


def test_a_contrast_of_opposite_infinities_is_no_result() -> None:
    judged = Contrast("m", plus=("a", "b"), minus=("c",), at_least=0).judge(table(a=(INF, 1.0), b=(-INF, 1.0), c=(0.0, 0.0)))
    assert judged.missing == (0,)


# Spearman's correlation by hand: 1 - 6 * sum of d^2 / (n (n^2 - 1)).
@pytest.mark.parametrize(
    ("values", "correlation"),
    [
        ((1.0, 2.0, 3.0, 4.0), 1.0),
        ((4.0, 3.0, 2.0, 1.0), -1.0),
        ((1.0, 3.0, 2.0, 4.0), 0.8),  # d^2 sums to 2
        ((1.0, 1.0, 1.0, 1.0), 0.0),  # a flat course neither rises nor falls
        ((1.0, 2.0, 3.0, INF), 1.0),
    ],
)
def test_monotone_is_spearmans_correlation(values: tuple[float, ...], correlation: float) -> None:
    a, b, c, d = values
    by_arm = Monotone("m", ("a", "b", "c", "d")).judge(table(a=(a, a), b=(b, b), c=(c, c), d=(d, d)))
    by_step = Monotone("m", ("a",), over="step").judge(curves(values, values))
    assert (by_arm.estimate, by_step.estimate) == (pytest.approx(correlation), pytest.approx(correlation))


def test_monotone_by_a_measured_factor_orders_the_arms_by_it() -> None:
    evidence = Evidence(
        Row(seed, arm, metric, value)
        for seed in (0, 1)
        for metric, values in {"factor": (3.0, 1.0, 2.0), "gain": (0.9, 0.1, 0.5)}.items()
        for arm, value in zip("abc", values, strict=True)
    )
    assert Monotone("gain", ("a", "b", "c"), by="factor").judge(evidence).verdict == "matched"
    assert Monotone("gain", ("a", "b", "c")).judge(evidence).verdict == "not matched"


def test_the_interval_of_a_correlation_stays_in_its_range() -> None:
    judged = Monotone("m", ("a", "b", "c"), at_least=0.2).judge(table(a=(1, 1, 2, 1, 1), b=(2, 2, 1, 2, 2), c=(3, 3, 3, 3, 3)))
    assert judged.high == 1.0
    assert judged.low == pytest.approx(0.9 - 2.7764 * math.sqrt(0.05) / math.sqrt(5), abs=1e-3)  # 1, 1, 0.5, 1, 1


def test_a_gap_in_the_course_is_no_result() -> None:
    judged = Monotone("m", ("a",), over="step").judge(curves((1, 2, 3), (1, NAN, 3), (1, 2)))
    assert judged.missing == (1, 2)


def test_an_order_is_as_strong_as_its_weakest_gap() -> None:
    judged = Ordered("m", ("a", "b", "c"), gap=0.1).judge(table(a=(9.0, 9.1, 9.2), b=(5.0, 5.0, 5.1), c=(4.0, 4.2, 4.0)))
    assert judged.per_seed == {0: 1.0, 1: pytest.approx(0.8), 2: pytest.approx(1.1)}
    assert judged.note == "smallest gap: b above c"


def test_a_true_order_seldom_comes_out_as_not_matched() -> None:
    # Five arms, each half a standard deviation above the next. The mean of each seed's smallest gap is about -1.2, surely below
    # 0.
    rng = np.random.default_rng(8)
    arms = ("e", "d", "c", "b", "a")
    words = []
    for _ in range(200):
        values = {arm: tuple(rng.normal(-0.5 * place, 1.0, 20).tolist()) for place, arm in enumerate(arms)}
        words.append(Ordered("m", arms).judge(table(**values)).verdict)
    assert words.count("not matched") <= 4  # 4 gaps a run, each wrong in far less than 1 of 40


def test_a_rate_pools_the_counts_of_the_seeds() -> None:
    evidence = Evidence(
        Row(seed, "a", metric, count)
        for seed, counts in enumerate(((3, 100), (5, 100)))
        for metric, count in zip(("retries", "trials"), counts, strict=True)
    )
    judged = Rate("retries", "trials", "a", at_most=0.1).judge(evidence)
    assert (judged.estimate, judged.n, judged.verdict) == (0.04, 200, "matched")


def test_all_is_as_good_as_its_worst_part() -> None:
    evidence = table(a=(2.0, 2.1, 2.2), b=(1.0, 1.0, 1.1))
    good, partly, bad = Above("m", "a", at_least=1), Above("m", "a", at_least=9), Below("m", "b", at_most=0.5)
    assert All(good, good).judge(evidence).verdict == "matched"
    judged = All(good, partly).judge(evidence)
    assert (judged.verdict, judged.threshold, [part.verdict for part in judged.parts]) == (
        "partly matched",
        9,
        ["matched", "partly matched"],
    )
    assert All(partly, bad, good).judge(evidence).verdict == "not matched"
    assert All(good, All(good, bad)).judge(evidence).verdict == "not matched"


# Rules as data.

names = st.sampled_from(["a", "b_c", "ü"])
numbers = st.floats(allow_nan=False, allow_infinity=False)
at = st.sampled_from(["first", "last", "max", "min", "mean"]) | st.integers(-5, 2**40)
exactness = st.just({}) | st.builds(lambda tolerance: {"exact": True, "tolerance": tolerance}, st.floats(0, 1e6))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule but All."""
    metric, (one, two, *_), arms = (
        draw(names),
        draw(st.permutations(["x", "y", "z"])),
        tuple(draw(st.permutations(["x", "y", "z"]))),
    )
    threshold = {draw(st.sampled_from(["at_least", "at_most"])): draw(numbers)}
    positive = {key: abs(value) or 1.0 for key, value in threshold.items()}
    more = {**draw(exactness), "at": draw(at)}
    low, high = sorted((draw(numbers), draw(numbers)))
    share = {key: draw(st.floats(0, 1)) for key in threshold}
    made: list[Callable[[], Rule]] = [
        lambda: Difference(metric, one, minus=two, **threshold, **more),
        lambda: Ratio(metric, one, over=two, **positive, **more),
        lambda: Above(metric, one, at_least=high, chance=low, **more),
        lambda: Below(metric, one, at_most=low, chance=high, **more),
        lambda: Within(metric, one, low=low, high=high, **more),
        lambda: Equivalent(metric, one, to=two, margin=abs(high), **more),
        lambda: Monotone(metric, arms, draw(st.sampled_from(["rises", "falls"])), by=draw(st.just("") | names), **more),
        lambda: Ordered(metric, arms, gap=abs(low), **more),
        lambda: Rate("k", "n", one, **share, **more),
        lambda: Contrast(metric, plus=(one,), minus=(two,), **threshold, **more),
    ]
    return draw(st.sampled_from(made))()


@given(rules() | st.builds(All, rules(), rules()))
def test_json_gives_a_rule_back(rule: Rule) -> None:
    text = json.dumps(rule.to_json(), allow_nan=False)
    again = rule_from_json(json.loads(text))
    assert again == rule
    assert json.dumps(again.to_json()) == text


@settings(deadline=None)
@given(rules() | st.builds(All, rules(), rules()), st.randoms())
def test_neither_the_order_of_rows_nor_that_of_seeds_matters(rule: Rule, random: Random) -> None:
    chosen = np.random.default_rng(random.getrandbits(32))
    rows = [
        (arm, metric, float(chosen.integers(1, 9)), step)
        for arm in "xyz"
        for metric in ("a", "b_c", "ü", "k", "n")
        for step in (0, 1)
    ]
    seeds = [[(arm, metric, value + seed, step) for arm, metric, value, step in rows] for seed in (0, 1, 5)]
    table = [
        Row(seed, arm, metric, value, "1", step) for seed, of_seed in enumerate(seeds) for arm, metric, value, step in of_seed
    ]
    random.shuffle(seeds)
    shuffled = [
        Row(seed, arm, metric, value, "1", step) for seed, of_seed in enumerate(seeds) for arm, metric, value, step in of_seed
    ]
    random.shuffle(shuffled)
    one, other = rule.judge(Evidence(table)), rule.judge(Evidence(shuffled))
    assert (one.verdict, one.estimate, one.low, one.high) == (other.verdict, other.estimate, other.low, other.high)


@given(rules())
def test_every_sentence_begins_large_ends_with_a_full_stop_and_names_no_code(rule: Rule) -> None:
    sentence = rule.sentence()
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert not set(sentence) & set("_[](){}'\"=")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            Difference("test_accuracy", "ei", minus="plain", at_least=0.15),
            "The test accuracy of ei is higher than that of plain by at least 0.15.",
        ),
        (Difference("loss", "a", minus="b", at_most=-0.1), "The loss of a is lower than that of b by at least 0.1."),
        (Difference("loss", "a", minus="b", at_least=-0.1), "The loss of a is not lower than that of b by more than 0.1."),
        (Difference("loss", "a", minus="b", at_most=0.1), "The loss of a is not higher than that of b by more than 0.1."),
        (Difference("loss", "a", minus="b", at_least=0), "The loss of a is at least that of b."),
        (Difference("loss", "a", minus="b", at_most=0), "The loss of a is at most that of b."),
        (Ratio("abs_bias", "tsls", over="mr", at_least=10), "The abs bias of tsls is at least 10 times that of mr."),
        (Ratio("error", "a", over="b", at_most=1 / 3), "The error of a is at most 0.333333333333333 times that of b."),
        (Above("alignment", "oja", at_least=0.99996), "The alignment of oja is at least 0.99996."),
        (Above("accuracy", "a", at_least=0.6, chance=0.5), "The accuracy of a is at least 0.6, where chance gives 0.5."),
        (Below("error", "a", at_most=-1e-9, at="max"), "The largest error of a is at most −1e−09."),
        (Within("norm", "oja", low=0.95, high=1.05), "The norm of oja lies between 0.95 and 1.05."),
        (Equivalent("loss", "a", to="b", margin=0.02), "The loss of a differs from that of b by no more than 0.02, either way."),
        (
            Monotone("accuracy", ("n_1", "n_2", "n_3", "n_4"), "falls", at_least=0.8),
            "The accuracy falls from n 1 over n 2 and n 3 to n 4: the rank correlation is at most −0.8.",
        ),
        (
            Monotone("loss", ("a",), "falls", over="step"),
            "The loss falls over the steps of a: the rank correlation is at most −0.9.",
        ),
        (
            Monotone("gain", ("a", "b", "c"), by="pass_at_8"),
            "The gain rises with the pass at 8 over a, b and c: the rank correlation is at least 0.9.",
        ),
        (Ordered("accuracy", ("a", "b", "c"), gap=0.05), "The accuracy falls from a to b, then c, each time by at least 0.05."),
        (Ordered("accuracy", ("a", "b", "c")), "The accuracy falls from a to b, then c, or stays level."),
        (Rate("retries", "trials", "base", at_most=0.015), "In base, retries make up at most 0.015 of trials."),
        (
            Contrast("gain", plus=("a", "b"), minus=("c",), at_least=0.1, at=100),
            "The gain at step 100 of a and b, on average, is higher than that of c by at least 0.1.",
        ),
        (
            Within("degree", "a", low=3, high=3, exact=True),
            "The degree of a lies between 3 and 3. This result is exact: its value decides, and all seeds have to agree.",
        ),
        (
            Below("error", "a", at_most=0.001, exact=True, tolerance=1e-6),
            "The error of a is at most 0.001. This result is exact: its value decides with a tolerance of 1e−06, and all seeds have to agree.",
        ),
        (
            All(Above("gain", "high", at_least=0.1), Below("gain", "low", at_most=0.02)),
            "All of these hold: (1) The gain of high is at least 0.1. (2) The gain of low is at most 0.02.",
        ),
    ],
    ids=lambda given: type(given).__name__,
)
def test_it_says_what_has_to_hold(rule: Rule, sentence: str) -> None:
    assert rule.sentence() == sentence


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Difference("m", "a", minus="b"), "Difference needs either at_least or at_most, got neither"),
        (lambda: Difference("m", "a", minus="b", at_least=1, at_most=2), "Difference needs either at_least or at_most, got both"),
        (lambda: Difference("m", "a", minus="a", at_least=1), "Difference needs two different arms, got a twice"),
        (lambda: Difference("", "a", minus="b", at_least=1), "Difference needs metric to be a name, got ''"),
        (lambda: Difference("m", "a", minus="b", at_least=NAN), "Difference needs at_least to be a finite number, got nan"),
        (lambda: Above("m", "a", at_least="1"), "Above needs at_least to be a finite number, got '1'"),  # type: ignore[arg-type]
        (lambda: Above("m", "a", at_least=True), "Above needs at_least to be a finite number, got True"),
        (
            lambda: Above("m", "a", at_least=0.4, chance=0.5),
            "Above needs a threshold that chance does not meet, got 0.4 with chance at 0.5",
        ),
        (
            lambda: Below("m", "a", at_most=0.6, chance=0.5),
            "Below needs a threshold that chance does not meet, got 0.6 with chance at 0.5",
        ),
        (lambda: Above("m", "a", at_least=1, at="end"), "Above needs at to be first, last, max, min, mean or a step, got 'end'"),  # type: ignore[arg-type]
        (
            lambda: Above("m", "a", at_least=1, tolerance=0.1),
            "Above takes a tolerance only with exact=True; otherwise the interval decides",
        ),
        (lambda: Above("m", "a", at_least=1, exact=True, tolerance=-1), "Above needs a tolerance of 0 or more, got -1.0"),
        (lambda: Above("m", "a", at_least=1, exact="yes"), "Above needs exact to be true or false, got 'yes'"),  # type: ignore[arg-type]
        (lambda: Within("m", "a", low=2, high=1), "Within needs low below high, got 2 and 1"),
        (lambda: Ratio("m", "a", over="b", at_least=0), "Ratio needs a threshold above 0, got 0"),
        (lambda: Equivalent("m", "a", to="b", margin=-1), "Equivalent needs a margin of 0 or more, got −1"),
        (lambda: Monotone("m", ("a", "b")), "Monotone needs at least 3 arms in the order of the factor, got 2"),
        (lambda: Monotone("m", ("a", "b", "c"), "up"), "Monotone needs the direction rises or falls, got 'up'"),  # type: ignore[arg-type]
        (lambda: Monotone("m", ("a", "b", "c"), at_least=1.2), "Monotone needs a correlation above 0 and up to 1, got 1.2"),
        (lambda: Monotone("m", ("a", "b"), over="step"), "Monotone over the steps needs one arm and neither by nor at, got a, b"),
        (lambda: Monotone("m", ("a", "a", "b")), "Monotone needs arms to be different, got a, a, b"),
        (lambda: Monotone("m", "abc"), "Monotone needs arms to be several names, got 'abc'"),  # type: ignore[arg-type]
        (lambda: Ordered("m", ("a",)), "Ordered needs at least 2 arms, largest first, got 1"),
        (lambda: Ordered("m", ("a", "b"), gap=-1), "Ordered needs a gap of 0 or more, got −1"),
        (lambda: Rate("k", "k", "a", at_least=0.1), "Rate needs two different metrics, got k twice"),
        (lambda: Rate("k", "n", "a", at_least=15), "Rate needs shares from 0 to 1, got 15"),
        (
            lambda: Contrast("m", plus=("a",), minus=("b", "a"), at_least=0),
            "Contrast needs different arms on its two sides, got a on both",
        ),
        (lambda: All(Above("m", "a", at_least=1)), "All needs at least 2 rules, got 1"),
        (
            lambda: rule_from_json({"rule": "Proof"}),
            "a rule must be one of Above, All, Below, Contrast, Difference, Equivalent, Monotone, Ordered, Ra",
        ),
        (
            lambda: rule_from_json({"rule": "All", "rules": {}}),
            "All needs a list of rules and nothing else, got {'rule': 'All', 'rules': {}}",
        ),
        (lambda: rule_from_json([]), "a rule must be a JSON object, got []"),  # type: ignore[arg-type]
        (lambda: rule_from_json({"rule": "Above", "metric": "m"}), "Above cannot be made of metric: "),
        (
            lambda: rule_from_json({"rule": "Above", "metric": 1, "arm": "a", "at_least": 1}),
            "Above needs metric to be a name, got 1",
        ),
    ],
)
def test_it_refuses_a_rule_that_cannot_decide(make: Callable[[], Rule], sentence: str) -> None:
    with pytest.raises(RuleError) as refused:
        make()
    assert str(refused.value).startswith(sentence)


def test_whole_numbers_and_floats_make_the_same_rule() -> None:
    assert Above("m", "a", at_least=1) == Above("m", "a", at_least=1.0)
    assert json.dumps(Above("m", "a", at_least=1).to_json()) == '{"rule": "Above", "metric": "m", "arm": "a", "at_least": 1.0}'


def test_it_names_what_it_reads() -> None:
    assert All(Rate("k", "n", "a", at_least=0.1), Difference("m", "a", minus="b", at_least=0)).reads() == {
        ("k", "a"),
        ("n", "a"),
        ("m", "a"),
        ("m", "b"),
    }
