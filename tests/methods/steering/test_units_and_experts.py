"""Single dimensions and experts: counts by hand, ties, chance, gates, and the edits in a model."""

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    ExpertSteering,
    Momentum,
    UnitSteering,
    activation_momentum,
    expert_edits,
    expert_usage,
    largest_by_chance,
    learn,
    matched_random_experts,
    read_expert_usage,
    resonance_map,
    top_experts,
    top_units,
    tune_gates,
    unit_gains,
    unit_sweep,
)

IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


def test_momentum_counts_the_pairs_in_which_a_unit_is_higher() -> None:
    good = torch.tensor([[1.0, 5.0, 2.0], [2.0, 0.0, 2.0], [3.0, 1.0, 2.0], [1.0, 9.0, 2.0]])
    bad = torch.tensor([[0.0, 6.0, 2.0], [0.0, 0.0, 2.0], [0.0, 3.0, 2.0], [2.0, 9.0, 2.0]])
    # Unit 0 is higher in three pairs and lower in one; unit 1 lower in two, equal in two; unit 2 never differs.
    momentum = activation_momentum(good, bad)
    assert momentum.positive.tolist() == [0.75, 0.0, 0.0]
    assert momentum.negative.tolist() == [0.25, 0.5, 0.0]
    assert momentum.score.tolist() == [0.75, 0.5, 0.0]
    assert momentum.effect[2] == 0.0


def test_a_unit_with_a_large_scale_does_not_drown_the_consistent_ones() -> None:
    # 20 planted units of 500 are higher by .5 ± .2, one useless unit has 100 times the noise: sizes would choose it first.
    generator = torch.Generator().manual_seed(0)
    good, bad = torch.randn(2, 50, 500, generator=generator).mul(0.2).unbind()
    good[:, :20] += 0.5
    good[:, 400] *= 1000
    chosen = top_units(activation_momentum(good, bad).score, 20)
    assert chosen[:20].sum() >= 19
    assert top_units((good - bad).mean(0).abs(), 1)[400]


def test_the_best_units_of_all_layers_are_taken() -> None:
    score = torch.tensor([[0.5, 0.9, 0.6], [1.0, 0.5, 0.6]])
    assert top_units(score, 3).tolist() == [[False, True, True], [True, False, False]]


def test_equal_scores_go_by_the_second_key_and_without_one_by_place() -> None:
    score = torch.ones(2, 2)
    assert top_units(score, 2).tolist() == [[True, True], [False, False]]
    effect = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert top_units(score, 2, tie_break=effect).tolist() == [[False, True], [True, False]]


def test_a_gain_is_alpha_times_the_signed_share() -> None:
    momentum = Momentum(torch.tensor([0.8, 0.2, 0.5, 0.9]), torch.tensor([0.2, 0.7, 0.5, 0.1]), torch.zeros(4))
    # The tie in the third counts as negative; the fourth is not chosen.
    gains = unit_gains(momentum, torch.tensor([True, True, True, False]), alpha=10.0)
    assert gains.tolist() == pytest.approx([8.0, -7.0, -5.0, 0.0])


def test_the_largest_score_by_chance_of_one_unit_is_that_of_a_coin() -> None:
    # Two pairs: heads twice or tails twice in half of the cases, score 1; else score 1/2.
    assert largest_by_chance(2, 1, quantile=0.4) == 0.5
    assert largest_by_chance(2, 1, quantile=0.6) == 1.0


def test_the_largest_score_by_chance_is_that_of_a_simulation() -> None:
    heads = torch.randint(2, (20, 400, 500), generator=torch.Generator().manual_seed(0)).sum(0)
    largest = torch.maximum(heads, 20 - heads).amax(1) / 20
    assert largest_by_chance(20, 500, quantile=0.5) == pytest.approx(float(largest.median()), abs=0.051)


def test_momentum_needs_pairs() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2, 2\)"):
        activation_momentum(torch.zeros(3, 2), torch.zeros(2, 2))


def test_unit_steering_rescales_the_units_it_learnt_and_no_other(tiny: act.Model) -> None:
    method = learn(tiny, UnitSteering(act.mlp[:], k=5), IDS, IDS.flip(1))
    gains = torch.stack(list(method.gains.values()))
    assert (gains != 0).sum() == 5
    site = next(site for site, gain in method.gains.items() if gain.any())
    before = tiny.read(IDS, site)[site]
    with tiny.edit(*method.edits(tiny, IDS, 3.0)[:1]):
        after = tiny.read(IDS, site)[site]
    torch.testing.assert_close(after, before * (1 + 3.0 * method.gains[site]))


def test_random_units_have_the_same_gains_elsewhere(tiny: act.Model) -> None:
    method = learn(tiny, UnitSteering(act.mlp[:], k=5), IDS, IDS.flip(1))
    other = method.random(torch.Generator().manual_seed(1))
    both = [torch.stack(list(m.gains.values())).flatten() for m in (method, other)]
    assert torch.equal(both[0].sort().values, both[1].sort().values)
    assert not torch.equal(*both)


def test_a_sweep_is_one_dimension_at_a_time(tiny: act.Model) -> None:
    found = unit_sweep(tiny, IDS, act.head[1], [0, 9], 2.0, lambda z: z[:, 3])
    factor = torch.ones(2, 8)
    factor[1, 1] = 3.0  # dimension 9 is the second of the second head
    with tiny.edit(act.head[1].scale(factor)):
        logits = tiny.read(IDS, act.logits, "last_prompt")[act.logits]
    torch.testing.assert_close(found[1], logits[:, 3], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found[0], found[1])


def test_usage_is_the_share_of_real_tokens() -> None:
    gates = torch.tensor([[[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.9, 0.1, 0.0]]])
    mask = torch.tensor([[True, True, False]])
    assert expert_usage(gates, mask)[0].tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert expert_usage(gates, mask, weighted=True)[0].tolist() == pytest.approx([0.35, 0.45, 0.2])


def test_the_resonance_map_is_the_difference_of_means() -> None:
    usage = torch.tensor([[[0.8, 0.2]], [[0.6, 0.4]], [[0.1, 0.9]]])
    target = torch.tensor([True, True, False])
    torch.testing.assert_close(resonance_map(usage, target), torch.tensor([[0.6, -0.6]]))
    torch.testing.assert_close(resonance_map(usage, target, score="contrast_ratio"), torch.tensor([[0.75, -0.5]]))


def test_an_expert_that_never_fires_has_contrast_zero() -> None:
    found = resonance_map(torch.zeros(2, 1, 2), torch.tensor([True, False]), score="contrast_ratio")
    assert found.tolist() == [[0.0, 0.0]]


def test_the_top_experts_come_with_their_layers() -> None:
    assert top_experts(torch.tensor([[0.1, 0.5], [0.9, 0.5]]), 3) == [(1, 0), (0, 1), (1, 1)]


def test_matched_experts_are_of_the_same_layer_and_nearest_in_usage() -> None:
    usage = torch.tensor([[0.9, 0.5, 0.6, 0.1], [0.5, 0.5, 0.5, 0.5]])
    sets = matched_random_experts(usage, [(0, 1)], 30, torch.Generator().manual_seed(0), nearest=2)
    # Nearest to .5 in layer 0 are .6 and then .9 or .1 (equally far; the earlier counts).
    assert {expert for (expert,) in sets} == {(0, 2), (0, 0)}


def test_gates_of_suppressed_experts_go_to_the_others() -> None:
    gates = torch.tensor([0.5, 0.3, 0.2, 0.0])
    assert tune_gates(gates, suppress=[0]).tolist() == pytest.approx([0.0, 0.6, 0.4, 0.0])
    assert tune_gates(gates, suppress=[0], renormalise=False).tolist() == pytest.approx([0.0, 0.3, 0.2, 0.0])


def test_a_token_whose_experts_are_all_suppressed_gets_none() -> None:
    assert tune_gates(torch.tensor([0.6, 0.4, 0.0]), suppress=[0, 1]).tolist() == [0.0, 0.0, 0.0]


def test_a_stimulated_expert_takes_the_place_of_the_weakest() -> None:
    gates = torch.tensor([0.75, 0.25, 0.0])
    assert tune_gates(gates, stimulate={2: 0.4}).tolist() == pytest.approx([0.6, 0.0, 0.4])
    # Where it was chosen anyway, nobody loses the place.
    assert tune_gates(gates, stimulate={1: 0.4}).tolist() == pytest.approx([0.6, 0.4, 0.0])


def test_two_stimulated_experts_do_not_push_each_other_out() -> None:
    assert tune_gates(torch.tensor([0.7, 0.3, 0.0, 0.0]), stimulate={2: 0.5, 3: 0.5}).tolist() == [0.0, 0.0, 0.5, 0.5]


def test_the_total_of_the_gates_stays_what_the_router_made_it() -> None:
    gates = torch.tensor([[0.3, 0.2, 0.1, 0.0], [0.0, 0.4, 0.0, 0.2]])
    tuned = tune_gates(gates, suppress=[1], stimulate={0: 0.25})
    torch.testing.assert_close(tuned.sum(1), gates.sum(1))


def test_an_expert_is_either_suppressed_or_stimulated() -> None:
    with pytest.raises(ValueError, match=r"Experts must lie from 0 to 2, each suppressed or stimulated once, got \[1, 1\]"):
        tune_gates(torch.ones(3), suppress=[1], stimulate={1: 0.5})


def test_usage_read_from_a_model_is_top_k_of_each_layer(tiny_mixture: act.Model) -> None:
    usage = read_expert_usage(tiny_mixture, IDS, batch=1)
    assert usage.shape == (2, 2, 4)
    torch.testing.assert_close(usage.sum(-1), torch.full((2, 2), 2.0))


@pytest.mark.parametrize("refill", [False, True])
def test_a_suppressed_expert_is_visited_by_no_token(tiny_mixture: act.Model, refill: bool) -> None:
    edits = expert_edits([(0, 1), (1, 3)], refill=refill)
    with tiny_mixture.edit(*edits):
        usage = read_expert_usage(tiny_mixture, IDS)
    assert usage[:, 0, 1].tolist() == [0.0, 0.0]
    assert usage[:, 1, 3].tolist() == [0.0, 0.0]
    visits = usage.sum(-1)
    assert (visits == 2).all() if refill else (visits < 2).any()


def test_a_stimulated_expert_is_visited_by_every_token(tiny_mixture: act.Model) -> None:
    with tiny_mixture.edit(*expert_edits(stimulate={(1, 2): 0.9})):
        seen = tiny_mixture.read(IDS, act.expert[1])[act.expert[1]]
    torch.testing.assert_close(seen[..., 2], torch.full((2, 4), 0.9))


def test_experts_are_as_before_when_nothing_is_suppressed(tiny_mixture: act.Model) -> None:
    assert expert_edits() == []


def test_expert_steering_switches_off_what_fires_for_the_unwanted(tiny_mixture: act.Model) -> None:
    ids = torch.randint(32, (24, 6), generator=torch.Generator().manual_seed(0))
    wanted, unwanted = ids[:12], ids[12:]
    unwanted[:, 2:] = 17
    method = learn(tiny_mixture, ExpertSteering(k=2), wanted, unwanted)
    usage = [read_expert_usage(tiny_mixture, group).mean(0) for group in (wanted, unwanted)]
    difference = usage[1] - usage[0]
    assert method.experts is not None
    assert [float(difference[e]) for e in method.experts] == pytest.approx(
        difference.flatten().sort(descending=True).values[:2].tolist()
    )
    with tiny_mixture.edit(*method.edits(tiny_mixture, unwanted, 1.0)):
        left = read_expert_usage(tiny_mixture, unwanted).mean(0)
    assert all(left[e] == 0 for e in method.experts)
    other = method.random(torch.Generator().manual_seed(0))
    assert other.experts is not None
    assert not set(other.experts) & set(method.experts)
    assert [layer for layer, _ in other.experts] == [layer for layer, _ in method.experts]


def test_half_the_strength_leaves_half_of_the_gate(tiny_mixture: act.Model) -> None:
    before = tiny_mixture.read(IDS, act.expert[0])[act.expert[0]]
    with tiny_mixture.edit(*expert_edits([(0, 1)], strength=0.5)):
        after = tiny_mixture.read(IDS, act.expert[0])[act.expert[0]]
    torch.testing.assert_close(after[..., 1], before[..., 1] / 2)
