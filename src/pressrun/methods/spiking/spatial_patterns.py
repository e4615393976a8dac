"""One-shot detection of spatial patterns: inputs that spike all at once, a teacher that makes the output follow.

After S. Davies et al., "Supervised learning of spatial features with STDP and homeostasis using Spiking Neural Networks on SpiNNaker"
(arXiv:2312.02659). Their constants and their formula of homeostasis are not known to us: the constants here, what homeostasis does,
and the way its threshold acts are of our own making.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .homeostasis import Homeostasis
from .lif import lif
from .stdp import PairSTDP

__all__ = ["DetectorReport", "SpatialPatternDetector", "all_binary_inputs", "detector_report", "hamming"]

# A response that equals the threshold is a detection, whatever rounding makes of the two.
ROUNDING = 1e-4
AT_ONCE = 1 << 22  # potentials that a detection holds at a time


class SpatialPatternDetector(nn.Module):
    """Leaky integrate-and-fire neurons, each of which learns to answer to one or more patterns after a single pairing with each.

    A pattern is (n_inputs,), boolean or 0 and 1; its active inputs spike together at time 0. To train, a teacher makes one output
    spike `teacher` ms later (the output does nothing else meanwhile), STDP changes the weights of that output, and homeostasis
    follows on this forced spike. To detect, the weights rest, and an output says yes by spiking within `window` ms.

    With the default homeostasis one pairing turns weights of 0 into +w at active and -w at silent inputs, w = e^(-teacher / tau_plus).
    The response to inputs x is the sum of the weights that they meet, and an output spikes if and only if that reaches its
    `threshold`: a volley raises the potential at its peak by the response and by 1 - threshold, and neurons spike at 1. So the
    threshold acts as an input that spikes with each volley, and may be zero or below, which patterns without a common input
    need, with no neuron firing on its own.

    Shapes: `weight` (n_outputs, n_inputs) and `threshold` (n_outputs,) are buffers, in units of a_plus of the rule; times are in ms.
    The patterns learnt so far are kept, for the threshold follows the smallest response to them; they are saved with the module.

    Args:
        n_inputs, n_outputs: neurons on both sides; outputs do not see each other.
        rule: of the weights; 1 for a pair without delay, either way, no bounds, when None.
        homeostasis: depression 1, no scaling, factor 0.99 when None.
        threshold: of an output that has learnt nothing, positive.
        tau_m: time constant of the membrane.
        tau_s: time constant of an exponential synapse; 0 for one that acts at once.
        delay: of the synapse.
        window: how long after the volley a spike counts.
        dt: duration of a step.

    Raises:
        ValueError: if a size or a time is out of range.
    """

    weight: Tensor
    threshold: Tensor

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int = 1,
        *,
        rule: PairSTDP | None = None,
        homeostasis: Homeostasis | None = None,
        threshold: float = 1.0,
        tau_m: float = 20.0,
        tau_s: float = 0.0,
        delay: float = 1.0,
        window: float = 10.0,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if n_inputs < 1 or n_outputs < 1:
            raise ValueError(f"a detector needs at least 1 input and 1 output, got {n_inputs} and {n_outputs}")
        if not threshold > 0:
            raise ValueError(f"threshold must be positive, got {threshold}")
        if not 0 < dt <= tau_m or not tau_s >= 0:
            raise ValueError(f"dt must be positive and at most tau_m, and tau_s 0 or more, got {dt}, {tau_m} and {tau_s}")
        if not 0 <= delay <= window < math.inf:
            raise ValueError(f"delay must be 0 or more and at most the window, got {delay} and {window}")
        self.rule = PairSTDP(a_plus=1.0, a_minus=1.0) if rule is None else rule
        self.homeostasis = Homeostasis() if homeostasis is None else homeostasis
        self.tau_m, self.tau_s, self.delay, self.window, self.dt = tau_m, tau_s, delay, window, dt
        self.register_buffer("weight", torch.zeros(n_outputs, n_inputs, device=device, dtype=dtype))
        self.register_buffer("threshold", torch.full((n_outputs,), threshold, device=device, dtype=dtype))
        self.learnt: list[list[Tensor]] = [[] for _ in range(n_outputs)]  # of each output, (n_inputs,) booleans

    def get_extra_state(self) -> list[list[Tensor]]:
        return self.learnt

    def set_extra_state(self, state: list[list[Tensor]]) -> None:
        self.learnt = [list(patterns) for patterns in state]

    @torch.no_grad()
    def train_pattern(self, pattern: Tensor, label: int = 0, *, teacher: float | None = 2.0) -> None:
        """One pairing of a pattern with a forced spike of an output; earlier pairings are long past.

        Args:
            pattern: (n_inputs,), boolean or 0 and 1, at least one of them active.
            label: the output.
            teacher: ms after the pattern at which the output is made to spike, before it when negative. None: it is not, and
                nothing is learnt.

        Raises:
            ValueError: if the pattern does not fit or is empty, or there is no such output.
        """
        if pattern.shape != self.weight.shape[1:]:
            raise ValueError(f"pattern must be ({self.weight.shape[1]},), got {tuple(pattern.shape)}")
        if not 0 <= label < len(self.weight):
            raise ValueError(f"label must be between 0 and {len(self.weight) - 1}, got {label}")
        active = pattern.to(self.weight.device) != 0
        if not active.any():
            raise ValueError("pattern must have at least one active input, got none")
        if teacher is None:
            return
        row = self.weight[label : label + 1]
        times = torch.zeros_like(row[0]).masked_fill(~active, math.nan).unsqueeze(1)
        paired = self.rule.from_times(row, times, torch.full_like(times[:1], teacher))
        self.weight[label] = self.homeostasis.weights(paired, paired - row, ~active)[0]
        if not any(torch.equal(active, known.to(active.device)) for known in self.learnt[label]):
            self.learnt[label].append(active)
        patterns = torch.stack([known.to(self.weight) for known in self.learnt[label]])
        self.threshold[label] = self.homeostasis.threshold(patterns @ self.weight[label], self.threshold[label])

    def response(self, patterns: Tensor) -> Tensor:
        """The sum of the weights that (B, n_inputs) patterns meet, (B, n_outputs).

        Raises:
            ValueError: if the patterns do not have n_inputs.
        """
        if patterns.ndim != 2 or patterns.shape[1] != self.weight.shape[1]:
            raise ValueError(f"patterns must be (B, {self.weight.shape[1]}), got {tuple(patterns.shape)}")
        return patterns.to(self.weight) @ self.weight.T

    @torch.no_grad()
    def detect(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Show patterns one by one, each to neurons at rest.

        Args:
            patterns: (B, n_inputs), boolean or 0 and 1.

        Returns:
            Whether each output spiked within the window, (B, n_outputs) booleans; and how many ms after the volley it did so first, NaN
            where it did not.

        Raises:
            ValueError: if the patterns do not have n_inputs.
        """
        course = self._course()
        volleys = self.response(patterns) + (1 - self.threshold)
        seen = []
        for some in volleys.split(max(1, AT_ONCE // (len(course) * len(self.weight)))):
            spikes, _ = lif(course[:, None, None] * some, tau=self.tau_m / self.dt, v_threshold=1 - ROUNDING, v_reset=0.0)
            detected = spikes.amax(dim=0) > 0
            latency = self.delay + self.dt * spikes.argmax(dim=0).to(volleys.dtype)
            seen.append((detected, latency.masked_fill(~detected, math.nan)))
        return torch.cat([detected for detected, _ in seen]), torch.cat([latency for _, latency in seen])

    def forward(self, patterns: Tensor) -> Tensor:
        """Whether each output detects each pattern: (B, n_inputs) to (B, n_outputs) booleans."""
        return self.detect(patterns)[0]

    def _course(self) -> Tensor:
        """(T,) current by one volley from its arrival to the end of the window, such that the potential is 1 at its highest."""
        steps = int((self.window - self.delay) / self.dt + 1e-9) + 1
        since = torch.arange(steps, dtype=torch.float64) * self.dt
        current = torch.exp(-since / self.tau_s) if self.tau_s else (since == 0).to(torch.float64)
        potential, highest = 0.0, 0.0
        for each in current.tolist():
            potential = potential * (1 - self.dt / self.tau_m) + each
            highest = max(highest, potential)
        return (current / highest).to(self.weight)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {len(self.weight)}, rule={self.rule}, homeostasis={self.homeostasis}"


class DetectorReport(NamedTuple):
    """How often a detector is right, over the first axis of what `detector_report` was given."""

    accuracy: Tensor
    precision: Tensor  # 0 where nothing was detected
    recall: Tensor  # NaN where there was nothing to detect
    false_positive_rate: Tensor  # NaN where everything was to be detected


def detector_report(y_true: Tensor, y_pred: Tensor) -> DetectorReport:
    """Accuracy, precision, recall and false-positive rate of (B, ...) booleans, each (...).

    Where few of many inputs are to be detected, accuracy says little: a detector that never answers has nearly 1.

    Raises:
        ValueError: if the shapes differ or there is no input.
    """
    if y_true.shape != y_pred.shape or y_true.ndim < 1 or len(y_true) == 0:
        raise ValueError(
            f"y_true and y_pred must be (B, ...) of one shape and not empty, got {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )
    wanted, given = y_true.bool(), y_pred.bool()
    hits, wanted_count, given_count = (each.sum(dim=0).double() for each in (wanted & given, wanted, given))
    return DetectorReport(
        accuracy=(wanted == given).double().mean(dim=0),
        precision=hits / given_count.clamp(min=1),
        recall=hits / wanted_count,
        false_positive_rate=(given_count - hits) / (len(wanted) - wanted_count),
    )


def hamming(a: Tensor, b: Tensor) -> Tensor:
    """In how many places (..., N) patterns differ; leading axes broadcast.

    Raises:
        ValueError: if they do not have the same places.
    """
    if a.ndim < 1 or b.ndim < 1 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a and b must be (..., N) with the same N, got {tuple(a.shape)} and {tuple(b.shape)}")
    return ((a != 0) != (b != 0)).sum(dim=-1)


def all_binary_inputs(n: int, *, device: torch.device | str | None = None) -> Tensor:
    """Every pattern of n inputs, (2^n, n) booleans; row i is i in binary, the highest digit first.

    Raises:
        ValueError: if n is not between 1 and 24.
    """
    if not 1 <= n <= 24:
        raise ValueError(f"n must be between 1 and 24, got {n}")
    digits = torch.arange(n - 1, -1, -1, device=device)
    return (torch.arange(2**n, device=device).unsqueeze(1) >> digits & 1).bool()
