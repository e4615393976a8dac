"""How well receptors on a ring can sense a contact: bounds, simulation, maximum likelihood (in the line of arXiv:2311.00085).

A circular cell carries receptors at even angles. Where a neighbour touches it, ephrin is there; interfering ligands, which bind
less specifically, are everywhere. The equations are derived from the paper's abstract and standard sensing theory; whether the
paper reads bound times or occupancy is not known to us, so both are here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._ring import best_window, bump
from .decision import wrap_angle
from .receptor import receptor_fisher_matrix
from .records import BindingRecord, OccupancyRecord

__all__ = ["PARAMETERS", "ContactEstimate", "ContactModel"]

Floats = NDArray[np.float64]

PARAMETERS = ("center", "width", "level", "background", "interferer")
CENTER, WIDTH, LEVEL, BACKGROUND, INTERFERER = range(5)

# Concentrations in a fit stay this far from 0 and infinity, in units of the specific ligand's dissociation constant.
LEAST, MOST = 1e-6, 1e4

# A fit ends when no cell gains more than this of log-likelihood, or after this many steps.
ENOUGH, MOST_STEPS = 1e-5, 100


@dataclass(frozen=True)
class ContactEstimate:
    """Maximum likelihood for each cell, (cells,) each. What was not fitted holds the value that was given.

    Args:
        center: radians in (-π, π].
        width: radians.
        level: ephrin concentration in the contact, above the background.
        background: ephrin concentration everywhere.
        interferer: concentration of the interfering ligand.
        log_likelihood: with contact, at the maximum.
        null_log_likelihood: without contact, at the maximum over background and interferer as far as they were fitted.
        converged: whether the last steps gained next to nothing.
    """

    center: Floats
    width: Floats
    level: Floats
    background: Floats
    interferer: Floats
    log_likelihood: Floats
    null_log_likelihood: Floats
    converged: NDArray[np.bool_]


@dataclass(frozen=True)
class ContactModel:
    """A ring of receptors that read a contact.

    Args:
        n_receptors: receptors, at even angles.
        k_on: binding rate per concentration, of both ligands.
        off_specific: off-rate of ephrin, r1.
        off_interfering: off-rate of the interferer, r2. Their ratio ρ = r2 / r1 is what bound times can tell them apart by; 1 is
            not at all.
        edge: softness s of the contact's edges, radians. Receptors must lie much closer than this (at most half of it apart).
        readout: "bound_times", all bound and free times; or "occupancy", snapshots of who is bound, which do not see by what.
        duration: T, how long the cell watches.
        background: ephrin concentration outside the contact.
        snapshot_interval: time between snapshots that count as independent, for "occupancy".

    Raises:
        ValueError: if a number is not positive (the background: negative), or receptors are too far apart.
    """

    n_receptors: int
    k_on: float = 1.0
    off_specific: float = 1.0
    off_interfering: float = 2.0
    edge: float = 0.05
    readout: Literal["bound_times", "occupancy"] = "bound_times"
    duration: float = 20.0
    background: float = 0.01
    snapshot_interval: float = 1.0

    def __post_init__(self) -> None:
        for name in ("n_receptors", "k_on", "off_specific", "off_interfering", "edge", "duration", "snapshot_interval"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 <= self.background < math.inf:
            raise ValueError(f"background must be 0 or more, got {self.background}")
        if self.readout not in ("bound_times", "occupancy"):
            raise ValueError(f"readout must be bound_times or occupancy, got {self.readout!r}")
        if 2 * math.pi / self.n_receptors > self.edge / 2:
            fewest = math.ceil(4 * math.pi / self.edge)
            raise ValueError(
                f"an edge of {self.edge} radians needs at least {fewest} receptors to be resolved, got {self.n_receptors}"
            )
        if self.readout == "occupancy" and self.snapshot_interval > self.duration:
            raise ValueError(f"snapshot_interval {self.snapshot_interval} must not exceed the duration {self.duration}")

    @property
    def angles(self) -> Floats:
        """(receptors,), rising from just above -π."""
        return np.asarray((np.arange(self.n_receptors) + 0.5) / self.n_receptors * 2 * np.pi - np.pi)

    @property
    def rates(self) -> tuple[float, float, float]:
        return self.k_on, self.off_specific, self.off_interfering

    @property
    def snapshots(self) -> int:
        """Independent snapshots within the duration."""
        return int(self.duration / self.snapshot_interval)

    def profile(self, theta: ArrayLike, center: float, width: float, level: float, background: float | None = None) -> Floats:
        """Ephrin concentration at angles theta (any shape): background + level · ½ [tanh((φ + w/2)/s) - tanh((φ - w/2)/s)], φ =
        wrap(theta - center).

        Args:
            theta: radians.
            center: of the contact, radians.
            width: of the contact, radians, 0 to 2π.
            level: concentration in the contact above the background, 0 or more.
            background: the model's if None.

        Raises:
            ValueError: if width, level or background is out of its range.
        """
        base = self._checked(width, level, background, 0.0)
        height, _, _ = bump(np.asarray(theta, dtype=np.float64), np.asarray(center), np.asarray(width), self.edge)
        return np.asarray(base + level * height)

    def fisher(
        self,
        center: float,
        width: float,
        level: float,
        interferer: float,
        unknown: Sequence[str] = ("center", "width", "level"),
        background: float | None = None,
    ) -> Floats:
        """Fisher information of all receptors about the parameters in `unknown`, (p, p), in their order; the others are known.

        F_ab = Σ_i w_a(θ_i)ᵀ I(c(θ_i), c_i) w_b(θ_i), with I the information of one receptor about (ephrin, interferer) and w_a
        the derivative of these two by parameter a.

        Raises:
            ValueError: as `profile`, or if the interferer is negative or a parameter is unknown here or named twice.
        """
        chosen = _chosen(unknown)
        slopes, information = self._local(center, width, level, interferer, background)
        return np.array([[_shares(slopes[a], slopes[b], information).sum() for b in chosen] for a in chosen])

    def information_density(
        self, parameter: str, center: float, width: float, level: float, interferer: float, background: float | None = None
    ) -> Floats:
        """What each receptor adds to the Fisher information about one parameter when the others are known, (receptors,)."""
        (chosen,) = _chosen((parameter,))
        slopes, information = self._local(center, width, level, interferer, background)
        return _shares(slopes[chosen], slopes[chosen], information)

    def crlb(
        self,
        center: float,
        width: float,
        level: float,
        interferer: float,
        unknown: Sequence[str] = ("center", "width", "level"),
        background: float | None = None,
    ) -> dict[str, float]:
        """The Cramér-Rao bound: the smallest standard error of an unbiased estimate of each unknown, in its own unit.

        Infinite for what cannot be told at all, such as the centre of a contact of width 0 or 2π. Arguments and errors as for
        `fisher`.
        """
        information = self.fisher(center, width, level, interferer, unknown, background)
        return dict(zip(unknown, bounds(information), strict=True))

    def simulate(
        self,
        n_cells: int,
        center: float,
        width: float,
        level: float,
        interferer: float,
        seed: int | np.random.Generator | None = None,
    ) -> BindingRecord | OccupancyRecord:
        """What the receptors of n cells see, exactly, without approximation in time.

        For "bound_times" each receptor starts free and binds until the duration is over; a binding that begins before is watched
        to its end, so that the likelihood of the record is exact. That is up to one binding a receptor more than in the steady
        state, for which bounds are computed.

        Args:
            n_cells: independent cells, all touched alike.
            center, width, level, interferer: as for `fisher`. A level of 0 is no contact.
            seed: of the generator, or the generator.

        Raises:
            ValueError: as `fisher`, or if there is no cell or no ligand.
        """
        self._checked(width, level, None, interferer)
        if n_cells < 1:
            raise ValueError(f"n_cells must be 1 or more, got {n_cells}")
        specific = self.profile(self.angles, center, width, level)
        if (specific + interferer == 0).any():
            raise ValueError("every receptor needs some ligand: give a background or an interferer above 0")
        random = np.random.default_rng(seed)
        if self.readout == "bound_times":
            return self._watch(n_cells, specific, interferer, random)
        load = self.k_on * (specific / self.off_specific + interferer / self.off_interfering)
        bound = random.binomial(self.snapshots, load / (1 + load), size=(n_cells, self.n_receptors)).astype(np.float64)
        return OccupancyRecord(self.angles, bound, np.full(self.n_receptors, float(self.snapshots)), self.rates)

    def fit(
        self,
        record: BindingRecord | OccupancyRecord,
        interferer: float,
        unknown: Sequence[str] = ("center", "width", "level"),
        background: float | None = None,
    ) -> ContactEstimate:
        """Maximum likelihood with contact and without, for every cell of the record.

        A scan over all contact zones with sharp edges gives the start, Levenberg-Marquardt steps the rest. Known concentrations,
        and the start of unknown ones, are as given.

        Args:
            record: from `simulate`, or the same binned.
            interferer: its concentration, or where to start.
            unknown: what to fit; centre, width and level are always among it.
            background: ephrin outside the contact, or where to start; the model's if None.

        Raises:
            ValueError: if a concentration is negative, both are 0, or centre, width and level are not all unknown.
        """
        chosen = _chosen(unknown)
        if not {CENTER, WIDTH, LEVEL} <= set(chosen):
            raise ValueError(f"a fit needs center, width and level among the unknown, got {', '.join(unknown)}")
        base = self._checked(0.0, 0.0, background, interferer)
        if base + interferer == 0:
            raise ValueError("a fit needs some ligand outside the contact: give a background or an interferer above 0")
        ambient = [each for each in chosen if each in (BACKGROUND, INTERFERER)]
        values = np.tile([0.0, math.pi, 0.0, base, interferer], (record.n_cells, 1))
        values[:, ambient] = np.maximum(values[:, ambient], LEAST * self._unit)
        values, null, _ = self._climb(record, values, ambient)
        start = self._scan(record, values, BACKGROUND in chosen)
        fitted, log_likelihood, converged = self._climb(record, start, chosen)
        # Without contact is a special case of with contact, so a search that ends lower has missed the maximum.
        missed = log_likelihood < null
        fitted[missed] = np.column_stack([start[:, CENTER], start[:, WIDTH], np.zeros(record.n_cells), values[:, BACKGROUND:]])[
            missed
        ]
        return ContactEstimate(
            wrap_angle(fitted[:, CENTER]),
            fitted[:, WIDTH],
            fitted[:, LEVEL],
            fitted[:, BACKGROUND],
            fitted[:, INTERFERER],
            log_likelihood=np.maximum(log_likelihood, null),
            null_log_likelihood=null,
            converged=converged,
        )

    def log_likelihood_ratio(
        self,
        record: BindingRecord | OccupancyRecord,
        interferer: float,
        unknown: Sequence[str] = ("center", "width", "level"),
        *,
        contact: tuple[float, float, float] | None = None,
        background: float | None = None,
    ) -> Floats:
        """ln of the likelihood with contact over that without, (cells,): what to decide by.

        With `contact` = (centre, width, level) all is known, and it is the Neyman-Pearson statistic. Without, it is the
        generalised ratio: the maximum over `unknown` over the maximum without contact. Without contact the centre means nothing,
        so it does not follow χ²: find thresholds by simulation.

        Arguments and errors as for `fit`.
        """
        if contact is None:
            fitted = self.fit(record, interferer, unknown, background)
            return fitted.log_likelihood - fitted.null_log_likelihood
        center, width, level = contact
        base = self._checked(width, level, background, interferer)
        both = []
        for height in (level, 0.0):
            values = np.tile([center, width, height, base, interferer], (record.n_cells, 1))
            both.append(self._log_likelihood(record, values))
        return both[0] - both[1]

    @property
    def _unit(self) -> float:
        """The dissociation constant of ephrin, the natural unit of concentration."""
        return self.off_specific / self.k_on

    def _checked(self, width: float, level: float, background: float | None, interferer: float) -> float:
        base = self.background if background is None else background
        if not 0 <= width <= 2 * math.pi * (1 + 1e-12):
            raise ValueError(f"width must lie between 0 and 2π radians, got {width}")
        for name, value in (("level", level), ("background", base), ("interferer", interferer)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        return base

    def _local(
        self, center: float, width: float, level: float, interferer: float, background: float | None
    ) -> tuple[Floats, Floats]:
        """Derivatives of both ligands by each parameter, (5, 2, receptors), and the information about both, (receptors, 2, 2)."""
        base = self._checked(width, level, background, interferer)
        height, by_center, by_width = bump(self.angles, np.asarray(center), np.asarray(width), self.edge)
        slopes = np.zeros((5, 2, self.n_receptors))
        slopes[CENTER, 0], slopes[WIDTH, 0], slopes[LEVEL, 0] = level * by_center, level * by_width, height
        slopes[BACKGROUND, 0] = slopes[INTERFERER, 1] = 1.0
        specific = base + level * height
        if self.readout == "bound_times":
            return slopes, receptor_fisher_matrix(specific, interferer, self.duration, *self.rates)
        per_load = np.array([self.k_on / self.off_specific, self.k_on / self.off_interfering])
        load = specific * per_load[0] + interferer * per_load[1]
        with np.errstate(divide="ignore"):
            about_load = self.snapshots / (load * (1 + load) ** 2)
        return slopes, about_load[:, None, None] * per_load[:, None] * per_load

    def _watch(self, n_cells: int, specific: Floats, interferer: float, random: np.random.Generator) -> BindingRecord:
        total = specific + interferer
        receptors = np.arange(n_cells * self.n_receptors)
        clock, free = np.zeros(len(receptors)), np.zeros(len(receptors))
        sites, times = [], []
        block = 16
        # A block of cycles for all receptors whose watch is not over; most are done after one or two.
        while len(receptors):
            place = receptors % self.n_receptors
            waits = random.exponential(size=(len(receptors), block)) / (self.k_on * total[place])[:, None]
            is_specific = random.random(size=waits.shape) * total[place][:, None] < specific[place][:, None]
            holds = random.exponential(size=waits.shape) / np.where(is_specific, self.off_specific, self.off_interfering)
            ends = clock[receptors][:, None] + np.cumsum(waits + holds, axis=1)
            seen = ends - holds < self.duration
            sites.append(np.repeat(receptors, seen.sum(axis=1)))
            times.append(holds[seen])
            last = np.where(seen.any(axis=1), ends[np.arange(len(receptors)), seen.sum(axis=1) - 1], clock[receptors])
            cut = ~seen[:, -1]
            free[receptors] += (waits * seen).sum(axis=1) + np.where(cut, np.maximum(self.duration - last, 0), 0)
            clock[receptors] = last
            receptors = receptors[~cut & (last < self.duration)]
        site, time = np.concatenate(sites), np.concatenate(times)
        return BindingRecord(self.angles, free.reshape(n_cells, self.n_receptors), site, time, np.ones(len(time)), self.rates)

    def _concentrations(
        self, record: BindingRecord | OccupancyRecord, values: Floats
    ) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
        """Ephrin (cells, sites), interferer (cells, 1), and the bump with its derivatives, for values (cells, 5)."""
        shape = bump(record.angles, values[:, [CENTER]], values[:, [WIDTH]], self.edge)
        return values[:, [BACKGROUND]] + values[:, [LEVEL]] * shape[0], values[:, [INTERFERER]], shape

    def _log_likelihood(self, record: BindingRecord | OccupancyRecord, values: Floats) -> Floats:
        specific, interfering, _ = self._concentrations(record, values)
        return np.asarray(record.log_likelihood(specific, interfering).sum(axis=1))

    def _scan(self, record: BindingRecord | OccupancyRecord, without: Floats, background_unknown: bool) -> Floats:
        """For each cell the best contact zone with sharp edges among a few pairs of concentrations inside and outside; values
        (cells, 5)."""
        sites = len(record.angles)
        segments = min(sites, math.ceil(2 * math.pi / self.edge))
        first = np.unique(np.arange(sites) * segments // sites, return_index=True)[1]
        outside = without[:, [BACKGROUND]]
        if background_unknown:
            grid = np.maximum(outside, 0.05 * self._unit) * np.array([0.1, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.6, 2.5, 5.0])
            pairs = [(low, high) for low in range(6) for high in range(max(low + 1, 5), 10)]
        else:
            grid = outside + np.concatenate([[0.0], self._unit * np.array([0.05, 0.15, 0.4, 1.0, 2.5, 6.0])])
            pairs = [(0, high) for high in range(1, grid.shape[1])]
        interfering = without[:, [INTERFERER]]
        by_segment = [
            np.add.reduceat(record.log_likelihood(grid[:, [place]], interfering), first, axis=1) for place in range(grid.shape[1])
        ]
        best, start = np.full(record.n_cells, -np.inf), without.copy()
        for low, high in pairs:
            gain, center, width = best_window(by_segment[high] - by_segment[low])
            gain = gain + by_segment[low].sum(axis=1)
            better = gain > best
            found = np.column_stack([center, width, grid[:, high] - grid[:, low], grid[:, low], without[:, INTERFERER]])
            best[better], start[better] = gain[better], found[better]
        return start

    def _climb(
        self, record: BindingRecord | OccupancyRecord, start: Floats, chosen: Sequence[int]
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Levenberg-Marquardt steps from `start`, (cells, 5), in the chosen parameters: values, log-likelihood, whether it
        converged."""
        low = np.array([-np.inf, self.edge / 2, 0.0, LEAST * self._unit, LEAST * self._unit])
        high = np.array([np.inf, 2 * math.pi - self.edge / 2, *[MOST * self._unit] * 3])
        values = start.copy()
        values[:, chosen] = np.clip(values[:, chosen], low[chosen], high[chosen])
        reached = self._log_likelihood(record, values)
        converged = np.zeros(len(values), dtype=bool)
        if not chosen:
            return values, reached, ~converged
        damping = np.full(len(values), 1e-2)
        active, part = np.arange(len(values)), record
        for _ in range(MOST_STEPS):
            proposal = values[active].copy()
            proposal[:, chosen] += self._step(part, proposal, chosen, damping[active], low, high)
            proposal[:, chosen] = np.clip(proposal[:, chosen], low[chosen], high[chosen])
            there = self._log_likelihood(part, proposal)
            gain = there - reached[active]
            uphill = gain > 0
            moved = active[uphill]
            values[moved], reached[moved] = proposal[uphill], there[uphill]
            damping[active] = np.where(uphill, damping[active] / 5, damping[active] * 6)
            done = (uphill & (gain < ENOUGH)) | (damping[active] > 1e8)
            converged[active[done]] = True
            if done.all():
                break
            if done.any():
                active, part = active[~done], part.take(np.flatnonzero(~done))
        return values, reached, converged

    def _step(
        self,
        record: BindingRecord | OccupancyRecord,
        values: Floats,
        chosen: Sequence[int],
        damping: Floats,
        low: Floats,
        high: Floats,
    ) -> Floats:
        """One damped scoring step for each cell, (cells, p); a parameter at its limit that wants beyond stays there."""
        specific, interfering, (height, by_center, by_width) = self._concentrations(record, values)
        level = values[:, [LEVEL]]
        slopes = record.slopes(specific, interfering, interferer=INTERFERER in chosen)
        by = {CENTER: level * by_center, WIDTH: level * by_width, LEVEL: height, BACKGROUND: np.ones_like(height)}
        p = len(chosen)
        gradient, curvature = np.empty((len(values), p)), np.empty((len(values), p, p))
        for row, a in enumerate(chosen):
            gradient[:, row] = slopes.i if a == INTERFERER else (slopes.c * by[a]).sum(axis=1)
            for column, b in enumerate(chosen[: row + 1]):
                if a == b == INTERFERER:
                    term = slopes.i_i
                elif INTERFERER in (a, b):
                    term = (slopes.c_i * by[b if a == INTERFERER else a]).sum(axis=1)
                else:
                    term = (slopes.c_c * by[a] * by[b]).sum(axis=1)
                curvature[:, row, column] = curvature[:, column, row] = term
        here = values[:, chosen]
        stuck = ((here <= low[chosen]) & (gradient < 0)) | ((here >= high[chosen]) & (gradient > 0))
        gradient[stuck] = 0.0
        curvature[stuck[:, :, None] | stuck[:, None, :]] = 0.0
        diagonal = np.einsum("cpp->cp", curvature)
        # A parameter on which nothing depends, as the centre at level 0, must not make the system singular.
        diagonal += damping[:, None] * diagonal + 1e-9 * (1 + diagonal.max(axis=1, keepdims=True))
        return np.asarray(np.linalg.solve(curvature, gradient[..., None])[..., 0])


def bounds(information: Floats) -> list[float]:
    """Square roots of the diagonal of the inverse of a Fisher information; infinite where a parameter is not identified."""
    diagonal = np.diag(information)
    result = np.full(len(diagonal), np.inf)
    told = np.flatnonzero(diagonal > 1e-12 * diagonal[np.isfinite(diagonal)].max(initial=0.0))
    result[np.isinf(diagonal)] = 0.0
    told = told[np.isfinite(diagonal[told])]
    if len(told):
        size = np.sqrt(diagonal[told])
        values, vectors = np.linalg.eigh(information[np.ix_(told, told)] / np.outer(size, size))
        null = values < 1e-10
        variance = ((vectors[:, ~null] ** 2) / values[~null]).sum(axis=1) / size**2
        # What has a share in a direction about which nothing is known is not known either.
        hidden = (vectors[:, null] ** 2).sum(axis=1) > 1e-8
        result[told] = np.where(hidden, np.inf, np.sqrt(variance))
    return [float(value) for value in result]


def _shares(a: Floats, b: Floats, information: Floats) -> Floats:
    """aᵀ I b of each receptor, for slopes (2, receptors) and information (receptors, 2, 2).

    Where nothing depends on a parameter, infinite information about the ligand tells nothing of it.
    """
    product = a[:, None] * b[None, :]
    return np.asarray((product * np.where(product != 0, np.moveaxis(information, 0, -1), 0.0)).sum(axis=(0, 1)))


def _chosen(unknown: Sequence[str]) -> list[int]:
    for name in unknown:
        if name not in PARAMETERS:
            raise ValueError(f"there is no parameter {name!r}; parameters are {', '.join(PARAMETERS)}")
    if not unknown or len(set(unknown)) < len(unknown):
        raise ValueError(f"unknown must name one or more parameters once each, got {', '.join(unknown) or 'none'}")
    return [PARAMETERS.index(name) for name in unknown]
