"""What receptors on a ring have seen, for many cells at once, and its likelihood given the ligands at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BindingRecord", "OccupancyRecord"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Slopes(NamedTuple):
    """Derivatives of the log-likelihood. `c` is by site, (cells, sites); what belongs to the interferer only is (cells,).

    Curvatures are positive: minus second derivatives, observed or expected.
    """

    c: Floats
    c_c: Floats
    i: Floats
    i_i: Floats
    c_i: Floats


@dataclass(frozen=True)
class BindingRecord:
    """Bound times and free times. A site is a receptor, or a sector of the ring with all of its receptors.

    Args:
        angles: (sites,), radians, rising.
        free_time: (cells, sites), time that the receptors of a site were free, summed over them.
        site: (events,), cell · sites + site of each bound time, in any order.
        time: (events,), bound times.
        count: (events,), how many bound times this entry stands for.
        rates: k_on, off_specific, off_interfering.
        until: (events,), where only an interval of the bound time is known: from `time` until this. None where times are exact.
    """

    angles: Floats
    free_time: Floats
    site: Integers
    time: Floats
    count: Floats
    rates: tuple[float, float, float]
    until: Floats | None = None

    @property
    def n_cells(self) -> int:
        return len(self.free_time)

    def binned(self, sectors: int, bins: int = 40) -> BindingRecord:
        """The same record with receptors pooled in sectors of equal width, and bound times known by logarithmic bins only.

        The likelihood of bins is exact, so that estimates stay unbiased; fits take a fraction of the time. Pooling receptors is
        an approximation, and a good one while a sector is narrower than the edge of the contact.

        Raises:
            ValueError: if there would be less than one sector or bin, or the record is binned already.
        """
        if sectors < 1 or bins < 1:
            raise ValueError(f"a binned record needs at least one sector and one bin, got {sectors} and {bins}")
        if self.until is not None:
            raise ValueError("the record is binned already; bin the original")
        sector = _sector(self.angles, sectors)
        cells, sites = self.free_time.shape
        free = np.zeros((cells, sectors))
        for receptor, pool in enumerate(sector):
            free[:, pool] += self.free_time[:, receptor]
        cuts = np.geomspace(0.05 / max(self.rates[1:]), 20 / min(self.rates[1:]), bins + 1)[1:-1]
        edges = np.concatenate([[0.0], cuts, [np.inf]])
        cell, place = np.divmod(self.site, sites)
        index = (cell * sectors + sector[place]) * bins + np.searchsorted(cuts, self.time)
        pooled = np.bincount(index, self.count, minlength=cells * sectors * bins)
        filled = np.flatnonzero(pooled)
        site, of_bin = np.divmod(filled, bins)
        return BindingRecord(
            _sector_angles(sectors),
            free,
            site.astype(np.int64),
            edges[of_bin],
            pooled[filled].astype(np.float64),
            self.rates,
            edges[of_bin + 1],
        )

    def joined(self, others: Sequence[BindingRecord]) -> BindingRecord:
        """This record with the cells of others after its own.

        Raises:
            ValueError: if sites or rates differ.
        """
        parts = [self, *others]
        if any(each.rates != self.rates or not np.array_equal(each.angles, self.angles) for each in others):
            raise ValueError("records can be joined only if they have the same sites and rates")
        if len({each.until is None for each in parts}) > 1:
            raise ValueError("a binned record cannot be joined with one that is not")
        before = np.concatenate([[0], np.cumsum([each.free_time.size for each in parts])])
        return replace(
            self,
            free_time=np.concatenate([each.free_time for each in parts]),
            site=np.concatenate([each.site + size for each, size in zip(parts, before, strict=False)]),
            time=np.concatenate([each.time for each in parts]),
            count=np.concatenate([each.count for each in parts]),
            until=None if self.until is None else np.concatenate([each.until for each in parts if each.until is not None]),
        )

    def take(self, cells: Integers) -> BindingRecord:
        """The record of these cells alone, in this order."""
        sites = len(self.angles)
        place = np.full(self.n_cells, -1)
        place[cells] = np.arange(len(cells))
        cell, site = np.divmod(self.site, sites)
        kept = place[cell] >= 0
        return replace(
            self,
            free_time=self.free_time[cells],
            site=place[cell[kept]] * sites + site[kept],
            time=self.time[kept],
            count=self.count[kept],
            until=None if self.until is None else self.until[kept],
        )

    def log_likelihood(self, c: Floats, c_i: Floats) -> Floats:
        """By site, (cells, sites).

        Args:
            c: (cells, sites) or (cells, 1), concentration of the specific ligand.
            c_i: (cells, 1), of the interfering one.
        """
        return self._summed(np.log(self._mixture(c, c_i))) + self._constant - self.rates[0] * (c + c_i) * self.free_time

    def slopes(self, c: Floats, c_i: Floats, *, interferer: bool = True) -> Slopes:
        """Derivatives at the concentrations, of shapes as for `log_likelihood`; the curvatures are the observed ones.

        With interferer=False what belongs to the interferer is left at 0, which saves half of the time.
        """
        of_c = 1 / self._mixture(c, c_i)
        slope, curvature = self._summed(of_c) - self.rates[0] * self.free_time, self._summed(of_c**2)
        if not interferer:
            none = np.zeros(self.n_cells)
            return Slopes(c=slope, c_c=curvature, i=none, i_i=none, c_i=np.zeros_like(curvature))
        of_i = self._ratio * of_c
        return Slopes(
            c=slope,
            c_c=curvature,
            i=(self._summed(of_i) - self.rates[0] * self.free_time).sum(axis=1),
            i_i=self._summed(of_i**2).sum(axis=1),
            c_i=self._summed(of_c * of_i),
        )

    @cached_property
    def _ratio(self) -> Floats:
        """b / a of each bound time, or of the integrals of both over its bin: how much better the interferer explains it."""
        _, specific, interfering = self.rates
        at_start = np.exp((specific - interfering) * self.time)
        if self.until is None:
            return np.asarray(interfering / specific * at_start)
        span = self.until - self.time
        return np.asarray(at_start * np.expm1(-interfering * span) / np.expm1(-specific * span))

    @cached_property
    def _constant(self) -> Floats:
        """Σ ln k a, or of its integral over the bin, by site: no concentration has a say in it."""
        k_on, specific, _ = self.rates
        size = specific if self.until is None else -np.expm1(-specific * (self.until - self.time))
        return self._summed(np.log(k_on * size) - specific * self.time)

    def _mixture(self, c: Floats, c_i: Floats) -> Floats:
        """c + c_i b / a for each bound time: its density, or the probability of its bin, over that of k a."""
        if len(np.unique(c_i)) == 1:
            rest = c_i.flat[0] * self._ratio
        else:
            rest = np.broadcast_to(c_i, self.free_time.shape).ravel()[self.site] * self._ratio
        return np.asarray(np.broadcast_to(c, self.free_time.shape).ravel()[self.site] + rest)

    def _summed(self, values: Floats) -> Floats:
        sums = np.bincount(self.site, self.count * values, minlength=self.free_time.size)
        return np.asarray(sums.reshape(self.free_time.shape), dtype=np.float64)


@dataclass(frozen=True)
class OccupancyRecord:
    """How many snapshots found the receptors of a site bound. Who had bound them is not seen.

    Args:
        angles: (sites,), radians, rising.
        bound: (cells, sites), receptors found bound, summed over snapshots.
        looked: (sites,), receptors times snapshots.
        rates: k_on, off_specific, off_interfering.
    """

    angles: Floats
    bound: Floats
    looked: Floats
    rates: tuple[float, float, float]

    @property
    def n_cells(self) -> int:
        return len(self.bound)

    def take(self, cells: Integers) -> OccupancyRecord:
        """The record of these cells alone, in this order."""
        return replace(self, bound=self.bound[cells])

    def log_likelihood(self, c: Floats, c_i: Floats) -> Floats:
        """By site, (cells, sites), up to a constant. Arguments as for `BindingRecord.log_likelihood`."""
        load = self._load(c, c_i)
        return np.asarray(self.bound * np.log(load) - self.looked * np.log1p(load))

    def slopes(self, c: Floats, c_i: Floats, *, interferer: bool = True) -> Slopes:  # noqa: ARG002 - here it costs nothing
        """Derivatives at the concentrations; the curvatures are the expected ones, which are never negative."""
        k_on, specific, interfering = self.rates
        load = np.broadcast_to(self._load(c, c_i), self.bound.shape)
        slope = self.bound / load - self.looked / (1 + load)
        curvature = self.looked / (load * (1 + load) ** 2)
        by_c, by_i = k_on / specific, k_on / interfering
        return Slopes(
            c=by_c * slope,
            c_c=by_c**2 * curvature,
            i=(by_i * slope).sum(axis=1),
            i_i=(by_i**2 * curvature).sum(axis=1),
            c_i=by_c * by_i * curvature,
        )

    def _load(self, c: Floats, c_i: Floats) -> Floats:
        k_on, specific, interfering = self.rates
        return k_on * (c / specific + c_i / interfering)


def _sector(angles: Floats, sectors: int) -> Integers:
    return (np.floor((angles + np.pi) / (2 * np.pi) * sectors).astype(np.int64)) % sectors


def _sector_angles(sectors: int) -> Floats:
    return np.asarray((np.arange(sectors) + 0.5) / sectors * 2 * np.pi - np.pi)
