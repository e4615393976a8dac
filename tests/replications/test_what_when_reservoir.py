"""The smoke preset gives what its claims read; arms share what they should; a reservoir that loses the time is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pressrun.replicate import Evidence, Run
from pressrun.replications import what_when_reservoir as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("what_when_reservoir")


def test_a_reservoir_that_loses_the_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "trace_reliability", lambda traces: torch.full(traces.shape[:1], 0.41))
    config = replace(replication.PRESETS["smoke"], neurons=50)
    with pytest.raises(
        ValueError, match=r"the reliability of the traces falls to 0\.41 between 120 and 400 ms, below 0\.5: such a"
    ):
        replication.replicate(config, 0, Run(tmp_path, 0, replication.METRICS))


def test_a_closed_gate_learns_nothing(evidence: Evidence) -> None:
    assert evidence.values("slope", "gate_closed") == {0: 0}
    assert evidence.values("height", "gate_closed", at="max") == {0: 0}
    assert math.isinf(evidence.values("trials_to_learn", "gate_closed")[0])


def test_a_gate_closed_at_the_change_differs_from_then_on_only(evidence: Evidence) -> None:
    frozen = evidence.mean_curve("old_response", "frozen_after_change")
    learning = evidence.mean_curve("old_response", "three_factor")
    apart = abs(frozen.value - learning.value)
    assert (apart[frozen.step <= 0] < 1e-4).all()
    assert apart[frozen.step > 0].max() > 0.1


def test_learned_by_one_linear_rule_from_zero_when_is_the_sum_of_the_whats(evidence: Evidence) -> None:
    for arm in ("online_only", "rls", "rls_forgetting"):
        assert evidence.values("cosine_what_when", arm)[0] == pytest.approx(1, abs=1e-4)
    assert evidence.values("cosine_what_when", "three_factor")[0] < 0.9


def test_a_reset_changes_nothing_before_the_change(evidence: Evidence) -> None:
    assert evidence.values("slope", "rls") == evidence.values("slope", "rls_reset")


def test_a_delay_line_keeps_the_time_to_a_few_milliseconds(evidence: Evidence) -> None:
    assert evidence.values("timing_error", "delay_line", at="max")[0] <= 10


def test_half_the_arms_of_the_conditions_are_the_other_half_with_the_events_swapped() -> None:
    arms = replication.three_factor_arms(replication.PRESETS["smoke"], torch.Generator().manual_seed(0))
    told = arms["three_factor"].targets.view(replication.STEPS, -1, 3, 3)
    # One event a trial: when is A or B, and at the time of A before the change it is A.
    assert torch.equal(told[..., 2], told[..., 0] + told[..., 1])
    assert told[180, :20, :, 0].unique().tolist() == [0, 1]
    assert told[240, 20:, :, 0].unique().tolist() == [0, 1]


def test_slope_and_r_squared_are_those_of_a_line() -> None:
    x = torch.tensor([0.2, 0.5, 0.8]).numpy()
    assert replication.regression(x, 0.5 * x + 1) == pytest.approx((0.5, 1.0))
    assert replication.regression(x, 0 * x) == (0.0, 0.0)


def test_learning_takes_until_ten_trials_are_close() -> None:
    # From trial 5 on right; the first window of 10 whose mean is within .15 of 1 may hold 1 wrong trial: trials 4 to 13.
    heights = torch.cat([torch.zeros(6, 5), torch.ones(6, 15)], dim=1)
    assert replication.trials_to_learn(heights, torch.ones(6)) == 14
    assert math.isinf(replication.trials_to_learn(0 * heights, torch.ones(6)))
