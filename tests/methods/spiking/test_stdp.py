"""Pair STDP: pairs by hand, traces against all pairs of spike times, steps against trains, events against products, bounds, batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pressrun.methods.spiking import PairSTDP, STDPTraces
from pressrun.methods.spiking.stdp import Backend

BACKENDS: tuple[Backend, ...] = ("torch", "compiled")


def trains(steps: int, trials: int, n_pre: int, n_post: int, seed: int = 0, rate: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pre, post = (torch.rand(steps, trials, n, generator=generator) < rate for n in (n_pre, n_post))
    return pre, post


def times_of(train: Tensor) -> Tensor:
    """(neurons, steps) spike times of a (T, 1, neurons) train with steps of 1; NaN where there is none."""
    steps = torch.arange(len(train), dtype=torch.float64).unsqueeze(1)
    return torch.where(train[:, 0], steps, math.nan).T


def by_all_pairs(rule: PairSTDP, pre: Tensor, post: Tensor) -> Tensor:
    """The window summed over the pairs of a (T, 1, n) train, one synapse and one pair at a time."""
    change = torch.zeros(post.shape[2], pre.shape[2], dtype=torch.float64)
    for j, i in np.ndindex(*change.shape):
        before, after = pre[:, 0, i].nonzero().flatten(), post[:, 0, j].nonzero().flatten()
        for t_post in after.tolist():
            earlier = before[before < t_post].tolist()
            for t_pre in earlier if rule.pairing == "all" else earlier[-1:]:
                change[j, i] += rule.window(torch.tensor(float(t_post - t_pre), dtype=torch.float64))
        for t_pre in before.tolist():
            earlier = after[after < t_pre].tolist()
            for t_post in earlier if rule.pairing == "all" else earlier[-1:]:
                change[j, i] += rule.window(torch.tensor(float(t_post - t_pre), dtype=torch.float64))
    return change


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_gives_the_change_worked_out_by_hand(backend: Backend) -> None:
    # One synapse, spikes before it at steps 0 and 3, after it at step 1: Δ = +1 and -2, so 2 e^(-1/10) - 3 e^(-2/5).
    rule = PairSTDP(tau_plus=10.0, tau_minus=5.0, a_plus=2.0, a_minus=3.0)
    pre, post = torch.tensor([[[1.0]], [[0.0]], [[0.0]], [[1.0]]]), torch.tensor([[[0.0]], [[1.0]], [[0.0]], [[0.0]]])
    weight, traces = rule.run(torch.zeros(1, 1), pre, post, backend=backend)
    assert weight.item() == pytest.approx(2 * math.exp(-0.1) - 3 * math.exp(-0.4))
    # The traces right after step 3: 1 + e^(-3/10), and e^(-2/5).
    assert traces.pre.item() == pytest.approx(1 + math.exp(-0.3))
    assert traces.post.item() == pytest.approx(math.exp(-0.4))


def test_the_window_is_the_one_worked_out_by_hand() -> None:
    rule = PairSTDP(tau_plus=20.0, tau_minus=10.0, a_plus=1.0, a_minus=0.5)
    given = rule.window(torch.tensor([20.0, -10.0, 0.0])).tolist()
    assert given == pytest.approx([math.exp(-1), -0.5 * math.exp(-1), 0.0])


@pytest.mark.parametrize(("coincident", "change"), [("none", 0.0), ("ltp", 1.0), ("ltd", -0.25), ("both", 0.75)])
@pytest.mark.parametrize("pairing", ["all", "nearest"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_spikes_in_one_step_do_what_is_asked_for(
    coincident: Literal["none", "ltp", "ltd", "both"], change: float, pairing: Literal["all", "nearest"], backend: Backend
) -> None:
    rule = PairSTDP(a_plus=1.0, a_minus=0.25, coincident=coincident, pairing=pairing)
    spike = torch.ones(1, 1, 1)
    assert rule.run(torch.zeros(1, 1), spike, spike, backend=backend)[0].item() == change
    assert rule.window(torch.tensor(0.0)).item() == change


@pytest.mark.parametrize("pairing", ["all", "nearest"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_traces_give_the_sum_over_the_pairs(pairing: Literal["all", "nearest"], backend: Backend) -> None:
    rule = PairSTDP(tau_plus=7.0, tau_minus=11.0, a_plus=0.3, a_minus=0.2, pairing=pairing)
    pre, post = trains(12, 1, 4, 3)
    weight = torch.randn(3, 4, dtype=torch.float64)
    expected = weight + by_all_pairs(rule, pre, post)
    torch.testing.assert_close(rule.run(weight, pre, post, backend=backend)[0], expected)
    torch.testing.assert_close(rule.from_times(weight, times_of(pre), times_of(post), backend=backend), expected)


@given(
    seed=st.integers(0, 1000),
    cut=st.integers(1, 9),
    bounds=st.sampled_from(["hard", "soft"]),
    pairing=st.sampled_from(["all", "nearest"]),
    coincident=st.sampled_from(["none", "ltp", "ltd", "both"]),
    backend=st.sampled_from(BACKENDS),
)
def test_steps_pieces_and_spike_times_give_the_weight_of_the_whole_train(
    seed: int,
    cut: int,
    bounds: Literal["hard", "soft"],
    pairing: Literal["all", "nearest"],
    coincident: Literal["none", "ltp", "ltd", "both"],
    backend: Backend,
) -> None:
    rule = PairSTDP(5.0, 8.0, 0.2, 0.3, w_min=-0.2, w_max=1.1, bounds=bounds, pairing=pairing, coincident=coincident)
    pre, post = trains(10, 1, 5, 3, seed)
    weight = torch.rand(3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    whole, end = rule.run(weight, pre, post, backend=backend)

    pieces, traces = rule.run(weight, pre[:cut], post[:cut], backend=backend)
    pieces, traces = rule.run(pieces, pre[cut:], post[cut:], traces, backend=backend)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(traces, end)

    stepped, in_place = weight, weight.clone()
    one: STDPTraces | None = None
    other: STDPTraces | None = None
    for before, after in zip(pre, post, strict=True):
        stepped, one = rule.step(stepped, before, after, one, backend=backend)
        other = rule.step_(in_place, before, after, other, backend=backend)
    torch.testing.assert_close(stepped, whole)
    torch.testing.assert_close(in_place, whole)
    torch.testing.assert_close(other, end)

    torch.testing.assert_close(rule.from_times(weight, times_of(pre), times_of(post), backend=backend), whole)


@given(
    seed=st.integers(0, 1000),
    trials=st.integers(1, 4),
    bounds=st.sampled_from(["hard", "soft"]),
    pairing=st.sampled_from(["all", "nearest"]),
    coincident=st.sampled_from(["none", "ltp", "ltd", "both"]),
    reduction=st.sampled_from(["sum", "mean"]),
)
def test_events_give_the_weights_and_traces_of_matrix_products(
    seed: int,
    trials: int,
    bounds: Literal["hard", "soft"],
    pairing: Literal["all", "nearest"],
    coincident: Literal["none", "ltp", "ltd", "both"],
    reduction: Literal["sum", "mean"],
) -> None:
    rule = PairSTDP(
        5.0, 8.0, 0.2, 0.3, 1.0, -0.2, 1.1, bounds=bounds, pairing=pairing, coincident=coincident, reduction=reduction
    )
    pre, post = trains(15, trials, 6, 4, seed, rate=0.2)
    weight = torch.rand(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    by_events, by_products = (rule.run(weight, pre, post, backend=backend) for backend in BACKENDS)
    torch.testing.assert_close(by_events, by_products)


def test_a_large_weight_is_updated_by_events_unless_asked_otherwise() -> None:
    rule, (pre, post) = PairSTDP(w_min=0.0, w_max=1.0, coincident="both"), trains(50, 1, 784, 400, rate=0.02)
    weight = torch.rand(400, 784, generator=torch.Generator().manual_seed(0))
    chosen, _ = rule.run(weight, pre.float(), post.float())
    assert (chosen != weight).float().mean() > 0.3
    torch.testing.assert_close(chosen, rule.run(weight, pre, post, backend="torch")[0])


def test_a_batch_is_the_sum_or_the_mean_of_its_trials() -> None:
    (pre, post), weight = trains(8, 3, 4, 2), torch.zeros(2, 4, dtype=torch.float64)
    alone = [PairSTDP().run(weight, pre[:, b : b + 1], post[:, b : b + 1])[0] for b in range(3)]
    torch.testing.assert_close(PairSTDP().run(weight, pre, post)[0], torch.stack(alone).sum(0))
    torch.testing.assert_close(PairSTDP(reduction="mean").run(weight, pre, post)[0], torch.stack(alone).mean(0))


def test_reversed_in_time_and_side_it_is_the_same_rule_with_the_signs_turned() -> None:
    # W(Δ) with equal constants is odd: who fired after now fires before.
    rule, (pre, post) = PairSTDP(), trains(20, 1, 5, 3)
    forwards = rule.run(torch.zeros(3, 5, dtype=torch.float64), pre, post)[0]
    backwards = rule.run(torch.zeros(3, 5, dtype=torch.float64), pre.flip(0), post.flip(0))[0]
    torch.testing.assert_close(forwards, -backwards)
    swapped = rule.run(torch.zeros(5, 3, dtype=torch.float64), post, pre)[0]
    torch.testing.assert_close(forwards, -swapped.T)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hard_bounds_clip_and_soft_ones_slow_down_as_worked_out_by_hand(backend: Backend) -> None:
    # One pair with Δ = 1 and a decay of e^(-1/20) = .951229; soft: w = .5, so .5 * 2 * .951229 would reach 1.451, clipped at 1.
    pre, post = torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[[0.0]], [[1.0]]])
    hard = PairSTDP(a_plus=2.0, w_min=0.0, w_max=1.0)
    assert hard.run(torch.tensor([[0.5]]), pre, post, backend=backend)[0].item() == 1.0
    soft = PairSTDP(a_plus=0.4, a_minus=0.4, w_min=0.0, w_max=1.0, bounds="soft")
    assert soft.run(torch.tensor([[0.5]]), pre, post, backend=backend)[0].item() == pytest.approx(0.5 + 0.4 * 0.5 * 0.951229)
    assert soft.run(torch.tensor([[0.5]]), post, pre, backend=backend)[0].item() == pytest.approx(0.5 - 0.4 * 0.5 * 0.951229)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_weight_leaves_its_bounds(backend: Backend) -> None:
    for bounds in ("hard", "soft"):
        rule = PairSTDP(a_plus=3.0, a_minus=2.0, w_min=-1.0, w_max=1.0, bounds=bounds)  # type: ignore[arg-type]
        weight = rule.run(torch.zeros(20, 30), *trains(40, 2, 30, 20), backend=backend)[0]
        assert weight.min() >= -1
        assert weight.max() <= 1


def test_the_time_step_scales_the_decay() -> None:
    pre, post = trains(10, 1, 4, 3)
    fine, coarse = PairSTDP(tau_plus=10.0, tau_minus=30.0, dt=0.5), PairSTDP(tau_plus=20.0, tau_minus=60.0)
    torch.testing.assert_close(fine.run(torch.zeros(3, 4), pre, post)[0], coarse.run(torch.zeros(3, 4), pre, post)[0])


def test_spike_times_need_no_grid_and_no_order() -> None:
    rule = PairSTDP(a_plus=1.0, a_minus=1.0)
    pre, post = torch.tensor([[7.25, 1.5], [math.nan, math.nan]]), torch.tensor([[4.0], [7.25]])
    # Onto the first neuron from the first input: Δ = 2.5 and -3.25; onto the second: 5.75, and 0, which does nothing.
    up, down, late = math.exp(-2.5 / 20), math.exp(-3.25 / 20), math.exp(-5.75 / 20)
    torch.testing.assert_close(rule.from_times(torch.zeros(2, 2), pre, post), torch.tensor([[up - down, 0.0], [late, 0.0]]))


def test_silence_changes_nothing() -> None:
    weight, silence = torch.randn(3, 4), torch.full((4, 2), math.nan)
    assert torch.equal(PairSTDP().run(weight, *(torch.zeros(5, 2, n) for n in (4, 3)))[0], weight)
    assert torch.equal(PairSTDP().from_times(weight, silence, silence[:3]), weight)


def test_only_what_ends_in_an_underscore_changes_its_arguments() -> None:
    rule, (pre, post), weight = PairSTDP(), trains(5, 1, 4, 3), torch.zeros(3, 4)
    traces = rule.run(weight, pre, post)[1]
    kept = STDPTraces(*(trace.clone() for trace in traces))
    rule.run(weight, pre, post, traces)
    rule.step(weight, pre[0], post[0], traces)
    assert torch.equal(weight, torch.zeros(3, 4))
    assert all(map(torch.equal, traces, kept))
    assert rule.step_(weight, pre[0], post[0], traces) is traces
    assert not torch.equal(traces.pre, kept.pre)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_parameter_learns_in_place_and_what_autograd_kept_of_it_is_refused(backend: Backend) -> None:
    layer, (pre, post) = nn.Linear(6, 4, bias=False), trains(2, 1, 6, 4, rate=0.7)
    before = layer.weight.detach().clone()
    loss = layer(pre[0].float().requires_grad_()).square().sum()
    traces = PairSTDP().step_(layer.weight, pre[0], post[0], backend=backend)
    PairSTDP().step_(layer.weight, pre[1], post[1], traces, backend=backend)
    assert not torch.equal(layer.weight, before)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_transposed_weight_is_written_to_where_it_is(backend: Backend) -> None:
    storage, (pre, post) = torch.zeros(4, 3), trains(6, 1, 4, 3)
    traces = None
    for before, after in zip(pre, post, strict=True):
        traces = PairSTDP().step_(storage.T, before, after, traces, backend=backend)
    torch.testing.assert_close(storage.T, PairSTDP().run(torch.zeros(3, 4), pre, post)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_gives_what_it_gives_on_the_cpu() -> None:
    rule, (pre, post), weight = PairSTDP(w_min=0.0, w_max=1.0), trains(20, 3, 40, 30), torch.rand(30, 40)
    there, traces = rule.run(weight.cuda(), pre.cuda(), post.cuda())
    assert traces.pre.is_cuda
    torch.testing.assert_close(there.cpu(), rule.run(weight, pre, post)[0])
    times = times_of(pre[:, :1]).float(), times_of(post[:, :1]).float()
    on_gpu = rule.from_times(weight.cuda(), *(each.cuda() for each in times))
    torch.testing.assert_close(on_gpu.cpu(), rule.from_times(weight, *times))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PairSTDP(tau_plus=0.0), "tau_plus must be positive and finite, got 0.0"),
        (lambda: PairSTDP(dt=math.inf), "dt must be positive and finite, got inf"),
        (lambda: PairSTDP(a_minus=-1.0), "a_minus must be 0 or more and finite, got -1.0"),
        (lambda: PairSTDP(w_min=1.0, w_max=1.0), "w_min must be below w_max, got 1.0 and 1.0"),
        (lambda: PairSTDP(pairing="triplet"), "pairing must be one of all, nearest, got 'triplet'"),  # type: ignore[arg-type]
        (lambda: PairSTDP(bounds="soft", w_min=0.0), "soft bounds need a finite w_min and w_max, got 0.0 and inf"),
        (
            lambda: PairSTDP().run(torch.zeros(3, 4), torch.zeros(5, 1, 3), torch.zeros(5, 1, 3)),
            r"pre must be \(T, B, 4\) to fit weight \(3, 4\), got \(5, 1, 3\)",
        ),
        (
            lambda: PairSTDP().step(torch.zeros(3, 4), torch.zeros(1, 4), torch.zeros(3)),
            r"post must be \(B, 3\) to fit weight \(3, 4\), got \(3,\)",
        ),
        (
            lambda: PairSTDP().step(torch.zeros(3, 4), torch.zeros(1, 4), torch.zeros(2, 3)),
            r"pre and post must be of the same steps and trials, got \(1, 4\) and \(2, 3\)",
        ),
        (
            lambda: PairSTDP().step(torch.zeros(3, 4, dtype=torch.int64), torch.zeros(1, 4), torch.zeros(1, 3)),
            r"weight must be floats of shape \(n_post, n_pre\), got \(3, 4\) of torch.int64",
        ),
        (
            lambda: PairSTDP().step(
                torch.zeros(3, 4), torch.zeros(1, 4), torch.zeros(1, 3), STDPTraces(torch.zeros(2, 4), torch.zeros(1, 3))
            ),
            r"the pre trace must be \(1, 4\) of torch.float32, got \(2, 4\) of torch.float32",
        ),
        (
            lambda: PairSTDP().from_times(torch.zeros(3, 4), torch.zeros(4), torch.zeros(3, 1)),
            r"pre_times must be \(4, spikes\) to fit weight \(3, 4\), got \(4,\)",
        ),
        (
            lambda: PairSTDP().from_times(torch.zeros(1, 1), torch.tensor([[math.inf]]), torch.zeros(1, 1)),
            "spike times must be finite, or NaN for no spike, got an infinite one",
        ),
        (
            lambda: PairSTDP().step(
                torch.zeros(3, 4, dtype=torch.float16), torch.zeros(1, 4), torch.zeros(1, 3), backend="compiled"
            ),
            "backend 'compiled' needs numba and a weight of 32 or 64 bits on the CPU, got torch.float16 on cpu",
        ),
        (
            lambda: PairSTDP().step(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1), backend="c"),  # type: ignore[arg-type]
            "backend must be one of auto, torch, compiled, got 'c'",
        ),
    ],
)
def test_it_refuses_what_it_cannot_run(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
