"""Conditions: thresholds by hand, rows that stay closed, controllers per row and layer."""

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    Control,
    ControlledSteering,
    Gate,
    GatedSteering,
    SteeringController,
    SteeringVector,
    fit_controller,
    fit_gate,
    learn,
)

X = torch.tensor([[0.0, 9.0], [1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [5.0, 0.0], [6.0, 2.0]])
Y = torch.tensor([0, 0, 0, 1, 1, 1])
ALONG = torch.tensor([2.0, 0.0])


def test_the_threshold_lies_in_the_gap_with_the_best_balanced_accuracy() -> None:
    # Scores 0, 1, 3 and 2, 5, 6: between 3 and 5 two of three open and none wrongly, as between 1 and 2 all open and one wrongly.
    gate = fit_gate(X, Y, ALONG)
    assert gate.direction.tolist() == [1.0, 0.0]
    assert gate.threshold in (1.5, 4.0)


def test_a_gate_may_open_wrongly_for_a_share_of_rows() -> None:
    assert fit_gate(X, Y, ALONG, open_wrongly=0.0).threshold == 3.0
    assert fit_gate(X, Y, ALONG, open_wrongly=0.34).threshold == 1.0
    gate = fit_gate(X, Y, ALONG, open_wrongly=0.0)
    assert gate(X).tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


def test_a_gate_by_cosine_does_not_see_the_norm() -> None:
    gate = Gate(torch.tensor([0.6, 0.8]), 0.9, "cosine")
    assert gate(torch.tensor([[3.0, 4.0], [0.03, 0.04], [4.0, 0.0]])).tolist() == [1.0, 1.0, 0.0]


def test_a_gate_of_another_width_says_so() -> None:
    with pytest.raises(ValueError, match=r"This gate reads activations of width 2, got \(3, 5\)"):
        Gate(torch.tensor([1.0, 0.0]), 0.0)(torch.zeros(3, 5))


def test_gated_steering_leaves_rows_without_the_condition_bit_for_bit(tiny: act.Model) -> None:
    ids = torch.randint(32, (24, 5), generator=torch.Generator().manual_seed(0))
    ids[:12, -1], ids[12:, -1] = 3, 17
    site = act.residual[1]
    vector = SteeringVector(site, directions={site: torch.ones(16)}, norms={site: 4.0})
    gated = learn(tiny, GatedSteering(vector, act.residual[0]), ids[:12], ids[12:])
    assert gated.gate is not None
    batch = ids[6:18]
    condition = tiny.read(batch, act.residual[0], "last_prompt")[act.residual[0]]
    shows = gated.gate(condition) == 1
    assert shows[:6].float().mean() > shows[6:].float().mean()
    assert 0 < shows.sum() < 12
    plain = tiny.module(batch).logits
    with tiny.edit(*gated.edits(tiny, batch, 0.5)):
        steered = tiny.module(batch).logits
    with tiny.edit(*vector.edits(tiny, batch, 0.5)):
        everywhere = tiny.module(batch).logits
    assert torch.equal(steered[~shows], plain[~shows])
    torch.testing.assert_close(steered[shows], everywhere[shows])
    assert not torch.allclose(steered[shows], plain[shows])


def test_an_unlearnt_gate_says_so(tiny: act.Model) -> None:
    site = act.residual[1]
    vector = SteeringVector(site, directions={site: torch.ones(16)})
    with pytest.raises(ValueError, match=r"The gate at act.residual\[0\] is not learnt yet"):
        GatedSteering(vector, act.residual[0]).edits(tiny, torch.zeros(1, 2, dtype=torch.long), 1.0)


def test_strengths_are_scale_times_weight() -> None:
    control = Control(torch.tensor([2.0, -1.0]), torch.tensor([[0.5, 1.0], [0.25, 0.0]]))
    assert control.strengths.tolist() == [[1.0, 2.0], [-0.25, 0.0]]


def test_a_controller_learns_to_tell_prompts_apart_by_either_objective() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    x = torch.randn(64, 6, generator=generator)
    x[:, 2] += 4.0 * y
    for objective, cut in (("mse", 0.5), ("bce", 0.0)):
        torch.manual_seed(0)
        controller = SteeringController(6, 3, hidden=32)
        losses = fit_controller(controller, x, y, objective=objective, lr=1e-2, epochs=15, generator=generator)
        assert losses[-1] < 0.5 * losses[0]
        assert ((controller(x).scale > cut) == (y == 1)).float().mean() > 0.95


def test_classes_weigh_the_same_however_many_rows_they_have() -> None:
    # A controller that always says 0: (0 - 1)² for the one wanted row, 0 for the three others. Half of the loss is the wanted row's.
    controller = SteeringController(2, 1, hidden=2)
    for parameter in controller.parameters():
        torch.nn.init.zeros_(parameter)
    losses = fit_controller(controller, torch.ones(4, 2), torch.tensor([1, 0, 0, 0]), lr=0.0, epochs=1)
    assert losses == pytest.approx([0.5])


def test_the_published_loss_gives_the_layer_weights_no_gradient() -> None:
    torch.manual_seed(0)
    controller = SteeringController(6, 3, hidden=8)
    before = controller.body[2].weight.detach().clone()
    x, y = torch.randn(16, 6), torch.arange(16) % 2
    optimiser_free = torch.autograd.grad(((controller(x).scale - y) ** 2).mean(), controller.body[2].weight)[0]
    assert (optimiser_free[1:] == 0).all()
    assert (optimiser_free[0] != 0).any()
    assert torch.equal(before, controller.body[2].weight)


def test_controlled_steering_adds_what_the_controller_says_to_each_row_and_layer(tiny: act.Model) -> None:
    ids = torch.randint(32, (6, 5), generator=torch.Generator().manual_seed(0))
    layers = [act.residual[0], act.residual[2]]
    vector = SteeringVector(
        layers[0] | layers[1], directions={s: torch.ones(16) for s in layers}, norms={layers[0]: 2.0, layers[1]: 3.0}
    )
    method = ControlledSteering(vector, reads=act.residual[1] | act.residual[2], hidden=8, lr=1e-2)
    learnt = learn(tiny, method, ids[:3], ids[3:])
    strengths = learnt.strengths(tiny, ids).detach()
    assert strengths.shape == (6, 2)
    before = tiny.read(ids, layers[0])[layers[0]]
    with torch.no_grad(), tiny.edit(*learnt.edits(tiny, ids, 2.0)):
        after = tiny.read(ids, layers[0])[layers[0]]
    added = 2.0 * strengths[:, 0] * 2.0 / 4.0  # strength, controller, norm, and the ones at length 1 are 1/4 each
    torch.testing.assert_close(after - before, added[:, None, None].expand_as(before), atol=1e-5, rtol=1e-4)


def test_layer_weights_learn_through_the_steered_model(tiny: act.Model) -> None:
    ids = torch.randint(32, (4, 5), generator=torch.Generator().manual_seed(0))
    site = act.residual[0]
    vector = SteeringVector(site, directions={site: torch.ones(16)})
    learnt = learn(tiny, ControlledSteering(vector, reads=act.residual[1], hidden=8), ids[:2], ids[2:])
    assert learnt.controller is not None
    with tiny.edit(*learnt.edits(tiny, ids, 1.0)):
        tiny.module(ids).logits[:, -1, 3].sum().backward()
    gradient = learnt.controller.body[2].weight.grad
    assert gradient is not None
    assert (gradient[1] != 0).any()


def test_a_scale_can_be_kept_within_zero_and_one(tiny: act.Model) -> None:
    ids = torch.randint(32, (4, 5), generator=torch.Generator().manual_seed(0))
    site = act.residual[0]
    vector = SteeringVector(site, directions={site: torch.ones(16)})
    controller = SteeringController(16, 1, hidden=8)
    with torch.no_grad():
        controller.body[2].bias[0] = -50.0
    said = [
        ControlledSteering(vector, act.residual[1], controller, scale).strengths(tiny, ids).detach()
        for scale in ("identity", "sigmoid", "clamp")
    ]
    assert (said[0] < -10).all()
    assert (said[1] < 1e-10).all()
    assert (said[2] == 0).all()
