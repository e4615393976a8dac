"""From numbers to a verdict: intervals that cover, decisions that are seldom wrong, and what happens at the edges."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pressrun.replicate import Judgement, judgement_from_json
from pressrun.replicate.verdicts import Acceptance, Word, as_text, judge_counts, judge_values, worst

AT_LEAST_1 = Acceptance(1.0, math.inf, null=0.0)
BAND = Acceptance(-0.5, 0.5)
INF = math.inf
NAN = math.nan

floats = st.floats(allow_nan=False)
tame = st.floats(-1e6, 1e6)
thresholds = st.floats(-100, 100)


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.0, 2.0, "matched"),
        (0.9999, 2.0, "too noisy"),
        (-1.0, 1.0, "too noisy"),
        (-1.0, 0.9999, "not matched"),
        (0.0, 0.9999, "not matched"),
        (0.0001, 0.9999, "partly matched"),
        (0.0001, 1.0, "too noisy"),
        (-INF, INF, "too noisy"),
        (-INF, 0.5, "not matched"),
        (1.0, INF, "matched"),
    ],
)
def test_it_decides_an_interval_against_a_threshold_of_1(low: float, high: float, word: Word) -> None:
    assert AT_LEAST_1.decide(low, high) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.5, 0.5, "matched"),
        (-0.51, 0.5, "too noisy"),
        (0.4, 0.6, "too noisy"),
        (0.5, 0.6, "too noisy"),
        (0.51, 0.6, "not matched"),
        (-1.0, 1.0, "too noisy"),
        (-1.0, -0.6, "not matched"),
    ],
)
def test_it_decides_an_interval_against_a_band(low: float, high: float, word: Word) -> None:
    assert BAND.decide(low, high) == word


def test_nothing_is_partly_matched_where_no_effect_has_no_value() -> None:
    assert Acceptance(-INF, 1.0, None).decide(1.1, 1.2) == "not matched"
    assert Acceptance(-INF, 1.0, 5.0).decide(1.1, 1.2) == "partly matched"


def test_the_interval_is_students() -> None:
    # Mean 3, standard deviation sqrt(2.5), t(0.975; 4) = 2.7764: 3 ± 2.7764 * sqrt(2.5 / 5) = 3 ± 1.9632.
    judged = judge_values(seeds(1, 2, 3, 4, 5), AT_LEAST_1)
    assert judged.estimate == pytest.approx(3.0)
    assert (judged.low, judged.high) == (pytest.approx(1.0368, abs=1e-4), pytest.approx(4.9632, abs=1e-4))
    assert (judged.n, judged.kind, judged.verdict, judged.threshold) == (5, "interval", "matched", 1.0)
    assert judged.margin == pytest.approx(0.0368, abs=1e-4)
    assert judged.sentence() == "3 (95 % interval 1.037 to 4.963, 5 seeds)"


def test_the_log_interval_is_that_of_the_geometric_mean() -> None:
    # Logarithms -log 2, 0, log 2: geometric mean 1, t(0.975; 2) = 4.3027, reach 4.3027 * log 2 / sqrt 3, so a factor of 5.595.
    judged = judge_values(seeds(0.5, 1.0, 2.0), Acceptance(2.0, INF, 1.0), log=True)
    assert judged.estimate == pytest.approx(1.0)
    assert judged.high == pytest.approx(5.595, abs=1e-3)
    assert judged.low == pytest.approx(1 / 5.595, abs=1e-3)
    assert judged.verdict == "too noisy"


# Coverage of the 95 % t interval of 5 seeds, measured in 20,000 draws (two misses: the interval above, below the true mean). It
# is what it says for normal numbers and on the safe side for heavy symmetric tails; for skewed numbers it is not: with a long
# tail upwards the interval lies below the mean too often (last column), so a threshold from above is met too easily. The guide
# tells authors so.
DISTRIBUTIONS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]], float, float, float]] = {
    "normal": (lambda rng, size: rng.standard_normal(size), 0.0, 0.025, 0.025),
    "laplace": (lambda rng, size: rng.laplace(size=size), 0.0, 0.017, 0.017),
    "Student's with 3 degrees of freedom": (lambda rng, size: rng.standard_t(3, size), 0.0, 0.018, 0.018),
    "uniform": (lambda rng, size: rng.uniform(size=size), 0.5, 0.034, 0.034),
    "share of 100 trials": (lambda rng, size: rng.binomial(100, 0.9, size) / 100, 0.9, 0.030, 0.020),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0, 0.004, 0.116),
    "log-normal": (lambda rng, size: rng.lognormal(size=size), math.exp(0.5), 0.001, 0.180),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_interval_of_five_seeds_covers_as_often_as_the_guide_says(name: str) -> None:
    draw, mean, above, below = DISTRIBUTIONS[name]
    runs = 3000
    judged = [judge_values(seeds(*row), AT_LEAST_1) for row in draw(np.random.default_rng(1), (runs, 5)).tolist()]
    # A seed vector without any spread (possible with shares) has no interval and covers only its own value.
    ends = [(each.estimate, each.estimate) if each.low is None else (each.low, each.high) for each in judged]
    misses_above = sum(low > mean for low, _ in ends if low is not None) / runs
    misses_below = sum(high < mean for _, high in ends if high is not None) / runs
    assert misses_above == pytest.approx(above, abs=4 * math.sqrt(max(above, 0.005) / runs))
    assert misses_below == pytest.approx(below, abs=4 * math.sqrt(max(below, 0.005) / runs))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("n", "spread"), [(3, 0.3), (5, 0.1), (5, 3.0), (20, 1.0)])
def test_a_claim_whose_effect_is_just_the_threshold_is_matched_in_one_of_40_runs(sign: int, n: int, spread: float) -> None:
    # Every weaker effect is matched less often. 0.025 + 4 standard errors of 3,000 runs = 0.036.
    runs = 3000
    draws = sign * np.random.default_rng(2).normal(1.0, spread, (runs, n))
    accept = AT_LEAST_1 if sign == 1 else AT_LEAST_1.mirrored()
    matched = sum(judge_values(seeds(*row), accept).verdict == "matched" for row in draws.tolist()) / runs
    assert 0.014 < matched < 0.036


def test_a_claim_without_any_effect_is_hardly_ever_matched_and_seldom_partly() -> None:
    runs = 3000
    draws = np.random.default_rng(3).normal(0.0, 0.3, (runs, 5))
    words = [judge_values(seeds(*row), AT_LEAST_1).verdict for row in draws.tolist()]
    assert words.count("matched") == 0
    assert words.count("partly matched") / runs < 0.036
    assert words.count("not matched") / runs > 0.9


def test_a_true_claim_seldom_comes_out_as_not_matched() -> None:
    runs = 3000
    draws = np.random.default_rng(4).normal(1.0, 1.0, (runs, 5))
    words = [judge_values(seeds(*row), AT_LEAST_1).verdict for row in draws.tolist()]
    assert (words.count("not matched") + words.count("partly matched")) / runs < 0.036


def test_a_difference_at_the_margin_is_equivalent_in_one_of_40_runs() -> None:
    runs = 3000
    draws = np.random.default_rng(5).normal(0.5, 0.05, (runs, 5))
    assert 0.014 < sum(judge_values(seeds(*row), BAND).verdict == "matched" for row in draws.tolist()) / runs < 0.036


@given(st.lists(floats | st.just(NAN), max_size=8), st.randoms(), st.booleans())
def test_which_seed_has_which_number_does_not_matter(values: list[float], random: Random, exact: bool) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other = (judge_values(seeds(*each), AT_LEAST_1, exact=exact) for each in (values, shuffled))
    assert (one.verdict, one.estimate, one.low, one.high, one.margin, one.n, one.kind) == (
        other.verdict,
        other.estimate,
        other.low,
        other.high,
        other.margin,
        other.n,
        other.kind,
    )


@given(st.lists(floats | st.just(NAN), max_size=8), thresholds, st.none() | thresholds, st.booleans())
def test_at_most_mirrors_at_least(values: list[float], threshold: float, null: float | None, exact: bool) -> None:
    above = Acceptance(threshold, INF, null)
    one = judge_values(seeds(*values), above, exact=exact)
    other = judge_values(seeds(*(-value for value in values)), above.mirrored(), exact=exact)
    assert other.verdict == one.verdict
    assert other.margin == one.margin
    assert other.estimate == (None if one.estimate is None else -one.estimate)
    assert (other.low, other.high) == tuple(None if end is None else -end for end in (one.high, one.low))


@given(st.lists(tame, min_size=2, max_size=8), thresholds)
def test_a_lower_threshold_is_never_harder_to_meet(values: list[float], threshold: float) -> None:
    judged = [judge_values(seeds(*values), Acceptance(t, INF)).verdict for t in (threshold, threshold - 1)]
    assert judged[0] != "matched" or judged[1] == "matched"


@given(st.lists(st.floats(), max_size=6), st.booleans(), st.sampled_from([AT_LEAST_1, AT_LEAST_1.mirrored(), BAND]))
def test_json_gives_a_judgement_back(values: list[float], exact: bool, accept: Acceptance) -> None:
    judged = judge_values(seeds(*values), accept, exact=exact, unit="s")
    text = json.dumps(judged.to_json(), allow_nan=False)
    assert judgement_from_json(json.loads(text)) == judged


@pytest.mark.parametrize("given", [{}, {"verdict": "proved"}, {"verdict": "matched", "estimate": "x"}])
def test_json_that_is_no_judgement_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^a judgement cannot be read: "):
        judgement_from_json(given)


# What stands at the edge of statistics.


def test_one_seed_gives_no_verdict() -> None:
    judged = judge_values(seeds(100.0), AT_LEAST_1)
    assert (judged.verdict, judged.estimate, judged.low, judged.high, judged.margin) == ("too noisy", 100.0, None, None, None)
    assert judged.note == "one seed only: an interval needs at least 2"


def test_no_seed_gives_no_verdict() -> None:
    judged = judge_values({}, AT_LEAST_1)
    assert (judged.verdict, judged.estimate, judged.n, judged.note) == ("too noisy", None, 0, "nothing was recorded")
    assert judged.sentence() == "nothing was recorded"


@pytest.mark.parametrize(("value", "word"), [(2.0, "matched"), (1.0, "matched"), (0.5, "partly matched"), (0.0, "not matched")])
def test_identical_seeds_are_decided_by_their_value_and_show_no_interval(value: float, word: Word) -> None:
    judged = judge_values(seeds(value, value, value), AT_LEAST_1)
    assert (judged.kind, judged.verdict, judged.estimate, judged.low, judged.high) == ("identical", word, value, None, None)
    assert judged.margin == pytest.approx(value - 1)
    assert judged.note == "the same in all 3 seeds, so decided by the value, without an interval"


def test_identical_but_for_rounding_is_identical() -> None:
    # 0.3 - 0.1 and 0.9 - 0.7 differ in the last digit only, and both miss 0.2 by rounding only.
    judged = judge_values(seeds(0.3 - 0.1, 0.9 - 0.7), Acceptance(0.2, INF, 0.0), size=0.9)
    assert judged.per_seed[0] != judged.per_seed[1]
    assert (judged.kind, judged.verdict) == ("identical", "matched")


def test_small_numbers_that_differ_are_not_taken_as_identical() -> None:
    assert judge_values(seeds(1e-15, 2e-15, 3e-15), Acceptance(0.0, INF)).kind == "interval"


@pytest.mark.parametrize(
    ("value", "tolerance", "word"),
    [(0.95, 0.05, "matched"), (0.94, 0.05, "partly matched"), (0.05, 0.05, "not matched"), (1.0, 0.0, "matched")],
)
def test_an_exact_result_is_decided_by_value_and_tolerance(value: float, tolerance: float, word: Word) -> None:
    judged = judge_values(seeds(value), AT_LEAST_1, exact=True, tolerance=tolerance)
    assert (judged.kind, judged.verdict, judged.low, judged.high) == ("exact", word, None, None)
    assert judged.sentence() == f"{value:g} (exact, 1 seed)"


def test_exact_seeds_that_disagree_prove_nothing() -> None:
    judged = judge_values(seeds(2.0, 2.1), AT_LEAST_1, exact=True, tolerance=0.05)
    assert (judged.verdict, judged.kind) == ("too noisy", "exact")
    assert judged.note == "declared exact, but the seeds differ by more than the tolerance: from 2 to 2.1"
    assert judge_values(seeds(2.0, 2.05), AT_LEAST_1, exact=True, tolerance=0.05).verdict == "matched"


@pytest.mark.parametrize("exact", [True, False])
def test_a_seed_without_a_result_leaves_no_verdict_and_is_named(exact: bool) -> None:
    judged = judge_values({3: 5.0, 4: NAN, 5: 5.1, 9: NAN}, AT_LEAST_1, exact=exact, tolerance=1.0 if exact else 0.0)
    assert judged.verdict == "too noisy"
    assert judged.missing == (4, 9)
    assert judged.note.startswith("no result in seeds 4, 9")
    assert (judged.n, dict(judged.per_seed)) == (2, {3: 5.0, 5: 5.1})


def test_nan_in_every_seed_leaves_no_estimate() -> None:
    judged = judge_values(seeds(NAN, NAN), AT_LEAST_1)
    assert (judged.verdict, judged.estimate, judged.n, judged.note) == ("too noisy", None, 0, "no result in seeds 0, 1")


@given(st.lists(tame, min_size=0, max_size=6), st.integers(1, 3))
def test_one_seed_that_ran_off_the_wrong_way_is_never_matched(values: list[float], off: int) -> None:
    assert judge_values(seeds(*values, *([-INF] * off)), AT_LEAST_1).verdict in ("not matched", "too noisy")
    assert judge_values(seeds(*values, *([INF] * off)), BAND).verdict in ("not matched", "too noisy")


@pytest.mark.parametrize(
    ("values", "accept", "word"),
    [
        ((-INF, -INF), AT_LEAST_1, "not matched"),
        ((-INF, 0.1, 0.2, 0.3), AT_LEAST_1, "not matched"),
        ((-INF, 5.0, 5.1, 5.2), AT_LEAST_1, "too noisy"),
        ((INF, INF), AT_LEAST_1, "matched"),
        ((INF, 5.0, 5.1, 5.2), AT_LEAST_1, "matched"),
        ((INF, 5.0), AT_LEAST_1, "too noisy"),
        ((INF, 0.1, 0.2, 0.3), AT_LEAST_1, "too noisy"),
        ((INF, -INF, 5.0), AT_LEAST_1, "too noisy"),
        ((INF, INF), BAND, "not matched"),
        ((INF, INF), AT_LEAST_1.mirrored(), "not matched"),
    ],
)
def test_infinity_is_carried_honestly(values: tuple[float, ...], accept: Acceptance, word: Word) -> None:
    assert judge_values(seeds(*values), accept).verdict == word


def test_an_infinite_seed_reaches_into_the_interval() -> None:
    judged = judge_values(seeds(INF, 5.0, 5.1, 5.2), AT_LEAST_1)
    assert (judged.estimate, judged.high) == (INF, INF)
    assert judged.low == pytest.approx(4.8516, abs=1e-3)
    assert judged.sentence() == "∞ (95 % interval 4.852 to ∞, 4 seeds)"


@given(st.lists(st.floats(), max_size=6), st.booleans(), st.booleans())
def test_it_judges_any_numbers_whatever(values: list[float], exact: bool, log: bool) -> None:
    if log:
        values = [abs(value) for value in values]
    judged = judge_values(seeds(*values), Acceptance(1.5, INF, 1.0), exact=exact, log=log)
    assert judged.verdict in ("matched", "partly matched", "not matched", "too noisy")
    assert judged.low is None or judged.high is None or judged.low <= judged.high


# Counts.


def test_zero_of_200_still_has_an_interval() -> None:
    # Clopper and Pearson: 1 - 0.025 ** (1 / 200) = 0.01828.
    judged = judge_counts(dict.fromkeys(range(5), (0, 40)), Acceptance(-INF, 0.02))
    assert (judged.estimate, judged.low, judged.n) == (0.0, 0.0, 200)
    assert judged.high == pytest.approx(0.01828, abs=1e-5)
    assert judged.verdict == "matched"
    assert judged.sentence() == "0 (95 % interval 0 to 0.01828, 200 trials in 5 seeds)"


def test_counts_are_pooled_over_seeds() -> None:
    judged = judge_counts({0: (12, 100), 1: (8, 100)}, Acceptance(0.05, INF))
    assert (judged.estimate, judged.n, dict(judged.per_seed)) == (0.1, 200, {0: 0.12, 1: 0.08})
    # The tables of the binomial distribution give 0.0622 to 0.1502 for 20 of 200.
    assert (judged.low, judged.high) == (pytest.approx(0.0622, abs=1e-4), pytest.approx(0.1502, abs=1e-4))
    assert judged.verdict == "matched"


def test_the_same_counts_in_every_seed_count_once() -> None:
    judged = judge_counts(dict.fromkeys(range(5), (30, 100)), Acceptance(0.2, INF))
    assert (judged.n, judged.note) == (100, "every seed has the same counts, so the trials are taken as the same and count once")


def test_seeds_that_differ_widen_the_interval() -> None:
    judged = judge_counts({0: (10, 100), 1: (90, 100), 2: (50, 100)}, Acceptance(0.4, INF))
    assert judged.note == "the seeds differ more than chance allows, so the interval also holds their spread"
    assert (judged.low, judged.high, judged.verdict) == (0.0, 1.0, "too noisy")


@pytest.mark.parametrize("pair", [(1.5, 10), (3, 0), (11, 10), (NAN, 10), (-1, 10), (INF, INF)])
def test_what_is_no_count_is_no_result(pair: tuple[float, float]) -> None:
    judged = judge_counts({0: (0, 1000), 1: (1, 1000), 2: pair}, Acceptance(-INF, 0.1))
    assert (judged.verdict, judged.missing, judged.note) == ("too noisy", (2,), "no result in seed 2")


def test_counts_of_one_seed_give_no_verdict() -> None:
    assert judge_counts({0: (0, 1000)}, Acceptance(-INF, 0.1)).verdict == "too noisy"
    assert judge_counts({0: (0, 1000)}, Acceptance(-INF, 0.1), exact=True).verdict == "matched"


def test_no_counts_give_no_verdict() -> None:
    assert judge_counts({}, Acceptance(-INF, 0.1)).note == "nothing was recorded"


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_rate_at_the_threshold_is_matched_in_at_most_one_of_40_runs(share: float) -> None:
    runs = 400
    draws = np.random.default_rng(6).binomial(100, share, (runs, 5))
    for accept in (Acceptance(share, INF), Acceptance(-INF, share)):
        matched = sum(
            judge_counts({i: (n, 100) for i, n in enumerate(row)}, accept).verdict == "matched" for row in draws.tolist()
        )
        assert matched / runs < 0.057  # 0.025 + 4 standard errors


def test_a_rate_that_differs_by_seed_is_matched_in_at_most_one_of_ten_runs() -> None:
    # Rates of the seeds from a beta distribution of mean 0.3 and correlation 0.05 within a seed. Pooling alone would give a
    # third.
    rng = np.random.default_rng(7)
    draws = rng.binomial(100, rng.beta(0.3 * 19, 0.7 * 19, (300, 5)))
    matched = [
        judge_counts({i: (n, 100) for i, n in enumerate(row)}, Acceptance(0.3, INF)).verdict == "matched"
        for row in draws.tolist()
    ]
    assert sum(matched) / 300 < 0.1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=5), st.randoms())
def test_which_seed_has_which_counts_does_not_matter(pairs: list[tuple[int, int]], random: Random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    one, other = (judge_counts(dict(enumerate(each)), Acceptance(0.3, INF)) for each in (pairs, shuffled))
    assert (one.verdict, one.estimate, one.n) == (other.verdict, other.estimate, other.n)
    assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))


# Words.


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (("matched", "matched"), "matched"),
        (("matched", "partly matched"), "partly matched"),
        (("too noisy", "partly matched"), "too noisy"),
        (("void", "too noisy"), "void"),
        (("void", "not matched", "matched"), "not matched"),
    ],
)
def test_the_verdict_on_several_is_the_worst(words: tuple[Word, ...], verdict: Word) -> None:
    assert worst(words) == verdict


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), (-2.0, "−2"), (1e-7, "1e−07"), (INF, "∞"), (-INF, "−∞")])
def test_a_number_is_written_with_four_digits(value: float, text: str) -> None:
    assert as_text(value) == text


def test_the_threshold_of_a_band_is_its_nearer_end() -> None:
    assert judge_values(seeds(0.4, 0.41), BAND).threshold == 0.5
    assert judge_values(seeds(-3.0, -3.1), BAND).threshold == -0.5


def test_parts_are_told_one_by_one() -> None:
    part = judge_values(seeds(2.0, 2.0), AT_LEAST_1, unit="s")
    whole = Judgement(**vars(part) | {"parts": (part, part)})
    told = "matched: 2 s (the same in all 2 seeds, so decided by the value, without an interval)"
    assert whole.sentence() == f"{told}; {told}"


def test_nothing_is_decided_where_rounding_swallows_the_threshold() -> None:
    assert Acceptance(0.5, math.inf, 0.0).slackened(math.inf).decide(1.0, 1.0) == "too noisy"
    assert Acceptance(-math.inf, 0.5, 0.0).slackened(math.inf).decide(1.0, 1.0) == "too noisy"
