"""What is special of it: who is moved by what, and that the many learners in one batch are each by itself."""

from __future__ import annotations

import pytest
import torch

from pressrun.methods.plasticity import HomeostaticLR
from pressrun.replications import homeostatic_learning as replication


def small(**knobs: int) -> replication.Config:
    return replication.Config(samples=100, epochs=4, slow=12, middle=8, fast=4, season=1, **knobs)


class Silent:
    @staticmethod
    def progress(items: range, _: str) -> range:
        return items


def learn(arms: tuple[str, ...], rates: torch.Tensor, config: replication.Config, seed: int = 0) -> replication.Course:
    shown = replication.streams(config, *replication.digits(config.samples, seed), seed)
    return replication.learn(arms, rates, shown, config, seed, Silent())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def course() -> replication.Course:
    return learn(replication.ARMS, torch.full((len(replication.ARMS), 5), 0.05), small(rate=0.05))  # type: ignore[arg-type]


def test_constant_arms_in_a_batch_are_the_constant_rate_alone(course: replication.Course) -> None:
    alone = learn(("constant",), torch.tensor([0.05]), small())
    together = course.correct[:, replication.ARMS.index("constant")]
    assert torch.equal(together, alone.correct[:, 0])


def test_only_what_is_at_stake_moves(course: replication.Course) -> None:
    moved = {arm: bool((course.rate[:, row] != course.rate[0, row]).any()) for row, arm in enumerate(replication.ARMS)}
    assert not moved["constant"]
    assert not moved["tuned"]
    assert moved["random"]
    assert moved["sinking"]
    assert course.rate[-1, replication.ARMS.index("sinking")].max() < 1e-6


def test_nothing_is_proposed_while_the_memory_is_short(course: replication.Course) -> None:
    # 10 updates an epoch: the first three have no memory of 20 samples of this epoch.
    early = torch.tensor([update % 10 < 3 for update in range(len(course.rate))])
    assert not course.accepted[early].any()
    assert course.accepted[~early].any()


def test_before_any_swap_memory_as_seen_is_memory_as_called_now(course: replication.Course) -> None:
    rows = [replication.ARMS.index(arm) for arm in ("homeostatic", "as_seen")]
    assert torch.equal(course.rate[:, rows[0], 0], course.rate[:, rows[1], 0])


def test_the_batch_decides_as_the_regulator_of_one_model_does() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = replication.perceptrons(len(replication.ARMS) * 5, generator)
    config, rate = small(rate=0.5), torch.full((len(replication.ARMS), 5), 0.5)  # type: ignore[arg-type]
    x, y = torch.rand(5, 64, generator=generator), torch.tensor([1, 3, 5, 7, 9])
    memory = torch.rand(5, 20, 64, generator=generator), torch.randint(10, (5, 20), generator=generator)
    regulation = replication.Regulation(replication.ARMS, 5, config, generator)
    moved, accepted = regulation(weights, rate, x, y, memory, memory[1])
    for column in range(5):
        model = as_module(weights, column)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
        regulator = HomeostaticLR(optimiser, lambda label: 1.0 if label >= 5 else -1.0, step=0.05)
        (torch.nn.functional.cross_entropy(model(x[column : column + 1]), y[column : column + 1]) / 10).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        predicted = int(model(x[column : column + 1]).argmax())
        took = regulator.propose(model, gradients, memory[0][column], memory[1][column], predicted=predicted, true=int(y[column]))
        assert (took, regulator.lr) == (bool(accepted[0, column]), pytest.approx(float(moved[0, column])))


def as_module(weights: list[torch.Tensor], row: int) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data, linear.bias.data = weight.data[row].T.contiguous(), bias.data[row, 0].clone()
        layers += [linear, torch.nn.ELU()]
    return torch.nn.Sequential(*layers[:-1])


def test_seasons_begin_calm_and_swap_only_in_storms() -> None:
    config = small()
    storms = replication.stormy(config)
    assert storms.view(4, 10).all(1).tolist() == [False, True, False, True]
    shown = replication.streams(config, *replication.digits(100, 0), 0)
    assert shown["seasons"].when[~storms].sum() == 0
    assert shown["seasons"].when.sum() > 0
    assert shown["none"].when.sum() == 0
