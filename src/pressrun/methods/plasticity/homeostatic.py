"""A learning rate that is at stake: what the network believes to see decides whether it is let go up or down.

K. Man, A. Damasio, H. Neven, "Need is all you need: homeostatic neural networks adapt to concept shift", arXiv:2205.08645, and its
authors' code. Each class excites or inhibits the learning rate. Before an update the network imagines two futures on its recent
memory: with the rate as it is, and with the rate as the class that it *predicts* would make it. If the second is better it takes
the stimulus in, and then the *true* class moves the rate. With η the rate, e ∈ {+1, -1} the effect of a class and s the step:

    η' = η + s e(predicted)      accept if accuracy(θ - η' g) > accuracy(θ - η g)      η ← η + s e(true)

A rate below zero becomes the floor. The same rate is the state of the functions here, of many learners at once, and of an ordinary
optimiser in the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["HomeostaticLR", "RandomLR", "moved_rate", "virtual_accuracy"]

Effect = Callable[[int], float]


def moved_rate(rate: Tensor, effect: Tensor, accept: Tensor, *, step: float, floor: float = 1e-8) -> Tensor:
    """Learning rates after a stimulus: rate + step * effect where it is accepted, and the floor where that is negative.

    Args:
        rate: any shape, one learner each.
        effect: the same shape, +1 to excite and -1 to inhibit.
        accept: the same shape, bool.
        step: what a stimulus adds or takes.
        floor: what a rate below zero is set to. A rate of exactly zero stays, as in the authors' code.

    Raises:
        ValueError: if shapes differ, or step or floor is not positive.
    """
    if not rate.shape == effect.shape == accept.shape:
        raise ValueError(
            f"rate, effect and accept must have one shape, got {tuple(rate.shape)}, {tuple(effect.shape)} and {tuple(accept.shape)}"
        )
    if not step > 0 or not floor > 0:
        raise ValueError(f"step and floor must be positive, got {step} and {floor}")
    moved = rate + step * effect
    return torch.where(accept, torch.where(moved < 0, floor, moved), rate)


@torch.no_grad()
def virtual_accuracy(model: nn.Module, gradients: Mapping[str, Tensor], lr: float, x: Tensor, y: Tensor) -> float:
    """Accuracy on a few samples as if the model had taken a plain gradient step of size lr; the model stays as it is.

    Args:
        model: a classifier, (B, ...) to (B, classes).
        gradients: by name of the parameter; a parameter without one stays.
        lr: size of the imagined step.
        x, y: (B, ...) and (B,), the memory.

    Raises:
        ValueError: if a gradient is of no parameter of the model or has another shape, or the memory is empty.
    """
    parameters = dict(model.named_parameters())
    for name, gradient in gradients.items():
        if name not in parameters or parameters[name].shape != gradient.shape:
            raise ValueError(f"gradient {name!r} of shape {tuple(gradient.shape)} is of no parameter of the model")
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"the memory must have as many labels as samples and at least one, got {len(x)} and {len(y)}")
    imagined = {name: parameters[name] - lr * gradient for name, gradient in gradients.items()}
    logits: Tensor = torch.func.functional_call(model, imagined, (x,))
    return float((logits.argmax(-1) == y).double().mean())


class HomeostaticLR:
    """Regulates the learning rate of an optimiser that takes plain gradient steps, such as SGD without momentum.

    Args:
        optimizer: the rate of its first group is the state; all groups are set to it.
        effect: +1 or -1 for a class.
        step: what a stimulus adds to the rate or takes from it; the paper's is a tenth of the rate at the start.
        floor: what a rate below zero is set to.

    Raises:
        ValueError: if step or floor is not positive.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, effect: Effect, *, step: float, floor: float = 1e-8) -> None:
        if not step > 0 or not floor > 0:
            raise ValueError(f"step and floor must be positive, got {step} and {floor}")
        self.optimizer, self.effect, self.step, self.floor = optimizer, effect, step, floor

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def propose(
        self,
        model: nn.Module,
        gradients: Mapping[str, Tensor],
        x_memory: Tensor,
        y_memory: Tensor,
        *,
        predicted: int,
        true: int,
    ) -> bool:
        """Meet one sample; whether its effect was taken in.

        Args:
            model: the classifier that the optimiser trains.
            gradients: of the samples of this update that were seen so far, divided by the size of the whole batch.
            x_memory, y_memory: (B, ...) and (B,), samples seen before; the paper's memory has 20.
            predicted: class that the model gives to the sample.
            true: class that it has now.

        Raises:
            ValueError: as `virtual_accuracy`.
        """
        accepted = self._accepts(
            lambda: (
                virtual_accuracy(model, gradients, self.lr, x_memory, y_memory)
                < virtual_accuracy(model, gradients, self._moved(predicted), x_memory, y_memory)
            )
        )
        if accepted:
            rate = self._moved(true)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        return accepted

    def _accepts(self, better: Callable[[], bool]) -> bool:
        return better()

    def _moved(self, label: int) -> float:
        rate = torch.tensor(self.lr, dtype=torch.float64)
        effect = torch.tensor(float(self.effect(label)), dtype=torch.float64)
        return float(moved_rate(rate, effect, torch.tensor(True), step=self.step, floor=self.floor))


class RandomLR(HomeostaticLR):
    """The same stimuli, accepted by the toss of a coin: what drifting alone does to a learning rate.

    Args:
        probability: of accepting.
        generator: of the coin.

    Raises:
        ValueError: as `HomeostaticLR`, and if probability is outside [0, 1].
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        effect: Effect,
        *,
        step: float,
        floor: float = 1e-8,
        probability: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(optimizer, effect, step=step, floor=floor)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {probability}")
        self.probability, self.generator = probability, generator

    def _accepts(self, _better: Callable[[], bool]) -> bool:
        return bool(torch.rand((), generator=self.generator) < self.probability)
