"""A worm's locomotion circuit with four weights swims untrained, and its signs are what makes it learn (arXiv:2201.05242)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pressrun.methods.control import NCAPSwimmer, SwimmerEnv
from pressrun.methods.reinforcement import EvolutionStrategy
from pressrun.replicate import All, Claim, Difference, Evidence, Ratio, Run, knob

PAPER = "2201.05242"

LINKS = 6
BODIES = (4, 8, 12)

CLAIMS = (
    Claim(
        id="swims-untrained",
        paper="The circuit performs well before any training, where perceptrons do not move.",
        where="abstract",
        tested="A body of 6 links gets at least 3 times the return of random torques and of an untrained perceptron.",
        scale="reduced",
        rule=All(
            Ratio("return", "circuit", over="random", at_least=3.0), Ratio("return", "circuit", over="perceptron", at_least=3.0)
        ),
        control=All(
            Ratio("return", "unsigned", over="random", at_least=3.0), Ratio("return", "unsigned", over="perceptron", at_least=3.0)
        ),
        control_is="signs of the weights drawn at random",
    ),
    Claim(
        id="initial-weights-matter",
        paper="The initial magnitudes of the weights matter for the performance before training.",
        where="abstract and ablations",
        tested="Weights of one swim better untrained than weights drawn from 0 to 1, by 5 points of the largest return.",
        scale="reduced",
        rule=Difference("return", "circuit", minus="uniform", at_least=0.05),
        control=Difference("return", "uniform again", minus="uniform", at_least=0.05),
        control_is="other draws from 0 to 1",
    ),
    Claim(
        id="learns-from-less-data",
        paper="It learns with far less data than perceptrons of comparable final performance.",
        where="abstract",
        tested="Under one evolution strategy, a perceptron with a clock needs at least 5 times the episodes to get 80 % of the return that "
        "the untrained circuit has. What is not reached counts as one episode more than the budget.",
        scale="toy",
        rule=Ratio("episodes_to_reach", "perceptron", over="circuit", at_least=5.0),
        control=Ratio("episodes_to_reach", "perceptron", over="unsigned", at_least=5.0),
        control_is="the circuit without signs",
    ),
    Claim(
        id="few-parameters",
        paper="It has orders of magnitude fewer parameters than the perceptrons.",
        where="abstract and authors' code",
        tested="A perceptron with two hidden layers of 64 on the same observation has at least 100 times its 4 parameters.",
        scale="full",
        rule=Ratio("parameters", "perceptron of 64 and 64", over="circuit", at_least=100.0, exact=True),
        control=Ratio("parameters", "linear policy", over="circuit", at_least=100.0),
        control_is="a policy without hidden layers",
    ),
    Claim(
        id="transfers-to-other-bodies",
        paper="The same weights drive bodies of other lengths.",
        where="abstract and videos",
        tested="With the same four weights, bodies of 4, 8 and 12 links get at least twice the return of random torques on them.",
        scale="reduced",
        rule=All(*(Ratio("return", f"circuit, {n} links", over=f"random, {n} links", at_least=2.0) for n in BODIES)),
        control=All(*(Ratio("return", f"unsigned, {n} links", over=f"random, {n} links", at_least=2.0) for n in BODIES)),
        control_is="signs of the weights drawn at random",
    ),
    Claim(
        id="signs-are-crucial-for-learning",
        paper="Fixed excitation and inhibition are crucial for learning.",
        where="abstract and ablations",
        tested="After one evolution strategy from weights drawn at random, the circuit with signs ends above the one without by 30 points of "
        "the largest return.",
        scale="toy",
        rule=Difference("trained_return", "circuit", minus="unsigned", at_least=0.3),
        control=Difference("trained_return", "unsigned again", minus="unsigned", at_least=0.3),
        control_is="without signs on both sides, from another draw",
    ),
    Claim(
        id="knock-outs-do-what-the-wiring-says",
        paper="The circuit can be read: what each part is for follows from its wiring.",
        where="abstract",
        tested="Without proprioception, and without the oscillator, at most half of the return is left.",
        scale="reduced",
        rule=All(
            Ratio("return", "no proprioception", over="circuit", at_most=0.5),
            Ratio("return", "no oscillator", over="circuit", at_most=0.5),
        ),
        control=All(
            Ratio("return", "no opposite side", over="circuit", at_most=0.5),
            Ratio("return", "no opposite side", over="circuit", at_most=0.5),
        ),
        control_is="a wire cut that the wiring says is idle",
    ),
)

METRICS = {
    "return": "largest return",  # of an untrained episode of 30 s
    "speed": "m/s",
    "trained_return": "largest return",  # of the last update's mean policy
    "best_return": "largest return",
    "episodes_to_reach": "episodes",
    "learning": "largest return",  # over the episodes of training
    "parameters": "parameters",
    "angle": "joint limits",  # of the untrained circuit, over the control steps
}

NOT_TESTED = (
    "Training by PPO, DDPG and D4PG for a million steps, and so how the perceptrons end up: under this budget they are far from it.",
    "The paper's own returns: they were not at hand.",
    "Steering to a target, and speed control: the wires are in the method, the task is not run.",
    "Inhibition of the opposite side by its strength: while a joint bends to one side only the neurons of the other are silent, so the wire is "
    "idle in this task; what is ablated is the sign.",
    "Physics beyond the simulator's drag; the mass of a link (0.01 kg) and the step (2 ms) are those of dm_control as we remember them.",
    "Population, step size and budget of the evolution strategy are ours, the same for every policy, and were set before any result.",
)

USE = """\
import torch
from pressrun.methods.control import NCAPSwimmer, SwimmerEnv

env, circuit = SwimmerEnv(n_links=6), NCAPSwimmer(n_joints=5)
observation, _ = env.reset(seed=0)
for step in range(100):
    torques = circuit(torch.from_numpy(observation[:5]), step).detach().numpy()
    observation, reward, *_ = env.step(torques)
"""


@dataclass(frozen=True)
class Config:
    steps: int = knob(1000, low=30, high=10_000, unit="control steps", help="length of an untrained episode; a step is 0.03 s")
    starts: int = knob(5, low=1, high=100, help="untrained episodes of each policy")
    draws: int = knob(20, low=1, high=200, help="draws of weights of the policies with random ones")
    training_steps: int = knob(300, low=30, high=10_000, unit="control steps", help="length of an episode of training")
    updates: int = knob(30, low=1, high=10_000, help="updates of the evolution strategy")
    population: int = knob(16, low=2, high=256, help="episodes of an update; an even number")
    sigma: float = knob(0.1, low=1e-3, high=1.0, help="perturbation of the parameters")
    lr: float = knob(0.1, low=1e-4, high=1.0, help="step size of the evolution strategy")
    hidden: int = knob(16, low=1, high=256, unit="units", help="hidden units of the perceptron that is trained")


PRESETS = {
    "smoke": Config(steps=60, starts=1, draws=1, training_steps=60, updates=2, population=4),
    "laptop": Config(),
    "paper": Config(updates=500, training_steps=1000, sigma=0.02, lr=0.01, hidden=64),
}

# Parameters (P, d), observations (P, o) and the control step give torques (P, joints).
Policy = Callable[[Tensor, Tensor, int], Tensor]


def replicate(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    run_untrained(config, seed, generator, run)
    record_angles(config, seed, run)
    train_all(config, seed, generator, run)


def circuit(links: int = LINKS, **options: bool) -> tuple[Policy, Callable[[str, torch.Generator], Tensor]]:
    """The circuit as a policy of many weights at once, and what draws its four weights."""
    body = NCAPSwimmer(links - 1, **options)  # type: ignore[arg-type]
    names = [name for name, _ in body.named_parameters()]

    def act(weights: Tensor, observation: Tensor, step: int) -> Tensor:
        parameters = {name: weights[:, column, None, None] for column, name in enumerate(names)}
        torques: Tensor = torch.func.functional_call(body, parameters, (observation[:, : links - 1], step))
        return torques

    def draw_weights(init: str, generator: torch.Generator) -> Tensor:
        drawn = NCAPSwimmer(links - 1, init=init, generator=generator, **options)
        return torch.cat([weight.detach().flatten() for weight in drawn.parameters()])

    return act, draw_weights


def perceptron(sizes: Sequence[int]) -> tuple[Policy, Callable[[torch.Generator], Tensor]]:
    """A tanh perceptron that sees the observation and a clock of the circuit's period, (sin, cos), with torch's initial weights."""
    shapes = list(zip(sizes[1:], sizes, strict=False))
    counts = [count for outputs, inputs in shapes for count in (outputs * inputs, outputs)]

    def act(weights: Tensor, observation: Tensor, step: int) -> Tensor:
        phase = torch.tensor([2 * pi * step / 60])
        clock = torch.cat([phase.sin(), phase.cos()]).to(observation).expand(len(observation), 2)
        x = torch.cat([observation, clock], dim=1)
        parts = weights.split(counts, dim=1)
        for (outputs, inputs), matrix, bias in zip(shapes, parts[::2], parts[1::2], strict=True):
            x = torch.tanh(torch.einsum("poi,pi->po", matrix.view(-1, outputs, inputs), x) + bias)
        return x

    def draw_weights(generator: torch.Generator) -> Tensor:
        drawn = [
            (2 * torch.rand(count, generator=generator) - 1) / inputs**0.5
            for outputs, inputs in shapes
            for count in (outputs * inputs, outputs)
        ]
        return torch.cat(drawn)

    return act, draw_weights


def travelling_wave(weights: Tensor, observation: Tensor, step: int) -> Tensor:
    """Torques of a sine that travels down the body, whatever it feels: amplitude, period and phase lag are its parameters."""
    joints = torch.arange(LINKS - 1)
    amplitude, period, lag = weights[:, :1], 60 * weights[:, 1:2].clamp(min=0.05), weights[:, 2:]
    return (amplitude * torch.sin(2 * pi * step / period - lag * joints)).to(observation)


@torch.no_grad()
def swim(policy: Policy, weights: Tensor, links: int, steps: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean reward and mean speed, (P,) each, of one episode a row of weights. Row k starts as its seed says."""
    envs = [SwimmerEnv(links, steps=steps) for _ in seeds]
    observations = np.stack([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    rewards, speeds = np.zeros(len(envs)), np.zeros(len(envs))
    for step in range(steps):
        torques = policy(weights, torch.from_numpy(observations).to(weights), step).numpy()
        for row, env in enumerate(envs):
            observations[row], reward, _, _, info = env.step(torques[row])
            rewards[row] += reward
            speeds[row] += info["speed"]
    return torch.from_numpy(rewards / steps), torch.from_numpy(speeds / steps)


def run_untrained(config: Config, seed: int, generator: torch.Generator, run: Run) -> None:
    """Every policy before training: `starts` episodes for each, or one for each draw where weights are drawn."""

    def record(arm: str, policy: Policy, weights: list[Tensor], links: int = LINKS) -> None:
        seeds = [1000 * seed + start for start in range(len(weights))]
        rewards, speeds = swim(policy, torch.stack(weights), links, config.steps, seeds)
        run.record(arm, **{"return": rewards.mean(), "speed": speeds.mean()})

    def random(_: Tensor, observation: Tensor, __: int) -> Tensor:
        return 2 * torch.rand(len(observation), (observation.shape[1] - 3) // 4, generator=generator) - 1

    signed, draw_signed = circuit()
    unsigned, draw_unsigned = circuit(signed=False)
    ones = draw_signed("constant", generator)
    idle = ones.clone()
    idle[3] = 0.0  # contra
    record("circuit", signed, [ones] * config.starts)
    for arm in ("uniform", "uniform again"):
        record(arm, signed, [draw_signed("uniform", generator) for _ in range(config.draws)])
    record("unsigned", unsigned, [draw_unsigned("constant", generator) for _ in range(config.draws)])
    for arm, cut in {"no proprioception": "proprioception", "no oscillator": "oscillator"}.items():
        record(arm, circuit(**{cut: False})[0], [ones] * config.starts)
    record("no opposite side", signed, [idle] * config.starts)
    act, draw_perceptron = perceptron((observed(), config.hidden, LINKS - 1))
    record("perceptron", act, [draw_perceptron(generator) for _ in range(config.draws)])
    record("random", random, [ones] * config.starts)
    record("no torque", lambda _, observation, __: torch.zeros(len(observation), LINKS - 1), [ones])
    for links in run.progress(BODIES, "other bodies"):
        record(f"circuit, {links} links", circuit(links)[0], [ones] * config.starts, links)
        signs = [draw_unsigned("constant", generator) for _ in range(config.draws)]
        record(f"unsigned, {links} links", circuit(links, signed=False)[0], signs, links)
        record(f"random, {links} links", random, [ones] * config.starts, links)
    run.record("circuit", parameters=len(ones))
    run.record("linear policy", parameters=len(perceptron((observed(), LINKS - 1))[1](generator)))
    run.record("perceptron of 64 and 64", parameters=len(perceptron((observed(), 64, 64, LINKS - 1))[1](generator)))


def observed() -> int:
    """What a perceptron sees: the observation of the body and the clock."""
    return (LINKS - 1) + 3 * LINKS + 2


@torch.no_grad()
def record_angles(config: Config, seed: int, run: Run) -> None:
    """The bend of every joint of the untrained circuit over its first two periods, or as many as there are."""
    env, body = SwimmerEnv(LINKS), NCAPSwimmer(LINKS - 1)
    observation, _ = env.reset(seed=1000 * seed)
    for step in range(min(240, config.steps)):
        for joint in range(LINKS - 1):
            run.record(f"joint {joint + 1}", step=step, angle=observation[joint])
        observation, *_ = env.step(body(torch.from_numpy(observation[: LINKS - 1]), step).numpy())


def train_all(config: Config, seed: int, generator: torch.Generator, run: Run) -> None:
    signed, draw_signed = circuit()
    unsigned, draw_unsigned = circuit(signed=False)
    act, draw_perceptron = perceptron((observed(), config.hidden, LINKS - 1))
    arms: dict[str, tuple[Policy, Tensor]] = {
        "circuit": (signed, draw_signed("uniform", generator)),
        "unsigned": (unsigned, draw_unsigned("uniform", generator)),
        "unsigned again": (unsigned, draw_unsigned("uniform", generator)),
        "perceptron": (act, draw_perceptron(generator)),
        "travelling wave": (travelling_wave, torch.rand(3, generator=generator)),
    }
    seeds = [1000 * seed + 500 + start for start in range(config.starts)]
    enough = (
        0.8
        * swim(signed, draw_signed("constant", generator).expand(len(seeds), -1), LINKS, config.training_steps, seeds)[0].mean()
    )
    for arm, (policy, theta) in run.progress(arms.items(), "training"):
        courses = train(policy, theta, config, seed, generator)
        reached = [update for update, value in enumerate(courses) if value >= enough]
        run.record(
            arm,
            trained_return=courses[-1],
            best_return=max(courses),
            episodes_to_reach=reached[0] * config.population + 1 if reached else config.updates * config.population + 1,
        )
        for update, value in enumerate(courses):
            run.record(arm, step=update * config.population, learning=value)


def train(policy: Policy, theta: Tensor, config: Config, seed: int, generator: torch.Generator) -> list[float]:
    """Return of the mean policy before training and after each update, over `starts` episodes that are not counted."""
    strategy = EvolutionStrategy(
        theta, population=config.population, sigma=config.sigma, lr=config.lr, weight_decay=0.005, generator=generator
    )
    tests = [1000 * seed + 500 + start for start in range(config.starts)]
    courses = []
    for update in range(config.updates + 1):
        if update:
            seeds = [1_000_000 + 100_000 * seed + config.population * update + row for row in range(config.population)]
            strategy.tell(swim(policy, strategy.ask(), LINKS, config.training_steps, seeds)[0].float())
        mean = strategy.theta.expand(len(tests), -1)
        courses.append(float(swim(policy, mean, LINKS, config.training_steps, tests)[0].mean()))
    return courses


def draw(evidence: Evidence) -> Figure:
    """Returns before training, learning curves, the wave that runs down the body, and other bodies."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.6), layout="constrained")
    draw_returns(axes[0, 0], evidence)
    draw_learning(axes[0, 1], evidence)
    draw_wave(axes[1, 0], evidence)
    draw_bodies(axes[1, 1], evidence)
    return figure


def draw_returns(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "circuit": "circuit, weights 1",
        "uniform": "weights from 0 to 1",
        "unsigned": "signs at random",
        "no proprioception": "no proprioception",
        "no oscillator": "no oscillator",
        "no opposite side": "no opposite side",
        "perceptron": "perceptron",
        "random": "random torques",
    }
    for place, arm in enumerate(arms):
        values = list(evidence.values("return", arm).values())
        axes.barh(place, np.mean(values), color="0.75", height=0.65)
        axes.plot(values, [place] * len(values), "o", color="0.1", markersize=3.5)
    axes.set_yticks(range(len(arms)), list(arms.values()))
    axes.invert_yaxis()
    axes.set(xlabel="share of the largest return, untrained", xlim=(0, 1))


def draw_learning(axes: Axes, evidence: Evidence) -> None:
    styles = {
        "circuit": ("-", 2.6, "circuit"),
        "travelling wave": ("-", 1.0, "travelling wave"),
        "perceptron": ("--", 1.5, "perceptron with a clock"),
        "unsigned": (":", 2.0, "circuit without signs"),
    }
    for arm, (dash, width, label) in styles.items():
        curve = evidence.mean_curve("learning", arm)
        axes.plot(curve.step, curve.value, linestyle=dash, linewidth=width, color="0.1", label=label)
    axes.set(xlabel="episodes of training", ylabel="share of the largest return", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=2)


def draw_wave(axes: Axes, evidence: Evidence) -> None:
    curves = [evidence.curves("angle", f"joint {joint}") for joint in range(1, LINKS)]
    seed = min(curves[0])
    angles = np.stack([each[seed].value for each in curves])
    image = axes.imshow(angles, cmap="gray", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(LINKS - 1), [f"{joint}" for joint in range(1, LINKS)])
    axes.set(xlabel="control step of 0.03 s", ylabel="joint, head first")
    axes.figure.colorbar(image, ax=axes, label="bend / limit")


def draw_bodies(axes: Axes, evidence: Evidence) -> None:
    for arm, style in {"circuit": "o-", "unsigned": "s:", "random": "x--"}.items():
        at = sorted((LINKS, *BODIES))
        means = [np.mean(list(evidence.values("return", arm if n == LINKS else f"{arm}, {n} links").values())) for n in at]
        label = {"circuit": "circuit, the same four weights", "unsigned": "signs at random", "random": "random torques"}[arm]
        axes.plot(at, means, style, color="0.1", label=label)
    axes.set(xlabel="links of the body", ylabel="share of the largest return", ylim=(0, 1), xticks=at)
    axes.legend(frameon=False, fontsize=8.5, loc="center right")
