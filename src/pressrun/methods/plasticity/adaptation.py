"""Test-time adaptation: a trained classifier goes on learning from the unlabelled batches that it has to classify.

Three ways, from the least to the most that moves: batch statistics in place of those of training (Schneider et al. 2020), the scales and
shifts of all normalisation layers by the entropy of the predictions (Tent, Wang et al. 2021), and neuro-modulated Hebbian learning
(Tang et al. 2023, arXiv:2303.00914), which moves the first layer only: its weights by competition, and a modulator behind them by entropy.

All take (B, ...) and give logits (B, classes, ...). They adapt a copy: the model that they are given is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)
from torch.nn.modules.batchnorm import _BatchNorm

from .soft_hebbian import Competition, HebbianRule, layer_update

__all__ = [
    "Adapted",
    "BatchNormAdapt",
    "Collapse",
    "NHLAdapter",
    "NeuroModulator",
    "Tent",
    "entropy",
    "prediction_collapse",
]


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the softmax over dimension 1, in nats: 0 when sure, log(classes) when all classes are alike.

    Args:
        logits: (B, classes, ...); -inf rules a class out.

    Returns:
        (B, ...), not averaged.

    Raises:
        ValueError: if logits have no dimension of classes.
    """
    if logits.ndim < 2:
        raise ValueError(f"logits must be (B, classes, ...), got {tuple(logits.shape)}")
    log_p = logits.log_softmax(1)
    # 0 log 0 is 0, with a gradient of 0: a class that is ruled out contributes nothing, instead of nan.
    return -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(1)


class Collapse(NamedTuple):
    """How predictions spread over the classes."""

    counts: Tensor  # (classes,), int64
    top_share: float  # of the class that is predicted most
    effective_classes: float  # exponential of the histogram's entropy: 1 when only one class is predicted
    collapsed: bool


def prediction_collapse(predicted: Tensor, classes: int, *, least: float = 0.5) -> Collapse:
    """Whether a stream of predictions has withdrawn to few classes, as minimising entropy can end.

    It sees predictions only. A stream that really holds few classes looks the same: judge over a window in which all should occur.

    Args:
        predicted: (N,) integers from 0 to classes - 1.
        classes: how many there are.
        least: collapsed means fewer effective classes than this share of all.

    Raises:
        ValueError: if there is no prediction, or one is not a class.
    """
    if predicted.ndim != 1 or len(predicted) == 0 or predicted.is_floating_point():
        raise ValueError(f"predicted must be (N,) integers, at least one, got {tuple(predicted.shape)} of {predicted.dtype}")
    if predicted.min() < 0 or predicted.max() >= classes:
        raise ValueError(f"predicted must lie between 0 and {classes - 1}, got {int(predicted.min())} to {int(predicted.max())}")
    counts = torch.bincount(predicted, minlength=classes)
    share = counts.double() / len(predicted)
    effective = float(torch.special.entr(share).sum().exp())
    return Collapse(counts, float(share.max()), effective, effective < least * classes)


class NeuroModulator(nn.Module):
    """Rescales the channels of a layer; it starts as the identity.

    Shapes: (B, channels, ...) in and out. "affine" has a scale and a shift per channel, "conv1x1" a matrix over channels and a shift.

    Raises:
        ValueError: for another kind, or an input with other channels.
    """

    def __init__(self, channels: int, kind: Literal["affine", "conv1x1"] = "affine") -> None:
        super().__init__()
        if kind not in ("affine", "conv1x1"):
            raise ValueError(f"kind must be affine or conv1x1, got {kind!r}")
        self.kind = kind
        self.weight = nn.Parameter(torch.ones(channels) if kind == "affine" else torch.eye(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != len(self.bias):
            raise ValueError(f"x must be (B, {len(self.bias)}, ...), got {tuple(x.shape)}")
        shape = (-1, *[1] * (x.ndim - 2))
        if self.kind == "affine":
            return x * self.weight.reshape(shape) + self.bias.reshape(shape)
        return torch.einsum("oc,bc...->bo...", self.weight, x) + self.bias.reshape(shape)


class Adapted(NamedTuple):
    """Logits of one batch, (B, classes, ...), without gradient."""

    before: Tensor  # with what was learnt from the batches until now
    after: Tensor  # with what was learnt from this batch as well: its inputs are used twice


class _Adapter(nn.Module):
    """A frozen copy of a model in evaluation mode, what of it learns, and how it started."""

    model: nn.Module

    def __init__(self, model: nn.Module, *, episodic: bool) -> None:
        super().__init__()
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.episodic = episodic
        self._optimiser: torch.optim.Optimizer | None = None

    def _begin(self, learning: Iterable[nn.Parameter], lr: float, steps: int) -> None:
        if lr < 0 or steps < 1:
            raise ValueError(f"a learning rate must not be negative and steps must be 1 or more, got {lr} and {steps}")
        self.steps = steps
        learning = list(learning)
        if lr > 0:
            self._optimiser = torch.optim.Adam([parameter.requires_grad_() for parameter in learning], lr=lr)
        self._start = deepcopy(self.state_dict())

    def adapt(self, x: Tensor) -> Adapted:
        """Learn from a batch; the logits before and after."""
        raise NotImplementedError

    def reset(self) -> None:
        """Back to how it started: weights and optimiser."""
        self.load_state_dict(self._start)

    def train(self, mode: bool = True) -> Self:
        """Changes nothing in the model, so that `train()` and `eval()` cannot change the method."""
        super().train(mode)
        self.model.eval()
        return self

    def get_extra_state(self) -> dict[str, Any]:
        return {} if self._optimiser is None else self._optimiser.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if self._optimiser is not None:
            # An optimiser would go on with the tensors it is given, and two adapters would share their moments.
            self._optimiser.load_state_dict(deepcopy(state))

    @torch.no_grad()
    def _predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits

    def _lower_entropy(self, x: Tensor) -> Tensor:
        """One step of the optimiser; the logits before it."""
        # Prediction is often called without gradients; learning needs them all the same.
        with torch.inference_mode(False), torch.enable_grad():
            logits: Tensor = self.model(x.clone() if x.is_inference() else x)
            if self._optimiser is not None:
                self._optimiser.zero_grad()
                entropy(logits).mean().backward()
                self._optimiser.step()
        return logits.detach()


class BatchNormAdapt(_Adapter):
    """Normalises with the statistics of the test batch. Nothing is learnt, and no batch affects the next.

    S. Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", NeurIPS 2020: means and
    variances are those of the batch and of training, weighted B to `source_samples`. It is the baseline of everything else here.

    Args:
        model: has batch normalisation; with source_samples above 0 it also needs running statistics.
        source_samples: how many samples the statistics of training count for; 0 leaves them out, some 16 help with small batches.

    Raises:
        ValueError: if there is no batch normalisation, or no running statistics to take in.
    """

    def __init__(self, model: nn.Module, *, source_samples: float = 0) -> None:
        super().__init__(model, episodic=False)
        layers = [name for name, module in self.model.named_modules() if isinstance(module, _BatchNorm)]
        if not layers:
            raise ValueError(f"model must have batch normalisation, got {type(model).__name__} without")
        if source_samples < 0:
            raise ValueError(f"source_samples must not be negative, got {source_samples}")
        if source_samples:
            for name in layers:
                layer = self.model.get_submodule(name)
                if layer.running_mean is None:
                    raise ValueError(f"source_samples needs running statistics, but {name or 'the model'} has none")
                self._replace(name, _BlendedNorm(layer, source_samples))
        else:
            use_batch_statistics(self.model)
        self._begin((), 0.0, 1)

    def _replace(self, name: str, module: nn.Module) -> None:
        if name:
            self.model.set_submodule(name, module)
        else:
            self.model = module

    def forward(self, x: Tensor) -> Tensor:
        return self._predict(x)

    def adapt(self, x: Tensor) -> Adapted:
        logits = self(x)
        return Adapted(logits, logits)


class Tent(_Adapter):
    """Scales and shifts of all normalisation layers learn to lower the entropy of the predictions; batch normalisation uses the batch.

    D. Wang et al., "Tent: fully test-time adaptation by entropy minimization", ICLR 2021. The optimiser is Adam. With a large rate, small
    batches or classes that come in order all predictions can end in few classes: see `prediction_collapse`.

    Calling it learns from the batch and gives the logits before that, as its authors do; `adapt` gives both.

    Args:
        model: has layers of batch, layer, group or instance normalisation with scale and shift.
        lr: of Adam.
        steps: of the optimiser for each batch.
        episodic: whether every batch starts from the model as it was given.

    Raises:
        ValueError: if there is nothing to learn, lr is negative or steps is below 1.
    """

    def __init__(self, model: nn.Module, lr: float = 1e-3, *, steps: int = 1, episodic: bool = False) -> None:
        super().__init__(model, episodic=episodic)
        use_batch_statistics(self.model)
        kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
        norms = [module for module in self.model.modules() if isinstance(module, kinds)]
        learning = [parameter for module in norms for parameter in module.parameters(recurse=False)]
        if not learning:
            raise ValueError(f"model must have normalisation with scale and shift, got {type(model).__name__} without")
        self._begin(learning, lr, steps)

    def forward(self, x: Tensor) -> Tensor:
        if self.episodic:
            self.reset()
        before = self._lower_entropy(x)
        for _ in range(self.steps - 1):
            self._lower_entropy(x)
        return before

    def adapt(self, x: Tensor) -> Adapted:
        return Adapted(self(x), self._predict(x))


class NHLAdapter(_Adapter):
    """Neuro-modulated Hebbian learning: only the first layer moves, its weights by competition and a modulator behind it by entropy.

    For each batch: the weights of the layer move by `soft_hebbian_update`, then the modulator by one step of Adam on the mean entropy of
    the predictions, whose gradient comes down through the frozen network; then the batch is classified.

    The paper's constants and the place of its modulator are not known to us. Here it stands behind the batch normalisation of the first
    layer where there is one: before it, batch statistics undo a scale and shift per channel, and no gradient arrives.

    Args:
        model: a classifier whose first `nn.Conv2d` or `nn.Linear` is the layer to adapt.
        hebb_lr: step size of the competition; 0 turns it off.
        mod_lr: of Adam for the modulator; 0 turns it off.
        tau, rule, competition: as in `soft_hebbian_update`.
        modulator: "affine" or "conv1x1", see `NeuroModulator`.
        steps: rounds of both for each batch.
        bn: "batch" normalises with the statistics of the test batch, as Tent does; "source" with those of training.
        layer: name of the layer, as in `named_modules`; "auto" takes the first.
        modulated: name of the module whose output is modulated; "auto" takes the batch normalisation that follows the layer as the next
            module without parts, or else the layer.
        episodic: whether every batch starts from the model as it was given.

    Attributes:
        layer: the layer, of the copy that adapts. modulator: the `NeuroModulator`.

    Raises:
        ValueError: if there is no such layer, or an argument has another name or sign.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        hebb_lr: float = 1e-2,
        mod_lr: float = 1e-3,
        tau: float = 1.0,
        rule: HebbianRule = "oja",
        competition: Competition = "soft",
        modulator: Literal["affine", "conv1x1"] = "affine",
        steps: int = 1,
        bn: Literal["batch", "source"] = "batch",
        layer: str = "auto",
        modulated: str = "auto",
        episodic: bool = False,
    ) -> None:
        super().__init__(model, episodic=episodic)
        if bn not in ("batch", "source"):
            raise ValueError(f"bn must be batch or source, got {bn!r}")
        _one_of("rule", rule, get_args(HebbianRule))
        _one_of("competition", competition, get_args(Competition))
        if hebb_lr < 0 or tau <= 0:
            raise ValueError(f"hebb_lr must not be negative and tau must be positive, got hebb_lr={hebb_lr} and tau={tau}")
        if bn == "batch":
            use_batch_statistics(self.model)
        self.hebb_lr = hebb_lr
        self.tau = tau
        self.rule: HebbianRule = rule
        self.competition: Competition = competition
        self.layer_name, self.modulated_name = _places(self.model, layer, modulated)
        like = self.layer.weight
        self.modulator = NeuroModulator(len(like), modulator).to(like.device, like.dtype)
        self._begin(self.modulator.parameters(), mod_lr, steps)
        self._input: Tensor | None = None
        self.layer.register_forward_pre_hook(self._keep_input)
        self.model.get_submodule(self.modulated_name).register_forward_hook(self._modulate)

    @property
    def layer(self) -> nn.Conv2d | nn.Linear:
        found: Any = self.model.get_submodule(self.layer_name)
        return found  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Learn from the batch; the logits after that."""
        return self.adapt(x).after

    def adapt(self, x: Tensor) -> Adapted:
        if self.episodic:
            self.reset()
        before = self._predict(x)
        for _ in range(self.steps):
            if self.hebb_lr:
                self._compete()
            if self._optimiser is not None:
                self._lower_entropy(x)
        after = self._predict(x)
        self._input = None
        return Adapted(before, after)

    def hebbian_change(self, x: Tensor) -> Tensor:
        """The change of the layer's weight for its input x. Override it to put another rule in its place."""
        return layer_update(self.layer, x, lr=self.hebb_lr, tau=self.tau, rule=self.rule, competition=self.competition)

    @torch.no_grad()
    def _compete(self) -> None:
        if self._input is None:
            raise ValueError(f"the model did not call {self.layer_name}, the layer that is to adapt")
        self.layer.weight += self.hebbian_change(self._input)

    def _keep_input(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._input = args[0].detach()

    def _modulate(self, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:  # noqa: ARG002 (the shape of a hook)
        modulated: Tensor = self.modulator(output)
        return modulated


def use_batch_statistics(model: nn.Module) -> None:
    """Every batch normalisation takes the statistics of its batch and keeps none, in evaluation mode as well."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None


class _BlendedNorm(nn.Module):
    """Batch normalisation with B parts of the batch's statistics and `source_samples` parts of the running ones."""

    def __init__(self, layer: nn.Module, source_samples: float) -> None:
        super().__init__()
        self.layer = layer
        self.source_samples = source_samples

    def forward(self, x: Tensor) -> Tensor:
        layer: Any = self.layer
        share = len(x) / (len(x) + self.source_samples)
        var, mean = torch.var_mean(x.transpose(0, 1).flatten(1), 1, correction=0)
        mean, var = layer.running_mean.lerp(mean, share), layer.running_var.lerp(var, share)
        return F.batch_norm(x, mean, var, layer.weight, layer.bias, eps=layer.eps)


def _places(model: nn.Module, layer: str, modulated: str) -> tuple[str, str]:
    """Names of the layer that competes and of the module that is modulated."""
    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    if layer == "auto":
        layer = next((name for name, module in leaves if isinstance(module, (nn.Conv2d, nn.Linear))), layer)
    names = [name for name, _ in leaves]
    if layer not in names or not isinstance(model.get_submodule(layer), (nn.Conv2d, nn.Linear)):
        raise ValueError(f"layer must be the name of an nn.Conv2d or nn.Linear of {type(model).__name__}, got {layer!r}")
    if modulated == "auto":
        after = leaves[names.index(layer) + 1 :][:1]
        modulated = after[0][0] if after and isinstance(after[0][1], _BatchNorm) else layer
    if modulated not in dict(model.named_modules()):
        raise ValueError(f"modulated must be the name of a module of {type(model).__name__}, got {modulated!r}")
    return layer, modulated


def _one_of(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")
