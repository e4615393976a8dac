"""How well a cell can sense that, and where, another one touches it (arXiv:2311.00085)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray
from scipy.stats import norm

from pressrun.methods.dynamics import BindingRecord, ContactModel, OccupancyRecord, circular_std, error_rate, roc_curve
from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Monotone, Rate, Run, Within, knob

PAPER = "2311.00085"

# Concentrations are in units of the ephrin level in the contact, times in units of the mean time that ephrin stays bound.
RATIOS = (20, 5, 2, 1)  # off-rate of the interferer over that of ephrin, from easy to tell apart to not at all
INTERFERERS = (0, 1, 3, 10)
WIDTHS = (6.1, 5.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1)  # radians; 0.1 is 1 µm on a cell with a radius of 10 µm
READOUTS = ("bound_times", "occupancy")
CONDITIONS = ((2, 1), (2, 10), (20, 10))  # ratio and interferer level of the claims on position
POINTS = (
    (2, 1, 0.5),
    (2, 1, 2.0),
    (2, 3, 1.0),
    (5, 3, 1.0),
    (20, 10, 0.5),
    (20, 10, 3.0),
)  # ratio, level, width that are simulated
DECISION_WIDTHS = (0.1, 0.3, 1.0, 3.0, 5.0, 6.1)
NAMED_WIDTHS = {0.1: "narrow", 3.0: "middle", 6.1: "wide"}
MICRON = 0.1


def sweep(readout: str) -> tuple[tuple[str, ...], ...]:
    """Arms by distinguishability, number of interferers and width, each from easy to hard."""
    return (
        tuple(f"{readout}_ratio_{ratio}" for ratio in RATIOS),
        tuple(f"{readout}_interferers_{level}" for level in INTERFERERS),
        tuple(f"{readout}_width_{width:g}" for width in WIDTHS),
    )


def point(ratio: int, interferer: int, width: float) -> str:
    return f"ratio_{ratio}_interferers_{interferer}_width_{width:g}"


CLAIMS = (
    Claim(
        id="sensing-gets-harder",
        paper=(
            "Sensing contact gets harder when ephrin and interferer are less distinguishable, interferers more numerous, "
            "contacts narrower."
        ),
        where="abstract",
        tested=(
            "The Cramér-Rao error of the ephrin level rises strictly in each of the three over their grids, others held at "
            "ratio 2, 3 interferers, width 1 rad; for bound times and for occupancy."
        ),
        scale="full",
        rule=All(
            *(Monotone("level_error", arms, "rises", at_least=1.0, exact=True) for readout in READOUTS for arms in sweep(readout))
        ),
        control=Monotone(
            "level_error", tuple(f"no_interferers_ratio_{ratio}" for ratio in RATIOS), "rises", at_least=1.0, exact=True
        ),
        control_is="ratio changed, but no interferer there",
    ),
    Claim(
        id="bound-is-reached",
        paper="Statistical estimation theory gives the precision that cells can reach.",
        where="abstract",
        tested=(
            "Over simulated cells, maximum likelihood has errors of level and position within 15 % of the Cramér-Rao bound at "
            "six combinations of ratio, interferers and width (2,000 receptors, bound times)."
        ),
        scale="full",
        rule=All(
            *(Within("level_error_over_bound", point(*each), low=0.85, high=1.15) for each in POINTS),
            *(Within("position_error_over_bound", point(*each), low=0.85, high=1.15) for each in POINTS),
        ),
        control=Within("level_error_over_bound", "counts_only", low=0.85, high=1.15),
        control_is="bindings counted, bound times ignored",
    ),
    Claim(
        id="position-error-ignores-width",
        paper="The error of the contact position is almost constant in the width of the contact.",
        where="abstract",
        tested=(
            "From 0.2 to 5 rad the largest Cramér-Rao error of the position is at most 1.15 times the smallest, under three "
            "mixtures and both read-outs, while that of the level changes at least 3-fold."
        ),
        scale="full",
        rule=All(
            Below("error_range", "position", at_most=1.15, exact=True),
            Above("error_range", "level", at_least=3.0, chance=1.0, exact=True),
        ),
        control=Below("error_range", "level", at_most=1.15, exact=True),
        control_is="error of the level",
    ),
    Claim(
        id="position-from-the-edges",
        paper="The information on the position of the contact comes from its boundaries.",
        where="abstract",
        tested=(
            "At every width from 0.5 to 5 rad more than 95 % of the Fisher information on the position is within 2 edge widths "
            "of the two edges, under three mixtures and both read-outs."
        ),
        scale="full",
        rule=Above("edge_share", "position", at_least=0.95, at="min", exact=True),
        control=Above("edge_share", "level", at_least=0.95, at="min", exact=True),
        control_is="information on the level",
    ),
    Claim(
        id="wrong-at-both-extremes",
        paper="Cells most likely decide wrongly when the contact is very narrow or nearly as wide as the perimeter.",
        where="abstract",
        tested=(
            "When the background of ephrin is unknown, the error at equal priors is at least 0.1 higher at 0.1 rad and at 6.1 "
            "rad than at 3 rad, with both read-outs (500 receptors, 10 interferers). Where it is known this must not be so."
        ),
        scale="reduced",
        rule=All(
            *(
                Difference("error", f"{readout}_unknown_{extreme}", minus=f"{readout}_unknown_middle", at_least=0.1)
                for readout in READOUTS
                for extreme in ("narrow", "wide")
            )
        ),
        control=All(
            *(
                Difference("error", f"{readout}_known_{extreme}", minus=f"{readout}_known_middle", at_least=0.1)
                for readout in READOUTS
                for extreme in ("narrow", "wide")
            )
        ),
        control_is="background known",
    ),
    Claim(
        id="reliable-at-a-micron",
        paper="Decisions are reliable for contacts of a micron and a 10-fold excess of interferers.",
        where="abstract",
        tested=(
            "With 10,000 receptors that watch for 20 bound times of ephrin, an interferer that leaves twice as fast, and "
            "position, width, level and background unknown, fewer than 5 % of decisions at equal priors are wrong at 0.1 rad. "
            "These numbers are our choice."
        ),
        scale="reduced",
        rule=Rate("wrong_decisions", "decisions", "micron", at_most=0.05, chance=0.5),
        control=Rate("wrong_decisions", "decisions", "micron_counts_only", at_most=0.05, chance=0.5),
        control_is="all bindings of the cell counted",
    ),
)

METRICS = {
    "level_error": "1",  # relative
    "position_error": "rad",
    "error_range": "1",  # largest over smallest
    "edge_share": "1",  # over the widths, in steps of 0.001 rad
    "information": "1",  # share of each of 180 sectors
    "level_error_over_bound": "1",
    "position_error_over_bound": "1",
    "unconverged": "1",
    "error": "1",
    "wrong_decisions": "decisions",
    "decisions": "decisions",
    "gaussian_error": "1",
}

NOT_TESTED = (
    "The absolute accuracy of real cells: receptor numbers, rates and times are free choices here.",
    "The paper's numerical curves. Its equations are not known to us; these are derived from the abstract, for two possible "
    "read-outs.",
    "Edges sharper than the spacing of receptors, for which the bound does not hold and errors fall as 1/N.",
    "How errors at a micron depend on the free choices: recorded, not judged (a third and a tenth of the receptors simulated; other "
    "ratios and times by a normal approximation with all but the presence known).",
    "Cells that adapt, move or shed receptors while they read, and contacts that change.",
    "That the rise of errors towards the whole perimeter is a property of cells: it is one of what the cell is assumed to know, "
    "and is absent when the background is known.",
)

USE = """\
from pressrun.methods.dynamics import ContactModel, circular_std

cell = ContactModel(n_receptors=600, off_interfering=2.0)  # the interferer leaves twice as fast as ephrin
print(cell.crlb(center=0.7, width=1.0, level=1.0, interferer=3.0))  # the least error that any cell could have
fit = cell.fit(cell.simulate(50, center=0.7, width=1.0, level=1.0, interferer=3.0, seed=0).binned(250), interferer=3.0)
print(circular_std(fit.center, 0.7))
"""


@dataclass(frozen=True)
class Config:
    receptors: int = knob(2000, low=600, high=20_000, help="receptors of a cell, where estimates are tested")
    cells: int = knob(200, low=4, high=10_000, help="simulated cells for each combination")
    decision_receptors: int = knob(500, low=300, high=20_000, help="receptors of a cell, where decisions are tested over widths")
    decisions: int = knob(
        100, low=4, high=10_000, help="cells with and without contact that are judged, and as many to set the threshold"
    )
    micron_receptors: int = knob(10_000, low=300, high=100_000, help="receptors of a cell with a contact of 1 µm")
    micron_decisions: int = knob(
        50, low=4, high=10_000, help="cells with and without such a contact that are judged, and as many to set it"
    )


PRESETS = {
    "smoke": Config(receptors=600, cells=6, decision_receptors=300, decisions=5, micron_receptors=1000, micron_decisions=4),
    "laptop": Config(),
    "paper": Config(cells=1000, decisions=500, micron_decisions=500),
}


def replicate(config: Config, seed: int, run: Run) -> None:
    bound_errors(config, run)
    locate_information(config, run)
    estimate(config, seed, run)
    decide_over_widths(config, seed, run)
    decide_at_a_micron(config, seed, run)


def bound_errors(config: Config, run: Run) -> None:
    """Cramér-Rao errors of level and position. Theory: no seed enters."""
    for readout in READOUTS:
        ratios, interferers, widths = sweep(readout)
        for arm, ratio in zip(ratios, RATIOS, strict=True):
            run.record(arm, level_error=errors(config, readout, ratio, 3, 1.0)[1])
        for arm, level in zip(interferers, INTERFERERS, strict=True):
            run.record(arm, level_error=errors(config, readout, 2, level, 1.0)[1])
        for arm, width in zip(widths, WIDTHS, strict=True):
            run.record(arm, level_error=errors(config, readout, 2, 3, width)[1])
    for ratio in RATIOS:
        run.record(f"no_interferers_ratio_{ratio}", level_error=errors(config, "bound_times", ratio, 0, 1.0)[1])

    position_ranges, level_ranges = [], []
    for readout in READOUTS:
        for ratio, level in CONDITIONS:
            by_width = {width: errors(config, readout, ratio, level, width) for width in WIDTHS}
            for width, (position, of_level) in by_width.items():
                arm = f"{readout}_ratio_{ratio}_interferers_{level}_over_width"
                run.record(arm, step=round(1000 * width), position_error=position, level_error=of_level)
            position, of_level = np.array([both for width, both in by_width.items() if 0.2 <= width <= 5]).T
            position_ranges.append(position.max() / position.min())
            level_ranges.append(of_level.max() / of_level.min())
    run.record("position", error_range=max(position_ranges))
    run.record("level", error_range=min(level_ranges))


def errors(config: Config, readout: str, ratio: int, interferer: int, width: float) -> tuple[float, float]:
    """Bounds on the errors of position (rad) and level, with position, width and level unknown.

    The mean square over where receptors lie relative to the edges.
    """
    cell = model(config.receptors, ratio, readout)
    rotations = np.arange(4) / 4 * 2 * np.pi / config.receptors
    both = [cell.crlb(turn, width, 1.0, interferer) for turn in rotations]
    position, level = (np.sqrt(np.mean([each[name] ** 2 for each in both])) for name in ("center", "level"))
    return float(position), float(level)


def locate_information(config: Config, run: Run) -> None:
    """Where round the cell the information on position and on level is."""
    for width in (0.5, 1.0, 2.0, 3.0, 5.0):
        shares: dict[str, list[float]] = {"center": [], "level": []}
        for readout in READOUTS:
            for ratio, level in CONDITIONS:
                cell = model(config.receptors, ratio, readout)
                from_edge = np.abs(np.abs(cell.angles) - width / 2)
                for name, found in shares.items():
                    density = cell.information_density(name, 0.0, width, 1.0, level)
                    found.append(density[from_edge <= 2 * cell.edge].sum() / density.sum())
        run.record("position", step=round(1000 * width), edge_share=min(shares["center"]))
        run.record("level", step=round(1000 * width), edge_share=min(shares["level"]))
    cell = model(config.receptors, 2, "bound_times")
    for arm, name in {"position": "center", "level": "level"}.items():
        density = cell.information_density(name, 0.0, 2.0, 1.0, 10)
        sector = np.floor((cell.angles + np.pi) / (2 * np.pi) * 180).astype(int)
        # The mean of a sector: not all hold the same number of receptors.
        mean = np.bincount(sector, density) / np.bincount(sector)
        for step, share in enumerate(mean / mean.sum()):
            run.record(arm, step=step, information=share)


def estimate(config: Config, seed: int, run: Run) -> None:
    """Maximum likelihood on simulated cells, beside the bound."""
    for place, (ratio, interferer, width) in enumerate(run.progress(POINTS, "estimates")):
        cell = model(config.receptors, ratio, "bound_times")
        center = 0.7
        record = cast(
            BindingRecord, watched(cell, config.cells, center, width, 1.0, interferer, np.random.default_rng([seed, 0, place]))
        )
        bound = cell.crlb(center, width, 1.0, interferer)
        fit = cell.fit(record, interferer)
        run.record(
            point(ratio, interferer, width),
            level_error_over_bound=root_mean_square(fit.level - 1.0) / bound["level"],
            position_error_over_bound=circular_std(fit.center, center) / bound["center"],
            unconverged=1 - fit.converged.mean(),
        )
        if (ratio, interferer, width) == (20, 10, 3.0):
            # If both ligands left at the same rate, times would be no evidence, and the likelihood is one of counts.
            blind = model(config.receptors, 1, "bound_times").fit(replace(record, rates=(1.0, 1.0, 1.0)), interferer)
            run.record("counts_only", level_error_over_bound=root_mean_square(blind.level - 1.0) / bound["level"])


def decide_over_widths(config: Config, seed: int, run: Run) -> None:
    """Generalised likelihood ratios with the background known and unknown, over widths."""
    known, unknown = ("center", "width", "level"), ("center", "width", "level", "background")
    for place, readout in enumerate(READOUTS):
        cell = model(config.decision_receptors, 2, readout)
        random = np.random.default_rng([seed, 1, place])
        ratios = {}
        for width in run.progress((0.0, *DECISION_WIDTHS), readout.replace("_", " ")):
            angle = random.uniform(-np.pi, np.pi)
            record = watched(cell, 2 * config.decisions, angle, width, float(width > 0), 10, random)
            ratios[width] = {
                name: cell.log_likelihood_ratio(record, 10, free) for name, free in (("known", known), ("unknown", unknown))
            }
        for width in DECISION_WIDTHS:
            for name in ("known", "unknown"):
                wrong = judged(ratios[0.0][name], ratios[width][name])
                run.record(f"{readout}_{name}_over_width", step=round(1000 * width), error=wrong)
                if width in NAMED_WIDTHS:
                    run.record(f"{readout}_{name}_{NAMED_WIDTHS[width]}", error=wrong)


def decide_at_a_micron(config: Config, seed: int, run: Run) -> None:
    """Contacts of 1 µm among a 10-fold excess of interferers, for several receptor numbers."""
    unknown = ("center", "width", "level", "background")
    sizes = {
        "micron": config.micron_receptors,
        "micron_third": config.micron_receptors // 3,
        "micron_tenth": config.micron_receptors // 10,
    }
    for place, (arm, receptors) in enumerate(run.progress(sizes.items(), "a micron")):
        cell = model(max(receptors, 252), 2, "bound_times")
        random = np.random.default_rng([seed, 2, place])
        ratios, counts = {}, {}
        for width in (0.0, MICRON):
            angle = random.uniform(-np.pi, np.pi)
            record = cast(BindingRecord, watched(cell, 2 * config.micron_decisions, angle, width, float(width > 0), 10, random))
            ratios[width] = cell.log_likelihood_ratio(record, 10, unknown)
            counts[width] = np.bincount(record.site // len(record.angles), record.count, minlength=record.n_cells).astype(
                np.float64
            )
        record_decisions(run, arm, ratios[0.0], ratios[MICRON])
        if arm == "micron":
            record_decisions(run, "micron_counts_only", counts[0.0], counts[MICRON])
        run.record(arm, gaussian_error=gaussian_error(cell))
    for ratio in RATIOS:
        run.record(f"micron_ratio_{ratio}", gaussian_error=gaussian_error(model(sizes["micron"], ratio, "bound_times")))
    for duration in (5, 80):
        cell = replace(model(sizes["micron"], 2, "bound_times"), duration=float(duration))
        run.record(f"micron_duration_{duration}", gaussian_error=gaussian_error(cell))


def gaussian_error(cell: ContactModel) -> float:
    """Error at equal priors for a contact of 1 µm if all but its presence were known and the log-likelihood ratio normal."""
    sensitivity = np.sqrt(cell.fisher(0.0, MICRON, 1.0, 10, ("level",))[0, 0])
    return float(norm.cdf(-sensitivity / 2))


def model(receptors: int, ratio: float, readout: str) -> ContactModel:
    return ContactModel(receptors, off_interfering=float(ratio), readout=readout)  # type: ignore[arg-type]  # one of READOUTS


def watched(
    cell: ContactModel, cells: int, center: float, width: float, level: float, interferer: float, random: np.random.Generator
) -> BindingRecord | OccupancyRecord:
    """What cells see. Bound times are pooled in 250 sectors, half an edge width each; a few cells at a time, to spare memory."""
    if cell.readout == "occupancy":
        return cell.simulate(cells, center, width, level, interferer, random)
    at_once = max(1, 50_000 // cell.n_receptors)
    parts = []
    for start in range(0, cells, at_once):
        part = cast(BindingRecord, cell.simulate(min(at_once, cells - start), center, width, level, interferer, random))
        parts.append(part.binned(250, 40))
    return parts[0].joined(parts[1:])


def judged(without: NDArray[np.float64], contact: NDArray[np.float64]) -> float:
    """Error at equal priors on the second half of the cells, with the threshold that is best on the first."""
    half = len(without) // 2
    return error_rate(without[half:], contact[half:], threshold=best_threshold(without[:half], contact[:half]))


def best_threshold(without: NDArray[np.float64], contact: NDArray[np.float64]) -> float:
    """Midway between the values where the error on these samples is smallest."""
    curve = roc_curve(without, contact)
    best = int(np.argmin(curve.false_positive + curve.false_negative))
    following = curve.threshold[min(best + 1, len(curve.threshold) - 1)]
    return float(curve.threshold[best] if best == 0 else (curve.threshold[best] + following) / 2)


def record_decisions(run: Run, arm: str, without: NDArray[np.float64], contact: NDArray[np.float64]) -> None:
    half = len(without) // 2
    decisions = 2 * (len(without) - half)
    run.record(arm, wrong_decisions=round(judged(without, contact) * decisions), decisions=decisions)


def root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))


def draw(evidence: Evidence) -> Figure:
    """Errors over the width of the contact, where the information is, and wrong decisions over the width."""
    figure = plt.figure(figsize=(13, 3.9), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1.15, 0.8, 1.15))
    draw_errors(figure.add_subplot(grid[0]), evidence)
    draw_information(cast(PolarAxes, figure.add_subplot(grid[1], projection="polar")), evidence)
    draw_decisions(figure.add_subplot(grid[2]), evidence)
    return figure


def draw_errors(axes: Axes, evidence: Evidence) -> None:
    """Position and level under each mixture, bound times."""
    for ratio, level in CONDITIONS:
        arm = f"bound_times_ratio_{ratio}_interferers_{level}_over_width"
        shade = {(2, 1): "0.1", (2, 10): "0.45", (20, 10): "0.7"}[ratio, level]
        for metric, dash in (("position_error", "-"), ("level_error", "--")):
            curve = evidence.mean_curve(metric, arm)
            axes.loglog(curve.step / 1000, curve.value, dash, color=shade, marker="o", markersize=3)
            if metric == "position_error":
                label = f"ratio {ratio}, {level} interferer{'s' if level > 1 else ''}"
                axes.annotate(label, (0.085, 0.82 * curve.value[0]), color=shade, fontsize=8, va="top")
    axes.plot([], [], "-", color="0.1", label="position (rad)")
    axes.plot([], [], "--", color="0.1", label="level (relative)")
    axes.set(
        xlabel="width of the contact (rad)",
        ylabel="Cramér-Rao error",
        title="Position does not depend on width",
        xlim=(0.08, 8),
        ylim=(1.8e-3, 1.3),
    )
    axes.set_xticks([0.1, 1, 6.1], ["0.1", "1", "6.1"])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def draw_information(axes: PolarAxes, evidence: Evidence) -> None:
    """Share of the information in each of 180 sectors, for a contact of 2 rad, each scaled to its largest."""
    for arm, fill, label in (("level", "0.75", "level"), ("position", "0.1", "position")):
        curve = evidence.mean_curve("information", arm)
        angle = (curve.step + 0.5) / 180 * 2 * np.pi - np.pi
        height = curve.value / curve.value.max()
        axes.bar(angle, height, width=2 * np.pi / 180, bottom=1.0, color=fill, label=label)
    axes.plot(np.linspace(0, 2 * np.pi, 200), np.ones(200), color="0.1", linewidth=1)
    axes.set(xticks=[], yticks=[], ylim=(0, 2.05), title="Information round the cell")
    axes.set_theta_zero_location("N")
    axes.spines["polar"].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center", title="information on", title_fontsize=8)


def draw_decisions(axes: Axes, evidence: Evidence) -> None:
    """Error at equal priors: the mean over seeds, and each seed as a dot."""
    for readout, shade in (("bound_times", "0.1"), ("occupancy", "0.55")):
        for known, dash in (("unknown", "-"), ("known", ":")):
            arm = f"{readout}_{known}_over_width"
            mean = evidence.mean_curve("error", arm)
            axes.plot(mean.step / 1000, mean.value, dash, color=shade, label=f"{readout.replace('_', ' ')}, background {known}")
            for curve in evidence.curves("error", arm).values():
                axes.plot(curve.step / 1000, curve.value, ".", color=shade, markersize=3)
    axes.axhline(0.5, color="0.7", linewidth=0.8)
    axes.annotate("chance", (0.5, 0.5), xycoords=("axes fraction", "data"), ha="center", va="bottom", color="0.45", fontsize=8)
    axes.set(
        xlabel="width of the contact (rad)",
        ylabel="share of wrong decisions",
        title="Narrow and wide contacts",
        ylim=(-0.02, 0.58),
    )
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.88))
