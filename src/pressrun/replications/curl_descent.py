"""Curl descent: with the plasticity of some neurons reversed, networks still learn, up to a boundary (arXiv:2510.02765)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor, nn

from pressrun.methods.plasticity import (
    CurlSGD,
    critical_fraction,
    curl_flow,
    curl_ratio,
    curl_step,
    error_rates,
    flip_signs,
    flow_jacobian,
    lyapunov_exponent,
)
from pressrun.replicate import Above, All, Below, Claim, Evidence, Monotone, Rate, Ratio, Run, knob

PAPER = "2510.02765"

# Inputs over hidden units, and the share of flipped neurons: "hidden" flips synapses that leave inputs, "readout" those of hidden units.
COMPRESSIONS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0)
FRACTIONS = (0.0, 0.05, 0.1, 0.25, 0.5)
LAYERS = ("hidden", "readout")
CONVERGED = 1e-6  # of the initial loss

STARTS = {
    "small": "linear, small weights",
    "opposed": "linear, read-out opposed to the teacher",
    "tanh": "tanh, weights of the usual size",
}

CLAIMS = (
    Claim(
        id="solutions-stay-solutions",
        paper="Solutions of zero loss are fixed points of curl descent as they are of gradient descent; only their stability changes.",
        where="analysis of the two-layer linear network",
        tested="At weights that solve the task, the largest change of any weight is below 1e-10 whatever half of the neurons is flipped.",
        scale="full",
        rule=Below("largest_change", "at a solution", at_most=1e-10, exact=True, tolerance=1e-10),
        control=Below("largest_change", "at another teacher's solution", at_most=1e-10),
        control_is="weights that solve another task",
    ),
    Claim(
        id="stability-changes-sign",
        paper="Flipping enough neurons turns a stable manifold of solutions into an unstable one.",
        where="analysis and phase diagrams",
        tested="At equal numbers of inputs and hidden units, all rates of decay at a typical solution are positive without flips, some "
        "negative with half of the read-outs flipped.",
        scale="reduced",
        rule=All(
            Above("slowest_rate", "readout c=1 f=0", at_least=0.0),
            Below("slowest_rate", "readout c=1 f=0.5", at_most=0.0, chance=1.0),
        ),
        control=All(
            Above("slowest_rate", "readout c=1 f=0", at_least=0.0),
            Below("slowest_rate", "readout c=1 f=0", at_most=0.0, chance=1.0),
        ),
        control_is="no neuron flipped",
    ),
    Claim(
        id="learns-below-the-boundary",
        paper="With few flipped neurons, learning resembles gradient descent.",
        where="abstract and phase diagrams",
        tested="Of the students with flips whose typical rates are all positive, 90 % end below 1e-6 of the initial loss, in each layer.",
        scale="reduced",
        rule=All(
            Rate("converged", "students", "hidden below", at_least=0.9),
            Rate("converged", "students", "readout below", at_least=0.9),
        ),
        control=All(
            Rate("converged", "students", "hidden above", at_least=0.9),
            Rate("converged", "students", "readout below", at_least=0.9),
        ),
        control_is="hidden flips with a negative rate",
    ),
    Claim(
        id="boundary-falls-with-compression",
        paper="The share of flips that is tolerated depends on the ratio of inputs to hidden units; expansive networks tolerate more.",
        where="phase diagrams",
        tested="Over six ratios from 0.1 to 2, the share at which the slowest rate changes sign falls (rank correlation at most -0.9), for "
        "hidden and for read-out flips.",
        scale="reduced",
        rule=All(
            Monotone("critical_fraction", tuple(f"hidden c={c:g}" for c in COMPRESSIONS), "falls", at_least=0.9),
            Monotone("critical_fraction", tuple(f"readout c={c:g}" for c in COMPRESSIONS), "falls", at_least=0.9),
        ),
        control=All(
            Monotone("critical_fraction", tuple(f"hidden shuffled {c:g}" for c in COMPRESSIONS), "falls", at_least=0.9),
            Monotone("critical_fraction", tuple(f"readout shuffled {c:g}" for c in COMPRESSIONS), "falls", at_least=0.9),
        ),
        control_is="ratios shuffled",
    ),
    Claim(
        id="boundary-predicts-failure",
        paper="The boundary of stability separates the hidden flips that learn from those that do not.",
        where="boundary curve on the heat map",
        tested="Over 30 pairs of ratio and share, the sign of the slowest rate agrees with whether most students converge in 85 %.",
        scale="reduced",
        rule=Above("agreement", "hidden", at_least=0.85, chance=0.5),
        control=Above("agreement", "hidden shuffled", at_least=0.85, chance=0.5),
        control_is="pairs shuffled",
    ),
    Claim(
        id="hidden-flips-end-in-chaos",
        paper="Beyond the boundary, flips in the hidden layer destroy performance, with chaotic dynamics of the weights.",
        where="abstract and figure",
        tested="With a quarter of the inputs flipped and 1 or 2 inputs a hidden unit: final loss over 0.2 of the initial, weights in the "
        "last tenth still moving at over 1 % of their first speed, and a positive Lyapunov exponent.",
        scale="reduced",
        rule=All(
            Above("final_loss", "hidden beyond", at_least=0.2),
            Above("late_speed", "hidden beyond", at_least=0.01),
            Above("lyapunov_exponent", "hidden beyond", at_least=0.0),
        ),
        control=All(
            Above("final_loss", "gradient descent", at_least=0.2),
            Above("late_speed", "gradient descent", at_least=0.01),
            Above("lyapunov_exponent", "gradient descent", at_least=0.0),
        ),
        control_is="no neuron flipped",
    ),
    Claim(
        id="readout-flips-still-learn",
        paper="Flips in the read-out reach a low error although the manifold of solutions is unstable at typical points.",
        where="abstract and figure",
        tested="With 1 or 2 inputs a hidden unit and a quarter or half of the read-outs flipped: slowest rate at typical points below 0, "
        "yet 80 % of students end below 1e-6 of the initial loss.",
        scale="reduced",
        rule=All(
            Below("slowest_rate", "readout beyond", at_most=0.0, chance=1.0),
            Rate("converged", "students", "readout beyond", at_least=0.8),
        ),
        control=All(
            Below("slowest_rate", "hidden beyond", at_most=0.0, chance=1.0),
            Rate("converged", "students", "hidden beyond", at_least=0.8),
        ),
        control_is="as many inputs flipped",
    ),
    Claim(
        id="rises-before-it-falls",
        paper="Curl descent can raise the loss for a while on its way to a solution.",
        where="abstract and figure",
        tested="From a read-out opposed to the teacher, with a quarter of the read-outs flipped, the loss rises at some step by over 0.1 % of "
        "its initial value in at least half of the students.",
        scale="toy",
        rule=Above("rising_share", "opposed curl", at_least=0.5),
        control=Above("rising_share", "opposed gradient", at_least=0.5),
        control_is="gradient descent",
    ),
    *(
        Claim(
            id=f"leaves-a-saddle-sooner-{start}",
            paper="Curl can speed up learning by leaving saddles sooner, in one nonlinear network with up to half of the neurons flipped.",
            where="abstract and figure",
            tested=f"{STARTS[start][0].upper()}{STARTS[start][1:]}: with {share} of the read-outs flipped, the median student needs fewer "
            "steps to 5 % of the initial loss than by gradient descent.",
            scale="toy",
            rule=Ratio("steps_to_learn", f"{start} curl", over=f"{start} gradient", at_most=1.0),
            control=Ratio("steps_to_learn", f"{start} noise", over=f"{start} gradient", at_most=1.0),
            control_is="signs redrawn at each step",
        )
        for start, share in (("small", "a quarter"), ("opposed", "a quarter"), ("tanh", "half"))
    ),
)

METRICS = {
    "largest_change": "1",
    "curl_ratio": "1",
    "slowest_rate": "1/time",  # at the random weights that learning begins with
    "reached_rate": "1/time",  # at the weights that it ends with
    "critical_fraction": "1",
    "converged": "students",
    "students": "students",
    "same_at_half_step": "1",  # share of students with the same end when the step is halved
    "agreement": "1",
    "final_loss": "initial loss",
    "log10_final_loss": "1",
    "late_speed": "initial speed",
    "lyapunov_exponent": "1/time",
    "steps_to_learn": "steps",
    "rising_share": "1",
    "loss": "initial loss",  # of the first student, over the steps
    "weight": "1",  # one weight of the first student, over the steps
}

NOT_TESTED = (
    "Which sizes, steps, data sets and nonlinear settings the paper used: they were not at hand, so all of these are ours, as are scalar "
    "outputs and Gaussian weights of variance one over the fan-in.",
    "The paper's own curve for the boundary from random-matrix theory: here it is where the smallest eigenvalue of the linearised error "
    "changes sign, derived for this replication.",
    "Vector outputs, for which hidden flips overflow.",
    "Flipped outgoing synapses of rows (postsynaptic flips), which is another system; the optimiser can do it.",
    "That a saddle is left sooner in general: three starts are tried, the one the paper had in mind is not known.",
    "Anything about real synapses.",
)

USE = """\
import torch
from pressrun.methods.plasticity import CurlSGD, presynaptic_signs

model = torch.nn.Sequential(torch.nn.Linear(20, 40), torch.nn.Tanh(), torch.nn.Linear(40, 1))
readout = model[2].weight
optimiser = CurlSGD(model.parameters(), lr=0.05, signs={readout: presynaptic_signs(readout, fraction=0.25)})
model(torch.randn(64, 20)).square().mean().backward()
optimiser.step()
"""


@dataclass(frozen=True)
class Config:
    inputs: int = knob(40, low=4, high=400, unit="units", help="inputs of the linear students")
    students: int = knob(4, low=1, high=100, help="students for each pair of ratio and share")
    steps: int = knob(4000, low=20, high=1_000_000, unit="steps", help="Euler steps of the linear flow")
    lr: float = knob(0.02, low=1e-4, high=0.1, help="their size; the flow is followed once more at half of it")
    boundary_inputs: int = knob(200, low=10, high=1000, unit="units", help="inputs of the random networks for the boundary")
    saddle_students: int = knob(20, low=1, high=500, help="students for each start at a saddle")
    saddle_steps: int = knob(2000, low=20, high=100_000, unit="steps", help="steps at most from a saddle")
    saddle_lr: float = knob(0.05, low=1e-3, high=0.5, help="step size from a saddle, for every rule the same")
    small: float = knob(0.03, low=1e-3, high=1.0, help="scale of the small weights, of the usual ones")


PRESETS = {
    "smoke": Config(inputs=8, students=1, steps=60, boundary_inputs=20, saddle_students=3, saddle_steps=150),
    "laptop": Config(),
    "paper": Config(inputs=100, students=20, steps=20_000, boundary_inputs=400, saddle_students=100, saddle_steps=20_000),
}


class Students(NamedTuple):
    """Linear students of one ratio, in a batch over layer, share and draw."""

    w1: Tensor  # (students, M, N)
    w2: Tensor  # (students, 1, M)
    target: Tensor  # (students, 1, N)
    signs_in: Tensor  # (students, N)
    signs_hidden: Tensor  # (students, M)


def replicate(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    check_solutions(config, generator, run)
    cells = map_phases(config, generator, run)
    judge_phases(cells, generator, run)
    find_boundaries(config, generator, run)
    for start in run.progress(STARTS, "saddles"):
        leave_saddle(start, config, generator, run)


def gaussian(*shape: int, generator: torch.Generator) -> Tensor:
    """Variance one over the last dimension, the fan-in."""
    return torch.randn(*shape, dtype=torch.float64, generator=generator).div(shape[-1] ** 0.5)


def check_solutions(config: Config, generator: torch.Generator, run: Run) -> None:
    """How far the weights move at a solution, with half of the neurons flipped, and how much of the flow is curl."""
    size = config.inputs
    w1, w2, other = (gaussian(*shape, generator=generator) for shape in ((size, size), (1, size), (1, size)))
    signs_in, signs_hidden = (flip_signs(size, 0.5, generator=generator).double() for _ in range(2))
    for arm, target in {"at a solution": w2 @ w1, "at another teacher's solution": other}.items():
        moves = curl_step(w1, w2, target, signs_in, signs_hidden)
        run.record(arm, largest_change=max(float(move.abs().max()) for move in moves))
    few = min(size, 8)
    for fraction in FRACTIONS:
        signs_in, signs_hidden = torch.ones(few).double(), flip_signs(few, fraction, generator=generator).double()

        def field(state: Tensor, signs_in: Tensor = signs_in, signs_hidden: Tensor = signs_hidden) -> Tensor:
            first, second = state[: few * few].view(few, few), state[few * few :].view(1, few)
            moves = curl_step(first, second, other[:, :few], signs_in, signs_hidden)
            return torch.cat([move.flatten() for move in moves])

        state = torch.cat([w1[:few, :few].flatten(), w2[:, :few].flatten()])
        run.record(f"readout f={fraction:g}", curl_ratio=curl_ratio(flow_jacobian(field, state)))


def draw_students(compression: float, config: Config, generator: torch.Generator) -> Students:
    """Both layers, every share and every draw; a draw has the same weights and teacher in all of them."""
    inputs, hidden = config.inputs, max(1, round(config.inputs / compression))
    draws = [
        (
            gaussian(hidden, inputs, generator=generator),
            gaussian(1, hidden, generator=generator),
            gaussian(1, hidden, generator=generator) @ gaussian(hidden, inputs, generator=generator),
        )
        for _ in range(config.students)
    ]
    rows = [
        (
            *draw,
            flip_signs(inputs, fraction if layer == "hidden" else 0.0, generator=generator).double(),
            flip_signs(hidden, fraction if layer == "readout" else 0.0, generator=generator).double(),
        )
        for layer in LAYERS
        for fraction in FRACTIONS
        for draw in draws
    ]
    return Students(*(torch.stack(each) for each in zip(*rows, strict=True)))


Cells = dict[tuple[str, float, float], dict[str, Tensor]]


def map_phases(config: Config, generator: torch.Generator, run: Run) -> Cells:
    """What became of the students of every pair of ratio and share: numbers of each, by (layer, ratio, share)."""
    cells: Cells = {}
    for compression in run.progress(COMPRESSIONS, "phase diagrams"):
        students = draw_students(compression, config, generator)
        flow = curl_flow(*students, lr=config.lr, steps=config.steps)
        halved = curl_flow(*students, lr=config.lr / 2, steps=2 * config.steps)
        tenth = max(1, config.steps // 10)
        ratio = flow.loss[-1] / flow.loss[0]
        end = flow.w1.nan_to_num(), flow.w2.nan_to_num()
        seen = {
            "ratio": ratio,
            "converged": ratio < CONVERGED,
            "same": (ratio < CONVERGED) == (halved.loss[-1] / halved.loss[0] < CONVERGED),
            "rate": error_rates(students.w1, students.w2, students.signs_in, students.signs_hidden)[:, 0],
            "reached": error_rates(*end, students.signs_in, students.signs_hidden)[:, 0],
            "late_speed": flow.speed[-tenth:].mean(0) / flow.speed[0],
            "exponent": exponents(students, config, generator) if compression >= 1 else torch.full_like(ratio, torch.nan),
        }
        places = ((layer, compression, fraction) for layer in LAYERS for fraction in FRACTIONS)
        for place, rows in zip(places, torch.arange(len(ratio)).split(config.students), strict=True):
            cells[place] = {name: values[rows] for name, values in seen.items()}
        if compression == 1:
            trace_weights(students, config, run)
    return cells


def exponents(students: Students, config: Config, generator: torch.Generator) -> Tensor:
    """The Lyapunov exponent of each student over the second half of its training."""
    half = max(1, config.steps // 2)
    warm = curl_flow(*students, lr=config.lr, steps=half)
    hidden, inputs = students.w1.shape[-2:]

    def advance(state: Tensor) -> Tensor:
        first, second = state[:, : hidden * inputs].view(-1, hidden, inputs), state[:, None, hidden * inputs :]
        moves = curl_step(first, second, *students[2:])
        return state + config.lr * torch.cat([move.flatten(1) for move in moves], dim=1)

    state = torch.cat([warm.w1.flatten(1), warm.w2.flatten(1)], dim=1)
    return lyapunov_exponent(advance, state, steps=half, dt=config.lr, generator=generator)


def trace_weights(students: Students, config: Config, run: Run) -> None:
    """One weight on its way, where a quarter is flipped: in the hidden layer, and in the read-out."""
    every = max(1, config.steps // 200)
    for layer in LAYERS:
        at = (LAYERS.index(layer) * len(FRACTIONS) + FRACTIONS.index(0.25)) * config.students
        one = Students(*(each[at : at + 1] for each in students))
        for point in range(config.steps // every + 1):
            run.record(f"{layer} trace", step=point * every, weight=one.w1[0, 0, 0])
            flow = curl_flow(*one, lr=config.lr, steps=every)
            one = one._replace(w1=flow.w1, w2=flow.w2)


def judge_phases(cells: Cells, generator: torch.Generator, run: Run) -> None:
    """The cells by themselves, and gathered as the claims need them."""
    for (layer, compression, fraction), cell in cells.items():
        run.record(
            f"{layer} c={compression:g} f={fraction:g}",
            slowest_rate=cell["rate"].mean(),
            reached_rate=cell["reached"].mean(),
            log10_final_loss=cell["ratio"].clamp(1e-16, 1e16).log10().mean(),
        )
    run.record("all students", same_at_half_step=torch.cat([cell["same"] for cell in cells.values()]).double().mean())
    for layer in LAYERS:
        flipped = [cell for (where, _, fraction), cell in cells.items() if where == layer and fraction > 0]
        record_rate(run, f"{layer} below", [cell for cell in flipped if cell["rate"].mean() > 0])
        record_rate(run, f"{layer} above", [cell for cell in flipped if cell["rate"].mean() <= 0])
        beyond = [cells[layer, c, f] for c in (1.0, 2.0) for f in (0.25, 0.5)]
        record_rate(run, f"{layer} beyond", beyond)
        run.record(f"{layer} beyond", slowest_rate=torch.cat([cell["rate"] for cell in beyond]).mean())
    for arm, fraction in {"hidden beyond": 0.25, "gradient descent": 0.0}.items():
        of = [cells["hidden", c, fraction] for c in (1.0, 2.0)]
        run.record(
            arm,
            final_loss=torch.cat([cell["ratio"] for cell in of]).mean(),
            late_speed=torch.cat([cell["late_speed"] for cell in of]).mean(),
            lyapunov_exponent=torch.cat([cell["exponent"] for cell in of]).mean(),
        )
    hidden = [cell for (layer, _, _), cell in cells.items() if layer == "hidden"]
    stable = torch.stack([cell["rate"].mean() > 0 for cell in hidden])
    learnt = torch.stack([cell["converged"].double().mean() > 0.5 for cell in hidden])
    run.record("hidden", agreement=(stable == learnt).double().mean())
    shuffled = stable[torch.randperm(len(stable), generator=generator)]
    run.record("hidden shuffled", agreement=(shuffled == learnt).double().mean())


def record_rate(run: Run, arm: str, cells: list[dict[str, Tensor]]) -> None:
    converged = [int(each) for cell in cells for each in cell["converged"]]
    run.record(arm, converged=sum(converged), students=len(converged))


def find_boundaries(config: Config, generator: torch.Generator, run: Run) -> None:
    """Where the slowest rate changes sign, for each ratio; and the same numbers under shuffled ratios."""
    for layer in LAYERS:
        found = [
            critical_fraction(compression, layer, inputs=config.boundary_inputs, draws=2, generator=generator)
            for compression in run.progress(COMPRESSIONS, f"boundary, {layer}")
        ]
        order = torch.randperm(len(found), generator=generator).tolist()
        for place, compression in enumerate(COMPRESSIONS):
            run.record(f"{layer} c={compression:g}", critical_fraction=found[place])
            run.record(f"{layer} shuffled {compression:g}", critical_fraction=found[order[place]])


def leave_saddle(start: str, config: Config, generator: torch.Generator, run: Run) -> None:
    """Gradient descent, curl descent and the same share of signs drawn anew at each step, from the same weights."""
    students, inputs = config.saddle_students, 30
    hidden, fraction = (15, 0.5) if start == "tanh" else (30, 0.25)
    x = torch.randn(students, inputs, 120, dtype=torch.float64, generator=generator)
    teacher = gaussian(students, hidden, inputs, generator=generator), gaussian(students, 1, hidden, generator=generator)
    begin = gaussian(students, hidden, inputs, generator=generator), gaussian(students, 1, hidden, generator=generator)
    if start == "small":
        begin = config.small * begin[0], config.small * begin[1]
    elif start == "opposed":
        # The hidden layer is the teacher's and the read-out its negative: on the way to the solution lies the saddle at zero.
        begin = config.small**0.5 * teacher[0], -(config.small**0.5) * teacher[1]
    act = torch.tanh if start == "tanh" else torch.nn.Identity()
    y = teacher[1] @ act(teacher[0] @ x)
    flips = torch.stack([flip_signs(hidden, fraction, generator=generator) for _ in range(students)]).double()[:, None]
    for arm in ("gradient", "curl", "noise"):
        w1, w2 = (nn.Parameter(weight.clone()) for weight in begin)
        optimiser = CurlSGD([w1, w2], lr=config.saddle_lr, signs={} if arm == "gradient" else {w2: flips})
        losses = []
        for _ in range(config.saddle_steps):
            optimiser.zero_grad()
            loss = (w2 @ act(w1 @ x) - y).square().mean((1, 2)) / 2
            losses.append(loss.detach())
            loss.sum().backward()
            if arm == "noise":
                optimiser.state[w2]["signs"] = redrawn(flips, generator)
            optimiser.step()
        record_course(run, f"{start} {arm}", torch.stack(losses))


def redrawn(flips: Tensor, generator: torch.Generator) -> Tensor:
    """As many flips in each row, at other places."""
    return flips.gather(-1, torch.rand(flips.shape, generator=generator).argsort(-1))


def record_course(run: Run, arm: str, losses: Tensor) -> None:
    """losses: (steps, students). Steps to 5 % of the initial loss, infinite where it is not reached, and whether the loss rose."""
    course = losses / losses[0]
    reached = course <= 0.05
    steps = torch.where(reached.any(0), reached.double().argmax(0).double(), torch.inf)
    run.record(
        arm,
        steps_to_learn=steps.quantile(0.5, interpolation="lower"),
        rising_share=(course.diff(dim=0) > 1e-3).any(0).double().mean(),
    )
    for step in range(0, len(course), max(1, len(course) // 200)):
        run.record(arm, step=step, loss=course[step].median())


def draw(evidence: Evidence) -> Figure:
    """Where students learn, with the boundary; a weight on either side of it; and the way out of three saddles."""
    figure = plt.figure(figsize=(11, 7), layout="constrained")
    rows = figure.add_gridspec(2, 1, height_ratios=(1.1, 1))
    above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    maps = above.subplots(1, 3, width_ratios=(1, 1, 0.9))
    images = [draw_phases(axes, layer, evidence) for axes, layer in zip(maps, LAYERS, strict=False)]
    above.colorbar(images[0], ax=list(maps[:2]), label="log10 of final / initial loss", shrink=0.9)
    draw_traces(maps[2], evidence)
    for axes, start in zip(below.subplots(1, 3, sharey=True), STARTS, strict=True):
        draw_course(axes, start, evidence)
    return figure


def mean_of(evidence: Evidence, metric: str, arm: str) -> float:
    return float(np.mean(list(evidence.values(metric, arm).values())))


def draw_phases(axes: Axes, layer: str, evidence: Evidence) -> AxesImage:
    def table(metric: str) -> np.ndarray:
        return np.array([[mean_of(evidence, metric, f"{layer} c={c:g} f={f:g}") for c in COMPRESSIONS] for f in FRACTIONS])

    losses = table("log10_final_loss")
    image = axes.imshow(losses, origin="lower", cmap="cividis", vmin=-16, vmax=0, aspect="auto")
    for (row, column), rate in np.ndenumerate(table("slowest_rate")):
        colour = "white" if losses[row, column] < -6 else "black"
        axes.text(column, row, "+" if rate > 0 else "−", ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks(range(len(COMPRESSIONS)), [f"{c:g}" for c in COMPRESSIONS])
    axes.set_yticks(range(len(FRACTIONS)), [f"{f:g}" for f in FRACTIONS])
    axes.set_title({"hidden": "inputs flipped (+ −: slowest rate)", "readout": "hidden units flipped"}[layer], fontsize=10)
    axes.set(xlabel="inputs / hidden units", ylabel="share flipped")
    return image


def draw_traces(axes: Axes, evidence: Evidence) -> None:
    for layer, style in {"hidden": "-", "readout": "--"}.items():
        curves = evidence.curves("weight", f"{layer} trace")
        curve = curves[min(curves)]
        label = {"hidden": "inputs flipped", "readout": "hidden units flipped"}[layer]
        axes.plot(curve.step, curve.value, style, color="0.15", linewidth=1.0 if layer == "hidden" else 1.6, label=label)
    axes.set_title("a quarter flipped, ratio 1", fontsize=10)
    axes.set(xlabel="step", ylabel="one weight")
    axes.legend(frameon=False, fontsize=8.5)


def draw_course(axes: Axes, start: str, evidence: Evidence) -> None:
    styles = {"gradient": ("-", 1.2), "curl": ("-", 2.6), "noise": (":", 1.6)}
    names = {"gradient": "gradient descent", "curl": "curl descent", "noise": "signs redrawn each step"}
    for arm, (dash, weight) in styles.items():
        curve = evidence.mean_curve("loss", f"{start} {arm}")
        axes.plot(curve.step + 1, curve.value, linestyle=dash, linewidth=weight, color="0.15", label=names[arm])
    axes.axhline(0.05, color="0.7", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="step", ylim=(1e-4, 10))
    axes.set_title(STARTS[start], fontsize=10)
    if start == "small":
        axes.set_ylabel("loss / initial loss, median student")
        axes.legend(frameon=False, fontsize=8.5, loc="lower left")
