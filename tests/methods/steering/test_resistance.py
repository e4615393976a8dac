"""Attempts and their rates, strengths searched side by side, and the examples that teach to start again."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.steering.resistance import (
    calibrate_each,
    is_repetitive,
    recovery_batch,
    resistance,
    split_attempts,
    split_text,
)


def test_an_answer_falls_into_attempts_at_its_restarts() -> None:
    assert split_attempts([7, 8, 3, 9, 3, 3, 7], (3,)) == [[7, 8], [9], [7]]


def test_a_restart_before_anything_was_said_makes_no_attempt() -> None:
    assert split_attempts([3, 7, 8], (3,)) == [[7, 8]]
    assert split_attempts([3], (3,)) == []


@given(st.lists(st.integers(0, 5)))
def test_attempts_hold_every_token_but_the_restarts_in_order(answer: list[int]) -> None:
    assert [token for attempt in split_attempts(answer, (0, 1)) for token in attempt] == [t for t in answer if t > 1]


@pytest.mark.parametrize(
    "restart",
    [
        "Wait, that's not right.",
        "wait — that is not what you asked.",
        "Let me start over.",
        "I got distracted.",
        "Back to your question:",
        "Sorry for the confusion.",
        "I made a mistake.",
        "Scratch that.",
    ],
)
def test_it_finds_a_restart_in_words(restart: str) -> None:
    assert split_text(f"The sea is deep. {restart} Boil the eggs.") == ["The sea is deep.", f"{restart} Boil the eggs."]


@pytest.mark.parametrize(
    "answer",
    [
        "Wait until the water boils, then wait for nine minutes.",
        "Start again from the left. Put it back to the shelf. Correct posture is important.",
        "Make sure that this is right and that nothing is missing. Let me know if you have questions.",
        "I'm sorry to hear that. Do not ignore the smell.",
    ],
)
def test_ordinary_advice_is_no_restart(answer: str) -> None:
    assert split_text(answer) == [answer]


def test_text_that_goes_round_in_circles_is_repetitive_and_other_text_is_not() -> None:
    assert is_repetitive("the sea is the sea is the sea is the sea is the sea")
    assert not is_repetitive("Boil the water, put the eggs in, wait for nine minutes and cool them under the tap.")
    assert not is_repetitive("Too short")


def test_the_rates_are_those_counted_by_hand() -> None:
    found = resistance([[40.0, 90.0], [80.0], [30.0, 60.0, 20.0], []])
    # Two of four have two attempts, one of them ends better than it began; first scores 40, 80, 30 and 0.
    assert (found.trials, found.multi_attempts, found.improved) == (4, 2, 1)
    assert (found.multi_attempt, found.esr, found.improvement, found.first_score) == (0.5, 0.25, 0.5, 37.5)


def test_without_a_restart_there_is_no_improvement_rate() -> None:
    assert math.isnan(resistance([[40.0], [90.0]]).improvement)


def test_the_interval_is_wilsons() -> None:
    # 0 of 20: upper end z² / (n + z²) with z = 1.96.
    low, high = resistance([[50.0]] * 20).interval(0)
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(1.959964**2 / (20 + 1.959964**2), abs=1e-6)


def test_it_refuses_rates_of_nothing() -> None:
    with pytest.raises(ValueError, match="There must be one trial or more, got none"):
        resistance([])


def test_each_direction_gets_the_strength_at_which_its_own_score_crosses_the_target() -> None:
    slopes = torch.tensor([0.2, 0.4, 0.8])
    found = calibrate_each(lambda x: (1 - slopes * x).clamp(0, 1), 3, 0.3, low=0.0, high=8.0, trials=200)
    # 1 - slope x = 0.3 at 3.5, 1.75 and 0.875.
    torch.testing.assert_close(found, torch.tensor([3.5, 1.75, 0.875]), atol=0, rtol=0.03)


def test_it_refuses_scores_of_another_number_of_directions() -> None:
    with pytest.raises(ValueError, match=r"score must return one number a direction, \(2,\), got \(3,\)"):
        calibrate_each(lambda _: torch.zeros(3), 2, 0.3, low=0.0, high=1.0)


def test_neither_the_prompt_nor_the_distractor_is_learnt() -> None:
    found = recovery_batch([[5, 6], [5, 7]], [[9, 9], []], [[8, 4], [7, 7, 4]], restart=3, pad=0)
    assert found.input_ids.tolist() == [[5, 6, 9, 9, 3, 8, 4], [5, 7, 7, 7, 4, 0, 0]]
    assert found.labels.tolist() == [[-100, -100, -100, -100, 3, 8, 4], [-100, -100, 7, 7, 4, -100, -100]]
    assert found.attention_mask.tolist() == [[1] * 7, [1] * 5 + [0] * 2]


def test_it_refuses_a_batch_whose_parts_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="got 2 prompts, 1 distractors and 2 answers"):
        recovery_batch([[5], [5]], [[]], [[8], [8]], restart=3, pad=0)
