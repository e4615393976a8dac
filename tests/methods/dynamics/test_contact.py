"""The ring: profile and derivatives, bounds and where they diverge, exact simulation, maximum likelihood."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.methods.dynamics import (
    BindingRecord,
    ContactModel,
    circular_std,
    expected_bindings,
    receptor_fisher,
)
from pressrun.methods.dynamics._ring import best_window, bump

CELL = ContactModel(600)
BOTH = [CELL, ContactModel(600, readout="occupancy")]


def test_the_profile_is_the_level_inside_half_of_it_at_the_edge_and_the_background_outside() -> None:
    heights = CELL.profile([0.0, 0.5, -0.5, 2.0], center=0.0, width=1.0, level=2.0, background=0.25)
    assert heights.tolist() == [
        pytest.approx(2.25, abs=1e-6),
        pytest.approx(1.25),
        pytest.approx(1.25),
        pytest.approx(0.25, abs=1e-6),
    ]


def test_the_profile_goes_round() -> None:
    assert CELL.profile(-math.pi + 0.1, center=math.pi - 0.1, width=1.0, level=1.0) == pytest.approx(1.01, abs=1e-4)


def test_a_contact_all_round_is_level_everywhere_and_one_of_no_width_nowhere() -> None:
    np.testing.assert_allclose(CELL.profile(CELL.angles, 0.3, 2 * math.pi, 1.0), 1.01, atol=1e-12)
    np.testing.assert_allclose(CELL.profile(CELL.angles, 0.3, 0.0, 1.0), 0.01, atol=1e-12)


@given(center=st.floats(-3, 3), width=st.floats(0.05, 6.2))
def test_derivatives_are_those_of_the_profile(center: float, width: float) -> None:
    angles, step = CELL.angles, 1e-6
    _, by_center, by_width = bump(angles, np.array(center), np.array(width), 0.05)
    up, down = (
        bump(angles, np.array(center + step), np.array(width), 0.05)[0],
        bump(angles, np.array(center - step), np.array(width), 0.05)[0],
    )
    np.testing.assert_allclose(by_center, (up - down) / (2 * step), atol=1e-5)
    up, down = (
        bump(angles, np.array(center), np.array(width + step), 0.05)[0],
        bump(angles, np.array(center), np.array(width - step), 0.05)[0],
    )
    np.testing.assert_allclose(by_width, (up - down) / (2 * step), atol=1e-5)


@pytest.mark.parametrize("cell", BOTH)
def test_information_about_the_level_of_a_contact_all_round_is_that_of_every_receptor(cell: ContactModel) -> None:
    information = cell.fisher(0.0, 2 * math.pi, 0.99, 3.0, ("level",))[0, 0]
    if cell.readout == "bound_times":
        assert information == pytest.approx(600 * float(receptor_fisher(1.0, 3.0, 20, 1, 1, 2)))
    else:
        # Load x = 1 + 3/2: 20 snapshots of P = x / (1 + x), dP/dc = 1 / (1 + x)².
        assert information == pytest.approx(600 * 20 / (2.5 * 3.5**2))


@pytest.mark.parametrize("cell", BOTH)
def test_turning_the_cell_by_whole_receptors_changes_nothing(cell: ContactModel) -> None:
    turn = 2 * math.pi / 600
    still, turned = cell.fisher(0.0, 1.0, 1.0, 3.0), cell.fisher(17 * turn, 1.0, 1.0, 3.0)
    np.testing.assert_allclose(turned, still, rtol=1e-9, atol=1e-9 * np.abs(still).max())


@pytest.mark.parametrize("cell", BOTH)
def test_the_bound_does_not_depend_on_where_receptors_lie(cell: ContactModel) -> None:
    bounds = [cell.crlb(shift, 1.0, 1.0, 3.0)["center"] for shift in np.linspace(0, 2 * math.pi / 600, 5)]
    assert max(bounds) / min(bounds) < 1.001


def test_twice_the_receptors_halve_the_variance() -> None:
    one, two = CELL.crlb(0.0, 1.0, 1.0, 3.0), ContactModel(1200).crlb(0.0, 1.0, 1.0, 3.0)
    for name in ("center", "width", "level"):
        assert one[name] / two[name] == pytest.approx(math.sqrt(2), rel=1e-3)


def test_knowing_less_never_helps() -> None:
    few = CELL.crlb(0.0, 1.0, 1.0, 3.0)
    more = CELL.crlb(0.0, 1.0, 1.0, 3.0, ("center", "width", "level", "background", "interferer"))
    assert all(more[name] >= few[name] for name in few)
    assert math.isfinite(more["interferer"])


def test_what_a_sharp_look_at_the_edges_tells_is_symmetrical_in_the_two() -> None:
    # Centre and width are the half sum and the difference of the edges, so the width has twice the centre's error when edges are
    # alone.
    bound = CELL.crlb(0.0, 3.0, 1.0, 3.0, ("center", "width"))
    assert bound["width"] == pytest.approx(2 * bound["center"], rel=1e-6)


@pytest.mark.parametrize("cell", BOTH)
@pytest.mark.parametrize("width", [0.0, 2 * math.pi])
def test_the_position_of_no_contact_and_of_contact_all_round_is_unknowable(cell: ContactModel, width: float) -> None:
    assert cell.crlb(0.0, width, 1.0, 3.0)["center"] == math.inf


def test_uniform_ephrin_cannot_be_told_from_the_background() -> None:
    bound = CELL.crlb(0.0, 2 * math.pi, 1.0, 3.0, ("level", "background"))
    assert bound == {"level": math.inf, "background": math.inf}


def test_occupancy_cannot_tell_uniform_ephrin_from_the_interferer_and_bound_times_can() -> None:
    times, snapshots = (cell.crlb(0.0, 2 * math.pi, 1.0, 3.0, ("level", "interferer")) for cell in BOTH)
    assert math.isfinite(times["level"])
    assert snapshots["level"] == math.inf
    alike = replace(CELL, off_interfering=1.0).crlb(0.0, 2 * math.pi, 1.0, 3.0, ("level", "interferer"))
    assert alike["level"] == math.inf


def test_without_background_a_distinct_interferer_makes_the_information_infinite() -> None:
    bare = ContactModel(600, background=0.0, off_interfering=5.0)
    assert bare.fisher(0.0, 1.0, 0.0, 3.0, ("level",))[0, 0] == math.inf
    assert bare.crlb(0.0, 1.0, 0.0, 3.0, ("level",)) == {"level": 0.0}


@pytest.mark.parametrize("cell", BOTH)
def test_the_information_density_adds_up_to_the_information(cell: ContactModel) -> None:
    for name in ("center", "level", "interferer"):
        total = cell.information_density(name, 0.2, 1.0, 1.0, 3.0).sum()
        assert total == pytest.approx(cell.fisher(0.2, 1.0, 1.0, 3.0, (name,))[0, 0])


def test_simulated_records_have_the_means_of_the_process() -> None:
    cell = ContactModel(600, duration=200.0, off_interfering=4.0)
    record = cell.simulate(20, 0.0, 2 * math.pi, 0.99, 3.0, seed=0)
    assert isinstance(record, BindingRecord)
    # 1/4 of the bindings last 1, 3/4 last 1/4: mean 0.4375, and the free time between them 1/4.
    assert record.time.mean() == pytest.approx(0.4375, rel=0.01)
    assert (record.time**2).mean() == pytest.approx(0.25 * 2 + 0.75 * 2 / 16, rel=0.02)
    # A receptor that starts free has a fraction of a binding more than the steady state.
    per_receptor = len(record.time) / (20 * 600)
    assert 0 < per_receptor - float(expected_bindings(1.0, 3.0, 200.0, 1.0, 1.0, 4.0)) < 1
    assert record.free_time.mean() == pytest.approx(per_receptor / 4, rel=0.01)


def test_free_and_bound_times_fill_the_duration() -> None:
    record = CELL.simulate(3, 0.0, 1.0, 1.0, 1.0, seed=1)
    assert isinstance(record, BindingRecord)
    bound = np.bincount(record.site, record.time, minlength=1800).reshape(3, 600)
    whole = record.free_time + bound
    # The last binding is watched to its end. Outside, where 0.34 are bound, that adds 0.17 on average, inside 0.5 on a share of
    # 1 / 2π.
    assert whole.min() >= 20 - 1e-9
    assert whole.mean() == pytest.approx(20.22, abs=0.06)
    assert record.free_time.max() <= 20 + 1e-9


@pytest.mark.parametrize("cell", BOTH)
def test_the_score_has_mean_zero_and_the_variance_that_the_bound_says(cell: ContactModel) -> None:
    record = (
        cell.simulate(3000, 0.0, 2 * math.pi, 0.99, 3.0, seed=2)
        if cell.readout == "occupancy"
        else cell.simulate(300, 0.0, 2 * math.pi, 0.99, 3.0, seed=2)
    )
    slopes = record.slopes(np.array([[1.0]]), np.full((record.n_cells, 1), 3.0))
    score = slopes.c.ravel()
    information = cell.fisher(0.0, 2 * math.pi, 0.99, 3.0, ("level",))[0, 0] / 600
    assert abs(score.mean()) < 4 * math.sqrt(information / len(score))
    assert score.var() == pytest.approx(information, rel=0.04)
    assert np.mean(slopes.c_c) == pytest.approx(information, rel=0.04)


@pytest.mark.parametrize("cell", BOTH)
def test_slopes_are_those_of_the_likelihood(cell: ContactModel) -> None:
    record = cell.simulate(1, 0.4, 1.0, 1.0, 3.0, seed=3)
    c, c_i, step = np.full((1, 600), 0.7), np.array([[2.0]]), 1e-5
    slopes = record.slopes(c, c_i)
    by_c = (record.log_likelihood(c + step, c_i) - record.log_likelihood(c - step, c_i)) / (2 * step)
    by_i = (record.log_likelihood(c, c_i + step) - record.log_likelihood(c, c_i - step)).sum() / (2 * step)
    np.testing.assert_allclose(slopes.c, by_c, rtol=1e-4, atol=1e-4)
    assert slopes.i[0] == pytest.approx(by_i, rel=1e-5)


def test_the_likelihood_is_the_one_worked_out_by_hand() -> None:
    record = BindingRecord(np.array([0.0]), np.array([[2.0]]), np.array([0]), np.array([0.5]), np.array([1.0]), (1.5, 1.0, 3.0))
    # ln 1.5 [0.2 e^-0.5 + 0.4 · 3 e^-1.5] - 1.5 · 0.6 · 2
    expected = math.log(1.5 * (0.2 * math.exp(-0.5) + 1.2 * math.exp(-1.5))) - 1.8
    assert record.log_likelihood(np.array([[0.2]]), np.array([[0.4]])).item() == pytest.approx(expected)


def test_maximum_likelihood_reaches_the_bound() -> None:
    cell = ContactModel(1500)
    record = cell.simulate(150, 0.7, 1.0, 1.0, 1.0, seed=4)
    assert isinstance(record, BindingRecord)
    fit, bound = cell.fit(record.binned(250, 30), 1.0), cell.crlb(0.7, 1.0, 1.0, 1.0)
    # The relative error of a deviation from 150 cells is 6 %.
    assert 0.8 < circular_std(fit.center, 0.7) / bound["center"] < 1.25
    assert 0.8 < math.sqrt(((fit.level - 1) ** 2).mean()) / bound["level"] < 1.25
    assert 0.8 < math.sqrt(((fit.width - 1) ** 2).mean()) / bound["width"] < 1.25
    assert fit.converged.mean() > 0.95


def test_maximum_likelihood_finds_background_and_interferer_too() -> None:
    cell = ContactModel(1000, background=0.2, off_interfering=5.0)
    record = cell.simulate(40, -2.0, 1.5, 1.0, 2.0, seed=5)
    names = ("center", "width", "level", "background", "interferer")
    assert isinstance(record, BindingRecord)
    fit = cell.fit(record.binned(250, 30), 1.0, names, background=0.5)
    bound = cell.crlb(-2.0, 1.5, 1.0, 2.0, names)
    for name, truth in (("width", 1.5), ("level", 1.0), ("background", 0.2), ("interferer", 2.0)):
        errors = getattr(fit, name) - truth
        assert abs(errors.mean()) < bound[name], name
        assert 0.6 < math.sqrt((errors**2).mean()) / bound[name] < 1.5, name


def test_a_contact_across_the_cut_is_found() -> None:
    for cell in BOTH:
        fit = cell.fit(cell.simulate(10, math.pi, 1.0, 3.0, 0.5, seed=6), 0.5)
        assert circular_std(fit.center, math.pi) < 0.1
        assert np.abs(fit.width - 1).max() < 0.3


def test_the_fit_is_never_worse_than_no_contact_nor_than_the_truth() -> None:
    for cell in BOTH:
        for level in (0.0, 1.0):
            record = cell.simulate(20, 0.0, 0.5, level, 3.0, seed=7)
            for names in (("center", "width", "level"), ("center", "width", "level", "background")):
                ratio = cell.log_likelihood_ratio(record, 3.0, names)
                assert (ratio >= 0).all()
            known = cell.log_likelihood_ratio(record, 3.0, contact=(0.0, 0.5, 1.0))
            assert (cell.log_likelihood_ratio(record, 3.0) >= known - 1e-6).mean() > 0.9


def test_known_contact_gives_the_errors_of_the_gaussian_limit() -> None:
    # A weak, wide contact: d'² = Σ I Δc², error Φ(-d'/2).
    cell = ContactModel(600, off_interfering=1.5, background=1.0)
    records = [cell.simulate(250, 0.0, 3.0, level, 2.0, seed=8) for level in (0.0, 0.08)]
    without, contact = (cell.log_likelihood_ratio(record, 2.0, contact=(0.0, 3.0, 0.08)) for record in records)
    squared = cell.fisher(0.0, 3.0, 0.0, 2.0, ("level",))[0, 0] * 0.08**2
    assert contact.mean() - without.mean() == pytest.approx(squared, rel=0.2)
    assert without.var() == pytest.approx(squared, rel=0.3)


def test_binned_records_keep_counts_and_nearly_the_likelihood() -> None:
    record = CELL.simulate(5, 0.5, 1.0, 1.0, 3.0, seed=9)
    assert isinstance(record, BindingRecord)
    binned = record.binned(200)
    assert binned.count.sum() == len(record.time)
    assert binned.until is not None
    assert (binned.count @ binned.time) < record.time.sum() < (binned.count @ np.minimum(binned.until, 100))
    assert binned.free_time.sum() == pytest.approx(record.free_time.sum())
    exact, pooled = (CELL.log_likelihood_ratio(each, 3.0, contact=(0.5, 1.0, 1.0)) for each in (record, binned))
    np.testing.assert_allclose(pooled, exact, rtol=0.03)


def test_taking_and_joining_cells_is_exact() -> None:
    record = CELL.simulate(4, 0.5, 1.0, 1.0, 3.0, seed=9)
    assert isinstance(record, BindingRecord)
    c, c_i = np.full((4, 600), 0.5), np.full((4, 1), 3.0)
    whole = record.log_likelihood(c, c_i)
    parts = record.take(np.array([2, 3])).joined([record.take(np.array([0])), record.take(np.array([1]))])
    np.testing.assert_allclose(parts.log_likelihood(c, c_i), whole[[2, 3, 0, 1]])
    with pytest.raises(ValueError, match="records can be joined only if they have the same sites and rates"):
        record.joined([record.binned(100)])


@given(st.lists(st.lists(st.integers(-9, 9), min_size=6, max_size=6), min_size=1, max_size=4))
def test_the_best_window_is_the_best_of_all(rows: list[list[int]]) -> None:
    gain = np.array(rows, dtype=float)
    found, center, width = best_window(gain)
    for row, cell in enumerate(gain):
        sums = {(start, size): sum(cell[(start + k) % 6] for k in range(size)) for start in range(6) for size in range(1, 6)}
        start, size = (
            round((center[row] - width[row] / 2 + math.pi) / (2 * math.pi) * 6) % 6,
            round(width[row] / (2 * math.pi) * 6),
        )
        assert sums[start, size] == pytest.approx(found[row])
        # A run that ends at the cut is passed over where the whole ring would be better still.
        assert found[row] == pytest.approx(max(sums.values())) or cell.sum() >= found[row]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_record(seed: int) -> None:
    for cell in BOTH:
        one, two = (cell.simulate(2, 0.0, 1.0, 1.0, 1.0, seed) for _ in range(2))
        c, c_i = np.full((2, 600), 0.5), np.ones((2, 1))
        assert np.array_equal(one.log_likelihood(c, c_i), two.log_likelihood(c, c_i))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_receptors": 100}, "an edge of 0.05 radians needs at least 252 receptors to be resolved, got 100"),
        ({"off_specific": 0.0}, "off_specific must be positive, got 0.0"),
        ({"background": -0.1}, "background must be 0 or more, got -0.1"),
        ({"readout": "eyes"}, "readout must be bound_times or occupancy, got 'eyes'"),
        ({"readout": "occupancy", "snapshot_interval": 30.0}, "snapshot_interval 30.0 must not exceed the duration 20.0"),
    ],
)
def test_it_refuses_a_cell_that_cannot_be(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(CELL, **change)  # type: ignore[arg-type]


def test_it_refuses_contacts_and_questions_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="width must lie between 0 and 2π radians, got 7"):
        CELL.crlb(0.0, 7, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"level must be 0 or more, got -1\.0"):
        CELL.profile(0.0, 0.0, 1.0, -1.0)
    with pytest.raises(ValueError, match="interferer must be 0 or more, got nan"):
        CELL.fisher(0.0, 1.0, 1.0, math.nan)
    with pytest.raises(
        ValueError, match="there is no parameter 'depth'; parameters are center, width, level, background, interferer"
    ):
        CELL.fisher(0.0, 1.0, 1.0, 1.0, ("depth",))
    with pytest.raises(ValueError, match="unknown must name one or more parameters once each, got level, level"):
        CELL.fisher(0.0, 1.0, 1.0, 1.0, ("level", "level"))
    with pytest.raises(ValueError, match="n_cells must be 1 or more, got 0"):
        CELL.simulate(0, 0.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="every receptor needs some ligand: give a background or an interferer above 0"):
        replace(CELL, background=0.0).simulate(1, 0.0, 1.0, 1.0, 0.0)
    record = CELL.simulate(1, 0.0, 1.0, 1.0, 1.0, seed=0)
    with pytest.raises(ValueError, match="a fit needs center, width and level among the unknown, got level"):
        CELL.fit(record, 1.0, ("level",))
    with pytest.raises(
        ValueError, match="a fit needs some ligand outside the contact: give a background or an interferer above 0"
    ):
        CELL.fit(record, 0.0, background=0.0)
    assert isinstance(record, BindingRecord)
    with pytest.raises(ValueError, match="a binned record needs at least one sector and one bin, got 0 and 40"):
        record.binned(0)
    with pytest.raises(ValueError, match="the record is binned already; bin the original"):
        record.binned(100).binned(50)
    with pytest.raises(ValueError, match="a binned record cannot be joined with one that is not"):
        record.binned(600).joined([replace(record, angles=record.binned(600).angles)])


def test_the_likelihood_of_bins_is_exact() -> None:
    # Two bins, cut at t: the probability of the first is c (1 - e^-t) + c_i (1 - e^-2t), over c + c_i.
    record = BindingRecord(
        np.array([0.0]), np.array([[0.0]]), np.array([0, 0]), np.array([0.3, 5.0]), np.ones(2), (1.0, 1.0, 2.0)
    )
    binned = record.binned(1, 2)
    assert binned.until is not None
    cut = binned.until[0]
    first = 0.5 * (1 - math.exp(-cut)) + 3 * (1 - math.exp(-2 * cut))
    found = binned.log_likelihood(np.array([[0.5]]), np.array([[3.0]])).item()
    assert found == pytest.approx(math.log(first) + math.log(3.5 - first))
