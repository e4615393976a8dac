"""The detector: weights and latencies by hand, spikes against the closed forms, what training needs, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pressrun.methods.spiking import (
    Homeostasis,
    PairSTDP,
    SpatialPatternDetector,
    all_binary_inputs,
    detector_report,
    hamming,
)

N = 7
SHOWN = all_binary_inputs(N)


def bits(text: str) -> Tensor:
    return torch.tensor([each == "1" for each in text])


def detector_of(*patterns: str, **options: object) -> SpatialPatternDetector:
    detector = SpatialPatternDetector(len(patterns[0]), **options)  # type: ignore[arg-type]
    for pattern in patterns:
        detector.train_pattern(bits(pattern))
    return detector


def test_one_pairing_gives_the_weights_and_the_threshold_worked_out_by_hand() -> None:
    # Pattern at 0, teacher at 2 ms: e^(-2/20) = .904837; two of three are active, and the threshold is .99 of what they give.
    detector = detector_of("101")
    torch.testing.assert_close(detector.weight, torch.tensor([[0.904837, -0.904837, 0.904837]]))
    assert detector.threshold.item() == pytest.approx(0.99 * 1.809675)
    assert detector.response(bits("111").unsqueeze(0)).item() == pytest.approx(0.904837)


def test_it_answers_to_its_pattern_alone_after_the_delay() -> None:
    detected, latency = detector_of("1010010").detect(SHOWN)
    assert SHOWN[detected[:, 0]].tolist() == [bits("1010010").tolist()]
    assert latency[detected].tolist() == [1.0]
    assert latency[~detected].isnan().all()


def test_an_exponential_synapse_answers_when_its_potential_peaks() -> None:
    # The current e^(-t/2) into a membrane that keeps .95 a step: potentials 1, 1.557, 1.847, 1.977, 2.014, 1.995 - the peak is at 4.
    # There the response exceeds what is needed by 1 %, and the step before is 1.8 % lower: 4 ms after it arrives at 1 ms.
    _, latency = detector_of("1", tau_s=2.0).detect(torch.ones(1, 1))
    assert latency.tolist() == [[5.0]]


def test_a_stronger_response_comes_earlier_through_an_exponential_synapse() -> None:
    tolerant = detector_of("1111", tau_s=5.0, homeostasis=Homeostasis(factor=0.5))
    latencies = tolerant.detect(torch.stack([bits("1111"), bits("1110")]))[1].flatten().tolist()
    assert latencies[0] < latencies[1]


def test_time_steps_may_be_finer() -> None:
    coarse, fine = (detector_of("11010", tau_s=2.0, dt=dt).detect(bits("11010").unsqueeze(0))[1].item() for dt in (1.0, 0.1))
    assert abs(coarse - fine) < 1.0


@given(st.integers(1, 2**N - 1), st.integers(1, 2**N - 1), st.sampled_from([0.0, 2.0, 5.0]))
def test_two_patterns_are_answered_with_the_cube_between_them(first: int, second: int, tau_s: float) -> None:
    # Where they differ the weights cancel: 2^d inputs reach the response of both, which is all of them for patterns without a
    # common bit as well.
    p, q = SHOWN[first], SHOWN[second]
    detector = SpatialPatternDetector(N, tau_s=tau_s)
    detector.train_pattern(p)
    detector.train_pattern(q)
    same = p == q
    cube = (SHOWN[:, same] == p[same]).all(dim=1)
    assert torch.equal(detector(SHOWN)[:, 0], cube)
    assert cube.sum() == 2 ** hamming(p, q)


@given(st.lists(st.integers(1, 2**N - 1), min_size=1, max_size=4), st.sampled_from([0.99, 0.8, 0.5]))
def test_spikes_are_what_the_response_says(patterns: list[int], factor: float) -> None:
    detector = SpatialPatternDetector(N, tau_s=2.0, homeostasis=Homeostasis(factor=factor))
    for pattern in patterns:
        detector.train_pattern(SHOWN[pattern])
    detected, latency = detector.detect(SHOWN)
    assert torch.equal(detected, detector.response(SHOWN) >= detector.threshold - 1e-3)
    assert detected[torch.tensor(patterns)].all()
    assert ((latency >= 1) & (latency <= 10) | latency.isnan()).all()


def test_a_lower_factor_tolerates_flipped_bits() -> None:
    # 5 active bits at .5: a response of 2.5 weights, so any two flips pass and no three.
    detected = detector_of("1111100", homeostasis=Homeostasis(factor=0.5))(SHOWN)[:, 0]
    assert torch.equal(detected, hamming(SHOWN, bits("1111100")) <= 2)


def test_excitatory_weights_answer_to_supersets_and_scaling_keeps_their_sum() -> None:
    detector = detector_of("1010010", "0110000", homeostasis=Homeostasis(depression=0.0, total=3.0))
    assert detector.weight.min() >= 0
    assert detector.weight.sum().item() == pytest.approx(3.0)
    one = detector_of("1010010", homeostasis=Homeostasis(depression=0.0))
    assert torch.equal(one(SHOWN)[:, 0], (SHOWN | ~bits("1010010")).all(dim=1))


def test_outputs_learn_by_themselves() -> None:
    detector = SpatialPatternDetector(4, 2)
    detector.train_pattern(bits("1100"), 0)
    alone = detector.weight[0].clone()
    detector.train_pattern(bits("0110"), 1)
    assert torch.equal(detector.weight[0], alone)
    assert detector(torch.stack([bits("1100"), bits("0110")])).tolist() == [[True, False], [False, True]]


def test_without_a_teacher_nothing_is_learnt_or_answered() -> None:
    detector = SpatialPatternDetector(N)
    detector.train_pattern(SHOWN[5], teacher=None)
    assert detector.weight.abs().sum() == 0
    assert not detector(SHOWN).any()


def test_a_teacher_before_the_pattern_depresses_it() -> None:
    detector = SpatialPatternDetector(3)
    detector.train_pattern(bits("101"), teacher=-2.0)
    torch.testing.assert_close(detector.weight, torch.tensor([[-0.904837, 0.0, -0.904837]]))


def test_a_pattern_stored_twice_is_one_pattern() -> None:
    once, twice = detector_of("1010010"), detector_of("1010010", "1010010")
    assert torch.equal(once(SHOWN), twice(SHOWN))
    assert len(twice.learnt[0]) == 1


def test_neurons_with_a_threshold_below_rest_stay_silent_without_a_volley_that_reaches_it() -> None:
    # No common bit: response and threshold 0. The empty volley has a response of 0 too, inputs of neither pattern one below.
    detector = detector_of("1000", "0100")
    assert detector(torch.stack([bits("0000"), bits("0010"), bits("1100")])).flatten().tolist() == [True, False, True]


def test_a_large_batch_is_detected_in_parts_like_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = detector_of("1010010", tau_s=2.0)
    whole = detector.detect(SHOWN)
    monkeypatch.setattr("pressrun.methods.spiking.spatial_patterns.AT_ONCE", 30)
    torch.testing.assert_close(detector.detect(SHOWN), whole, equal_nan=True)


def test_what_was_learnt_is_saved_and_learning_goes_on() -> None:
    detector, other = detector_of("1010010"), SpatialPatternDetector(N)
    other.load_state_dict(detector.state_dict())
    for each in (detector, other):
        each.train_pattern(bits("0110010"))
    assert torch.equal(other.threshold, detector.threshold)
    assert torch.equal(other(SHOWN), detector(SHOWN))


def test_a_detector_given_what_another_learnt_does_not_share_it() -> None:
    detector, other = detector_of("1010010"), SpatialPatternDetector(N)
    other.load_state_dict(detector.state_dict())
    other.train_pattern(bits("0110010"))
    assert len(detector.learnt[0]) == 1


def test_it_takes_a_rule_with_bounds() -> None:
    detector = detector_of("11", "10", rule=PairSTDP(a_plus=1.0, a_minus=1.0, w_max=0.5), homeostasis=Homeostasis(depression=0.0))
    assert detector.weight.tolist() == [[0.5, 0.5]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_detects_what_it_detects_on_the_cpu() -> None:
    there, here = (detector_of("1010010", "1010001", tau_s=2.0, device=device) for device in ("cuda", "cpu"))
    detected, latency = there.detect(SHOWN.cuda())
    torch.testing.assert_close((detected.cpu(), latency.cpu()), here.detect(SHOWN), equal_nan=True)


def test_the_report_is_the_one_worked_out_by_hand() -> None:
    # Columns: 1 hit, 1 miss, 1 false alarm, 1 rightly silent; never answers; nothing to detect.
    y_true = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]).bool()
    y_pred = torch.tensor([[1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]]).bool()
    report = detector_report(y_true, y_pred)
    assert report.accuracy.tolist() == [0.5, 0.75, 0.75]
    assert report.precision.tolist() == [0.5, 0.0, 0.0]
    assert report.recall[:2].tolist() == [0.5, 0.0]
    assert math.isnan(report.recall[2])
    assert report.false_positive_rate.tolist() == [0.5, 0.0, 0.25]


def test_all_inputs_are_counted_in_binary() -> None:
    assert all_binary_inputs(2).int().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert len(SHOWN.unique(dim=0)) == 2**N


def test_the_distance_counts_places_and_broadcasts() -> None:
    a = torch.tensor([[1, 0, 1], [0, 0, 0]])
    assert hamming(a, torch.tensor([1.0, 1.0, 1.0])).tolist() == [1, 3]
    assert hamming(a.unsqueeze(1), a).tolist() == [[0, 2], [2, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SpatialPatternDetector(0), "a detector needs at least 1 input and 1 output, got 0 and 1"),
        (lambda: SpatialPatternDetector(3, threshold=0.0), "threshold must be positive, got 0.0"),
        (
            lambda: SpatialPatternDetector(3, dt=30.0),
            "dt must be positive and at most tau_m, and tau_s 0 or more, got 30.0, 20.0 and 0.0",
        ),
        (lambda: SpatialPatternDetector(3, delay=11.0), "delay must be 0 or more and at most the window, got 11.0 and 10.0"),
        (lambda: SpatialPatternDetector(3).train_pattern(torch.ones(4)), r"pattern must be \(3,\), got \(4,\)"),
        (lambda: SpatialPatternDetector(3).train_pattern(torch.ones(3), 1), "label must be between 0 and 0, got 1"),
        (
            lambda: SpatialPatternDetector(3).train_pattern(torch.zeros(3)),
            "pattern must have at least one active input, got none",
        ),
        (lambda: SpatialPatternDetector(3).detect(torch.ones(3)), r"patterns must be \(B, 3\), got \(3,\)"),
        (
            lambda: detector_report(torch.ones(2).bool(), torch.ones(3).bool()),
            r"y_true and y_pred must be \(B, \.\.\.\) of one shape and not empty, got \(2,\) and \(3,\)",
        ),
        (
            lambda: hamming(torch.ones(2), torch.ones(3)),
            r"a and b must be \(\.\.\., N\) with the same N, got \(2,\) and \(3,\)",
        ),
        (lambda: all_binary_inputs(25), "n must be between 1 and 24, got 25"),
    ],
)
def test_it_refuses_what_it_cannot_use(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
