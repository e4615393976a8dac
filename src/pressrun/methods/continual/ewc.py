"""Elastic weight consolidation: weights that mattered for old tasks are held near their old values.

J. Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114 (2017), eq. 3; with a term for each old
task k, its weights θ_k and the diagonal F_k of its Fisher information,

    penalty = strength / 2  sum_k sum_i F_k,i (θ_i - θ_k,i)²
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

__all__ = ["EWC"]


class EWC:
    """Adds up one quadratic penalty for every task that was consolidated.

    ewc = EWC(model, strength=100.0)
    loss = cross_entropy(model(x), y) + ewc.penalty()  # in each step of every task
    ewc.consolidate(x_task)                            # at the end of a task

    Args:
        model: (B, ...) inputs to (B, classes) logits.
        strength: weight of the penalty; the λ of the paper, 0 or more.

    Raises:
        ValueError: if strength is negative.
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        if not strength >= 0:
            raise ValueError(f"strength must be 0 or more, got {strength}")
        self.model = model
        self.strength = strength
        self._terms: list[tuple[nn.Parameter, Tensor, Tensor]] = []  # parameter, its Fisher information, its value then

    def consolidate(
        self, x: Tensor, y: Tensor | None = None, *, samples: int | None = None, generator: torch.Generator | None = None
    ) -> list[Tensor]:
        """Remember the weights as they are, and how much the predictions on x depend on each of them.

        F is the mean over samples of the squared gradient of log p(label | x), one backward pass a sample. The model is in eval
        mode meanwhile, and no gradient is left behind.

        Args:
            x: (B, ...), inputs of the task that ends.
            y: (B,) classes, for the empirical Fisher information; None draws them from what the model predicts, which is F proper.
            samples: how many of x to use, drawn without replacement; all when None.
            generator: source of the random numbers, on the CPU; torch's own when None.

        Returns:
            F for every parameter that needs a gradient, in the order of `model.parameters()`.

        Raises:
            ValueError: if x is empty, y does not fit x, samples is below 1, or a prediction is not finite.
        """
        if len(x) == 0 or (y is not None and len(y) != len(x)):
            raise ValueError(f"x and y must hold one or more samples each, got {len(x)} and {'none' if y is None else len(y)}")
        if samples is not None and samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        chosen = torch.randperm(len(x), generator=generator)[:samples]
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        fisher = [torch.zeros_like(parameter) for parameter in parameters]
        training = self.model.training
        self.model.eval()
        for index in chosen.tolist():
            logits = self.model(x[index : index + 1])
            if not logits.isfinite().all():
                raise ValueError("the model must give finite logits, got some that are not: has training diverged?")
            if y is None:
                probability = log_softmax(logits.detach()[0], 0).exp().cpu()
                label = torch.multinomial(probability, 1, generator=generator).to(logits.device)
            else:
                label = y[index : index + 1]
            gradients = torch.autograd.grad(cross_entropy(logits, label), parameters, allow_unused=True)
            for total, gradient in zip(fisher, gradients, strict=True):
                if gradient is not None:
                    total.addcmul_(gradient, gradient, value=1 / len(chosen))
        self.model.train(training)
        self._terms += [(one, of_one, one.detach().clone()) for one, of_one in zip(parameters, fisher, strict=True)]
        return fisher

    def penalty(self) -> Tensor:
        """The penalty as a scalar with a gradient; 0 before anything was consolidated."""
        total = torch.zeros((), device=next(self.model.parameters()).device)
        for parameter, fisher, value in self._terms:
            total = total + (fisher * (parameter - value).square()).sum()
        return self.strength / 2 * total
