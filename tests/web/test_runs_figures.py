"""The geometry of dot plots and charts, against positions worked out by hand."""

from __future__ import annotations

import math

import pytest

from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Judgement, Row, Within, judge
from pressrun.web.runs.axes import shown, span_of, ticks
from pressrun.web.runs.badge import badge_of
from pressrun.web.runs.charts import charts_of, numbers_of
from pressrun.web.runs.plot import Plot, plot_of, plots_of
from pressrun.web.runs.wording import lasting, size, tally


def judgement(**changes: object) -> Judgement:
    given: dict[str, object] = {
        "verdict": "matched",
        "estimate": 0.6,
        "low": 0.5,
        "high": 0.7,
        "n": 3,
        "accept_low": 0.0,
        "accept_high": math.inf,
        "margin": 0.5,
        "per_seed": {0: 0.5, 1: 0.6, 2: 1.0},
    }
    return Judgement(**(given | changes))  # type: ignore[arg-type]


def drawn(**changes: object) -> Plot:
    return plot_of(judgement(**changes), None, "matched")


def test_seeds_interval_mean_and_threshold_lie_where_they_should() -> None:
    # The values span 0 to 1. 12 % of room to the right; twice that to the left, where the threshold would be the edge.
    # So the axis goes from -0.24 to 1.12, 1.36 wide on 268 units: x(v) = 62 + (v + 0.24) / 1.36 * 268.
    plot = drawn()
    assert plot.thresholds == (109.3,)
    assert [dot.x for dot in plot.seeds.dots] == [207.8, 227.5, 306.4]
    assert [dot.y for dot in plot.seeds.dots] == [29.0, 38.0, 34.0]
    assert plot.seeds.bar is not None
    assert (plot.seeds.bar.left, plot.seeds.bar.right) == (207.8, 247.2)
    assert plot.seeds.mean == 227.5
    assert (plot.passing.left, plot.passing.right, plot.passing.width) == (109.3, 330.0, 220.7)
    assert plot.threshold_text.text == "threshold ≥ 0"
    assert plot.threshold_text.x == 109.3
    assert [(tick.text, tick.x) for tick in plot.ticks] == [("0", 109.3), ("0.5", 207.8), ("1", 306.4)]


def test_the_side_that_passes_is_the_left_one_for_at_most() -> None:
    plot = drawn(accept_low=-math.inf, accept_high=0.0, verdict="not matched")
    assert (plot.passing.left, plot.passing.right) == (62.0, 109.3)
    assert plot.threshold_text.text == "threshold ≤ 0"


def test_two_thresholds_have_the_side_that_passes_between_them() -> None:
    # 0 to 1 with the thresholds 0.4 and 1 at the right edge: from -0.12 to 1.24, 1.36 wide.
    plot = drawn(accept_low=0.4, accept_high=1.0, per_seed={0: 0.0, 1: 0.5}, low=0.1, high=0.4, estimate=0.25)
    assert plot.thresholds == (164.5, 282.7)
    assert (plot.passing.left, plot.passing.right) == (164.5, 282.7)
    assert plot.threshold_text.text == "threshold 0.4 to 1"
    assert "threshold from 0.4 to 1" in plot.label


def test_a_control_near_by_widens_the_axis_and_one_far_off_is_an_arrow() -> None:
    near = judgement(per_seed={0: -1.0}, estimate=-1.0, low=None, high=None, n=1)
    plot = plot_of(judgement(), near, "matched", "labels shuffled")
    assert plot.control is not None
    # From -1 to 1 with 12 % on each side: -1.24 to 1.24, so x(-1) = 62 + 0.24 / 2.48 * 268.
    assert [dot.x for dot in plot.control.dots] == [87.9]
    assert plot.control.arrows == ()
    assert plot.label.endswith("threshold at least 0, control, labels shuffled: −1")

    far = judgement(per_seed={0: -9.0, 1: -11.0}, estimate=-10.0, low=None, high=None)
    plot = plot_of(judgement(), far, "matched", "labels shuffled")
    assert plot.control is not None
    assert plot.control.dots == ()
    assert [(arrow.path, arrow.label.text, arrow.label.x) for arrow in plot.control.arrows] == [("M71 56v10l-8-5z", "−10", 77.0)]
    assert plot.thresholds == drawn().thresholds


def test_a_single_value_takes_its_scale_from_the_control() -> None:
    control = judgement(per_seed={0: 0.01}, estimate=0.01, low=None, high=None, accept_low=-math.inf, accept_high=0.0)
    exact = judgement(
        per_seed={0: 0.0, 1: 0.0}, estimate=0.0, low=None, high=None, accept_low=-math.inf, accept_high=0.0, kind="exact"
    )
    plot = plot_of(exact, control, "matched")
    # 0 to 0.01 with twice 12 % on the side of the threshold and 12 % on the other: -0.0024 to 0.0112, 0.0136 wide.
    assert [dot.x for dot in plot.seeds.dots] == [109.3, 109.3]
    assert plot.control is not None
    assert [dot.x for dot in plot.control.dots] == [306.4]


def test_a_control_on_another_scale_is_told_and_not_drawn() -> None:
    other = judgement(unit="mm", estimate=3.0)
    plot = plot_of(judgement(), other, "matched", "none")
    assert plot.control is None
    assert plot.control_text == "Control, none: 3 mm"


def test_infinite_seeds_are_arrows_at_the_edge() -> None:
    plot = drawn(per_seed={0: 0.5, 1: math.inf, 2: 1.0}, estimate=math.inf, high=math.inf)
    assert len(plot.seeds.dots) == 2
    assert [(arrow.path, arrow.label.text) for arrow in plot.seeds.arrows] == [("M321 29v10l8-5z", "∞")]
    assert plot.seeds.mean is None
    assert plot.estimate == "∞"
    assert plot.seeds.bar is not None
    assert plot.seeds.bar.right == 330.0


@pytest.mark.parametrize(("kind", "told"), [("exact", "exact"), ("identical", "the same in all seeds")])
def test_results_without_an_interval_have_none_drawn(kind: str, told: str) -> None:
    plot = drawn(kind=kind, low=None, high=None, per_seed={0: 4.0, 1: 4.0}, estimate=4.0, accept_low=4.0)
    assert plot.seeds.bar is None
    assert "interval" not in plot.label
    assert told in plot.label


def test_a_claim_without_any_result_still_has_an_axis() -> None:
    plot = drawn(estimate=None, low=None, high=None, per_seed={}, n=0, verdict="too noisy", note="nothing was recorded")
    assert plot.seeds.dots == ()
    assert plot.estimate == "no result"
    assert plot.beside == "nothing was recorded"
    assert plot.label == "matched: no result, threshold at least 0"


def test_each_rule_of_a_claim_with_several_has_a_plot_with_its_control() -> None:
    rows = [Row(seed, arm, metric, value + seed / 100) for seed in range(3)
            for arm, metric, value in (("a", "up", 1.0), ("b", "up", 0.0), ("c", "up", 0.1), ("a", "down", 0.2), ("c", "down", 0.9))]  # fmt: skip
    card = Claim(
        id="both", paper="Both.", tested="Both.", scale="toy",
        rule=All(Difference("up", "a", minus="b", at_least=0.5), Below("down", "a", at_most=0.5)),
        control=All(Difference("up", "c", minus="b", at_least=0.5), Below("down", "c", at_most=0.5)),
    )  # fmt: skip
    verdict = judge(card, Evidence(rows))
    first, second = plots_of(card, verdict.rule, verdict.control, verdict.verdict)
    assert first.sentence == "The up of a is higher than that of b by at least 0.5."
    assert first.control_text == "Control: 0.1, the same in all 3 seeds, so decided by the value, without an interval"
    assert second.estimate == "0.21"
    assert second.control_text == "Control: 0.91"


def test_a_single_control_stands_beside_the_rule_of_its_kind() -> None:
    rows = [Row(seed, arm, "m", value + seed / 10) for seed in range(3) for arm, value in (("a", 1.0), ("c", 0.0))]
    card = Claim(
        id="x", paper="x", tested="x", scale="toy",
        rule=All(Within("m", "a", low=0, high=2), Above("m", "a", at_least=0.5)), control=Above("m", "c", at_least=0.5),
    )  # fmt: skip
    verdict = judge(card, Evidence(rows))
    within, above = plots_of(card, verdict.rule, verdict.control, verdict.verdict)
    assert within.control is None
    assert above.control is not None
    assert above.control_text == "Control: 0.1"


def test_ticks_are_round_and_few() -> None:
    assert ticks(-0.24, 1.12) == [0.0, 0.5, 1.0]
    assert ticks(0, 100) == [0, 50, 100]
    assert ticks(0.0012, 0.0019) == pytest.approx([0.0012, 0.0014, 0.0016, 0.0018])
    assert ticks(1, 1) == []
    assert ticks(0, math.inf) == []


def test_a_span_of_one_value_has_room_around_it() -> None:
    assert span_of([2.0, 2.0]) == (1.0, 3.0)
    assert span_of([0.0]) == (-0.5, 0.5)
    assert span_of([math.nan, math.inf]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.5, "−0.5"), (0.123456, "0.1235"), (12345.6, "12,346"), (1.5e7, "1.5e7"), (2e-6, "2e−6"), (0, "0"), (-math.inf, "−∞")],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert shown(value) == text


def test_durations_sizes_and_tallies_are_written_for_people() -> None:
    assert [lasting(seconds) for seconds in (0.04, 8.0, 42.4, 100, 120, 7500, None)] == [
        "0.0 s".replace(".0 s", " s"), "8 s", "42 s", "1 min 40 s", "2 min", "2 h 5 min", ""]  # fmt: skip
    assert [size(octets) for octets in (2048, 5 * 2**20, 3 * 2**30, 650 * 2**20, None)] == [
        "2 kB",
        "5.0 MB",
        "3 GB",
        "0.6 GB",
        "",
    ]
    assert tally(["void", "matched", "not matched", "matched"]) == "2 matched, 1 not matched, 1 void"


def curve(arm: str, seed: int, values: list[float], metric: str = "score") -> list[Row]:
    return [Row(seed, arm, metric, value, step=step) for step, value in enumerate(values)]


CARD = Claim(
    id="x", paper="x", tested="x", scale="toy",
    rule=Difference("score", "ours", minus="plain", at_least=0.1), control=Difference("score", "shuffled", minus="plain", at_least=0.1),
)  # fmt: skip


def test_a_chart_has_the_arm_under_test_on_top_and_the_others_by_dash() -> None:
    rows = (
        curve("plain", 0, [0.0, 0.5])
        + curve("ours", 0, [0.0, 1.0])
        + curve("ours", 1, [0.0, 1.0])
        + curve("other", 0, [0.0, 0.2])
    )
    (chart,) = charts_of(Evidence(rows), [CARD])
    assert [(key.arm, key.css, key.value, key.main) for key in chart.key] == [
        ("ours", "main", "1", True),
        ("plain", "ref", "0.5", False),
        ("other", "dash", "0.2", False),
    ]
    # 0 to 1 with 4 % of room: y(0) = 270 - 0.04 / 1.08 * 258, y(1) = 270 - 1.04 / 1.08 * 258. x runs from 48 to 548.
    assert [(line.css, line.path) for line in chart.lines][-1] == ("main thin", "M48 260.4L548 21.6")
    assert [line.css for line in chart.lines] == ["dash", "ref", "main", "main thin", "main thin"]
    assert [(mark.text, mark.at) for mark in chart.rows] == [("0", 260.4), ("0.5", 141.0), ("1", 21.6)]
    assert chart.judged
    assert chart.title == "Score"


def test_a_chart_over_many_powers_of_ten_is_logarithmic_and_breaks_at_what_is_no_number() -> None:
    rows = curve("hebb", 0, [1.0, 1e3, math.inf, 1e6, 1e9])
    (chart,) = charts_of(Evidence(rows), [])
    assert chart.log
    assert [mark.text for mark in chart.rows] == ["1", "1e5"] or len(chart.rows) > 1
    assert chart.lines[0].path.count("M") == 2
    assert not chart.judged


def test_metrics_without_steps_are_numbers_and_no_charts() -> None:
    evidence = Evidence([Row(0, "a_b", "the_norm", 1.0, "mm"), Row(1, "a_b", "the_norm", 2.0, "mm")])
    assert charts_of(evidence, []) == []
    (number,) = numbers_of(evidence)
    assert (number.metric, number.arm, number.value, number.unit, number.seeds) == ("the norm", "a b", "1.5", "mm", 2)


def test_the_mean_ends_where_most_seeds_end() -> None:
    rows = curve("ours", 0, [0.0, 1.0, 2.0, 3.0]) + curve("ours", 1, [0.0, 1.0]) + curve("ours", 2, [0.0, 1.0])
    (chart,) = charts_of(Evidence(rows), [CARD])
    mean = next(line for line in chart.lines if line.css == "main")
    assert mean.path.count("L") == 1


def test_a_long_curve_is_thinned_out_and_keeps_its_ends() -> None:
    (chart,) = charts_of(Evidence(curve("ours", 0, [float(n) for n in range(5000)])), [CARD])
    path = next(line.path for line in chart.lines if line.css == "main")
    assert path.count("L") == 239
    assert path.startswith("M48 ")
    assert "L548 " in path


def test_a_badge_is_as_wide_as_its_words() -> None:
    badge = badge_of("pressrun", [("matched", "matched"), ("void", "void")])
    assert badge.words == "1 matched, 1 void"
    # 8 letters of 6.6 and 2 x 8 of room; two patches of 12 with 2 between, 4 before the words.
    assert (badge.name_width, badge.patches) == (69, ((77, "matched"), (91, "void")))
    assert badge.words_at == 109
    assert badge.width == 109 + 112 + 8
    assert badge_of("pressrun", []).words == "not run yet"
