"""Steerability is that of the weaker side, features count in either direction, and rank correlations are those worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pressrun.methods.steering.depth import (
    feature_richness,
    opposed_latents,
    partial_rank_correlation,
    steerability,
)


def test_the_side_that_is_followed_least_decides() -> None:
    found = steerability({"left": 0.9, "right": 0.7}, {"left": 0.5, "right": 0.4}, {"left": 0.0, "right": 0.2})
    assert found.gain == pytest.approx(0.3)  # of 0.4 and 0.3
    assert found.failure == pytest.approx(0.1)
    assert found.asymmetry == pytest.approx(0.1)


def test_a_model_that_always_takes_one_side_is_not_steerable() -> None:
    found = steerability({"left": 1.0, "right": 0.0}, {"left": 1.0, "right": 0.0}, {"left": 0.0, "right": 0.0})
    assert found.gain == 0.0


def test_steerability_needs_the_same_sides_everywhere() -> None:
    with pytest.raises(ValueError, match="Two sides or more are needed, the same in all three, got \\['left', 'right'\\]"):
        steerability({"left": 1.0, "right": 0.0}, {"left": 1.0}, {"left": 0.0, "right": 0.0})


def sides_and_latents() -> tuple[torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    z = torch.rand(400, 6, generator=dice)
    z[:, 1] += 3 * y  # an effect of about 10 standard deviations
    z[:, 4] += 1 - y  # and one of about 3.5 for the other side
    z[:, 5] = 0.0
    return z, y


def test_latents_of_either_side_are_found_the_largest_effect_first() -> None:
    z, y = sides_and_latents()
    assert opposed_latents(z, y) == [1, 4]
    assert opposed_latents(z, 1 - y) == [1, 4]


def test_no_latent_tells_labels_apart_that_mean_nothing() -> None:
    z, _ = sides_and_latents()
    assert opposed_latents(z, (torch.arange(400) // 2) % 2, least=0.1) == []


def test_richness_counts_shares_and_directions() -> None:
    z, _ = sides_and_latents()
    decoder = torch.eye(6)
    assert feature_richness(z, [1, 4], decoder) == (2, pytest.approx(2 / 5), pytest.approx(2.0))  # latent 5 is never on
    decoder[4] = decoder[1]
    assert feature_richness(z, [1, 4], decoder).effective_rank == pytest.approx(1.0)


def test_no_feature_has_rank_zero_and_no_living_latent_no_share() -> None:
    z, _ = sides_and_latents()
    assert feature_richness(z, [], torch.eye(6)) == (0, 0.0, 0.0)
    assert math.isnan(feature_richness(torch.zeros(3, 6), [], torch.eye(6)).per_alive)


def test_richness_refuses_a_decoder_of_another_dictionary() -> None:
    with pytest.raises(ValueError, match=r"z must be \(n, latents\) and decoder \(latents, width\), got \(400, 6\) and \(5, 5\)"):
        feature_richness(sides_and_latents()[0], [1], torch.eye(5))


def test_a_common_cause_is_taken_out() -> None:
    # Ranks: a = 1 2 3 4, b = 2 1 4 3, given = 1 2 4 3: r_ab = 0.6, r_ag = 0.8, r_bg = 0.8.
    # (0.6 - 0.64) / (1 - 0.64) = -1/9.
    assert partial_rank_correlation([1, 2, 3, 4], [2, 1, 4, 3], [1, 2, 4, 3]) == pytest.approx(-1 / 9)


def test_nothing_is_left_where_the_cause_explains_all_or_a_sequence_is_level() -> None:
    assert math.isnan(partial_rank_correlation([1, 2, 3, 4], [2, 1, 4, 3], [1, 2, 3, 4]))
    assert math.isnan(partial_rank_correlation([1, 1, 1, 1], [2, 1, 4, 3], [1, 2, 3, 4]))


def test_partial_correlation_refuses_sequences_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="Three sequences of one length, 4 or more, are needed, got 3, 3 and 3"):
        partial_rank_correlation([1, 2, 3], [1, 2, 3], [1, 2, 3])
