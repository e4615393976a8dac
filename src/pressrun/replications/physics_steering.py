"""A difference of mean activations steers what a network predicts of flows (arXiv:2511.20798)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import mse_loss

from pressrun.methods import activations as act
from pressrun.methods.dynamics import (
    FlowSurrogate,
    advect,
    blobs,
    enstrophy,
    evolve_vorticity,
    phase_speed,
    rollout,
    shear_layers,
    spectral_share,
)
from pressrun.methods.steering import concept_delta, fit_delta, inject, standardise
from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Monotone, Ratio, Run, knob

PAPER = "2511.20798"

DIAL = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5)

CLAIMS = (
    Claim(
        id="a-direction-for-vortices",
        paper="The difference of mean activations between vortex and laminar flows is a concept direction: added it brings vortices, "
        "subtracted it removes them.",
        where="abstract and code",
        tested="In a small surrogate, the direction between low and high viscosity, at a tenth of the activation's norm, raises the "
        "enstrophy of unseen roll-outs with one sign and lowers it with the other.",
        scale="toy",
        rule=All(
            Above("log_enstrophy_ratio", "vortex_plus", at_least=0.0), Below("log_enstrophy_ratio", "vortex_minus", at_most=0.0)
        ),
        control=All(
            Above("log_enstrophy_ratio", "shuffled_plus", at_least=0.0),
            Below("log_enstrophy_ratio", "shuffled_minus", at_most=0.0),
        ),
        control_is="the direction between groups with shuffled labels, of the same norm",
    ),
    Claim(
        id="a-direction-midway",
        paper="The same; the authors steer behind the last block.",
        where="our addition",
        tested="As before, but read and steered behind the middle block, from which nonlinear layers follow.",
        scale="toy",
        rule=All(
            Above("log_enstrophy_ratio", "midway_plus", at_least=0.0), Below("log_enstrophy_ratio", "midway_minus", at_most=0.0)
        ),
        control=All(
            Above("log_enstrophy_ratio", "shuffled_midway_plus", at_least=0.0),
            Below("log_enstrophy_ratio", "shuffled_midway_minus", at_most=0.0),
        ),
        control_is="the direction between groups with shuffled labels, of the same norm",
    ),
    Claim(
        id="specific",
        paper="The effect is causal and specific to the direction.",
        where="abstract",
        tested="The direction's effect on enstrophy (half of plus less minus) is three times the 95th percentile of 20 random "
        "directions and of the largest of 5 with shuffled labels, all of the same norm.",
        scale="toy",
        rule=All(
            Ratio("effect", "vortex", over="random_95th", at_least=3.0),
            Ratio("effect", "vortex", over="shuffled_largest", at_least=3.0),
        ),
        control=All(
            Ratio("effect", "random", over="random_95th", at_least=3.0),
            Ratio("effect", "random", over="shuffled_largest", at_least=3.0),
        ),
        control_is="one more random direction",
    ),
    Claim(
        id="strength-is-a-dial",
        paper="The strength acts as a dial.",
        where="the strengths of the authors' runs",
        tested="Enstrophy rises with the strength from −0.5 to 0.5 of the activation's norm, in seven steps.",
        scale="toy",
        rule=Monotone("log_enstrophy_ratio", tuple(f"vortex_{a:g}" for a in DIAL), "rises"),
        control=Monotone("log_enstrophy_ratio", tuple(f"random_{a:g}" for a in DIAL), "rises"),
        control_is="a random direction of the same norm",
    ),
    Claim(
        id="too-much-breaks-it",
        paper="Beyond a strength of about 1 the prediction becomes unstable.",
        where="note in the authors' repository",
        tested="At a strength of 2, half more of the roll-outs than at 0.1 end in three times the unsteered enstrophy or in no number.",
        scale="toy",
        rule=Difference("broken", "vortex_2", minus="vortex_0.1", at_least=0.5),
        control=Difference("broken", "vortex_0.3", minus="vortex_0.1", at_least=0.5),
        control_is="a strength of 0.3",
    ),
    Claim(
        id="transfers-to-another-system",
        paper="A direction found in one system has an effect in unrelated ones.",
        where="later abstract",
        tested="The viscosity direction of shear flows raises the fine structure of a carried scalar with one sign and lowers it with "
        "the other, by more than the 95th percentile of 20 random directions.",
        scale="toy",
        rule=All(
            Above("log_roughness_ratio", "vortex_plus", at_least=0.0),
            Below("log_roughness_ratio", "vortex_minus", at_most=0.0),
            Ratio("transfer", "vortex", over="random_95th", at_least=1.0),
        ),
        control=All(
            Above("log_roughness_ratio", "shuffled_plus", at_least=0.0),
            Below("log_roughness_ratio", "shuffled_minus", at_most=0.0),
            Ratio("transfer", "shuffled", over="random_95th", at_least=1.0),
        ),
        control_is="the direction between groups with shuffled labels, of the same norm",
    ),
    Claim(
        id="a-direction-for-diffusion",
        paper="There is a direction for diffusion, with both signs.",
        where="later abstract",
        tested="The direction between strong and weak diffusion of a carried scalar lowers its fine structure when added and raises it "
        "when subtracted.",
        scale="toy",
        rule=All(
            Below("log_roughness_ratio", "diffusion_plus", at_most=0.0),
            Above("log_roughness_ratio", "diffusion_minus", at_least=0.0),
        ),
        control=All(
            Below("log_roughness_ratio", "shuffled_diffusion_plus", at_most=0.0),
            Above("log_roughness_ratio", "shuffled_diffusion_minus", at_least=0.0),
        ),
        control_is="the direction between groups with shuffled labels, of the same norm",
    ),
    Claim(
        id="a-direction-for-speed",
        paper="There is a direction for the speed of time, with both signs.",
        where="later abstract",
        tested="The direction between every second and every frame makes a carried scalar travel faster when added and slower when "
        "subtracted.",
        scale="toy",
        rule=All(Above("log_speed_ratio", "speed_plus", at_least=0.0), Below("log_speed_ratio", "speed_minus", at_most=0.0)),
        control=All(
            Above("log_speed_ratio", "shuffled_speed_plus", at_least=0.0),
            Below("log_speed_ratio", "shuffled_speed_minus", at_most=0.0),
        ),
        control_is="the direction between groups with shuffled labels, of the same norm",
    ),
)

METRICS = {
    "one_step_error": "1",
    "log_enstrophy_ratio": "1",
    "log_roughness_ratio": "1",
    "log_speed_ratio": "1",
    "effect": "1",
    "transfer": "1",
    "broken": "1",
    "total_vorticity": "1",
}

NOT_TESTED = (
    "Walrus, the foundation model of the paper, and three-dimensional or compressible flows: everything here is a network of 200,000 "
    "weights on two families of flows of 32 x 32 points.",
    "Pictures of induced or removed vortices: the paper gives them no number, so enstrophy stands for them.",
    "General physical principles: high and low viscosity is all that the two groups differ in.",
    "Directions that keep their spatial map (the modes pad and interpolate): the mean over space is used, which the authors call the "
    "more natural one.",
    "A mirrored pair of directions (flow to the left and to the right).",
    "How good a surrogate has to be: its error is held against the spread of the fields. It was held against a prediction that nothing "
    "changes at first (0.30 on seed 0), which was altered before any effect of steering had been seen.",
    "Where in the network to steer best: the last block, as the authors do (knob block). The claim on the middle block was added after seed "
    "0 had shown little behind the last one.",
)

USE = """\
import torch
from pressrun.methods import activations as act
from pressrun.methods.steering import concept_delta, fit_delta, inject

model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 1, 3, padding=1))  # any module on fields
lm, site = act.load(model), act.module("0")
seen = lm.read(torch.rand(6, 3, 16, 16), site)[site]  # (runs, channels, *space)
delta = fit_delta(concept_delta(seen, torch.tensor([1, 1, 1, 0, 0, 0])), (16, 16))
with lm.edit(site.apply(lambda h: inject(h, delta, alpha=0.1, dims=(1, 2, 3)))):
    steered = model(torch.rand(2, 3, 16, 16))
"""

SIZE, INTERVAL, FRAMES = 32, 0.4, 24
LOW, HIGH = 1e-3, 2e-2  # viscosity and diffusivity of the two groups
ALPHA = 0.1
FINE = 5.0  # wave numbers above count as fine structure
DIMS = (1, 2, 3)  # channels and space of (runs, channels, height, width)


@dataclass(frozen=True)
class Config:
    runs: int = knob(40, low=6, high=1000, help="simulated runs of each group and family to train on")
    held_out: int = knob(10, low=2, high=200, help="further runs of each group, for the steered roll-outs")
    train_steps: int = knob(600, low=1, high=100_000, help="steps of the optimiser")
    batch: int = knob(16, low=1, high=256, help="windows of frames in a step")
    lr: float = knob(2e-3, low=1e-5, high=0.1, help="learning rate of AdamW, falling to zero")
    noise: float = knob(
        0.01, low=0.0, high=1.0, help="noise on the frames while training, relative to a field's standard deviation"
    )
    block: int = knob(4, low=0, high=4, help="block behind which is steered; 4 is the last")
    horizon: int = knob(10, low=3, high=100, help="steered steps of a roll-out")
    random_directions: int = knob(20, low=2, high=1000, help="directions that make up the random band")
    worst_error: float = knob(
        0.1,
        low=0.0,
        high=10.0,
        help="one-step error, over the spread of the fields, above which the surrogate counts as too weak",
    )


PRESETS = {
    "smoke": Config(runs=6, held_out=2, train_steps=8, random_directions=2, horizon=3, worst_error=10.0),
    "laptop": Config(),
    "paper": Config(runs=400, held_out=40, train_steps=20_000, batch=64, random_directions=100),
}


@dataclass(frozen=True)
class Family:
    """Runs of one family: (runs, frames, size, size), the first half of them with the low number; those held out behind."""

    fields: Tensor
    low: Tensor
    trained: Tensor

    def starts(self, low: bool) -> Tensor:
        """The first three frames of the runs held out, of one group."""
        return self.fields[~self.trained & (self.low == low)][:, :3]


def replicate(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    flows, scalars = shear_flows(config, generator), carried_scalars(config, generator)
    model = train(config, (flows, scalars), generator, run)
    error = one_step_error(model, (flows, scalars))
    run.record("surrogate", one_step_error=error)
    weak = error > config.worst_error
    if weak:
        run.log(f"The surrogate is too weak to be steered: its one-step error is {error:.2f}. No effect is recorded as a number.")
    steer = Steering(model, config.block, config.horizon, weak)
    vortex(steer, flows, scalars, config, generator, run)
    concepts(config, steer, flows, scalars, generator, run)


def shear_flows(config: Config, generator: torch.Generator) -> Family:
    count = 2 * (config.runs + config.held_out)
    low, trained = _groups(config)
    viscosity = torch.where(low, LOW, HIGH)
    fields = evolve_vorticity(shear_layers(count, SIZE, generator=generator), viscosity, frames=FRAMES, interval=INTERVAL)
    return Family(fields / fields[trained].std(), low, trained)


def carried_scalars(config: Config, generator: torch.Generator) -> Family:
    count = 2 * (config.runs + config.held_out)
    low, trained = _groups(config)
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    wind = 0.5 * torch.stack([angle.cos(), angle.sin()], 1)
    fields = advect(blobs(count, SIZE, generator=generator), wind, torch.where(low, LOW, HIGH), frames=FRAMES, interval=INTERVAL)
    return Family(fields / fields[trained].std(), low, trained)


def _groups(config: Config) -> tuple[Tensor, Tensor]:
    number = torch.arange(2 * (config.runs + config.held_out))
    return number % 2 == 0, number < 2 * config.runs


def train(config: Config, families: tuple[Family, ...], generator: torch.Generator, run: Run) -> FlowSurrogate:
    """One surrogate for both families; frames are taken one or two intervals apart, so that it has to see the speed as well."""
    model = FlowSurrogate()
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.train_steps)
    data = torch.cat([family.fields[family.trained] for family in families])
    batches = _windows(data, config.batch, generator)
    for _ in run.progress(range(config.train_steps), "training"):
        windows = next(batches)
        noisy = windows[:, :3] + config.noise * torch.randn(windows[:, :3].shape, generator=generator)
        loss = mse_loss(model(noisy), windows[:, 3])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def _windows(data: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Four frames of each of `batch` random runs, (batch, 4, size, size)."""
    while True:
        rows = torch.randint(len(data), (batch,), generator=generator)
        stride = torch.randint(1, 3, (batch,), generator=generator)
        first = (torch.rand(batch, generator=generator) * (FRAMES - 3 * stride)).long()
        yield data[rows[:, None], first[:, None] + stride[:, None] * torch.arange(4)]


@torch.no_grad()
def one_step_error(model: FlowSurrogate, families: tuple[Family, ...]) -> float:
    """The root mean square error of a step on unseen runs, over the spread of what was to be predicted."""
    windows = torch.cat([family.fields[~family.trained] for family in families]).unfold(1, 4, 1).flatten(0, 1).movedim(-1, 1)
    return float((mse_loss(model(windows[:, :3]), windows[:, 3]) / windows[:, 3].var()).sqrt())


class Steering:
    """A surrogate, read and steered behind one of its blocks."""

    def __init__(self, model: FlowSurrogate, block: int, horizon: int, weak: bool) -> None:
        self.net, self.site = act.load(model), act.module(f"blocks.{block}")
        self.model, self.horizon, self.weak = model, horizon, weak

    def activations(self, fields: Tensor, stride: int = 1) -> Tensor:
        """Standardised activations of each run, averaged over its windows: (runs, channels, height, width)."""
        windows = fields[:, ::stride].unfold(1, 3, 1).movedim(-1, 2)
        seen = self.net.read(windows.flatten(0, 1), self.site)[self.site]
        each: Tensor = standardise(seen, DIMS).unflatten(0, windows.shape[:2])
        return each.mean(1)

    def delta(self, a: Tensor, y: Tensor) -> Tensor:
        return fit_delta(concept_delta(a, y, zscore=False), a.shape[2:])

    def rolled(self, starts: Tensor, delta: Tensor | None = None, alpha: float = 0.0) -> Tensor:
        """What the surrogate predicts from `starts` on, steered all the time: (runs, steps, size, size)."""
        if delta is None or alpha == 0:
            return rollout(self.model, starts, self.horizon)
        with self.net.edit(self.site.apply(lambda h: inject(h, delta, alpha=alpha, dims=DIMS))):
            return rollout(self.model, starts, self.horizon)

    def told(self, value: Tensor | float) -> float:
        """A number to record; none if the surrogate is too weak for its steering to mean anything."""
        return math.nan if self.weak else float(value)


def log_enstrophy(frames: Tensor) -> Tensor:
    return enstrophy(frames[:, -1]).clamp_min(1e-12).log()


def log_roughness(frames: Tensor) -> Tensor:
    return (spectral_share(frames[:, -1], FINE) + 1e-9).log()


def log_speed(frames: Tensor) -> Tensor:
    return (phase_speed(frames, INTERVAL) + 1e-6).log()


MEASURES = {"log_enstrophy_ratio": log_enstrophy, "log_roughness_ratio": log_roughness, "log_speed_ratio": log_speed}


def vortex(steer: Steering, flows: Family, scalars: Family, config: Config, generator: torch.Generator, run: Run) -> None:
    """Low against high viscosity: the effect in its own family, in the other one, and beside random directions."""
    a, low = steer.activations(flows.fields[flows.trained]), flows.low[flows.trained]
    delta = steer.delta(a, low)
    shuffled = [steer.delta(a, low[torch.randperm(len(low), generator=generator)]) for _ in range(5)]
    randoms = [_random(delta, generator) for _ in range(config.random_directions + 1)]
    own, other = flows.fields[~flows.trained][:, :3], scalars.fields[~scalars.trained][:, :3]
    plain, plain_other = steer.rolled(own), steer.rolled(other)

    def shift(direction: Tensor, alpha: float) -> Tensor:
        return (log_enstrophy(steer.rolled(own, direction, alpha)) - log_enstrophy(plain)).mean()

    def shift_other(direction: Tensor, alpha: float) -> Tensor:
        return (log_roughness(steer.rolled(other, direction, alpha)) - log_roughness(plain_other)).mean()

    def effect(direction: Tensor) -> float:
        return float(shift(direction, ALPHA) - shift(direction, -ALPHA)) / 2

    def transfer(direction: Tensor) -> float:
        return float(shift_other(direction, ALPHA) - shift_other(direction, -ALPHA)) / 2

    for name, direction in {"vortex": delta, "shuffled": shuffled[0]}.items():
        for sign, alpha in (("plus", ALPHA), ("minus", -ALPHA)):
            run.record(
                f"{name}_{sign}",
                log_enstrophy_ratio=steer.told(shift(direction, alpha)),
                log_roughness_ratio=steer.told(shift_other(direction, alpha)),
            )
    band = [(abs(effect(each)), abs(transfer(each))) for each in run.progress(randoms[1:], "random directions")]
    nulls = [abs(effect(each)) for each in shuffled]
    run.record("vortex", effect=steer.told(effect(delta)), transfer=steer.told(abs(transfer(delta))))
    run.record("random", effect=steer.told(abs(effect(randoms[0]))))
    run.record("shuffled", transfer=steer.told(abs(transfer(shuffled[0]))))
    run.record(
        "random_95th",
        effect=steer.told(float(np.quantile([each for each, _ in band], 0.95))),
        transfer=steer.told(float(np.quantile([each for _, each in band], 0.95))),
    )
    run.record("shuffled_largest", effect=steer.told(max(nulls)))
    for alpha in DIAL:
        run.record(f"random_{alpha:g}", log_enstrophy_ratio=steer.told(shift(randoms[0], alpha)))
    for alpha in (*DIAL, 2.0):
        frames = steer.rolled(own, delta, alpha)
        moved = log_enstrophy(frames) - log_enstrophy(plain)
        run.record(
            f"vortex_{alpha:g}",
            log_enstrophy_ratio=steer.told(moved.mean()),
            broken=steer.told((~(moved <= math.log(3))).float().mean()),
            total_vorticity=steer.told(frames[:, -1].mean((1, 2)).abs().mean()),
        )


def concepts(config: Config, steer: Steering, flows: Family, scalars: Family, generator: torch.Generator, run: Run) -> None:
    """Further concepts, each with both signs and beside shuffled labels."""
    middle = Steering(steer.model, len(steer.model.blocks) // 2, config.horizon, steer.weak)
    sheared, carried = flows.fields[flows.trained], scalars.fields[scalars.trained]
    low, strong = flows.low[flows.trained], ~scalars.low[scalars.trained]
    new_flows, new_scalars = flows.fields[~flows.trained][:, :3], scalars.fields[~scalars.trained][:, :3]
    speeds = torch.cat([steer.activations(carried[:, : FRAMES // 2]), steer.activations(carried, stride=2)])
    fast = torch.arange(len(speeds)) >= len(carried)

    def judge(name: str, by: Steering, a: Tensor, labels: Tensor, starts: Tensor, metric: str) -> None:
        plain = MEASURES[metric](by.rolled(starts))
        shuffled = labels[torch.randperm(len(labels), generator=generator)]
        for arm, each in ((name, labels), (f"shuffled_{name}", shuffled)):
            delta = by.delta(a, each)
            for sign, alpha in (("plus", ALPHA), ("minus", -ALPHA)):
                moved = MEASURES[metric](by.rolled(starts, delta, alpha)) - plain
                run.record(f"{arm}_{sign}", None, **{metric: by.told(moved.mean())})

    judge("midway", middle, middle.activations(sheared), low, new_flows, "log_enstrophy_ratio")
    judge("diffusion", steer, steer.activations(carried), strong, new_scalars, "log_roughness_ratio")
    judge("speed", steer, speeds, fast, new_scalars, "log_speed_ratio")


def _random(delta: Tensor, generator: torch.Generator) -> Tensor:
    """A random number a channel, spread over space, with the norm of `delta`."""
    direction = torch.randn(len(delta), 1, 1, generator=generator).expand_as(delta)
    scale: Tensor = delta.norm() / direction.norm()
    return direction * scale


def draw(evidence: Evidence) -> Figure:
    """Left, enstrophy over strength, the concept's direction against a random one. Right, each concept with both signs."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    for name, colour in {"vortex": "#a63d1f", "random": "0.6"}.items():
        curves = np.array([[evidence.values("log_enstrophy_ratio", f"{name}_{a:g}")[s] for a in DIAL] for s in evidence.seeds])
        left.plot(DIAL, curves.T, "-", color=colour, linewidth=0.8, alpha=0.6)
        left.plot(DIAL, curves.mean(0), "o-", color=colour, label={"vortex": "low less high viscosity", "random": "random"}[name])
    left.axhline(0, color="0.2", linewidth=0.6)
    left.set(xlabel="strength (share of the activation's norm)", ylabel="log enstrophy, steered over unsteered")
    left.legend(frameon=False)
    pairs = (
        ("vortices:\nenstrophy", "log_enstrophy_ratio", "vortex", "shuffled"),
        ("midway:\nenstrophy", "log_enstrophy_ratio", "midway", "shuffled_midway"),
        ("transfer:\nfine structure", "log_roughness_ratio", "vortex", "shuffled"),
        ("diffusion:\nfine structure", "log_roughness_ratio", "diffusion", "shuffled_diffusion"),
        ("speed:\nphase speed", "log_speed_ratio", "speed", "shuffled_speed"),
    )
    for place, (_, metric, own, null) in enumerate(pairs):
        for offset, arm, colour in ((-0.15, own, "#a63d1f"), (0.15, null, "0.6")):
            for sign, marker in (("plus", "^"), ("minus", "v")):
                values = list(evidence.values(metric, f"{arm}_{sign}").values())
                right.plot([place + offset] * len(values), values, marker, color=colour, markersize=5, linestyle="none")
    right.axhline(0, color="0.2", linewidth=0.6)
    right.set_yscale("symlog", linthresh=0.01)
    right.set_xticks(range(len(pairs)), [label for label, *_ in pairs])
    right.set(ylabel=f"log ratio at a strength of {ALPHA:g}", title="▲ added, ▼ subtracted; grey: shuffled labels")
    right.title.set_fontsize(9)
    return figure
