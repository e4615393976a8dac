"""Subspaces of shifts, and concept fields of spatial models."""

import math

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    best_window,
    bootstrap_stability,
    causal_lift,
    concept_delta,
    effective_rank,
    fit_delta,
    inject,
    selectivity,
    shift_subspace,
    signed_shift,
    standardise,
)


def test_the_subspace_of_one_shared_shift_has_rank_one() -> None:
    found = shift_subspace(torch.tensor([[3.0, 4.0, 0.0]] * 5))
    assert found.rank == 1
    assert found.mass == pytest.approx(1.0)
    assert found.effective_rank == pytest.approx(1.0)
    assert found.basis[0].abs().tolist() == pytest.approx([0.6, 0.8, 0.0])
    assert found.project(torch.tensor([1.0, 0.0, 5.0])).tolist() == pytest.approx([0.36, 0.48, 0.0])


def test_the_effective_rank_of_equal_values_is_their_number() -> None:
    assert effective_rank(torch.eye(4)) == pytest.approx(4.0)
    # Shares .9 and .1 of the squares: exp(-.9 ln .9 - .1 ln .1).
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        math.exp(0.9 * math.log(1 / 0.9) + 0.1 * math.log(10))
    )


def test_the_rank_ends_at_the_largest_gap() -> None:
    # Ratios 1.1, 9, 1.1, 1.1: the gap is behind the second.
    assert shift_subspace(torch.diag(torch.tensor([1.0, 0.9, 0.1, 0.09, 0.08]))).rank == 2


def test_a_shared_subspace_is_stable_under_resampling_and_noise_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 30, generator=generator)
    shared = noise * 0.1 + 3 * torch.nn.functional.one_hot(torch.tensor(4), 30)
    assert bootstrap_stability(shared, 1, generator) > 0.99
    assert bootstrap_stability(noise, 1, generator) < 0.8


def test_the_best_window_has_the_best_mean_and_the_longest_wins_by_sum() -> None:
    scores = [0.1, 0.8, 0.9, 0.9, 0.2, 0.1]
    assert best_window(scores, shortest=3, longest=4) == range(1, 4)
    assert best_window(scores, shortest=3, longest=4, reduce="sum") == range(1, 5)


def test_selectivity_takes_standard_deviations_over_n() -> None:
    # Means 2 and 1, standard deviations 1 and 0.
    assert float(selectivity(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]]))) == pytest.approx(1.0, abs=1e-5)


def test_the_causal_lift_is_the_slope_of_the_measure() -> None:
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert causal_lift(lambda v: float(3 * v[0] - v[1]), directions, [0.5, 1, 2]).tolist() == pytest.approx([3.0, -1.0])


def test_the_signed_shift_adds_the_target_and_takes_what_there_is_of_the_other() -> None:
    subspace = shift_subspace(torch.eye(3)[:2] * torch.tensor([[2.0], [1.9]]), rank=2)
    z = torch.tensor([[1.0, 5.0, 7.0]])
    change = signed_shift(
        z, subspace, towards=torch.tensor([9.0, 0.0, 4.0]), away=torch.tensor([0.0, 2.0, 1.0]), plus=3.0, minus=0.5
    )
    # The third axis is outside the subspace: t = (1, 0, 0), a = (0, 1, 0), ⟨z, a⟩ = 5.
    assert change[0].tolist() == pytest.approx([3.0, -2.5, 0.0])


def test_a_matrix_of_zeros_has_no_subspace() -> None:
    with pytest.raises(ValueError, match=r"shifts must be \(pairs, features\) and not all zero, got \(3, 2\)"):
        shift_subspace(torch.zeros(3, 2))


def test_standardising_takes_the_sample_standard_deviation_and_leaves_a_constant_at_zero() -> None:
    a = torch.tensor([[[1.0, 3.0]], [[4.0, 4.0]]])
    assert standardise(a, (1, 2)).tolist() == [[[pytest.approx(-(0.5**0.5)), pytest.approx(0.5**0.5)]], [[0.0, 0.0]]]


def test_the_delta_is_the_difference_of_mean_maps() -> None:
    a = torch.zeros(4, 1, 2, 2)
    a[0, 0, 0, 0], a[1, 0, 0, 0], a[2, 0, 1, 1] = 2.0, 4.0, 6.0
    delta = concept_delta(a, torch.tensor([1, 1, 0, 0]), zscore=False)
    assert delta.tolist() == [[[3.0, 0.0], [0.0, -3.0]]]


def test_the_delta_of_standardised_runs_does_not_depend_on_their_size() -> None:
    a = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([1, 1, 1, 0, 0, 0])
    sizes = torch.tensor([1.0, 5.0, 0.2, 3.0, 10.0, 0.1])[:, None, None, None]
    torch.testing.assert_close(concept_delta(a * sizes, y), concept_delta(a, y), atol=1e-5, rtol=1e-4)


def test_a_delta_fits_a_grid_of_another_size() -> None:
    delta = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])  # one channel, 1 x 4
    assert fit_delta(delta, (1, 2)).tolist() == [[[2.5, 2.5]]]  # cropped to 2, 3
    assert fit_delta(delta, (1, 6), mode="pad").tolist() == [[[1.0, 2.0, 3.0, 4.0, 0.0, 0.0]]]
    assert fit_delta(delta, (2, 4), mode="interpolate").tolist() == [[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]]
    assert fit_delta(delta, (1, 4), mode="none") is delta


def test_a_delta_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r'mode "none" needs a delta of space \(1, 6\), got \(1, 4\)'):
        fit_delta(torch.ones(1, 1, 4), (1, 6), mode="none")


def test_what_is_injected_has_alpha_times_the_norm_of_each_activation() -> None:
    h = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.1])[:, None, None, None]
    delta = torch.tensor([[[2.0]], [[0.0]]])
    added = inject(h, delta, alpha=0.3, dims=(1, 2, 3)) - h
    torch.testing.assert_close(added.flatten(1).norm(dim=1), 0.3 * h.flatten(1).norm(dim=1))
    assert (added[:, 1] == 0).all()
    torch.testing.assert_close(inject(h, delta, alpha=-0.3, dims=(1, 2, 3)) - h, -added)


def test_a_delta_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="The delta is zero: the two groups do not differ here"):
        inject(torch.ones(1, 2, 2), torch.zeros(2, 1), alpha=0.1, dims=(1, 2))


def test_a_convolutional_network_is_steered_where_its_module_is_named() -> None:
    torch.manual_seed(0)
    net = act.load(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 1, 3, padding=1)))
    images = torch.randn(4, 1, 6, 6)
    site = act.module("0")
    a = net.read(images, site)[site]
    delta = fit_delta(concept_delta(a, torch.tensor([1, 1, 0, 0])), (6, 6))
    with net.edit(site.apply(lambda h: inject(h, delta, alpha=0.5, dims=(1, 2, 3)))):
        steered = net.module(images)
    torch.testing.assert_close(steered, net.module[1](inject(net.module[0](images), delta, alpha=0.5, dims=(1, 2, 3))))
