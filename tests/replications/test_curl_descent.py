"""What is special of it: students are comparable, and what the figure and the claims read follows from the flow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.replicate import Evidence
from pressrun.replications import curl_descent as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("curl_descent")


def test_a_draw_has_the_same_weights_whatever_is_flipped() -> None:
    config = replication.Config(inputs=6, students=2)
    students = replication.draw_students(0.5, config, torch.Generator().manual_seed(0))
    first = students.w1.view(2, 5, 2, 12, 6)
    assert torch.equal(first, first[:1, :1].expand_as(first))
    assert not torch.equal(first[0, 0, 0], first[0, 0, 1])
    flipped_in = (students.signs_in < 0).sum(1).view(2, 5, 2)
    flipped_hidden = (students.signs_hidden < 0).sum(1).view(2, 5, 2)
    # Of 6 inputs and 12 hidden units, shares of 0, .05, .1, .25, .5 rounded to whole neurons (half to even).
    assert flipped_in[:, :, 0].tolist() == [[0, 0, 1, 2, 3], [0, 0, 0, 0, 0]]
    assert flipped_hidden[:, :, 0].tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 3, 6]]


def test_without_flips_the_flow_has_no_curl_and_with_them_it_has(evidence: Evidence) -> None:
    ratio = {arm: evidence.values("curl_ratio", f"readout f={arm}")[0] for arm in ("0", "0.5")}
    assert ratio["0"] < 1e-12
    assert ratio["0.5"] > 0.1


def test_the_loss_of_gradient_descent_never_rises(evidence: Evidence) -> None:
    for start in replication.STARTS:
        assert evidence.values("rising_share", f"{start} gradient")[0] == 0


def test_steps_that_were_not_enough_are_infinite() -> None:
    recorded: dict[str, float] = {}

    class Recorder:
        def record(self, arm: str, step: int | None = None, **metrics: object) -> None:
            if step is None:
                recorded.update({name: float(value) for name, value in metrics.items()})  # type: ignore[arg-type]

    losses = torch.tensor([[2.0, 2.0, 2.0], [2.5, 0.05, 1.0], [2.0, 0.2, 1.0]])
    replication.record_course(Recorder(), "arm", losses)  # type: ignore[arg-type]
    # Only the second of three students reaches 5 %, so the median does not; the first one's loss rose.
    assert recorded == {"steps_to_learn": float("inf"), "rising_share": pytest.approx(2 / 3)}


def test_redrawn_signs_flip_as_many_neurons_elsewhere() -> None:
    flips = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0]).expand(20, 1, 5)
    redrawn = replication.redrawn(flips, torch.Generator().manual_seed(0))
    assert (redrawn < 0).sum(-1).flatten().tolist() == [2] * 20
    assert (redrawn.mean(0) < 1).all()  # no place is spared
