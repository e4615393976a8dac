"""Counter-current learning trains a deep network without carrying the error backwards (arXiv:2409.19841)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from pressrun.methods.plasticity import (
    CCLLinear,
    CCLSequential,
    CCLTrainer,
    FALinear,
    ccl_classification_loss,
    ccl_mlp,
    linear_cka,
    weight_alignment,
)
from pressrun.replicate import Above, Below, Claim, Difference, Evidence, Ratio, Run, knob

PAPER = "2409.19841"

CLAIMS = (
    Claim(
        id="close-to-backpropagation",
        paper="Perceptrons trained by counter-current learning come close to back-propagation on MNIST, FashionMNIST and CIFAR.",
        where="abstract and table 1",
        tested="On 8x8 digits, a 6-layer perceptron is at most 5 points of test accuracy below back-propagation.",
        scale="toy",
        rule=Difference("test_accuracy", "ccl", minus="bp", at_least=-0.05),
        control=Difference("test_accuracy", "readout", minus="bp", at_least=-0.05),
        control_is="only the read-out learns",
    ),
    Claim(
        id="level-with-feedback-alignment",
        paper="Its accuracy is comparable to other biologically plausible rules, feedback alignment among them.",
        where="abstract and table 1",
        tested="On 8x8 digits, a 6-layer perceptron is at most 2 points of test accuracy below feedback alignment.",
        scale="toy",
        rule=Difference("test_accuracy", "ccl", minus="fa", at_least=-0.02),
        control=Difference("test_accuracy", "readout", minus="fa", at_least=-0.02),
        control_is="only the read-out learns",
    ),
    Claim(
        id="hidden-layers-learn",
        paper="The feedback network shapes the hidden layers: the learning is deep.",
        where="t-SNE and CKA figures",
        tested="On 8x8 digits, it gains at least 3 points of test accuracy over random hidden layers with a trained read-out.",
        scale="toy",
        rule=Difference("test_accuracy", "ccl", minus="readout", at_least=0.03),
        control=Difference("test_accuracy", "ccl_hidden_shuffled", minus="readout", at_least=0.03),
        control_is="hidden layers see shuffled labels",
    ),
    Claim(
        id="levels-align",
        paper="The activations of the two networks grow alike at every level.",
        where="CKA figure",
        tested="From init to end, linear CKA of a_l(x) and c_l(y) on test digits grows by at least 0.01 at each of the 5 hidden levels.",
        scale="toy",
        rule=Above("cka_growth", "ccl", at_least=0.01, at="min"),
        control=Above("cka_growth", "ccl_shuffled", at_least=0.01, at="min"),
        control_is="labels shuffled",
    ),
    Claim(
        id="learning-is-local",
        paper="No gradient crosses the boundary of a layer.",
        where="by construction",
        tested="The loss of no level has a gradient in weights other than the two that meet there (largest absolute entry).",
        scale="full",
        rule=Below("leaked_gradient", "ccl", at_most=0, exact=True),
        control=Below("leaked_gradient", "ccl_not_detached", at_most=0),
        control_is="inputs of layers not detached",
    ),
    Claim(
        id="weights-align",
        paper="Forward and feedback weights align although they are never tied.",
        where="cosine figure",
        tested="In at least 60 % of the 6 layers, the cosine of W and Vᵀ ends above 0.05 and above its value at init.",
        scale="toy",
        rule=Above("aligned_layers", "ccl", at_least=0.6),
        control=Above("aligned_layers", "bp", at_least=0.6),
        control_is="feedback weights unused",
    ),
    Claim(
        id="trains-an-autoencoder",
        paper="It trains a convolutional auto-encoder on STL-10 with reconstructions comparable to back-propagation's.",
        where="abstract and figures",
        tested="A perceptron auto-encoder with 8 units in the middle has at most half the test error of the mean digit.",
        scale="toy",
        rule=Ratio("reconstruction_error", "ccl_autoencoder", over="mean_image", at_most=0.5),
        control=Ratio("reconstruction_error", "readout_autoencoder", over="mean_image", at_most=0.5),
        control_is="only the last layer learns",
    ),
)

METRICS = {
    "test_accuracy": "1",
    "test_accuracy_default_rate": "1",  # at the paper's learning rate of 1
    "train_accuracy": "1",
    "learning_rate": "1",
    "accuracy": "1",  # on the test digits, over the epochs at the chosen rate
    "cka_growth": "1",  # over the hidden levels
    "cosine_at_init": "1",  # over the layers
    "cosine_at_end": "1",
    "aligned_layers": "1",
    "leaked_gradient": "1",
    "reconstruction_error": "variance",
} | {f"cka_level_{level}": "1" for level in range(1, 6)}  # over the epochs

NOT_TESTED = (
    "MNIST, FashionMNIST, CIFAR-10 and CIFAR-100: parity there, with convolutions above all, is not claimed at this scale.",
    "Difference target propagation, DRL, L-DRL, FW-DTP and DRTP, the other rules it is compared with: only feedback alignment is.",
    "That alignment rises first in the upper levels: shown in the figure, not judged, for the paper gives no figure to hold it to.",
    "The convolutional auto-encoder and its ratio to back-propagation (recorded here for a perceptron, without a threshold).",
    "Low-frequency filters in convolution kernels, operation counts, biological realism.",
    "The auto-encoder in its plainest form, without biases: it collapsed while building (seed 0), so biases and batch norm, which "
    "the authors' code has, were added; rules and thresholds were not touched.",
)

USE = """\
import torch
from pressrun.methods.plasticity import CCLTrainer, ccl_mlp

x, y = torch.randn(256, 20), torch.randint(10, (256,))
model = ccl_mlp((20, 128, 128, 10), num_classes=10)
CCLTrainer(model, lr=1.0, clip=1.0).step(x, y)
predicted = model(x).argmax(1)  # the forward network alone
"""

RATES = (1.0, 0.3, 0.1)

ARMS = {
    "bp": "back-propagation",
    "fa": "feedback alignment",
    "ccl": "counter-current",
    "ccl_frozen": "counter-current, feedback frozen",
    "readout": "read-out only",
    "ccl_hidden_shuffled": "counter-current, hidden labels shuffled",
    "ccl_shuffled": "counter-current, labels shuffled",
}


@dataclass(frozen=True)
class Config:
    epochs: int = knob(30, low=1, high=500, help="passes over the 1,260 training digits")
    batch: int = knob(64, low=8, high=512, unit="digits", help="digits an update sees")
    width: int = knob(128, low=16, high=1024, unit="units", help="units of each of the 5 hidden layers")
    bottleneck: int = knob(8, low=1, high=64, unit="units", help="units in the middle of the auto-encoder")
    clip: float = knob(1.0, low=0.01, high=100.0, help="largest gradient norm of each network")


PRESETS = {"smoke": Config(epochs=1, batch=128), "laptop": Config(), "paper": Config(epochs=100, width=256)}


class Digits(NamedTuple):
    """Standardised with one mean and deviation for all pixels, (N, 64) each, and labels."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


class Trained(NamedTuple):
    """A network after its last epoch, with what was seen on the way."""

    model: nn.Module
    validation_loss: float  # the lowest of all epochs
    test_score: float  # at that epoch
    course: list[dict[str, float]]  # what `watch` gave before training and after each epoch


def replicate(config: Config, seed: int, run: Run) -> None:
    digits = split_digits(seed)
    check_locality(config, seed, digits, run)
    for arm in run.progress(ARMS, "arms"):
        trials = {lr: train(arm, lr, config, seed, digits) for lr in RATES}
        rate = min(RATES, key=lambda lr: trials[lr].validation_loss)
        record_arm(run, arm, rate, trials, digits)
    for arm in run.progress(("ccl_autoencoder", "bp_autoencoder", "readout_autoencoder"), "auto-encoders"):
        best = min((train(arm, lr, config, seed, digits) for lr in RATES), key=lambda trained: trained.validation_loss)
        run.record(arm, reconstruction_error=best.test_score)
    run.record("mean_image", reconstruction_error=mse_loss(digits.train[0].mean(0).expand_as(digits.test[0]), digits.test[0]))


def train(arm: str, lr: float, config: Config, seed: int, digits: Digits) -> Trained:
    """All epochs of one arm; like the paper it is judged at the epoch with the lowest validation loss."""
    autoencoder = arm.endswith("autoencoder")
    generator = torch.Generator().manual_seed(seed)
    images, labels = digits.train
    wrong = labels[torch.randperm(len(labels), generator=generator)]
    if arm == "ccl_shuffled":
        labels = wrong
    model, step = learner(arm, lr, config, seed)
    lowest, at_lowest = float("inf"), float("nan")
    course = [watch(model, digits)] if not autoencoder else []
    for _ in range(config.epochs):
        for chosen in torch.randperm(len(images), generator=generator).split(config.batch):
            step(images[chosen], images[chosen] if autoencoder else labels[chosen], wrong[chosen])
        loss, _ = score(model, digits.validation, autoencoder)
        if loss < lowest:
            lowest, at_lowest = loss, score(model, digits.test, autoencoder)[1]
        if not autoencoder:
            course.append(watch(model, digits))
    return Trained(model, lowest, at_lowest, course)


Step = Callable[[Tensor, Tensor, Tensor], object]


def learner(arm: str, lr: float, config: Config, seed: int) -> tuple[nn.Module, Step]:
    """The network of an arm, with the same weights at init in all arms, and what updates it from inputs, targets and wrong labels."""
    torch.manual_seed(seed)
    local = not arm.startswith(("bp", "fa"))
    if arm.endswith("autoencoder"):
        # Like the authors' auto-encoder with biases and batch normalisation: without, both networks agree on silence.
        model = ccl_mlp((64, config.width, config.bottleneck, config.width, 64), bias=True, batch_norm=True, local=local)
    else:
        model = ccl_mlp((64, *[config.width] * 5, 10), num_classes=10, local=local)
    if arm in ("ccl_frozen", "readout", "readout_autoencoder"):
        freeze(model.feedback_parameters())
    if arm.startswith("readout"):
        freeze([parameter for layer in model.weighted()[:-1] for parameter in layer.up.parameters()])
    if arm.startswith("bp"):
        return model, by_gradient(model, model.forward_parameters(), lr, config.clip)
    if arm == "fa":
        aligned = with_fixed_feedback(model)
        return aligned, by_gradient(aligned, list(aligned.parameters()), lr, config.clip)
    trainer = CCLTrainer(model, lr, config.clip)
    if arm == "ccl_hidden_shuffled":
        return model, trainer.step
    return model, lambda x, y, _: trainer.step(x, y)


def by_gradient(model: nn.Module, parameters: list[nn.Parameter], lr: float, clip: float) -> Step:
    """Plain SGD on the error at the output, with the same clipping as counter-current learning has."""
    optimiser = torch.optim.SGD(parameters, lr=lr)

    def step(x: Tensor, y: Tensor, _: Tensor) -> None:
        optimiser.zero_grad()
        output = model(x)
        (cross_entropy(output, y) if y.ndim == 1 else mse_loss(output, y)).backward()
        nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()

    return step


def with_fixed_feedback(model: CCLSequential) -> nn.Sequential:
    """The forward network, whose errors come down through the feedback weights as they are at init."""
    layers: list[nn.Module] = []
    for layer in model.weighted():
        if isinstance(layer, CCLLinear):
            aligned = FALinear(layer.in_features, layer.out_features)
            aligned.weight.data.copy_(layer.up.weight)
            aligned.feedback.copy_(layer.down.weight)
            layers += [aligned, nn.ELU()]
    return nn.Sequential(*layers[:-1])


def freeze(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad_(False)


@torch.no_grad()
def score(model: nn.Module, of: tuple[Tensor, Tensor], autoencoder: bool) -> tuple[float, float]:
    """Loss and what is reported: the accuracy, or the reconstruction error. Only the forward network runs: it sees no label."""
    images, labels = of
    model.eval()
    output = model(images)
    model.train()
    if autoencoder:
        error = float(mse_loss(output, images))
        return error, error
    return float(cross_entropy(output, labels)), float((output.argmax(1) == labels).double().mean())


@torch.no_grad()
def watch(model: nn.Module, digits: Digits) -> dict[str, float]:
    """Test accuracy, the alignment of every hidden level on the test digits, and that of the weights."""
    images, labels = digits.test
    seen = {"accuracy": score(model, digits.test, False)[1]}
    if isinstance(model, CCLSequential):
        levels = zip(model.activations(images), model.signals(), strict=True)
        # One row a digit on both sides: the signal of a level is the one of the digit's class.
        alike = {f"cka_level_{level}": float(linear_cka(a, c[labels])) for level, (a, c) in enumerate(levels) if 1 <= level <= 5}
        seen |= alike | {f"cosine_{layer}": cosine for layer, cosine in enumerate(weight_alignment(model), start=1)}
    return seen


def record_arm(run: Run, arm: str, rate: float, trials: dict[float, Trained], digits: Digits) -> None:
    best = trials[rate]
    run.record(
        arm,
        test_accuracy=best.test_score,
        test_accuracy_default_rate=trials[1.0].test_score,
        train_accuracy=score(best.model, digits.train, False)[1],
        learning_rate=rate,
    )
    for epoch, seen in enumerate(best.course):
        run.record(arm, step=epoch, **{name: value for name, value in seen.items() if not name.startswith("cosine")})
    first, last = best.course[0], best.course[-1]
    if "cosine_1" not in first:
        return
    for level in range(1, 6):
        run.record(arm, step=level, cka_growth=last[f"cka_level_{level}"] - first[f"cka_level_{level}"])
    aligned = []
    for layer in range(1, 7):
        before, after = first[f"cosine_{layer}"], last[f"cosine_{layer}"]
        run.record(arm, step=layer, cosine_at_init=before, cosine_at_end=after)
        aligned.append(after > 0.05 and after > before)
    run.record(arm, aligned_layers=np.mean(aligned))


def check_locality(config: Config, seed: int, digits: Digits, run: Run) -> None:
    """The largest gradient that the loss of any level has in weights that do not meet there."""
    for arm in ("ccl", "ccl_not_detached"):
        torch.manual_seed(seed)
        model = ccl_mlp((64, *[config.width] * 5, 10), num_classes=10, local=arm == "ccl")
        images, labels = digits.train[0][: config.batch], digits.train[1][: config.batch]
        terms = ccl_classification_loss(model.activations(images), model.signals(), labels)[1]
        layers = model.weighted()
        leaked = 0.0
        for level, term in enumerate(terms):
            own = {id(layers[level - 1].up.weight) if level else 0, id(layers[level].down.weight) if level < len(layers) else 0}
            others = [weight for weight in model.parameters() if id(weight) not in own]
            gradients = torch.autograd.grad(term, others, retain_graph=True, allow_unused=True)
            leaked = max(leaked, *(0.0 if gradient is None else float(gradient.abs().max()) for gradient in gradients))
        run.record(arm, leaked_gradient=leaked)


def split_digits(seed: int) -> Digits:
    """1,260 digits to train on, 140 to choose rate and epoch by, 397 to test, drawn anew for every seed."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(seed))
    images, labels = torch.tensor(data.data, dtype=torch.float32)[order], torch.tensor(data.target)[order]
    images = (images - images[:1260].mean()) / images[:1260].std()
    return Digits(*zip(images.split((1260, 140, 397)), labels.split((1260, 140, 397)), strict=True))


def draw(evidence: Evidence) -> Figure:
    """Test accuracy over the epochs for every arm, and how alike the two networks are at every hidden level."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained", width_ratios=(1.25, 1))
    draw_accuracy(left, evidence)
    draw_alignment(right, evidence)
    return figure


def draw_accuracy(axes: Axes, evidence: Evidence) -> None:
    styles = {
        "ccl": ("-", 2.6),
        "bp": ("-", 1.0),
        "fa": ("--", 1.4),
        "ccl_frozen": ("-.", 1.4),
        "readout": (":", 2.0),
        "ccl_hidden_shuffled": ((0, (1, 4)), 1.6),
    }
    for arm, (dash, weight) in styles.items():
        curve = evidence.mean_curve("accuracy", arm)
        axes.plot(curve.step, curve.value, linestyle=dash, linewidth=weight, color="0.1", label=ARMS[arm])
    axes.axhline(0.1, color="0.7", linewidth=0.8)
    axes.annotate("chance", (0.99, 0.1), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.45", fontsize=8)
    axes.set(xlabel="epoch", ylabel="test accuracy", xlim=(0, curve.step.max()), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 0.12))


def draw_alignment(axes: Axes, evidence: Evidence) -> None:
    curves = [evidence.mean_curve(f"cka_level_{level}", "ccl") for level in range(1, 6)]
    epochs = curves[0].step
    image = axes.pcolormesh(epochs, range(1, 6), np.stack([curve.value for curve in curves]), cmap="gray_r", vmin=0, vmax=1)
    axes.set(xlabel="epoch", ylabel="hidden level (5 is next to the label)", yticks=range(1, 6))
    axes.figure.colorbar(image, ax=axes, label="CKA of the two networks")
