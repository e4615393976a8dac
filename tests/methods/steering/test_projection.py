"""Taking directions out of an activation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act
from pressrun.methods.steering.projection import ProjectOut
from pressrun.methods.steering.vectors import learn


@pytest.fixture
def model() -> act.Model:
    """Two linear maps that leave their input as it is."""
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        for part in network:
            part.weight.copy_(torch.eye(3))
    return act.load(network)


def test_the_mean_difference_is_gone_and_the_rest_is_as_it_was(model: act.Model) -> None:
    wanted, unwanted = torch.tensor([[2.0, 1.0, 0.0], [2.0, -1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    method = learn(model, ProjectOut(act.module("0"), reads="all"), wanted, unwanted)
    assert method.basis is not None
    torch.testing.assert_close(method.basis, torch.tensor([[1.0, 0.0, 0.0]]))
    x = torch.tensor([[5.0, 6.0, 7.0]])
    with model.edit(*method.edits(model, x, 1.0)):
        assert model.module(x).tolist() == [[0.0, 6.0, 7.0]]
    with model.edit(*method.edits(model, x, 0.5)):
        assert model.module(x).tolist() == [[2.5, 6.0, 7.0]]


def test_several_probes_take_out_as_many_directions(model: act.Model) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    x = torch.randn(40, 3, generator=generator)
    x[:, 0] += 3.0 * y
    site = act.module("0")
    method = ProjectOut(site, rank=2).fit({site: x}, y)
    assert method.basis is not None
    torch.testing.assert_close(method.basis @ method.basis.T, torch.eye(2), atol=1e-5, rtol=0)
    with model.edit(*method.edits(model, x, 1.0)):
        left = model.module(x)
    assert torch.linalg.matrix_rank(left, atol=1e-4) == 1


def test_the_random_control_has_the_same_rank_and_other_directions() -> None:
    method = ProjectOut(act.module("0"), basis=torch.eye(6)[:2])
    drawn = method.random(torch.Generator().manual_seed(1)).basis
    assert drawn is not None
    torch.testing.assert_close(drawn @ drawn.T, torch.eye(2), atol=1e-5, rtol=0)
    assert not torch.allclose(drawn.abs(), torch.eye(6)[:2])


def test_it_refuses_to_steer_before_it_has_learnt(model: act.Model) -> None:
    with pytest.raises(ValueError, match="Nothing is chosen to be taken out of"):
        ProjectOut(act.module("0")).edits(model, torch.ones(1, 3), 1.0)
