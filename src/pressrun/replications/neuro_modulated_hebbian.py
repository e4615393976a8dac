"""A classifier adapts its first layer to shifted images while it is tested: by competition, and a little feedback (arXiv:2303.00914)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, interpolate

from pressrun.methods.continual import corrupt
from pressrun.methods.plasticity import (
    BatchNormAdapt,
    NHLAdapter,
    Tent,
    kernel_similarity,
    prediction_collapse,
)
from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Run, knob

PAPER = "2303.00914"

CLAIMS = (
    Claim(
        id="lower-error-than-the-source-model",
        paper="Neuro-modulated Hebbian learning lowers the error on shifted images far below that of the model as it was trained; a leaderboard "
        "has it at 10.7 % mean error on CIFAR-10-C at severity 5.",
        where="abstract",
        tested="On 16x16 digits under eight corruptions, its mean error is at least 5 points below that of the unadapted model. Batch "
        "statistics come with it, so they alone are the control.",
        scale="toy",
        rule=Difference("error", "nhl", minus="source", at_most=-0.05),
        control=Difference("error", "bn_stats", minus="source", at_most=-0.05),
        control_is="statistics of the test batch alone",
    ),
    Claim(
        id="lower-error-than-batch-statistics",
        paper="It outperforms other fully test-time adaptation methods, of which statistics of the test batch are the simplest.",
        where="abstract and tables",
        tested="Its mean error over the eight corruptions is below that of the same network with statistics of the test batch, and no learning.",
        scale="toy",
        rule=Difference("error", "nhl", minus="bn_stats", at_most=0.0),
        control=Difference("error", "random_signs", minus="bn_stats", at_most=0.0),
        control_is="Hebbian update with random signs",
    ),
    Claim(
        id="level-with-other-adaptation",
        paper="It outperforms other fully test-time adaptation methods.",
        where="abstract and tables",
        tested="Its mean error over the eight corruptions is at most 1 point above that of batch statistics alone, and of Tent.",
        scale="toy",
        rule=All(
            Difference("error", "nhl", minus="bn_stats", at_most=0.01),
            Difference("error", "nhl", minus="tent", at_most=0.01),
        ),
        control=All(
            Difference("error", "random_signs", minus="bn_stats", at_most=0.01),
            Difference("error", "random_signs", minus="tent", at_most=0.01),
        ),
        control_is="Hebbian update with random signs",
    ),
    Claim(
        id="feedback-improves-hebbian-learning",
        paper="Hebbian learning alone is clearly worse than with neuro-modulation by feedback from the output.",
        where="abstract and ablation",
        tested="With the modulator the error is lower than with Hebbian learning alone on at least 70 % of the eight corruptions.",
        scale="toy",
        rule=Above("wins", "nhl", at_least=0.7, chance=0.5),
        control=Above("wins", "random_feedback", at_least=0.7, chance=0.5),
        control_is="feedback with random signs",
    ),
    Claim(
        id="soft-beats-hard-competition",
        paper="Soft decisions in the competition do better than winner-take-all.",
        where="ablation",
        tested="With soft competition the mean error over the eight corruptions is no higher than with winner-take-all.",
        scale="toy",
        rule=Difference("error", "nhl", minus="hard", at_most=0.0),
        control=Difference("error", "random_signs", minus="hard", at_most=0.0),
        control_is="Hebbian update with random signs",
    ),
    Claim(
        id="only-the-first-layer-moves",
        paper="Only early layers adapt; the classifier stays locked.",
        where="figure 2",
        tested="After every stream, no number of the layers after the first convolution differs from the source model's, and some "
        "kernel has moved (largest absolute change).",
        scale="full",
        rule=All(
            Below("change_in_later_layers", "nhl", at_most=0, exact=True),
            Above("change_in_kernels", "nhl", at_least=1e-6),
        ),
        control=All(
            Below("change_in_later_layers", "tent", at_most=0),
            Above("change_in_kernels", "tent", at_least=1e-6),
        ),
        control_is="Tent, which moves all normalisation layers",
    ),
)

METRICS = {
    "error": "1",  # over all corruptions, predicted after learning from the batch
    "error_before": "1",  # the same, predicted before
    "error_by_corruption": "1",  # over the eight corruptions
    "error_before_by_corruption": "1",
    "error_along_stream": "1",  # over the batches, mean over corruptions
    "clean_error": "1",  # of the stream without corruption
    "sorted_error": "1",  # of streams with the classes in order
    "effective_classes": "1",  # predicted, mean over corruptions; 10 when all are predicted alike
    "sorted_effective_classes": "1",
    "collapsed": "1",  # share of the corruptions under which predictions withdrew to fewer than 5 effective classes
    "sorted_collapsed": "1",
    "wins": "1",  # share of the corruptions with a lower error than Hebbian learning alone
    "hebbian_rate": "1",  # chosen on the held-out corruption
    "entropy_rate": "1",
    "change_in_later_layers": "1",  # largest absolute one, of all streams
    "change_in_kernels": "1",
    "kernel_drift": "1",  # over the batches, 1 - cosine of a kernel with the source model's, mean over kernels and corruptions
    "kernel_similarity": "1",  # over the batches, mean absolute cosine of different kernels
}

NOT_TESTED = (
    "CIFAR-10-C, CIFAR-100-C, ImageNet-C and digit adaptation from SVHN to MNIST, and any ranking there.",
    "SHOT and the other methods it is compared with: only batch statistics and Tent are.",
    "The free-energy argument for the soft rule.",
    "The authors' constants, which were not known: Oja's form with responses at unit variance, temperature 1, one step a batch and batch "
    "statistics are ours, and so are the grids of rates (0.001, 0.01, 0.1 for each part of each method).",
    "Larger rates: on seed 0 the Hebbian parts took the largest of the three. The grid stayed as it was.",
    "The place of the modulator, likewise not known: here a scale and shift per channel behind the first batch normalisation. Before it, "
    "batch statistics undo them.",
    "Severities: each was chosen on seeds 0 and 1, by the error of the source model alone, to lie between 0.2 and 0.5.",
    "Predictions before learning from the batch, which uses no input twice: in all arms the error is of those after, the other is recorded.",
    "Streams with the classes in order: recorded, not judged.",
)

USE = """\
import torch
from torch import nn
from pressrun.methods.plasticity import NHLAdapter, prediction_collapse

model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
adapter = NHLAdapter(model, hebb_lr=1e-2, mod_lr=1e-3)
logits = torch.cat([adapter(x) for x in torch.rand(5, 64, 1, 16, 16)])  # learns as it predicts
print(prediction_collapse(logits.argmax(1), classes=10))
adapter.reset()
"""

RATES = (0.001, 0.01, 0.1)

SEVERITY = {
    "gaussian_noise": 4.5,
    "impulse_noise": 3.0,
    "blur": 4.2,
    "pixelate": 5.0,
    "contrast": 1.0,
    "brightness": 3.3,
    "inversion": 2.0,
    "stripes": 2.7,
}
"""The corruptions that are tested."""

HELD_OUT = ("speckle_noise", 5.0)
"""The one on which rates are chosen."""

ARMS = {
    "source": "source model",
    "bn_stats": "batch statistics",
    "tent": "Tent",
    "modulator": "modulator alone",
    "hebb_only": "Hebbian alone",
    "nhl": "Hebbian and modulator",
    "hard": "winner-take-all and modulator",
    "random_signs": "random signs and modulator",
    "random_feedback": "Hebbian and random feedback",
}


@dataclass(frozen=True)
class Config:
    epochs: int = knob(20, low=1, high=500, help="passes over the 797 digits the source model is trained on")
    channels: int = knob(16, low=2, high=256, help="kernels of the first convolution; the second has twice as many")
    batch: int = knob(64, low=8, high=256, unit="digits", help="digits a training step or an adaptation sees")
    stream: int = knob(600, low=16, high=600, unit="digits", help="digits to classify under each corruption")
    tau: float = knob(1.0, low=0.01, high=100.0, help="temperature of the soft competition")


PRESETS = {"smoke": Config(epochs=2, channels=8, stream=128), "laptop": Config(), "paper": Config(epochs=60, channels=64)}


class Digits(NamedTuple):
    """Images (N, 1, 16, 16) in [0, 1] and labels."""

    train: tuple[Tensor, Tensor]
    choice: tuple[Tensor, Tensor]  # to choose rates on
    stream: tuple[Tensor, Tensor]


Batches = list[tuple[Tensor, Tensor]]
"""Standardised images (B, 1, 16, 16) and labels (B,)."""

Adapter = BatchNormAdapt | Tent | NHLAdapter
Make = Callable[[], Adapter]


class Course(NamedTuple):
    """What came of a stream of batches."""

    errors: Tensor  # (images,), of the predictions after learning from their batch
    errors_before: Tensor
    predicted: Tensor  # (images,), after
    kernels: list[Tensor]  # of the first layer, after each batch
    adapter: Adapter

    @property
    def error(self) -> float:
        return float(self.errors.double().mean())


def replicate(config: Config, seed: int, run: Run) -> None:
    digits = split_digits(seed)
    source = train(config, seed, digits.train)
    arms = choose(config, seed, source, batches(config, seed, digits, digits.choice, *HELD_OUT), run)
    images, labels = (part[: config.stream] for part in digits.stream)
    order = labels.argsort(stable=True)
    by_arm: dict[str, np.ndarray] = {}
    for arm in run.progress(arms, "arms"):
        mixed, in_order = (
            [follow(arms[arm](), batches(config, seed, digits, of, *each)) for each in SEVERITY.items()]
            for of in ((images, labels), (images[order], labels[order]))
        )
        by_arm[arm] = np.array([course.error for course in mixed])
        clean = follow(arms[arm](), batches(config, seed, digits, (images, labels), "blur", 0.0))
        record_errors(run, arm, mixed, config.batch)
        record_histograms(run, arm, mixed, "")
        record_histograms(run, arm, in_order, "sorted_")
        record_changes(run, arm, mixed, source)
        run.record(arm, clean_error=clean.error, sorted_error=np.mean([course.error for course in in_order]))
    for arm in ("nhl", "random_feedback"):
        run.record(arm, wins=np.mean(by_arm[arm] < by_arm["hebb_only"]))


def batches(config: Config, seed: int, digits: Digits, of: tuple[Tensor, Tensor], name: str, severity: float) -> Batches:
    """Corrupted images, standardised as those of training were."""
    images = (corrupt(of[0], name, severity, seed) - digits.train[0].mean()) / digits.train[0].std()
    return list(zip(images.split(config.batch), of[1].split(config.batch), strict=True))


def choose(config: Config, seed: int, source: nn.Module, held_out: Batches, run: Run) -> dict[str, Make]:
    """How each arm starts a stream. Every part that learns has the rate of three with the lowest error on the held-out corruption.

    The modulator keeps the rate that it has alone; the Hebbian rate beside it is chosen given that one. The controls have the rates of
    the method, so that what they put in the place of its update or its feedback is as large.
    """

    def best(make: Callable[[float], Adapter]) -> float:
        return min(RATES, key=lambda rate: follow(make(rate), held_out).error)

    def nhl(hebb_lr: float, mod_lr: float, competition: Literal["soft", "hard"] = "soft") -> NHLAdapter:
        return NHLAdapter(source, hebb_lr=hebb_lr, mod_lr=mod_lr, tau=config.tau, competition=competition)

    tent = best(lambda rate: Tent(source, rate))
    feedback = best(lambda rate: nhl(0, rate))
    alone = best(lambda rate: nhl(rate, 0))
    soft = best(lambda rate: nhl(rate, feedback))
    hard = best(lambda rate: nhl(rate, feedback, "hard"))
    rates = {
        "tent": (0, tent),
        "modulator": (0, feedback),
        "hebb_only": (alone, 0),
        "nhl": (soft, feedback),
        "hard": (hard, feedback),
    }
    for arm, (hebbian, entropy) in rates.items():
        run.record(arm, hebbian_rate=hebbian, entropy_rate=entropy)
    return {
        "source": lambda: NHLAdapter(source, hebb_lr=0, mod_lr=0, bn="source"),
        "bn_stats": lambda: BatchNormAdapt(source),
        "tent": lambda: Tent(source, tent),
        "modulator": lambda: nhl(0, feedback),
        "hebb_only": lambda: nhl(alone, 0),
        "nhl": lambda: nhl(soft, feedback),
        "hard": lambda: nhl(hard, feedback, "hard"),
        "random_signs": lambda: RandomSigns(source, seed, hebb_lr=soft, mod_lr=feedback, tau=config.tau),
        "random_feedback": lambda: with_random_feedback(nhl(soft, feedback), seed),
    }


class RandomSigns(NHLAdapter):
    """Each weight of the first layer moves as far as the Hebbian update would have it move, up or down by a sign drawn once."""

    def __init__(self, source: nn.Module, seed: int, *, hebb_lr: float, mod_lr: float, tau: float) -> None:
        super().__init__(source, hebb_lr=hebb_lr, mod_lr=mod_lr, tau=tau)
        self.signs = random_signs(self.layer.weight, seed)

    def hebbian_change(self, x: Tensor) -> Tensor:
        return super().hebbian_change(x) * self.signs


def with_random_feedback(adapter: NHLAdapter, seed: int) -> NHLAdapter:
    """The gradients of the modulator as large as they are, with signs drawn once."""
    for number, parameter in enumerate(adapter.modulator.parameters()):
        signs = random_signs(parameter, seed + 1000 * (number + 1))
        parameter.register_hook(lambda gradient, signs=signs: gradient * signs)
    return adapter


def random_signs(like: Tensor, seed: int) -> Tensor:
    return torch.randint(2, like.shape, generator=torch.Generator().manual_seed(seed)).to(like) * 2 - 1


def follow(adapter: Adapter, stream: Batches) -> Course:
    """Adapt to one batch after the other."""
    errors, errors_before, predicted, kernels = [], [], [], []
    for images, labels in stream:
        before, after = adapter.adapt(images)
        errors_before.append(before.argmax(1) != labels)
        predicted.append(after.argmax(1))
        errors.append(predicted[-1] != labels)
        kernels.append(first_kernels(adapter.model))
    return Course(torch.cat(errors), torch.cat(errors_before), torch.cat(predicted), kernels, adapter)


def first_kernels(model: nn.Module) -> Tensor:
    """(kernels, 9), a copy."""
    return model.get_parameter("0.weight").detach().flatten(1).clone()


def record_errors(run: Run, arm: str, courses: list[Course], batch: int) -> None:
    after, before = (torch.stack(errors).double() for errors in zip(*((c.errors, c.errors_before) for c in courses), strict=True))
    run.record(arm, error=after.mean(), error_before=before.mean())
    for number, (error, error_before) in enumerate(zip(after.mean(1), before.mean(1), strict=True), start=1):
        run.record(arm, step=number, error_by_corruption=error, error_before_by_corruption=error_before)
    for number, errors in enumerate(after.split(batch, dim=1), start=1):
        run.record(arm, step=number, error_along_stream=errors.mean())


def record_histograms(run: Run, arm: str, courses: list[Course], prefix: str) -> None:
    seen = [prediction_collapse(course.predicted, 10) for course in courses]
    run.record(
        arm,
        step=None,
        **{
            f"{prefix}effective_classes": np.mean([each.effective_classes for each in seen]),
            f"{prefix}collapsed": np.mean([each.collapsed for each in seen]),
        },
    )


def record_changes(run: Run, arm: str, courses: list[Course], source: nn.Module) -> None:
    """How far the first layer has moved, and whether anything behind it has."""
    start = first_kernels(source)
    later = [(name, value.detach()) for name, value in source.named_parameters() if not name.startswith("0.")]
    changes = [
        float((course.adapter.model.get_parameter(name).detach() - value).abs().max())
        for course in courses
        for name, value in later
    ]
    kernels = max(float((course.kernels[-1] - start).abs().max()) for course in courses)
    run.record(arm, change_in_later_layers=max(changes), change_in_kernels=kernels)
    for number, after in enumerate(zip(*(course.kernels for course in courses), strict=True), start=1):
        drift = 1 - torch.stack([cosine_similarity(each, start, dim=1) for each in after]).double().mean()
        run.record(arm, step=number, kernel_drift=drift, kernel_similarity=np.mean([float(kernel_similarity(k)) for k in after]))


def split_digits(seed: int) -> Digits:
    """797 digits to train on, 400 to choose rates on and 600 to classify, drawn anew for every seed; 8x8 pixels doubled."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(seed))
    images = torch.tensor(data.images, dtype=torch.float32)[order, None] / 16
    images = interpolate(images, scale_factor=2, mode="bilinear")
    return Digits(*zip(images.split((797, 400, 600)), torch.tensor(data.target)[order].split((797, 400, 600)), strict=True))


def train(config: Config, seed: int, of: tuple[Tensor, Tensor]) -> nn.Sequential:
    """A small convolutional network, trained on clean digits."""
    torch.manual_seed(seed)
    wide = 2 * config.channels
    model = nn.Sequential(
        nn.Conv2d(1, config.channels, 3, padding=1),
        nn.BatchNorm2d(config.channels),
        nn.ReLU(),
        nn.Conv2d(config.channels, wide, 3, padding=1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * wide, 10),
    )
    images, labels = of
    images = (images - images.mean()) / images.std()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(config.epochs):
        for chosen in torch.randperm(len(labels)).split(config.batch):
            optimiser.zero_grad()
            cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimiser.step()
    return model.eval()


def draw(evidence: Evidence) -> Figure:
    """The error under each corruption; along the stream; and how far the kernels of the first layer move."""
    figure = plt.figure(figsize=(11, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    draw_errors(figure.add_subplot(grid[:, 0]), evidence)
    draw_stream(figure.add_subplot(grid[0, 1]), evidence)
    draw_drift(figure.add_subplot(grid[1, 1]), evidence)
    return figure


MARKS = {
    "source": ("x", "0.55", "none"),
    "bn_stats": ("o", "0.1", "white"),
    "tent": ("^", "0.1", "white"),
    "hebb_only": ("s", "0.1", "white"),
    "modulator": ("D", "0.1", "white"),
    "nhl": ("o", "0.1", "0.1"),
}


def draw_errors(axes: Axes, evidence: Evidence) -> None:
    """A row a corruption, then their mean, and the mean of the streams with the classes in order."""
    rows = [name.replace("_", " ") for name in SEVERITY] + ["mean", "classes in order"]
    places = [*range(len(SEVERITY)), len(SEVERITY) + 0.5, len(SEVERITY) + 1.5]
    for place in places:
        axes.axhline(place, color="0.92", linewidth=0.8, zorder=0)
    for level, (arm, (mark, edge, face)) in enumerate(MARKS.items()):
        curve = evidence.mean_curve("error_by_corruption", arm)
        totals = [np.mean(list(evidence.values(metric, arm).values())) for metric in ("error", "sorted_error")]
        # A little apart, so that arms with the same error can all be seen.
        offset = (level - (len(MARKS) - 1) / 2) * 0.11
        x, y = [*curve.value, *totals], np.array(places) + offset
        axes.plot(x, y, mark, color=edge, markerfacecolor=face, markersize=5.5, label=ARMS[arm], zorder=3)
    axes.set(yticks=places, yticklabels=rows, ylim=(places[-1] + 0.6, -0.6), xlim=(0, None), xlabel="error")
    axes.axhline(len(SEVERITY) - 0.25, color="0.6", linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, fontsize=8.5, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def draw_stream(axes: Axes, evidence: Evidence) -> None:
    styles = {
        "source": ("-", "0.6"),
        "bn_stats": (":", "0.1"),
        "tent": ("--", "0.1"),
        "hebb_only": ("-.", "0.1"),
        "nhl": ("-", "0.1"),
    }
    for arm, (dash, color) in styles.items():
        curve = evidence.mean_curve("error_along_stream", arm)
        axes.plot(curve.step, curve.value, linestyle=dash, color=color, linewidth=1.5, label=ARMS[arm])
    axes.set(xlabel="batch", ylabel="error, mean of corruptions", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_drift(axes: Axes, evidence: Evidence) -> None:
    styles = {"nhl": ("-", 1.8), "hard": ("--", 1.3), "random_signs": (":", 1.8)}
    for arm, (dash, weight) in styles.items():
        curve = evidence.mean_curve("kernel_drift", arm)
        axes.plot([0, *curve.step], [0, *curve.value], linestyle=dash, color="0.1", linewidth=weight, label=ARMS[arm])
    axes.set(xlabel="batch", ylabel="1 - cosine with\nthe source kernels", xlim=(0, None), ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
