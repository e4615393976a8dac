"""A spiking reservoir learns what will happen, when and how likely it is, all in one population (arXiv:2510.14382)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pressrun.methods.spiking import (
    IzhikevichPopulation,
    PredictionObjectTask,
    RLSReadout,
    SpikingReservoir,
    TaskChange,
    TemporalCue,
    ThreeFactorReadout,
    event_targets,
    exponential_trace,
    principal_angles,
    trace_reliability,
)
from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Ratio, Run, Within, knob

PAPER = "2510.14382"

CONDITIONS = (0.2, 0.5, 0.8)  # probability of event A in phase 1; that of B is what is missing to 1, and in phase 2 they swap
READOUTS = tuple((p, event) for p in CONDITIONS for event in "AB")  # the "what" read-outs, in the order of their steps

CLAIMS = (
    Claim(
        id="fires-at-the-right-time",
        paper="The read-outs are active at the time at which each event is expected.",
        where="abstract",
        tested="Each of 6 read-outs (2 events, 3 odds) peaks within 30 ms of its event, in the mean of the last 30 of 100 trials.",
        scale="reduced",
        rule=All(*(Below("timing_error", "three_factor", at_most=30, at=step) for step in range(6))),
        control=All(*(Below("timing_error", "shuffled_times", at_most=30, at=step) for step in range(6))),
        control_is="times of events shuffled",
    ),
    Claim(
        id="height-is-probability",
        paper="The amplitude of the prediction reflects the probability of the event.",
        where="abstract",
        tested="Over the 6 read-outs, peak height on probability (0.2, 0.5, 0.8) has a slope of 0.6 to 1.2 and R² of at least 0.8.",
        scale="reduced",
        rule=All(Within("slope", "three_factor", low=0.6, high=1.2), Above("r_squared", "three_factor", at_least=0.8)),
        control=All(Within("slope", "even_odds", low=0.6, high=1.2), Above("r_squared", "even_odds", at_least=0.8)),
        control_is="events drawn with even odds",
    ),
    Claim(
        id="adapts-within-trials",
        paper="Predictions adapt rapidly when the timing or the probability of events changes.",
        where="abstract",
        tested=(
            "When A moves by 60 ms and the odds swap, the response at its old time (odds 0.8 to 0.2) is below half in trials 11 to 15; "
            "in trials 31 to 50 the one at its new time is on average within 0.2 of the new odds."
        ),
        scale="reduced",
        rule=All(
            Below("old_response_left", "three_factor", at_most=0.5, chance=1.0),
            Below("new_response_error", "three_factor", at_most=0.2),
        ),
        control=All(
            Below("old_response_left", "frozen_after_change", at_most=0.5, chance=1.0),
            Below("new_response_error", "frozen_after_change", at_most=0.2),
        ),
        control_is="gate closed after the change",
    ),
    Claim(
        id="least-squares-is-stuck",
        paper="FORCE learning does not follow such changes unless it is reset.",
        where="abstract",
        tested=(
            "In the last 10 of 50 trials after the change, recursive least squares (RLS) errs at least twice as much as the "
            "three-factor rule at the old time of A, and at most twice as much where it was reset at the change."
        ),
        scale="reduced",
        rule=All(
            Ratio("old_time_error", "rls", over="three_factor", at_least=2.0),
            Ratio("old_time_error", "rls_reset", over="three_factor", at_most=2.0),
        ),
        control=Ratio("old_time_error", "rls_forgetting", over="three_factor", at_least=2.0),
        control_is="RLS that forgets (0.999 a step)",
    ),
    Claim(
        id="what-and-when-are-orthogonal",
        paper="The read-out weights organise themselves into nearly orthogonal what and when subspaces.",
        where="abstract",
        tested=(
            "Weights of the what read-outs that the offline phase learned and weights of a when read-out learned in real time: the "
            "cosine of their principal angle is at most 0.3, the mean of the three odds."
        ),
        scale="reduced",
        rule=Below("cosine_what_when", "three_factor", at_most=0.3, chance=1.0),
        control=Below("cosine_what_when", "online_only", at_most=0.3, chance=1.0),
        control_is="both learned in real time",
    ),
    Claim(
        id="offline-phase-sharpens-what",
        paper="When is learned in real time, what by offline consolidation.",
        where="abstract",
        tested="With the offline phase, R² of peak height on probability is at least 0.1 above that of learning in real time alone.",
        scale="reduced",
        rule=Difference("r_squared", "three_factor", minus="online_only", at_least=0.1),
        control=Difference("r_squared", "offline_shuffled", minus="online_only", at_least=0.1),
        control_is="events shuffled in the replay",
    ),
    Claim(
        id="offline-phase-speeds-what",
        paper="When is learned in real time, what by offline consolidation.",
        where="abstract",
        tested=(
            "Without the offline phase it takes at least 1.5 times as many trials until the heights at the events, over 10 trials, "
            "are within 0.15 of the probabilities (mean of the 6 read-outs)."
        ),
        scale="reduced",
        rule=Ratio("trials_to_learn", "online_only", over="three_factor", at_least=1.5),
        control=Ratio("trials_to_learn", "online_only", over="offline_shuffled", at_least=1.5),
        control_is="events shuffled in the replay",
    ),
)

METRICS = {
    "timing_error": "ms",  # over the what read-outs
    "height": "1",
    "slope": "1",
    "r_squared": "1",
    "trials_to_learn": "trials",
    "old_response_left": "1",
    "new_response_error": "1",
    "old_time_error": "1",
    "cosine_what_when": "1",
    "cosine_a_b": "1",
    "reliability": "1",  # the lowest in the window of outcomes
    "reliability_about_mean": "1",  # its mean there, without the mean rate of each neuron
    "rate": "Hz",
    "old_response": "1",  # of A where its odds fall, over the trials since the change
    "new_response": "1",  # of A where its odds rise
    "predicted_a": "1",  # over the milliseconds of a trial
    "predicted_b": "1",
}

NOT_TESTED = (
    "The paper's own network: sizes, constants, the shape of the gate, the delay of its modulators and the offline procedure are not "
    "in what could be read of it. Weights, cue, noise, learning rates and the task (two events, one a trial) are ours.",
    "Its offline phase: ours replays the last 10 trials after each trial, 3 times, and changes a slow part of the weights.",
    "That A and B have orthogonal weights: their cosine is recorded and shown, for the three-factor rule and for RLS.",
    "What the weights of both kinds of read-out are where one linear rule learns both from zero: when is the sum of the whats, "
    "so that the cosine is 1 whatever the reservoir does. The control of that claim is this case.",
    "That nearly orthogonal weights come of learning: random ones are so too, and those learned from shuffled times. All are shown.",
    "That no least-squares method follows: RLS that forgets is the control, and is shown.",
    "Whether a heterogeneous reservoir is needed: one of identical neurons and a common cue is shown, and a delay line as upper bound; "
    "neither is judged.",
    "Whether the reliability of the traces, below 0.5 of which a run is refused, is a good judge: the mean rates of the neurons count "
    "in it, so that it seldom refuses; it is recorded without them too.",
    "Cortical anatomy, and which neuromodulator opens which phase.",
    "Other forms of the offline phase: a first one moved the weights too little to matter on seed 0 of the smallest preset, and was "
    "replaced by replay under the rule of real time. On it, predictions were also found to be read while their trial was learned, "
    "which let the outcome in; they are read before. Rules, thresholds and controls were fixed before anything was run.",
)

USE = """\
import torch
from pressrun.methods.spiking import IzhikevichPopulation, SpikingReservoir, TemporalCue, ThreeFactorReadout, exponential_trace

reservoir, cue = SpikingReservoir(IzhikevichPopulation(100)), TemporalCue(100)
traces = exponential_trace(reservoir(cue(300, at=20).expand(300, 10, 100)), tau=30.0)  # (T, trials, neurons)
target = torch.exp(-((torch.arange(300.0) - 180) ** 2) / 1800).view(300, 1, 1)
readout = ThreeFactorReadout(100, 1, lr=0.1)
for trial in range(10):
    predicted = readout.learn(traces[:, trial : trial + 1], target)
"""

STEPS, CUE = 450, 20  # ms of a trial, and when the cue comes
A_BEFORE, A_AFTER, B = 180.0, 240.0, 330.0  # ms
SIGMA, TAU = 30.0, 30.0  # ms: width of the targets, time constant of the traces
OUTCOME = slice(120, 400)  # ms: two widths around all events, what is replayed
MEMORY = 10  # trials that are replayed


@dataclass(frozen=True)
class Config:
    neurons: int = knob(400, low=50, high=4000, help="neurons of the reservoir")
    trials: int = knob(100, low=20, high=2000, help="trials before the change")
    after: int = knob(50, low=20, high=2000, help="trials after it")
    gain: float = knob(3.0, low=0.0, high=30.0, help="scale of the recurrent weights")
    noise: float = knob(0.1, low=0.0, high=10.0, help="standard deviation of the input noise in each ms")
    lr: float = knob(0.05, low=1e-4, high=1.0, help="step size of the three-factor rule")
    offline_lr: float = knob(0.02, low=0.0, high=1.0, help="step size of the offline phase")
    replays: int = knob(3, low=0, high=20, help="replays after each trial")


PRESETS = {
    "smoke": Config(neurons=100, trials=20, after=20, replays=1),
    "laptop": Config(),
    "paper": Config(neurons=1000, trials=500, after=200),
}


class Arm(NamedTuple):
    """What one arm of the three-factor rule is told: (T, B, 9) targets in real time and offline, and (B, 9) gates of both."""

    targets: Tensor
    replayed: Tensor
    gate: Tensor
    offline: Tensor


def replicate(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    traces = reservoir_traces(config, generator, run, "heterogeneous")
    least = float(trace_reliability(traces[OUTCOME]).min())
    if least < 0.5:
        raise ValueError(
            f"the reliability of the traces falls to {least:.2f} between {OUTCOME.start} and {OUTCOME.stop} ms, below 0.5: such a "
            "reservoir loses the time, and nothing can be tested with it; lower the gain or the noise"
        )
    arms = three_factor_arms(config, generator)
    learned = learn_three_factor(config, traces, arms, run)
    plain = {"three_factor": arms["three_factor"]}
    same = reservoir_traces(config, generator, run, "homogeneous")
    learned["homogeneous"] = learn_three_factor(config, same, plain, run)["three_factor"]
    learned["delay_line"] = learn_three_factor(config, delay_line(config), plain, run)["three_factor"]
    learned |= learn_least_squares(config, traces, arms["three_factor"].targets, run)
    for arm, (predicted, what, when) in learned.items():
        record_arm(config, run, arm, predicted)
        record_angles(run, arm, what, when)
    record_angles(
        run, "random", torch.randn(6, config.neurons, generator=generator), torch.randn(3, config.neurons, generator=generator)
    )
    course = learned["three_factor"].predicted[:, settled(config)].mean(1).view(STEPS, 3, 3)
    for index, p in enumerate(CONDITIONS):
        for ms in range(0, STEPS, 3):
            run.record(f"odds_{p}", step=ms, predicted_a=course[ms, index, 0], predicted_b=course[ms, index, 1])


def reservoir_traces(config: Config, generator: torch.Generator, run: Run, kind: str) -> Tensor:
    """(T, trials, N) traces of all trials at once: read-outs do not feed back, so that every rule learns from the same ones."""
    alike = kind == "homogeneous"
    population = IzhikevichPopulation(config.neurons, heterogeneity=0.0 if alike else 1.0, generator=generator)
    reservoir = SpikingReservoir(population, gain=config.gain, noise=config.noise, generator=generator)
    middle = math.sqrt(30 * 500)
    onset, decay = ((0.0, 0.0), (middle, middle)) if alike else ((0.0, 150.0), (30.0, 500.0))
    cue = TemporalCue(config.neurons, onset=onset, decay=decay, generator=generator)
    trials = config.trials + config.after
    spikes = reservoir(cue(STEPS, at=CUE).expand(STEPS, trials, config.neurons), generator)
    traces = exponential_trace(spikes, TAU, scale=10 / TAU)
    about_the_mean = traces[OUTCOME] - traces[OUTCOME].mean((0, 1))
    run.record(
        kind,
        reliability=trace_reliability(traces[OUTCOME]).min(),
        reliability_about_mean=trace_reliability(about_the_mean).mean(),
        rate=spikes.mean() * 1000,
    )
    return traces


def delay_line(config: Config) -> Tensor:
    """The same for neurons that spike once each, one after the other, without noise."""
    spikes = torch.zeros(STEPS, 1, config.neurons)
    neurons = torch.arange(config.neurons)
    spikes[CUE + neurons * (STEPS - CUE) // config.neurons, 0, neurons] = 1
    return exponential_trace(spikes, TAU, scale=10 / TAU).expand(STEPS, config.trials + config.after, config.neurons)


def three_factor_arms(config: Config, generator: torch.Generator) -> dict[str, Arm]:
    """Each arm has 9 read-outs: A, B and when for each of the three odds."""
    total = config.trials + config.after
    drawn, even, shuffled = [], [], []
    for p in CONDITIONS:
        change = TaskChange(config.trials, (A_AFTER, B), (1 - p, p))
        trials = PredictionObjectTask((A_BEFORE, B), (p, 1 - p), SIGMA, (change,)).draw(total, STEPS, generator=generator)
        coin = torch.randint(2, (total,), generator=generator)
        anywhen = OUTCOME.start + (OUTCOME.stop - OUTCOME.start) * torch.rand(total, 2, generator=generator)
        drawn.append(with_when(trials.targets))
        even.append(with_when(event_targets(coin, trials.latencies, STEPS, sigma=SIGMA)))
        shuffled.append(with_when(event_targets(trials.outcomes, anywhen, STEPS, sigma=SIGMA)))
    told, at_even_odds, at_any_time = (torch.cat(each, dim=2) for each in (drawn, even, shuffled))
    always, never = torch.ones(total, 9), torch.zeros(total, 9)
    what = torch.tensor([1.0, 1.0, 0.0]).repeat(3) * always  # the offline phase is for the whats alone
    before = (torch.arange(total) < config.trials).float()[:, None]
    return {
        "three_factor": Arm(told, told, always, what),
        "online_only": Arm(told, told, always, never),
        "offline_shuffled": Arm(told, at_even_odds, always, what),
        "even_odds": Arm(at_even_odds, at_even_odds, always, what),
        "shuffled_times": Arm(at_any_time, at_any_time, always, what),
        "gate_closed": Arm(told, told, never, never),
        "frozen_after_change": Arm(told, told, always * before, what * before),
    }


def with_when(targets: Tensor) -> Tensor:
    """(T, B, 2) targets of A and B, and with them the one of whatever happens."""
    return torch.cat([targets, targets.sum(2, keepdim=True)], dim=2)


class Learned(NamedTuple):
    """(T, B, 9) predictions, of each trial before it is learned, and the weights before the change: (6, N) of whats, (3, N) of whens."""

    predicted: Tensor
    what: Tensor
    when: Tensor


def learn_three_factor(config: Config, traces: Tensor, arms: dict[str, Arm], run: Run) -> dict[str, Learned]:
    """All arms in one read-out, whose outputs learn independently of each other."""
    targets, replayed = (torch.cat([arm[index] for arm in arms.values()], dim=2) for index in (0, 1))
    gate, offline = (torch.cat([arm[index] for arm in arms.values()], dim=1) for index in (2, 3))
    readout = ThreeFactorReadout(traces.shape[2], targets.shape[2], lr=config.lr)
    expecting = (torch.arange(STEPS) >= CUE).float()[:, None, None]
    predicted, fast, slow = [], readout.fast, readout.slow
    for trial in run.progress(range(targets.shape[1]), "three-factor rule"):
        if trial == config.trials:
            fast, slow = readout.fast.clone(), readout.slow.clone()
        now, recent = slice(trial, trial + 1), slice(max(0, trial + 1 - MEMORY), trial + 1)
        # With the weights of the trials before: what `learn` returns has seen the rise of this trial's target already.
        predicted.append(readout(traces[:, now]))
        readout.learn(traces[:, now], targets[:, now], expecting * gate[now])
        if config.offline_lr and config.replays:
            outcome = traces[OUTCOME, recent], replayed[OUTCOME, recent], offline[now]
            readout.consolidate(*outcome, lr=config.offline_lr, repeats=config.replays)
    found = {}
    each = zip(torch.cat(predicted, dim=1).split(9, dim=2), fast.split(9), slow.split(9), strict=True)
    for arm, (z, real_time, consolidated) in zip(arms, each, strict=True):
        learned_offline = bool(arms[arm].offline.any()) and bool(config.offline_lr and config.replays)
        found[arm] = Learned(z, whats(consolidated if learned_offline else real_time), real_time[2::3])
    return found


def learn_least_squares(config: Config, traces: Tensor, targets: Tensor, run: Run) -> dict[str, Learned]:
    """RLS as it is, with its precision reset at the change, and with forgetting; every third millisecond."""
    found = {}
    every_third = ((torch.arange(STEPS) >= CUE) & (torch.arange(STEPS) % 3 == 0)).double()[:, None, None]
    for arm, forgetting in {"rls": 1.0, "rls_reset": 1.0, "rls_forgetting": 0.999}.items():
        readout = RLSReadout(config.neurons, targets.shape[2], forgetting=forgetting, dtype=torch.float64)
        predicted, weight = [], readout.weight
        for trial in run.progress(range(targets.shape[1]), arm):
            if trial == config.trials:
                weight = readout.weight.clone()
                if arm == "rls_reset":
                    readout.reset()
            now = slice(trial, trial + 1)
            predicted.append(readout(traces[:, now].double()))
            readout.learn(traces[:, now].double(), targets[:, now].double(), every_third)
        found[arm] = Learned(torch.cat(predicted, dim=1), whats(weight), weight[2::3])
    return found


def whats(weight: Tensor) -> Tensor:
    return weight.view(3, 3, -1)[:, :2].flatten(0, 1)


def settled(config: Config) -> slice:
    """The last trials before the change: 30 of 100."""
    return slice(config.trials - config.trials * 3 // 10, config.trials)


def record_arm(config: Config, run: Run, arm: str, predicted: Tensor) -> None:
    z = predicted.view(STEPS, -1, 3, 3)[..., :2].flatten(2)  # (T, B, 6): the what read-outs
    probability = torch.tensor([p if event == "A" else 1 - p for p, event in READOUTS])
    time = torch.tensor([A_BEFORE if event == "A" else B for _, event in READOUTS]).long()
    height, peak = z[:, settled(config)].mean(1).max(0)
    for step in range(6):
        run.record(arm, step=step, timing_error=(peak[step] - time[step]).abs(), height=height[step])
    slope, r_squared = regression(probability.numpy(), height.numpy())
    at_events = z[time, :, torch.arange(6)]  # (6, B)
    run.record(arm, slope=slope, r_squared=r_squared, trials_to_learn=trials_to_learn(at_events[:, : config.trials], probability))

    # After the change: A moved, and its odds are now 1 - p.
    old, new = z[int(A_BEFORE), :, ::2], z[int(A_AFTER), :, ::2]  # (B, 3) of A
    falls, rises, change = CONDITIONS.index(0.8), CONDITIONS.index(0.2), config.trials
    left = old[change + 10 : change + 15, falls].mean() / old[settled(config), falls].mean()
    now_expected = 1 - torch.tensor(CONDITIONS)
    late = new[-(config.after * 2 // 5) :].mean(0)
    expected_at_old = 0.2 * math.exp(-((A_AFTER - A_BEFORE) ** 2) / (2 * SIGMA**2))
    run.record(
        arm,
        old_response_left=left,
        new_response_error=(late - now_expected).abs().mean(),
        old_time_error=(old[-10:, falls] - expected_at_old).abs().mean(),
    )
    for trial in range(len(old)):
        run.record(arm, step=trial - change, old_response=old[trial, falls], new_response=new[trial, rises])


def regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and R² of y on x; a constant y has neither."""
    if np.ptp(y) == 0:
        return 0.0, 0.0
    slope = float(np.polyfit(x, y, 1)[0])
    return slope, float(np.corrcoef(x, y)[0, 1] ** 2)


def trials_to_learn(at_events: Tensor, probability: Tensor) -> float:
    """The first trial up to which the last 10 came close enough; infinite if that never happens."""
    running = at_events.unfold(1, 10, 1).mean(2)
    close = (running - probability[:, None]).abs().mean(0) <= 0.15
    return 10.0 + float(close.float().argmax()) if close.any() else math.inf


def record_angles(run: Run, arm: str, what: Tensor, when: Tensor) -> None:
    """Mean over the three odds; NaN where nothing was learned."""
    pairs = what.view(3, 2, -1)
    if not what.any():
        run.record(arm, cosine_what_when=math.nan, cosine_a_b=math.nan)
        return
    cosines = [principal_angles(a_b, each[None]).cos()[0] for a_b, each in zip(pairs, when, strict=True)]
    between = torch.nn.functional.cosine_similarity(pairs[:, 0], pairs[:, 1])
    run.record(arm, cosine_what_when=torch.stack(cosines).mean(), cosine_a_b=between.mean())


RULES = {
    "three_factor": ("0.1", "-", 2.2),
    "rls": ("0.1", "-", 0.9),
    "rls_reset": ("0.1", "--", 1.2),
    "rls_forgetting": ("0.1", ":", 1.6),
}
NAMES = {
    "three_factor": "three-factor rule",
    "rls": "RLS",
    "rls_reset": "RLS, reset",
    "rls_forgetting": "RLS, forgetting",
    "online_only": "real time only",
    "homogeneous": "homogeneous",
    "delay_line": "delay line",
    "shuffled_times": "times shuffled",
    "random": "random weights",
}


def draw(evidence: Evidence) -> Figure:
    """The predictions over a trial, their heights against the odds, how they follow a change, and the angles of the weights."""
    figure, axes = plt.subplots(2, 2, figsize=(10.5, 7.4), layout="constrained")
    draw_predictions(axes[0, 0], evidence)
    draw_heights(axes[0, 1], evidence)
    draw_change(axes[1, 0], evidence)
    draw_angles(axes[1, 1], evidence)
    return figure


def draw_predictions(axes: Axes, evidence: Evidence) -> None:
    for p, shade in zip(CONDITIONS, ("0.65", "0.4", "0.05"), strict=True):
        for metric, dash in {"predicted_a": "-", "predicted_b": "--"}.items():
            curve = evidence.mean_curve(metric, f"odds_{p}")
            label = f"{metric[-1].upper()}, odds {p if dash == '-' else round(1 - p, 1)}"
            axes.plot(
                curve.step,
                curve.value,
                dash,
                color=shade if dash == "-" else {0.2: "0.05", 0.5: "0.4", 0.8: "0.65"}[p],
                label=label,
            )
    for time, name in ((A_BEFORE, "A"), (B, "B")):
        axes.axvline(time, color="0.75", linewidth=0.8, zorder=0)
        axes.annotate(name, (time, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    axes.set(xlabel="ms from the beginning of a trial", ylabel="prediction, before the change", xlim=(0, STEPS))
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_heights(axes: Axes, evidence: Evidence) -> None:
    shown = {"three_factor": ("o", "0.1"), "online_only": ("x", "0.1"), "homogeneous": ("^", "0.55"), "delay_line": ("_", "0.55")}
    places = np.array([p if event == "A" else 1 - p for p, event in READOUTS])
    for offset, (arm, (marker, colour)) in zip((-0.03, -0.01, 0.01, 0.03), shown.items(), strict=True):
        heights = np.concatenate([curve.value for curve in evidence.curves("height", arm).values()])
        seeds = len(heights) // len(places)
        axes.plot(
            np.tile(places, seeds) + offset, heights, marker, color=colour, markersize=5, fillstyle="none", label=NAMES[arm]
        )
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, zorder=0)
    axes.set(xlabel="probability of the event", ylabel="height of the peak", xlim=(0.05, 0.95), ylim=(0, 1.05), xticks=CONDITIONS)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_change(axes: Axes, evidence: Evidence) -> None:
    for arm, (colour, dash, width) in RULES.items():
        curve = evidence.mean_curve("old_response", arm)
        kernel = np.ones(5) / 5  # trials, or the outcomes of single trials would hide the course
        smooth = np.convolve(curve.value, kernel, mode="valid")
        axes.plot(curve.step[4:], smooth, dash, color=colour, linewidth=width, label=NAMES[arm])
    axes.axvline(0, color="0.75", linewidth=0.8, zorder=0)
    axes.annotate("A moves, odds 0.8 to 0.2", (0, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    axes.set(xlabel="trials since the change", ylabel="response at the old time of A", xlim=(-60, curve.step.max()))
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_angles(axes: Axes, evidence: Evidence) -> None:
    arms = ("three_factor", "online_only", "rls", "shuffled_times", "random")
    for metric, marker, label in (("cosine_what_when", "o", "what and when"), ("cosine_a_b", "x", "A and B")):
        for place, arm in enumerate(arms):
            found = list(evidence.values(metric, arm).values())
            axes.plot(found, [place] * len(found), marker, color="0.1", fillstyle="none", label=label if place == 0 else None)
    axes.axvline(0, color="0.75", linewidth=0.8, zorder=0)
    axes.axvline(0.3, color="0.6", linewidth=0.8, linestyle=":", zorder=0, label="limit of the claim")
    axes.set(
        xlabel="cosine between weights", xlim=(-1.05, 1.05), yticks=range(len(arms)), yticklabels=[NAMES[arm] for arm in arms]
    )
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3)
