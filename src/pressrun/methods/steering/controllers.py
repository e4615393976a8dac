"""A small network beside a frozen model that reads it and says how strongly to steer each layer (arXiv:2505.20309, section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pressrun.methods import activations as act

from ._checks import rows_and_labels
from ._inputs import Batch, Inputs
from .vectors import SteeringVector, Strength, read_one_a_row

__all__ = ["Control", "ControlledSteering", "SteeringController", "fit_controller"]

Objective = Literal["mse", "bce"]
Scale = Literal["identity", "sigmoid", "clamp"]


class Control(NamedTuple):
    """What a controller says of each row: `scale` is (batch,), `layer_weights` (batch, layers) within 0 and 1."""

    scale: Tensor
    layer_weights: Tensor

    @property
    def strengths(self) -> Tensor:
        """(batch, layers): scale times layer weight."""
        return self.scale[:, None] * self.layer_weights


class SteeringController(nn.Module):
    """Linear - ReLU - Linear from what was read to one scale and one weight a layer.

    Shapes: input (batch, features), such as the last prompt token's residual of some layers side by side; see `Control`.

    Under the published losses on the scale alone, the layer weights have no gradient and stay as they were drawn: train through
    the steered model (`pressrun.methods.activations` edits are differentiable) to learn them.
    """

    def __init__(self, features: int, layers: int, *, hidden: int = 1024) -> None:
        super().__init__()
        self.layers = layers
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1 + layers))

    def forward(self, x: Tensor) -> Control:
        out = self.body(x)
        return Control(out[:, 0], out[:, 1:].sigmoid())


def fit_controller(
    controller: SteeringController,
    x: Tensor,
    y: Tensor,
    *,
    objective: Objective = "mse",
    lr: float = 5e-5,
    epochs: int = 4,
    batch: int = 4,
    clip: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train the scale to be 1 on rows labelled 1 and 0 on rows labelled 0; the mean loss of every epoch.

    Args:
        x: (n, features); y: (n,) of 0 and 1.
        objective: "mse" (s - 1)² and s², each class weighing one half (the paper's loss with λ = 1/2), or "bce" on the scale as a
            logit (the authors' code); apply a sigmoid to the scale when you use it then.
        lr, epochs, batch, clip: of AdamW, with gradients clipped to the norm `clip`; the defaults are the paper's.
    """
    wanted, unwanted = rows_and_labels(x, y)
    if objective not in ("mse", "bce"):
        raise ValueError(f'objective must be "mse" or "bce", got {objective!r}')
    weight = torch.where(y == 1, 0.5 / len(wanted), 0.5 / len(unwanted)) * len(y)
    target = y.to(x.dtype)
    optimiser = torch.optim.AdamW(controller.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            scale = controller(x[rows]).scale
            if objective == "mse":
                each = (scale - target[rows]) ** 2
            else:
                each = binary_cross_entropy_with_logits(scale, target[rows], reduction="none")
            loss = (weight[rows] * each).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(controller.parameters(), clip)
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(x))
    return losses


@dataclass(frozen=True)
class ControlledSteering:
    """A vector whose strength a controller sets, for each row and each of the vector's sites.

    The controller reads the prompt unsteered, once; its strengths then hold for the prompt and all that is generated. (Reading and
    steering in one pass could only reach the layers above those read.)

    Attributes:
        vector: with its directions, one for each of the controller's layer weights, in order.
        reads: sites the controller reads, at the last token of the prompt, side by side.
        controller: None until learnt.
        scale: what becomes of its scale: "identity" (the paper's), "sigmoid" (for the "bce" objective) or "clamp" to 0 and 1, so that
            a row with a scale below 0 is left alone instead of being pushed the other way.
        objective, lr, epochs, hidden, seed: of `fit_controller`; the seed draws its weights and batches.
    """

    vector: SteeringVector
    reads: act.Site | act.Sites
    controller: SteeringController | None = None
    scale: Scale = "identity"
    objective: Objective = "mse"
    lr: float = 5e-5
    epochs: int = 4
    hidden: int = 1024
    seed: int = 0

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> Tensor:
        seen = read_one_a_row(model, inputs, self.reads, "last_prompt", batch)
        return torch.cat([x.flatten(1).float() for x in seen.values()], dim=1)

    def fit(self, seen: Tensor, labels: Tensor) -> Self:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            controller = SteeringController(seen.shape[1], len(self.vector.directions), hidden=self.hidden).to(seen.device)
        generator = torch.Generator().manual_seed(self.seed)
        fit_controller(controller, seen, labels, objective=self.objective, lr=self.lr, epochs=self.epochs, generator=generator)
        return replace(self, controller=controller)

    def random(self, generator: torch.Generator) -> Self:
        return replace(self, vector=self.vector.random(generator))

    def strengths(self, model: act.Model, inputs: Batch) -> Tensor:
        """(batch, sites): what the controller says of each row of a batch."""
        if self.controller is None:
            raise ValueError("The controller is not learnt yet: learn it from prompts to steer and prompts to leave alone")
        seen = model.read(inputs, self.reads, "last_prompt")
        control: Control = self.controller(torch.cat([x.flatten(1).float() for x in seen.values()], dim=1))
        return control._replace(scale=_bounded(control.scale, self.scale)).strengths

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:
        each = self.strengths(model, inputs)
        if each.shape[1] != len(self.vector.directions):
            raise ValueError(f"The controller weighs {each.shape[1]} layers, the vector has {len(self.vector.directions)} sites")
        return [
            site.add(self.vector.absolute(site), strength=strength * each[:, i], positions=self.vector.positions)
            for i, site in enumerate(self.vector.directions)
        ]


def _bounded(scale: Tensor, how: Scale) -> Tensor:
    if how == "sigmoid":
        return scale.sigmoid()
    return scale.clamp(0, 1) if how == "clamp" else scale
