"""Vectors and learning: what is added where, pairs, provenance, controls."""

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    SteeringVector,
    derangement,
    learn,
    matched_random,
    mean_difference,
    principal_direction,
    residual_norms,
    shuffled_labels,
    steered,
)

IDS = torch.randint(32, (8, 5), generator=torch.Generator().manual_seed(0))
SITE = act.residual[1]


def test_it_learns_the_mean_difference_and_the_median_norm(tiny: act.Model) -> None:
    vector = learn(tiny, SteeringVector(SITE), IDS[:4], IDS[4:], batch=3)
    x = tiny.read(IDS, SITE, "last_prompt")[SITE]
    torch.testing.assert_close(vector.directions[SITE], mean_difference(x, torch.tensor([1] * 4 + [0] * 4)))
    assert vector.norms[SITE] == pytest.approx(float(x.norm(dim=1).median()))
    assert residual_norms(tiny, IDS, SITE)[SITE] == pytest.approx(vector.norms[SITE])


def test_the_i_th_of_both_groups_are_a_pair(tiny: act.Model) -> None:
    vector = learn(tiny, SteeringVector(SITE, recipe="principal component"), IDS[:4], IDS[4:])
    x = tiny.read(IDS, SITE, "last_prompt")[SITE]
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    torch.testing.assert_close(vector.directions[SITE], principal_direction(x[order], torch.tensor([1, 0] * 4)))


def test_strength_is_a_fraction_of_the_norm(tiny: act.Model) -> None:
    vector = learn(tiny, SteeringVector(act.residual[:], positions="last_prompt"), IDS[:4], IDS[4:])
    assert list(vector.directions) == [act.residual[0], act.residual[1], act.residual[2]]
    before = tiny.read(IDS, act.residual[0])[act.residual[0]]
    with steered(tiny, vector, IDS, 0.25):
        after = tiny.read(IDS, act.residual[0])[act.residual[0]]
    change = (after - before).norm(dim=-1)
    assert (change[:, :-1] == 0).all()
    torch.testing.assert_close(change[:, -1], torch.full((8,), 0.25 * vector.norms[act.residual[0]]))


def test_a_strength_for_each_row(tiny: act.Model) -> None:
    vector = SteeringVector(SITE, directions={SITE: torch.ones(16)})
    before = tiny.read(IDS[:2], SITE)[SITE]
    with steered(tiny, vector, IDS[:2], torch.tensor([0.0, -2.0])):
        after = tiny.read(IDS[:2], SITE)[SITE]
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1] - before[1], torch.full((5, 16), -0.5), atol=1e-5, rtol=0)  # ones of length 1 are 1/4


def test_heads_and_convolutions_are_steered_in_their_own_shape(tiny: act.Model) -> None:
    vector = learn(tiny, SteeringVector(act.head[1], recipe="probe"), IDS[:4], IDS[4:])
    assert vector.directions[act.head[1]].shape == (2, 8)
    torch.manual_seed(0)
    net = act.load(torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(48, 2)))
    site = act.module("0")
    images = torch.randn(6, 1, 6, 6)
    field = learn(net, SteeringVector(site, reads="all"), images[:3], images[3:])
    assert field.directions[site].shape == (3, 4, 4)
    with steered(net, field, images, 1.0):
        changed = net.read(images, site)[site]
    torch.testing.assert_close(changed - net.module[0](images), field.absolute(site).expand_as(changed), atol=1e-5, rtol=1e-4)


def test_random_vectors_have_the_same_norm_and_another_direction(tiny: act.Model) -> None:
    vector = learn(tiny, SteeringVector(SITE), IDS[:4], IDS[4:])
    other = vector.random(torch.Generator().manual_seed(0))
    assert other.norms == vector.norms
    assert float(other.directions[SITE].norm()) == pytest.approx(1.0)
    assert abs(float(other.directions[SITE] @ vector.directions[SITE])) < 0.9


def test_provenance_tells_other_data_and_other_labels_apart(tiny: act.Model) -> None:
    digests = {
        learn(tiny, SteeringVector(SITE), a, b).provenance.data
        for a, b in ((IDS[:4], IDS[4:]), (IDS[4:], IDS[:4]), (IDS[:3], IDS[4:]), (IDS[:4], IDS[4:]))
    }
    assert len(digests) == 3
    provenance = learn(tiny, SteeringVector(SITE), IDS[:4], IDS[4:]).provenance
    assert (provenance.model, provenance.family) == ("LlamaForCausalLM", "llama")


def test_more_than_one_token_a_row_cannot_be_learnt_from(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match="One token a row is read here, such as \"last_prompt\" or -1, got positions='all'"):
        learn(tiny, SteeringVector(SITE, reads="all"), IDS[:4], IDS[4:])


def test_a_vector_without_directions_says_so(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match=r"This vector for act.residual\[1\] holds no direction yet"):
        SteeringVector(SITE).edits(tiny, IDS, 1.0)


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="recipe must be one of mean difference, principal component, probe, got 'magic'"):
        SteeringVector(SITE, recipe="magic")


def test_groups_of_two_kinds_are_refused(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match="Both groups must be of one kind, got Tensor and list"):
        learn(tiny, SteeringVector(SITE), IDS[:4], ["a"])


def test_a_single_text_is_not_a_list_of_texts(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match="got the single text 'glad'"):
        learn(tiny, SteeringVector(SITE), "glad", "sad")


def test_shuffled_labels_agree_with_the_truth_in_exactly_half() -> None:
    y = torch.tensor([1, 0] * 10)
    for seed in range(20):
        shuffled = shuffled_labels(y, torch.Generator().manual_seed(seed), paired=True)
        assert (shuffled[0::2] + shuffled[1::2] == 1).all()
        assert (shuffled == y).sum() == 10
    shuffled = shuffled_labels(torch.tensor([1] * 4 + [0] * 8), torch.Generator().manual_seed(0))
    assert (shuffled[:4].sum(), shuffled[4:].sum()) == (2, 2)


def test_labels_of_one_kind_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="two or more of each"):
        shuffled_labels(torch.tensor([1, 1, 1, 0]), torch.Generator())


def test_matched_sets_are_alike_in_the_statistics_and_disjoint() -> None:
    stats = torch.arange(20.0)[:, None]
    sets = matched_random(stats, [5, 15], 40, torch.Generator().manual_seed(0), nearest=2)
    assert {first for first, _ in sets} == {4, 6}
    assert {second for _, second in sets} == {14, 16}


def test_matched_sets_end_when_nothing_is_left() -> None:
    with pytest.raises(ValueError, match="No item is left to compare item 1 with"):
        matched_random(torch.zeros(3, 1), [0, 1], 1, torch.Generator(), nearest=5)


def test_a_derangement_leaves_no_place_as_it_was_and_reaches_all_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    found = {tuple(derangement(4, generator).tolist()) for _ in range(300)}
    assert len(found) == 9
    assert not any(i == at for order in found for at, i in enumerate(order))
