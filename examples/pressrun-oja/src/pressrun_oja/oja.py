"""Oja's rule finds the first principal component of its input and stays bounded (doi:10.1007/BF00275687)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pressrun.replicate import Above, Claim, Evidence, Run, Within, knob

PAPER = "10.1007/BF00275687"

CLAIMS = (
    Claim(
        id="finds-the-first-component",
        paper="The weight vector of one unit tends to the first eigenvector of the input covariance.",
        where="section 3",
        tested="One unit on 16 Gaussian inputs, one direction of which has four times the variance, ends within 8 degrees of it.",
        scale="toy",
        rule=Above("alignment", "oja", at_least=0.99, chance=0.2),
        control=Above("alignment", "oja_shuffled", at_least=0.99, chance=0.2),
        control_is="each input shuffled over time",
    ),
    Claim(
        id="stays-bounded",
        paper="Unlike Hebb's rule, the norm of the weight vector tends to one.",
        where="section 2",
        tested="On the same input the logarithm of the norm is within 0.05 of zero at the end.",
        scale="toy",
        rule=Within("log_norm", "oja", low=-0.05, high=0.05),
        control=Within("log_norm", "hebb", low=-0.05, high=0.05),
        control_is="Hebb's rule, without the decay",
    ),
)

# The norm grows exponentially under Hebb's rule, so that only its logarithm has a mean and an interval worth the name.
METRICS = {"alignment": "1", "log_norm": "1"}

NOT_TESTED = ("Inputs whose two largest eigenvalues are equal, for which the paper claims nothing.",)

INPUTS = 16
STRETCH = 2.0  # standard deviation along the direction to find; 1 along all others
RECORD_EVERY = 100


@dataclass(frozen=True)
class Config:
    steps: int = knob(6000, low=100, high=1_000_000, help="inputs that are learnt from, one at a time")
    lr: float = knob(1e-3, low=1e-6, high=5e-2, help="step size of both rules")


PRESETS = {"smoke": Config(steps=200), "laptop": Config(), "paper": Config(steps=40_000, lr=3e-4)}


def replicate(config: Config, seed: int, run: Run) -> None:
    rng = np.random.default_rng(seed)
    # Equal weights but for their sign: all inputs have the same variance, and only their covariance tells the direction.
    first = rng.choice([-1.0, 1.0], INPUTS) / INPUTS**0.5
    inputs = rng.standard_normal((config.steps, INPUTS))
    inputs += (STRETCH - 1) * np.outer(inputs @ first, first)
    # Shuffling each input over time keeps its distribution and destroys the covariance that the rule should find.
    shuffled = rng.permuted(inputs, axis=0)
    start = rng.standard_normal(INPUTS) / INPUTS**0.5

    for arm, data in {"oja": inputs, "oja_shuffled": shuffled, "hebb": inputs}.items():
        weight = start
        for step, x in enumerate(run.progress(data, arm), start=1):
            weight = weight + config.lr * (hebb(weight, x) if arm == "hebb" else oja(weight, x))
            if step % RECORD_EVERY == 0:
                norm = np.linalg.norm(weight)
                run.record(arm, step=step, log_norm=np.log(norm), alignment=abs(weight @ first) / norm)


def draw(evidence: Evidence) -> Figure:
    """Alignment with the first component and log norm over the inputs seen, one line a seed."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for arm, style in {"oja": "-", "oja_shuffled": ":", "hebb": "--"}.items():
        for place, curve in enumerate(evidence.curves("alignment", arm).values()):
            left.plot(curve.step, curve.value, style, color="0.2", linewidth=1, label=None if place else arm.replace("_", " "))
        for curve in evidence.curves("log_norm", arm).values():
            right.plot(curve.step, curve.value, style, color="0.2", linewidth=1)
    left.set(xlabel="inputs seen", ylabel="|cosine| with the first component", ylim=(0, 1.02))
    right.set(xlabel="inputs seen", ylabel="log of the norm of the weights")
    left.legend(frameon=False)
    return figure


def oja(weight: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction of Oja's update, y (x - y w) with y = w·x (his equation 3). Both arguments are (inputs,)."""
    y = weight @ x
    return y * (x - y * weight)


def hebb(weight: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction of Hebb's update, y x."""
    return (weight @ x) * x
