"""Counter-current learning: a second network carries the label down while the first carries the input up.

C.-H. Kao, B. Hariharan, "Counter-current learning: a biologically plausible dual network approach for deep learning", NeurIPS 2024
(arXiv:2409.19841). With levels 0 … L, f the activation function and e_k the one-hot label of class k:

    a_0 = x      a_l = f(W_l a_(l-1))      logits a_L = W_L a_(L-1)
    c_L = e_k    c_l = f(V_(l+1) c_(l+1))      c_0 = V_1 c_1

The input of every layer is detached in both directions, so that the loss at level l reaches W_l and V_(l+1) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

__all__ = [
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "weight_alignment",
]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "selu": F.selu,
    "tanh": torch.tanh,
    "none": lambda x: x,
}


class _CCLLayer(nn.Module):
    """A forward map and a feedback map the other way round, each with its activation function."""

    up: nn.Linear | nn.Conv2d
    down: nn.Linear | nn.Conv2d

    def __init__(
        self,
        up: nn.Linear | nn.Conv2d,
        down: nn.Linear | nn.Conv2d,
        act: str,
        feedback_act: str | None,
        batch_norm: bool,
        local: bool,
    ) -> None:
        super().__init__()
        feedback_act = act if feedback_act is None else feedback_act
        for name in (act, feedback_act):
            if name not in ACTIVATIONS:
                raise ValueError(f"an activation function must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
        self.up = up
        self.down = down
        self.up_norm = _norm(up, batch_norm and act != "none")
        self.down_norm = _norm(down, batch_norm and feedback_act != "none")
        self.act = act
        self.feedback_act = feedback_act
        self.local = local

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.act](self.up_norm(self._up(x.detach() if self.local else x)))

    def reverse(self, s: Tensor) -> Tensor:
        """The signal one level down."""
        return ACTIVATIONS[self.feedback_act](self.down_norm(self._down(s.detach() if self.local else s)))

    def _up(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(x)
        return y

    def _down(self, s: Tensor) -> Tensor:
        y: Tensor = self.down(s)
        return y


class CCLLinear(_CCLLayer):
    """A linear layer and its counter-current one.

    Shapes: `forward` (B, in_features) to (B, out_features), `reverse` (K, out_features) to (K, in_features). The weights are
    `up.weight`, (out_features, in_features), and `down.weight`, (in_features, out_features), both with torch's default init.

    Args:
        in_features, out_features: sizes of the level below and of the level above.
        act: "elu", "relu", "leaky_relu", "selu", "tanh" or "none", of the forward map; "none" at the last layer.
        feedback_act: the same of the feedback map, `act` when None; "none" at the first layer.
        bias: whether both maps have one.
        batch_norm: whether both maps are batch-normalised, without learnt scale, before their activation function. The paper's
            auto-encoder needs it: agreement alone is reached when both networks fall silent.
        local: whether both directions detach their argument. Without it gradients run through, as in back-propagation.

    Raises:
        ValueError: for an unknown activation function, or an argument that has other features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        act: str = "elu",
        feedback_act: str | None = None,
        bias: bool = False,
        batch_norm: bool = False,
        local: bool = True,
    ) -> None:
        up, down = nn.Linear(in_features, out_features, bias=bias), nn.Linear(out_features, in_features, bias=bias)
        super().__init__(up, down, act, feedback_act, batch_norm, local)
        self.in_features = in_features
        self.out_features = out_features

    def _up(self, x: Tensor) -> Tensor:
        return super()._up(_with_features("x", x, self.in_features))

    def _down(self, s: Tensor) -> Tensor:
        return super()._down(_with_features("s", s, self.out_features))


class CCLConv2d(_CCLLayer):
    """A convolution that halves height and width, and a counter-current one that doubles them (nearest neighbour, then convolve).

    Shapes: `forward` (B, in_channels, H, W) to (B, out_channels, H / 2, W / 2), with even H and W; `reverse` the other way.
    The other arguments are those of `CCLLinear`; kernel_size is odd.

    Raises:
        ValueError: for an even kernel, another number of channels, or an odd height or width.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        act: str = "elu",
        feedback_act: str | None = None,
        bias: bool = False,
        batch_norm: bool = False,
        local: bool = True,
    ) -> None:
        up = _conv(in_channels, out_channels, kernel_size, 2, bias)
        super().__init__(up, _conv(out_channels, in_channels, kernel_size, 1, bias), act, feedback_act, batch_norm, local)
        self.in_channels = in_channels
        self.out_channels = out_channels

    def _up(self, x: Tensor) -> Tensor:
        return super()._up(_even_image("x", x, self.in_channels))

    def _down(self, s: Tensor) -> Tensor:
        return super()._down(_doubled(_image("s", s, self.out_channels)))


class CCLConvTranspose2d(_CCLLayer):
    """The decoder's counterpart of `CCLConv2d`: forwards it doubles height and width, backwards it halves them.

    Shapes: `forward` (B, in_channels, H, W) to (B, out_channels, 2 H, 2 W); `reverse` the other way. Arguments and errors as there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        act: str = "elu",
        feedback_act: str | None = None,
        bias: bool = False,
        batch_norm: bool = False,
        local: bool = True,
    ) -> None:
        up = _conv(in_channels, out_channels, kernel_size, 1, bias)
        super().__init__(up, _conv(out_channels, in_channels, kernel_size, 2, bias), act, feedback_act, batch_norm, local)
        self.in_channels = in_channels
        self.out_channels = out_channels

    def _up(self, x: Tensor) -> Tensor:
        return super()._up(_doubled(_image("x", x, self.in_channels)))

    def _down(self, s: Tensor) -> Tensor:
        return super()._down(_even_image("s", s, self.out_channels))


class CCLReshape(nn.Module):
    """From images to vectors, say, and back: (B, *below) forwards to (B, *above). It has no weights and makes no level."""

    def __init__(self, below: Sequence[int], above: Sequence[int]) -> None:
        super().__init__()
        if torch.Size(below).numel() != torch.Size(above).numel():
            raise ValueError(f"below and above must hold as many numbers, got {tuple(below)} and {tuple(above)}")
        self.below = tuple(below)
        self.above = tuple(above)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.above)

    def reverse(self, s: Tensor) -> Tensor:
        return s.reshape(len(s), *self.below)


class CCLSequential(nn.Module):
    """Layers with a forward and a feedback direction. Calling it runs the forward network alone, as prediction does.

    Args:
        layers: `CCLLinear`, `CCLConv2d`, `CCLConvTranspose2d` and `CCLReshape`, from the input up.
        num_classes: K, the size of the last layer; None for an auto-encoder.

    Raises:
        ValueError: if there is no layer with weights.
    """

    def __init__(self, layers: Sequence[nn.Module], num_classes: int | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_classes = num_classes
        if not self.weighted():
            raise ValueError(f"layers must hold at least one layer with weights, got {len(layers)} without")

    def forward(self, x: Tensor) -> Tensor:
        return self.activations(x)[-1]

    def weighted(self) -> list[_CCLLayer]:
        """The layers that have weights, from the input up; layer l of them leads from level l - 1 to level l."""
        return [layer for layer in self.layers if isinstance(layer, _CCLLayer)]

    def activations(self, x: Tensor) -> list[Tensor]:
        """a_0 … a_L for a batch (B, ...): the input, then what every layer with weights gives."""
        levels = [x]
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, _CCLLayer):
                levels.append(x)
        return levels

    def signals(self, target: Tensor | None = None) -> list[Tensor]:
        """c_0 … c_L, from the bottom up.

        Args:
            target: what is fed in at the top, (K, ...); the one-hot labels of all classes, (K, K), when None.

        Raises:
            ValueError: if there is neither a target nor a number of classes.
        """
        if target is None:
            if self.num_classes is None:
                raise ValueError("signals needs a target, since the network has no number of classes")
            parameter = next(self.parameters())
            target = torch.eye(self.num_classes, dtype=parameter.dtype, device=parameter.device)
        levels = [target]
        for layer in reversed(self.layers):
            s = layer.reverse(levels[-1])  # type: ignore[operator]
            if isinstance(layer, _CCLLayer):
                levels.append(s)
            else:
                # A reshaped signal is the same level in the shape of the layer below.
                levels[-1] = s
        return levels[::-1]

    def forward_parameters(self) -> list[nn.Parameter]:
        """The parameters of the forward network."""
        return [parameter for layer in self.weighted() for parameter in layer.up.parameters()]

    def feedback_parameters(self) -> list[nn.Parameter]:
        """The parameters of the feedback network."""
        return [parameter for layer in self.weighted() for parameter in layer.down.parameters()]


def ccl_mlp(
    sizes: Sequence[int],
    *,
    num_classes: int | None = None,
    act: str = "elu",
    bias: bool = False,
    batch_norm: bool = False,
    local: bool = True,
) -> CCLSequential:
    """A perceptron of `CCLLinear` layers, without activation function where a network ends: at the logits and at c_0.

    Args:
        sizes: units of every level from the input to the output.
        num_classes: the last of them in a classifier; None for an auto-encoder.
        act, bias, batch_norm, local: as in `CCLLinear`.

    Raises:
        ValueError: if there are fewer than 2 sizes, or the last one is not `num_classes`.
    """
    if len(sizes) < 2 or num_classes not in (None, sizes[-1]):
        raise ValueError(f"sizes must be two or more and end with num_classes ({num_classes}), got {tuple(sizes)}")
    last = len(sizes) - 2
    layers = [
        CCLLinear(
            below,
            above,
            act="none" if level == last else act,
            feedback_act="none" if level == 0 else act,
            bias=bias,
            batch_norm=batch_norm,
            local=local,
        )
        for level, (below, above) in enumerate(pairwise(sizes))
    ]
    return CCLSequential(layers, num_classes)


def ccl_classification_loss(
    activations: Sequence[Tensor],
    signals: Sequence[Tensor],
    target: Tensor,
    *,
    scale: float = 0.5,
    width: int = 256,
    normalize: bool = False,
    ssl: float = 0.0,
    mask_threshold: float | None = None,
    local_target: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """The sum of the local losses below the top and of the cross-entropy at the top.

    With A = a_l (B, d), S = c_l (K, d), both flattened, and T the one-hot labels (B, K):
    loss_l = mean((A Sᵀ - T)²) scale width / d; with `normalize`, rows of A and S have unit length and
    loss_l = scale mean((A Sᵀ - T)²) + ssl (mean((A Aᵀ - 1)²) + mean((S Sᵀ - 1)²)).

    Args:
        activations, signals: of levels 0 … L, as `CCLSequential` gives them.
        target: (B,) int64, classes.
        scale, width: factors of the local losses; 0.5 and 256 for perceptrons, scale 1 with `normalize`.
        normalize, ssl: the variant for convolutional networks, there with ssl 0.5.
        mask_threshold: leaves samples out of the local losses whose class has a probability within this of 1; None for no mask.
        local_target: (B,) int64, other classes for the local losses; `target` when None. A control: with shuffled ones the hidden
            layers learn nothing of the task while the read-out still does.

    Returns:
        The loss, and its terms by level 0 … L; the last is the cross-entropy.

    Raises:
        ValueError: if levels or shapes do not fit, or `ssl` is given without `normalize`.
    """
    if ssl and not normalize:
        raise ValueError(f"ssl needs normalize=True, since it compares directions, got ssl={ssl}")
    logits = activations[-1]
    _check_levels(activations, signals)
    if target.shape != logits.shape[:1]:
        raise ValueError(f"target must be ({len(logits)},) to fit the logits {tuple(logits.shape)}, got {tuple(target.shape)}")
    one_hot = F.one_hot(target if local_target is None else local_target, logits.shape[1]).to(logits.dtype)
    keep = _unsure(logits, target, mask_threshold)
    terms = []
    for activation, signal in zip(activations[:-1], signals[:-1], strict=True):
        a, s = activation.flatten(1), signal.flatten(1)
        if keep is not None:
            a = a * keep
        if normalize:
            a, s = F.normalize(a, dim=1), F.normalize(s, dim=1)
            term = scale * F.mse_loss(a @ s.T, one_hot)
            term = term + ssl * (_distance_to_identity(a) + _distance_to_identity(s)) if ssl else term
        else:
            term = F.mse_loss(a @ s.T, one_hot) * (scale * width / a.shape[1])
        terms.append(term)
    terms.append(F.cross_entropy(logits, target))
    return torch.stack(terms).sum(), terms


def ccl_autoencoder_loss(activations: Sequence[Tensor], signals: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The sum over all levels of the mean squared difference of a_l and c_l, where c_L is the image itself.

    Returns:
        The loss, and its terms by level 0 … L; the last is the reconstruction error.

    Raises:
        ValueError: if levels or shapes do not fit.
    """
    _check_levels(activations, signals)
    if activations[0].shape[0] != signals[0].shape[0]:
        raise ValueError(f"activations and signals must be of the same samples, got {len(activations[0])} and {len(signals[0])}")
    terms = [F.mse_loss(a.flatten(1), c.flatten(1)) for a, c in zip(activations, signals, strict=True)]
    return torch.stack(terms).sum(), terms


class CCLTrainer:
    """Plain SGD on both networks, the gradient norm of each clipped by itself.

    The step size of 1 that the paper uses works only with the clipping. Parameters that need no gradient are left alone, so a
    frozen feedback network is `for p in model.feedback_parameters(): p.requires_grad_(False)`.

    Args:
        model: a classifier, or an auto-encoder when it has no number of classes.
        lr: step size of both networks.
        clip: largest gradient norm of each network.
        momentum, weight_decay: of SGD.
        centralise: whether the mean of every unit's weight gradient is taken off before the clipping.
        loss_options: keyword arguments of `ccl_classification_loss`.

    Raises:
        ValueError: if lr or clip is not positive.
    """

    def __init__(
        self,
        model: CCLSequential,
        lr: float = 1.0,
        clip: float = 1.0,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        centralise: bool = False,
        **loss_options: float | bool | None,
    ) -> None:
        if not lr > 0 or not clip > 0:
            raise ValueError(f"lr and clip must be positive, got {lr} and {clip}")
        self.model = model
        self.clip = clip
        self.centralise = centralise
        self.loss_options = loss_options
        self.networks = [
            [parameter for parameter in network if parameter.requires_grad]
            for network in (model.forward_parameters(), model.feedback_parameters())
        ]
        parameters = [parameter for network in self.networks for parameter in network]
        self.optimiser = torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def step(self, x: Tensor, y: Tensor, local_target: Tensor | None = None) -> Tensor:
        """One update from a batch.

        Args:
            x: (B, ...), inputs.
            y: (B,) classes of a classifier, or the images (B, ...) that an auto-encoder should return.
            local_target: as in `ccl_classification_loss`.

        Returns:
            The loss before the update, detached.
        """
        self.optimiser.zero_grad()
        activations = self.model.activations(x)
        if self.model.num_classes is None:
            loss, _ = ccl_autoencoder_loss(activations, self.model.signals(y))
        else:
            loss, _ = ccl_classification_loss(
                activations,
                self.model.signals(),
                y,
                local_target=local_target,
                **self.loss_options,  # type: ignore[arg-type]
            )
        loss.backward()
        for network in self.networks:
            if self.centralise:
                centralise_gradients(network)
            torch.nn.utils.clip_grad_norm_(network, self.clip)
        self.optimiser.step()
        return loss.detach()


@torch.no_grad()
def centralise_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Take its mean off the gradient of each unit's or output channel's weights, in place; biases stay as they are."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.ndim > 1:
            parameter.grad.sub_(parameter.grad.mean(dim=tuple(range(1, parameter.ndim)), keepdim=True))


@torch.no_grad()
def weight_alignment(model: CCLSequential) -> list[float]:
    """The cosine of the forward weights and the transposed feedback weights of every layer, from the input up.

    The transpose of a convolution also turns its kernel by 180 degrees. NaN where all weights of one side are zero.
    """
    cosines = []
    for layer in model.weighted():
        w, v = layer.up.weight, layer.down.weight.transpose(0, 1)
        v = v.flip(2, 3) if v.ndim == 4 else v
        cosines.append(((w * v).sum() / (w.norm() * v.norm())).item())
    return cosines


def _check_levels(activations: Sequence[Tensor], signals: Sequence[Tensor]) -> None:
    if len(activations) != len(signals):
        raise ValueError(f"activations and signals must have the same levels, got {len(activations)} and {len(signals)}")
    for level, (a, s) in enumerate(zip(activations, signals, strict=True)):
        if a[0].numel() != s[0].numel():
            raise ValueError(f"level {level} must be of one size, got activations {tuple(a.shape)} and signals {tuple(s.shape)}")


def _unsure(logits: Tensor, target: Tensor, threshold: float | None) -> Tensor | None:
    """(B, 1), 0 for the samples to be left out."""
    if threshold is None:
        return None
    probability = logits.detach().softmax(1).gather(1, target.unsqueeze(1))
    return (1 - probability >= threshold).to(logits.dtype)


def _distance_to_identity(rows: Tensor) -> Tensor:
    return F.mse_loss(rows @ rows.T, torch.eye(len(rows), dtype=rows.dtype, device=rows.device))


def _norm(layer: nn.Linear | nn.Conv2d, wanted: bool) -> nn.Module:
    if not wanted:
        return nn.Identity()
    if isinstance(layer, nn.Linear):
        return nn.BatchNorm1d(layer.out_features, affine=False)
    return nn.BatchNorm2d(layer.out_channels, affine=False)


def _conv(inputs: int, outputs: int, kernel_size: int, stride: int, bias: bool) -> nn.Conv2d:
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that the halves line up, got {kernel_size}")
    return nn.Conv2d(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, bias=bias)


def _doubled(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2, mode="nearest")


def _with_features(name: str, x: Tensor, features: int) -> Tensor:
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"{name} must be (B, {features}), got {tuple(x.shape)}")
    return x


def _image(name: str, x: Tensor, channels: int) -> Tensor:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"{name} must be (B, {channels}, H, W), got {tuple(x.shape)}")
    return x


def _even_image(name: str, x: Tensor, channels: int) -> Tensor:
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"{name} must be (B, {channels}, H, W) with even H and W, got {tuple(x.shape)}")
    return x
