"""What is special to the steering of flows: the gate on the surrogate, and arms that are comparable."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pressrun.replicate import Evidence, Run
from pressrun.replicate.run import read_rows, rows_path
from pressrun.replications import physics_steering as physics


def evidence(tmp_path: Path, config: physics.Config) -> Evidence:
    run = Run(tmp_path, 0, physics.METRICS)
    physics.replicate(config, 0, run)
    run.close()
    return Evidence(read_rows(rows_path(tmp_path, 0), 0, physics.METRICS))


def test_a_surrogate_that_is_too_weak_gives_no_number(tmp_path: Path) -> None:
    found = evidence(tmp_path, replace(physics.PRESETS["smoke"], worst_error=0.0))
    assert math.isnan(found.values("effect", "vortex")[0])
    assert found.values("one_step_error", "surrogate")[0] > 0


def test_no_strength_changes_nothing(tmp_path: Path) -> None:
    found = evidence(tmp_path, physics.PRESETS["smoke"])
    assert found.values("log_enstrophy_ratio", "vortex_0") == {0: 0.0}
    assert found.values("broken", "vortex_0") == {0: 0.0}


def test_the_groups_differ_in_viscosity_alone_and_what_is_held_out_is_not_trained_on() -> None:
    flows = physics.shear_flows(physics.PRESETS["smoke"], torch.Generator().manual_seed(0))
    assert flows.fields.shape == (16, physics.FRAMES, 32, 32)
    assert flows.low.sum() == 8
    assert (flows.trained & flows.low).sum() == (flows.trained & ~flows.low).sum() == 6
    assert torch.equal(flows.starts(low=True), flows.fields[[12, 14]][:, :3])


def test_a_random_direction_has_the_norm_of_the_concepts() -> None:
    delta = torch.randn(4, 1, 1).expand(4, 5, 5)
    random = physics._random(delta, torch.Generator().manual_seed(0))
    assert random.norm() == pytest.approx(delta.norm())
    assert torch.equal(random[:, 0, 0], random[:, 4, 2])
