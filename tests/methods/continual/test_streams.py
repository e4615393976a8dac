"""Streams with swapped labels: what is swapped when, and how long a learner takes to recover."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pressrun.methods.continual import ConceptShiftStream, label_swaps, recovery_times


def when(updates: int, *at: int) -> torch.Tensor:
    flags = torch.zeros(updates, dtype=torch.bool)
    flags[list(at)] = True
    return flags


def test_labels_are_exchanged_two_at_a_time_and_exchanges_add_up() -> None:
    rows = label_swaps(when(6, 2, 4), 5, generator=torch.Generator().manual_seed(0))
    assert rows[:2].tolist() == [[0, 1, 2, 3, 4]] * 2
    assert [(a != b).sum().item() for a, b in itertools.pairwise(rows)] == [0, 2, 0, 2, 0]
    assert all(sorted(row) == [0, 1, 2, 3, 4] for row in rows.tolist())


def test_two_classes_that_swap_twice_are_as_before() -> None:
    assert label_swaps(when(3, 0, 2), 2).tolist() == [[1, 0], [1, 0], [0, 1]]


def test_a_stream_names_its_samples_as_they_are_called_now() -> None:
    y = torch.arange(12) % 3
    stream = ConceptShiftStream(torch.arange(12.0)[:, None], y, when(7, 3, 5), batch=4, seed=1)
    seen = list(stream)
    assert [(shifted.epoch, shifted.swapped) for shifted in seen] == [
        (0, False), (0, False), (0, False), (1, True), (1, False), (1, True), (2, False),
    ]  # fmt: skip
    for shifted in seen:
        assert torch.equal(shifted.y, stream.mapping[shifted.update][y[shifted.x[:, 0].long()]])
    # Each epoch shows every sample once, in an order of its own.
    first, second = (torch.cat([each.x[:, 0] for each in seen[at : at + 3]]) for at in (0, 3))
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(12))
    assert not torch.equal(first, second)


def test_a_stream_is_the_same_each_time_and_says_which_samples_it_shows() -> None:
    stream = ConceptShiftStream(torch.rand(10, 2), torch.arange(10) % 2, when(5), batch=3, seed=0)
    assert all(torch.equal(a.x, b.x) for a, b in zip(stream, stream, strict=True))
    assert torch.equal(stream.x[stream.indices()], torch.stack([shifted.x for shifted in stream]))
    assert len(list(stream)) == len(stream) == 5


def test_recovery_counts_from_the_swap_to_the_end_of_a_good_window() -> None:
    # Ten right; a swap; three wrong; right ever after. A window of 4 with at least 3 right first ends 6 samples after the swap.
    correct = torch.tensor([1] * 10 + [0] * 3 + [1] * 7)
    assert recovery_times(correct, torch.tensor([10]), window=4, share=0.75).tolist() == [6.0]
    assert recovery_times(correct, torch.tensor([10]), window=4, share=1.0).tolist() == [7.0]


def test_what_does_not_recover_before_the_next_swap_is_infinite() -> None:
    correct = torch.tensor([1] * 6 + [0] * 6 + [1] * 6)
    times = recovery_times(correct, torch.tensor([2, 6, 12]), window=4, share=0.5).tolist()
    # The first has no window of 4 before it; the third comes back at once, for nothing was right before it.
    assert math.isnan(times[0])
    assert times[1:] == [math.inf, 4.0]


def test_what_does_not_fit_is_said() -> None:
    x, y = torch.rand(4, 2), torch.arange(4)
    with pytest.raises(ValueError, match=r"x must be \(N, ...\) and y \(N,\), got \(4, 2\) and \(3,\)"):
        ConceptShiftStream(x, y[:3], when(2))
    with pytest.raises(ValueError, match="batch must be between 1 and the 4 samples, got 5"):
        ConceptShiftStream(x, y, when(2), batch=5)
    with pytest.raises(ValueError, match=r"when must be a vector of bool, one for each update, got \(2,\) of torch.int64"):
        label_swaps(torch.arange(2), 3)
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        label_swaps(when(2), 1)
    with pytest.raises(ValueError, match=r"correct and swaps must be vectors, got \(2, 2\) and \(1,\)"):
        recovery_times(torch.ones(2, 2), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"swaps must lie within the 3 samples, got \[3\]"):
        recovery_times(torch.ones(3), torch.tensor([3]))
    with pytest.raises(ValueError, match=r"window and share must be positive, got 0 and 0\.9"):
        recovery_times(torch.ones(3), torch.tensor([1]), window=0)
