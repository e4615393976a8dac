"""Orthogonal projection by lateral neurons: a Hebbian rule learns which activity old tasks use, and updates keep out of it.

M. Xiao, Q. Meng, Z. Zhang, D. He, Z. Lin, "Hebbian learning based orthogonal projection for continual learning of spiking neural
networks", ICLR 2024 (arXiv:2402.11984). Every layer of weights W has lateral neurons with weights H, (k, inputs), which respond to
the presynaptic activity x by y = H x and feed back Hᵀ y. They learn while a task is learnt, with a mean over the batch,

    dH = clip(y (x - Hᵀ y)ᵀ, -c, c)      m <- β m + (1 - β) dH      H <- H + lr m

for the rows that are new in this task; those of earlier tasks only take part in the feedback, so that new rows learn what the old
ones leave. When a task ends its rows are frozen, and from then on, with F all frozen rows,

    grad W = (error)ᵀ (x - Fᵀ F x)

while the forward pass and the error that is sent down use x itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from pressrun.methods.continual import Subspace, orthonormal_rows

from .feedback_alignment import feedback_alignment_linear
from .oja import oja_direction

__all__ = ["HLOP", "HebbianSubspace", "ProjectedConv2d", "ProjectedLinear"]

FEEDBACKS = ("symmetric", "sign", "random")


class HebbianSubspace(Subspace):
    """Lateral neurons that learn the principal subspace of their input.

    `frozen` holds the rows of earlier tasks and `growing` those that learn, both (rows, in_features) buffers.

    Args:
        in_features: of the activity.
        lr: step size of the rule. The paper's code has .001 for pixels and .01 for hidden layers; it has to fit the second moments
            of the activity, so compare `captured_variance` over a few values.
        momentum: β.
        n_iter: steps on each batch.
        clip: c, the largest entry of a step before momentum and step size.
        spiking: whether responses are quantised as the mean of so many spikes of size `scale` and either sign:
            y <- round(clip(y, -scale, scale) timesteps / scale) scale / timesteps.
        scale, timesteps: of the spiking responses.
        anti_hebbian: whether learning has the feedback of the growing rows. Without it the rule is Hebb's, and rows grow without
            end along the strongest direction: a control.

    Raises:
        ValueError: if a number is out of range.
    """

    growing: Tensor
    velocity: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        lr: float = 0.01,
        momentum: float = 0.9,
        n_iter: int = 5,
        clip: float = 10.0,
        spiking: bool = False,
        scale: float = 20.0,
        timesteps: int = 1000,
        anti_hebbian: bool = True,
    ) -> None:
        super().__init__(in_features)
        if not (lr > 0 and clip > 0 and scale > 0) or timesteps < 1 or n_iter < 1:
            raise ValueError(
                "lr, clip and scale must be positive, timesteps and n_iter at least 1, "
                f"got lr={lr}, clip={clip}, scale={scale}, timesteps={timesteps}, n_iter={n_iter}"
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}")
        self.lr = lr
        self.momentum = momentum
        self.n_iter = n_iter
        self.clip = clip
        self.spiking = spiking
        self.scale = scale
        self.timesteps = timesteps
        self.anti_hebbian = anti_hebbian
        self.register_buffer("growing", torch.empty(0, in_features))
        self.register_buffer("velocity", torch.empty(0, in_features))

    def add(self, k: int, generator: torch.Generator | None = None) -> None:
        """k more rows that learn, orthonormal among themselves but not to the others.

        Raises:
            ValueError: if k is negative, or there would be more rows than features.
        """
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        self._check_room(k)
        rows = (
            nn.init.orthogonal_(torch.empty(k, self.in_features), generator=generator) if k else torch.empty(0, self.in_features)
        )
        self.growing = torch.cat([self.growing, rows.to(self.growing)])
        self.velocity = torch.cat([self.velocity, torch.zeros_like(rows).to(self.velocity)])

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Let the growing rows learn from a batch of activity, (..., in_features).

        Raises:
            ValueError: if x does not have the features or is empty.
        """
        x = self._fitting(x).reshape(-1, self.in_features)
        if len(x) == 0:
            raise ValueError(f"x must hold one or more samples, got {tuple(x.shape)}")
        # What the frozen rows feed back stays the same in all the steps on this batch.
        left = self.orthogonalize(x)
        for _ in range(self.n_iter):
            y = self._respond(x @ self.growing.T)
            direction = oja_direction(self.growing, left, y) if self.anti_hebbian else y.T @ left / len(x)
            self.velocity = self.momentum * self.velocity + (1 - self.momentum) * direction.clamp(-self.clip, self.clip)
            self.growing = self.growing + self.lr * self.velocity

    def freeze(self, *, orthonormal: bool = False) -> None:
        """Merge the growing rows into the frozen ones.

        Args:
            orthonormal: whether the frozen rows become an orthonormal basis of what they span. The rule leaves them only near
                that, so Fᵀ F is no exact projector; this is the ablation.
        """
        rows = self.rows()
        self.frozen = orthonormal_rows(rows) if orthonormal else rows
        self.growing, self.velocity = self.growing[:0], self.velocity[:0]

    def rows(self) -> Tensor:
        return torch.cat([self.frozen, self.growing])

    def _respond(self, y: Tensor) -> Tensor:
        if not self.spiking:
            return y
        return (y.clamp(-self.scale, self.scale) * (self.timesteps / self.scale)).round() * (self.scale / self.timesteps)

    def extra_repr(self) -> str:
        return f"{self.in_features}, frozen={len(self.frozen)}, growing={len(self.growing)}, lr={self.lr}, spiking={self.spiking}"


class _ProjectedLayer(nn.Module):
    """Weights whose gradient keeps out of a subspace, and what stands for them on the way down."""

    weight: Tensor
    bias: Tensor | None
    feedback: Tensor | None
    subspace: Subspace | None

    def __init__(self, like: nn.Linear | nn.Conv2d, feedback: str) -> None:
        super().__init__()
        if feedback not in FEEDBACKS:
            raise ValueError(f"feedback must be one of {', '.join(FEEDBACKS)}, got {feedback!r}")
        self.weight = like.weight
        self.bias = like.bias
        self.feedback_kind = feedback
        self.subspace = None
        drawn = None
        if feedback == "random":
            drawn = torch.empty_like(like.weight.detach().flatten(1))
            nn.init.kaiming_uniform_(drawn, a=5**0.5)  # torch's default for weights
        self.register_buffer("feedback", None if drawn is None else drawn.T.contiguous())

    @property
    def trace_features(self) -> int:
        """Of the presynaptic activity of one unit."""
        return self.weight[0].numel()

    def traces(self, x: Tensor) -> Tensor:
        """The presynaptic activity in x, (rows, trace_features)."""
        raise NotImplementedError

    def _map(self, rows: Tensor) -> Tensor:
        """Rows of presynaptic activity through the weights, (rows, units), with the gradients of this layer."""
        weight = self.weight.flatten(1)
        if not torch.is_grad_enabled():
            return F.linear(rows, weight, self.bias)
        with torch.no_grad():
            if self.feedback is not None:
                feedback = self.feedback
            elif self.feedback_kind == "sign":
                feedback = weight.T.sign() / self.trace_features**0.5
            else:
                feedback = weight.T
            trace = self.subspace.orthogonalize(rows) if self.subspace is not None and self.weight.requires_grad else None
        return feedback_alignment_linear(rows, weight, feedback, self.bias, trace=trace)


class ProjectedLinear(_ProjectedLayer):
    """A linear layer whose weight gradient sees the input without what lies in `subspace`; nothing else changes.

    Shapes: input (..., in_features), such as (B, in_features) or (T, B, in_features); output (..., out_features). The weights have
    torch's default init. `subspace` is None at first; `HLOP` sets it, or set a `Subspace` of your own.

    Args:
        in_features, out_features: sizes.
        bias: whether there is one. It is not protected by the projection.
        feedback: what carries the error down: "symmetric", the weights; "sign", sign(W) / sqrt(in_features); "random", fixed
            weights drawn as W is (feedback alignment).

    Raises:
        ValueError: for another feedback, or an input with other features.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False, feedback: str = "symmetric") -> None:
        super().__init__(nn.Linear(in_features, out_features, bias=bias), feedback)

    def forward(self, x: Tensor) -> Tensor:
        return self._map(self.traces(x)).view(*x.shape[:-1], len(self.weight))

    def traces(self, x: Tensor) -> Tensor:
        if x.ndim < 1 or x.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"x must be (..., {self.weight.shape[1]}), got {tuple(x.shape)}")
        return x.reshape(-1, x.shape[-1])

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {len(self.weight)}, bias={self.bias is not None}, feedback={self.feedback_kind!r}"


class ProjectedConv2d(_ProjectedLayer):
    """A convolution whose weight gradient sees each patch without what lies in `subspace`, of in_channels x kernel_size² features.

    Shapes: input (B, in_channels, H, W) or (T, B, in_channels, H, W); output the same axes with out_channels and the height and
    width of a convolution. Under autograd it works on the patches themselves, which takes kernel_size² times the memory of x.

    Args and errors as in `ProjectedLinear`; stride and padding as in `torch.nn.Conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        feedback: str = "symmetric",
    ) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias), feedback)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        images = self._images(x)
        if torch.is_grad_enabled():
            height, width = ((side + 2 * self.padding - self.weight.shape[-1]) // self.stride + 1 for side in x.shape[-2:])
            y = self._map(self.traces(x)).view(len(images), height, width, len(self.weight)).permute(0, 3, 1, 2)
        else:
            y = F.conv2d(images, self.weight, self.bias, self.stride, self.padding)
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    def traces(self, x: Tensor) -> Tensor:
        patches = F.unfold(self._images(x), self.weight.shape[-1], stride=self.stride, padding=self.padding)
        return patches.transpose(1, 2).reshape(-1, self.trace_features)

    def _images(self, x: Tensor) -> Tensor:
        channels = self.weight.shape[1]
        if x.ndim not in (4, 5) or x.shape[-3] != channels:
            raise ValueError(f"x must be (B, {channels}, H, W) or (T, B, {channels}, H, W), got {tuple(x.shape)}")
        return x.reshape(-1, *x.shape[-3:])

    def extra_repr(self) -> str:
        units, channels, size, _ = self.weight.shape
        sizes = f"{channels}, {units}, kernel_size={size}, stride={self.stride}, padding={self.padding}"
        return f"{sizes}, bias={self.bias is not None}, feedback={self.feedback_kind!r}"


class HLOP:
    """Lateral neurons for all projected layers of a model, led through its tasks.

    hlop = HLOP(model)
    for task in tasks:
        hlop.begin_task(50)      # rows to grow in each layer
        for x, y in task:
            …                    # forward, backward and step as ever
            hlop.observe()       # the rows learn from what the layers saw in that forward pass
        hlop.end_task()          # the rows are frozen, and guard the weights from now on

    Every `ProjectedLinear` and `ProjectedConv2d` gets a `HebbianSubspace` as its `subspace`, unless it has one. Parameters without
    a second axis (biases, gains, thresholds) have no presynaptic activity to project, so they stop learning after the first task.
    Keep the optimiser without weight decay, and start it anew with each task: decay and old momentum move weights along directions
    that are protected.

    Args:
        model: holds the layers. They are known by their names in `named_modules`.
        trace: turns the input of a layer into the activity that is learnt from, for instance `weighted_rate` for spikes over
            time; the input itself when None.
        orthonormal: whether frozen rows are made exactly orthonormal (`HebbianSubspace.freeze`).
        generator: source of the new rows; torch's own when None.
        options: arguments of `HebbianSubspace`, for the layers that have none.

    Raises:
        ValueError: if no layer of the model is projected, or the options do not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        trace: Callable[[Tensor], Tensor] | None = None,
        orthonormal: bool = False,
        generator: torch.Generator | None = None,
        **options: float | bool,
    ) -> None:
        self.model = model
        self.trace = trace
        self.orthonormal = orthonormal
        self.generator = generator
        self.layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _ProjectedLayer)}
        if not self.layers:
            raise ValueError("model must have a ProjectedLinear or ProjectedConv2d, got none")
        for layer in self.layers.values():
            if not isinstance(layer.subspace, HebbianSubspace):
                layer.subspace = HebbianSubspace(layer.trace_features, **options).to(layer.weight)  # type: ignore[arg-type]
        self._seen: dict[str, Tensor] = {}
        self._handles = [layer.register_forward_pre_hook(partial(self._see, name)) for name, layer in self.layers.items()]

    @property
    def subspaces(self) -> dict[str, HebbianSubspace]:
        """The lateral neurons by the name of their layer."""
        return {name: layer.subspace for name, layer in self.layers.items() if isinstance(layer.subspace, HebbianSubspace)}

    def begin_task(self, n_new: int | Sequence[int] | Mapping[str, int]) -> None:
        """Grow rows: as many in every layer, or one number a layer, in their order or by their names.

        Raises:
            ValueError: if the numbers do not fit the layers, or a layer would have more rows than features.
        """
        if isinstance(n_new, int):
            n_new = dict.fromkeys(self.layers, n_new)
        elif not isinstance(n_new, Mapping):
            if len(n_new) != len(self.layers):
                raise ValueError(f"n_new must have a number for each of the {len(self.layers)} layers, got {len(n_new)}")
            n_new = dict(zip(self.layers, n_new, strict=True))
        if n_new.keys() != self.layers.keys():
            raise ValueError(f"n_new must name the layers {', '.join(self.layers)}, got {', '.join(n_new) or 'none'}")
        for name, subspace in self.subspaces.items():
            subspace.add(n_new[name], self.generator)

    def traces(self) -> dict[str, Tensor]:
        """The presynaptic activity, (rows, features), that each layer saw in the last forward pass with gradients.

        Raises:
            RuntimeError: if a layer has not seen any.
        """
        unseen = [name for name in self.layers if name not in self._seen]
        if unseen:
            raise RuntimeError(
                f"HLOP needs a forward pass of the model in training mode and with gradients first: {unseen[0]} saw none"
            )
        return {name: layer.traces(self._seen[name]) for name, layer in self.layers.items()}

    def observe(self) -> None:
        """Let the growing rows learn from the last forward pass with gradients. Raises as `traces`."""
        for name, trace in self.traces().items():
            self.subspaces[name].update(trace)

    def end_task(self) -> None:
        """Freeze the rows, and the parameters that no projection protects."""
        for subspace in self.subspaces.values():
            subspace.freeze(orthonormal=self.orthonormal)
        for parameter in self.model.parameters():
            if parameter.ndim < 2:
                parameter.requires_grad_(False)

    def close(self) -> None:
        """Take the hooks off the model; its layers keep their subspaces."""
        for handle in self._handles:
            handle.remove()

    def _see(self, name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if layer.training and torch.is_grad_enabled():
            x = inputs[0].detach()
            self._seen[name] = x if self.trace is None else self.trace(x)
