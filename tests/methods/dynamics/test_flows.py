"""Flows whose solution is known, and statistics worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pressrun.methods.dynamics import (
    FlowSurrogate,
    advect,
    blobs,
    enstrophy,
    evolve_vorticity,
    phase_speed,
    rollout,
    shear_layers,
    spectral_share,
)

X = (torch.arange(32) * (2 * math.pi / 32))[:, None].expand(32, 32)
Y = X.T


def test_a_taylor_green_vortex_only_decays() -> None:
    start = (torch.sin(X) * torch.sin(Y))[None]  # its own stream function, so it does not carry itself
    frames = evolve_vorticity(start, torch.tensor([0.1]), frames=3, interval=0.5)
    torch.testing.assert_close(frames[0, 2], start[0] * math.exp(-2 * 0.1 * 1.0), atol=1e-5, rtol=0)


def test_without_viscosity_enstrophy_and_total_vorticity_stay() -> None:
    start = shear_layers(2, 32, generator=torch.Generator().manual_seed(0))
    frames = evolve_vorticity(start, torch.zeros(2), frames=6, interval=0.4)
    torch.testing.assert_close(enstrophy(frames[:, -1]), enstrophy(frames[:, 0]), rtol=0.02, atol=0)
    assert frames.mean((2, 3)).abs().max() < 1e-4
    assert (frames[:, -1] - frames[:, 0]).abs().max() > 0.1


def test_a_shear_layer_rolls_up_at_low_viscosity_and_stays_parallel_at_high() -> None:
    start = shear_layers(4, 32, generator=torch.Generator().manual_seed(1))
    ends = [evolve_vorticity(start, torch.full((4,), nu), frames=21, interval=0.4)[:, -1] for nu in (1e-3, 2e-2)]
    uneven = [(end - end.mean(1, keepdim=True)).square().mean() / end.square().mean() for end in ends]
    assert uneven[0] > 2 * uneven[1]


def test_a_wave_is_carried_along_and_spreads() -> None:
    frames = advect(torch.sin(2 * X)[None], torch.tensor([[0.5, 0.0]]), torch.tensor([0.1]), frames=2, interval=1.0)
    torch.testing.assert_close(frames[0, 1], torch.sin(2 * (X - 0.5)) * math.exp(-0.1 * 4), atol=1e-5, rtol=0)
    assert phase_speed(frames, 1.0).item() == pytest.approx(0.5, abs=1e-5)


def test_the_statistics_are_those_worked_out_by_hand() -> None:
    field = torch.sin(2 * X) + torch.sin(8 * Y)
    assert enstrophy(field).item() == pytest.approx(0.5)
    assert spectral_share(field, above=5).item() == pytest.approx(0.5)


def test_blobs_have_mean_zero_and_come_from_the_generator() -> None:
    first, again = (blobs(3, 16, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.mean((1, 2)).abs().max() < 1e-6


def test_an_untrained_surrogate_predicts_that_nothing_moves() -> None:
    frames = torch.randn(2, 3, 16, 16)
    assert torch.equal(rollout(FlowSurrogate(8, 2), frames, 4), frames[:, -1:].expand(-1, 4, -1, -1))


def test_the_surrogate_sees_no_borders() -> None:
    torch.manual_seed(0)
    model = FlowSurrogate(8, 2)
    torch.nn.init.normal_(model.head.weight)
    frames = torch.randn(1, 3, 16, 16)
    moved = model(frames.roll((4, 6), (2, 3)))
    torch.testing.assert_close(moved, model(frames).roll((4, 6), (1, 2)), atol=1e-5, rtol=1e-5)


def test_bad_input_is_told_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"fields must be \(runs, size, size\), got \(4, 5, 6\)"):
        evolve_vorticity(torch.zeros(4, 5, 6), torch.zeros(4), frames=2, interval=1.0)
    with pytest.raises(ValueError, match=r"one number a run is needed for 4 runs, got \(3,\)"):
        evolve_vorticity(torch.zeros(4, 8, 8), torch.zeros(3), frames=2, interval=1.0)
    with pytest.raises(ValueError, match=r"velocity must be \(runs, 2\) for 4 runs, got \(4,\)"):
        advect(torch.zeros(4, 8, 8), torch.zeros(4), torch.zeros(4), frames=2, interval=1.0)
    with pytest.raises(ValueError, match="at least 2 frames"):
        phase_speed(torch.zeros(1, 1, 8, 8), 1.0)
