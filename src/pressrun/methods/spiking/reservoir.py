"""Random recurrent networks of Izhikevich neurons that turn a short cue into a long transient, for read-outs to learn from.

Y. Yamada, Z. C. Chao, "Joint encoding of 'what' and 'when' predictions through error-modulated plasticity in reservoir spiking
networks" (arXiv:2510.14382) names the parts. Connectivity, the spread of the cue and every constant here are pressrun's own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .izhikevich import IzhikevichPopulation, IzhikevichState, advance, at_rest, check_input, compiled, simulate

__all__ = ["ReservoirState", "SpikingReservoir", "TemporalCue", "exponential_trace", "trace_reliability"]

CHUNK = 32  # steps whose input is held at once
BITS = 23  # in which every sum of weights has to fit; single precision has one more


class ReservoirState(NamedTuple):
    """Membrane potential, recovery variable and synaptic current, (B, N) each."""

    v: Tensor
    u: Tensor
    current: Tensor


class TemporalCue(nn.Module):
    """A cue that reaches each neuron as a current of its own amplitude, onset and decay: amplitude · exp(-(t - onset) / decay).

    Without that spread a reservoir soon loses the time since the cue.

    Args:
        n: neurons.
        reached: share of neurons that the cue reaches, each with this probability.
        amplitude: mean; amplitudes are uniform from 0 to twice of it.
        onset: lowest and highest delay after the cue in ms, uniform.
        decay: shortest and longest time constant in ms, log-uniform.
        generator: source of the random numbers; torch's own when None.

    Raises:
        ValueError: if the share is outside [0, 1], or a range does not rise from at least 0 (a decay, from above 0).
    """

    amplitude: Tensor
    onset: Tensor
    decay: Tensor

    def __init__(
        self,
        n: int,
        *,
        reached: float = 0.8,
        amplitude: float = 6.0,
        onset: tuple[float, float] = (0.0, 150.0),
        decay: tuple[float, float] = (30.0, 500.0),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= reached <= 1:
            raise ValueError(f"reached must be between 0 and 1, got {reached}")
        if not 0 <= onset[0] <= onset[1]:
            raise ValueError(f"onset must be a range that rises from at least 0 ms, got {onset}")
        if not 0 < decay[0] <= decay[1]:
            raise ValueError(f"decay must be a range that rises from above 0 ms, got {decay}")

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, generator=generator)

        is_reached = torch.rand(n, generator=generator) < reached
        self.register_buffer("amplitude", uniform(0, 2 * amplitude) * is_reached)
        self.register_buffer("onset", uniform(*onset))
        self.register_buffer("decay", uniform(math.log(decay[0]), math.log(decay[1])).exp())

    def forward(self, steps: int, at: float = 0.0, dt: float = 1.0) -> Tensor:
        """(steps, 1, N) currents of a trial whose cue comes `at` ms; the axis of trials is there to be expanded."""
        since = torch.arange(steps, device=self.onset.device)[:, None, None] * dt - at - self.onset
        return torch.where(since >= 0, self.amplitude * (-since / self.decay).exp(), 0.0)


class SpikingReservoir(nn.Module):
    """A population with fixed random connections; (T, B, N) input currents to (T, B, N) spikes.

    A spike of neuron j adds W_ij to the synaptic current of neuron i from the next step on, and that current decays with
    `tau_synapse`. W_ij is `gain` / sqrt(p N) times a uniform number, times -`inhibition` where j is inhibitory; no neuron
    connects to itself. Weights are rounded to a grid on which single precision adds exactly (to 1e-7 of the largest sum), so
    that the order in which spikes arrive, and with it the device, cannot change a result.

    Args:
        population: the neurons, and the length of a step.
        connection_probability: of each ordered pair, p above.
        gain: scale of the weights.
        inhibition: how many times stronger inhibitory weights are.
        tau_synapse: time constant of the synaptic current in ms.
        bias: lowest and highest constant current, one a neuron, uniform.
        noise: standard deviation of a normal current drawn anew for each neuron and step.
        generator: source of weights and biases; torch's own when None.

    `weight` is (to, from), a view of the buffer `outgoing`, and `bias` (N,). The module keeps no state: `forward` starts from rest, `run` and `step` take and return it.
    The loop is compiled on a CPU where numba is installed; nothing here is differentiated.

    Raises:
        ValueError: if the probability or a constant is out of range, or x does not have the population's neurons.
    """

    outgoing: Tensor
    bias: Tensor

    def __init__(
        self,
        population: IzhikevichPopulation,
        *,
        connection_probability: float = 0.1,
        gain: float = 3.0,
        inhibition: float = 4.0,
        tau_synapse: float = 10.0,
        bias: tuple[float, float] = (1.6, 4.0),
        noise: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < connection_probability <= 1:
            raise ValueError(f"connection_probability must be above 0 and at most 1, got {connection_probability}")
        if not tau_synapse > 0:
            raise ValueError(f"tau_synapse must be positive, got {tau_synapse}")
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        n = len(population)
        self.population = population
        self.tau_synapse = tau_synapse
        self.noise = noise
        connected = torch.rand(n, n, generator=generator) < connection_probability
        weight = torch.rand(n, n, generator=generator) * connected.fill_diagonal_(False)
        weight *= gain / math.sqrt(connection_probability * n)
        weight *= torch.where(population.is_excitatory, 1.0, -inhibition)
        self.register_buffer("outgoing", _on_a_grid(weight).T.contiguous())
        self.register_buffer("bias", bias[0] + (bias[1] - bias[0]) * torch.rand(n, generator=generator))

    @property
    def weight(self) -> Tensor:
        return self.outgoing.T

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.run(x, generator=generator)[0]

    def step(
        self, x: Tensor, state: ReservoirState | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, ReservoirState]:
        """One step: (B, N) current and state to (B, N) spikes and the state after them."""
        spikes, state = self.run(x.unsqueeze(0), state, generator)
        return spikes[0], state

    @torch.no_grad()
    def run(
        self, x: Tensor, state: ReservoirState | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, ReservoirState]:
        """Spikes, (T, B, N), and the state after the last step.

        Args:
            x: (T, B, N), currents on top of bias and noise; an expanded axis of trials takes no memory.
            state: before the first step; rest without synaptic current when None.
            generator: source of the noise, on the device of x; torch's own when None.
        """
        check_input(x, state, self.population.dt)
        if x.ndim != 3 or x.shape[-1] != len(self.bias) or x.dtype != self.bias.dtype:
            fits = f"(T, B, {len(self.bias)}) of {self.bias.dtype}"
            raise ValueError(f"x must be {fits} to fit the reservoir, got {tuple(x.shape)} of {x.dtype}")
        abcd = torch.stack([self.population.a, self.population.b, self.population.c, self.population.d])
        if state is None:
            rest = at_rest(x[0], abcd)
            state = ReservoirState(*rest, torch.zeros_like(rest.v))
        else:
            state = ReservoirState(*(each.clone(memory_format=torch.contiguous_format) for each in state))
        spikes = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for start in range(0, len(x), CHUNK):
            state = self._simulate(self._driven(x[start : start + CHUNK], generator), state, abcd, spikes[start : start + CHUNK])
        return spikes, state

    def _driven(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """x with bias and noise, in memory of its own. Noise is drawn step by step, so that cutting a sequence does not change it."""
        driven = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        if self.noise:
            for current in driven:
                current.normal_(generator=generator)
            return driven.mul_(self.noise).add_(x + self.bias)
        return torch.add(x, self.bias, out=driven)

    def _simulate(self, x: Tensor, state: ReservoirState, abcd: Tensor, spikes: Tensor) -> ReservoirState:
        dt = self.population.dt
        decay = math.exp(-dt / self.tau_synapse)
        kernel = compiled(x, self.outgoing, abcd, *state)
        if kernel is not None:
            simulate(kernel, x, self.outgoing, abcd, dt, decay, state, spikes)
            return state
        neurons, current, constants = IzhikevichState(state.v, state.u), state.current, abcd.unbind(0)
        for t, given in enumerate(x.unbind(0)):
            spikes[t], neurons = advance(given + current, neurons, constants, dt)
            current = current * decay + self._delivered(spikes[t])
        return ReservoirState(*neurons, current)

    def _delivered(self, spikes: Tensor) -> Tensor:
        if len(spikes) == 1 and spikes.device.type == "cpu":
            return self.outgoing[spikes[0] > 0].sum(0, keepdim=True)
        return spikes @ self.outgoing

    def extra_repr(self) -> str:
        return f"neurons={len(self.bias)}, tau_synapse={self.tau_synapse}, noise={self.noise}"


def _on_a_grid(weight: Tensor) -> Tensor:
    """The weights rounded to multiples of a power of two, of which any sum over a row has at most `BITS` bits."""
    largest = float(weight.abs().sum(1).max())
    if largest == 0:
        return weight
    grid = 2.0 ** (math.ceil(math.log2(largest)) - BITS)
    return (weight / grid).round() * grid


def exponential_trace(events: Tensor, tau: float, *, scale: float = 1.0, start: Tensor | None = None) -> Tensor:
    """What is left of past events when each decays with tau: trace[t] = exp(-1 / tau) trace[t-1] + scale · events[t].

    Of spikes it is a presynaptic trace; of coincidences, such as post[..., None] * pre[..., None, :], an eligibility trace.

    Args:
        events: (T, ...).
        tau: time constant in steps.
        scale: height of one event.
        start: trace before the first step, (...); zero when None.

    Returns:
        The traces, (T, ...).

    Raises:
        ValueError: if tau is not positive, there is no step, or the start does not fit.
    """
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    if events.ndim < 1 or len(events) == 0:
        raise ValueError(f"events must be (T, ...) with at least one step, got {tuple(events.shape)}")
    if start is not None and start.shape != events.shape[1:]:
        raise ValueError(f"start must be {tuple(events.shape[1:])} to fit events {tuple(events.shape)}, got {tuple(start.shape)}")
    trace = torch.zeros_like(events[0]) if start is None else start
    traces = []
    for event in events.unbind(0):
        trace = trace * math.exp(-1 / tau) + event * scale
        traces.append(trace)
    return torch.stack(traces)


def trace_reliability(traces: Tensor) -> Tensor:
    """How alike trials are at each time: the squared length of the mean trial over the mean squared length of a trial.

    Args:
        traces: (T, B, N), B trials of the same cue.

    Returns:
        (T,), 1 where all trials agree. B trials that share nothing, not even a mean rate, give 1 / B; where all are silent, NaN.

    Raises:
        ValueError: if there are fewer than 2 trials.
    """
    if traces.ndim != 3 or traces.shape[1] < 2:
        raise ValueError(f"traces must be (T, B, N) with at least 2 trials, got {tuple(traces.shape)}")
    return traces.mean(1).square().sum(1) / traces.square().sum(2).mean(1)
