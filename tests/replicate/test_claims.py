"""A claim card says enough to be judged, and its verdict follows from its rule and its control."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.replicate import (
    Above,
    All,
    Claim,
    ClaimError,
    Difference,
    Evidence,
    Row,
    RuleError,
    Within,
    card_hash,
    claim_from_json,
    judge,
    unrecorded,
    verdict_from_json,
)
from pressrun.replicate.claims import Scale
from pressrun.replicate.verdicts import Word

CLAIM = Claim(
    id="finds-it",
    paper="The weight vector tends to the first eigenvector.",
    where="section 3",
    tested="The alignment at the end is at least 0.9.",
    scale="toy",
    rule=Above("alignment", "oja", at_least=0.9),
    control=Above("alignment", "shuffled", at_least=0.9),
    control_is="pixels shuffled",
)


def evidence(oja: tuple[float, ...], shuffled: tuple[float, ...]) -> Evidence:
    return Evidence(
        Row(seed, arm, "alignment", value)
        for arm, values in {"oja": oja, "shuffled": shuffled}.items()
        for seed, value in enumerate(values)
    )


HIGH, LOW, MIDDLE, WIDE = (0.99, 0.98, 0.99), (-0.01, 0.01, 0.02), (0.5, 0.51, 0.49), (0.1, 0.99, 0.5)


@pytest.mark.parametrize(
    ("oja", "shuffled", "word"),
    [
        (HIGH, LOW, "matched"),
        (HIGH, MIDDLE, "matched"),
        (HIGH, WIDE, "matched"),
        (HIGH, HIGH, "void"),
        (MIDDLE, HIGH, "void"),
        (WIDE, HIGH, "void"),
        (LOW, HIGH, "not matched"),  # a control that matches saves nothing
        (LOW, LOW, "not matched"),
        (MIDDLE, LOW, "partly matched"),
        (MIDDLE, MIDDLE, "void"),  # the mechanism adds nothing that shows
        (WIDE, LOW, "too noisy"),
        (HIGH, (math.nan, math.nan, math.nan), "matched"),  # an arm that diverged has not matched
        (HIGH, (-math.inf, -math.inf, -math.inf), "matched"),
        (HIGH, (), "too noisy"),
    ],
)
def test_its_verdict_is_that_of_its_rule_unless_the_control_does_as_well(
    oja: tuple[float, ...], shuffled: tuple[float, ...], word: Word
) -> None:
    verdict = judge(CLAIM, evidence(oja, shuffled))
    assert verdict.verdict == word
    assert (verdict.claim_id, verdict.version) == ("finds-it", 1)


def test_it_tells_rule_measure_and_control_in_one_paragraph() -> None:
    assert judge(CLAIM, evidence(HIGH, LOW)).sentence == (
        "Matched. The alignment of oja is at least 0.9. Measured: 0.9867 (95 % interval 0.9723 to 1.001, 3 seeds). "
        "Control (pixels shuffled), not matched: 0.006667 (95 % interval −0.03128 to 0.04461, 3 seeds)."
    )
    assert judge(CLAIM, evidence(HIGH, HIGH)).sentence.startswith(
        "Void: the control does as well, so the test cannot tell. The al"
    )
    assert judge(CLAIM, evidence(HIGH, ())).sentence.endswith(
        "too noisy: nothing was recorded of metric 'alignment' in arm 'shuffled'; 'alignment' was recorded in the arms oja."
    )


def test_a_claim_of_several_parts_is_void_only_if_all_of_the_control_matches() -> None:
    rule, control = (
        All(Above("alignment", arm, at_least=0.9), Within("alignment", arm, low=0.9, high=0.95)) for arm in ("oja", "shuffled")
    )
    claim = dataclasses.replace(CLAIM, rule=rule, control=control)
    assert judge(claim, evidence((0.93, 0.931, 0.932), HIGH)).verdict == "matched"
    assert judge(claim, evidence((0.93, 0.931, 0.932), (0.94, 0.941, 0.942))).verdict == "void"


def test_the_control_of_all_may_be_one_of_its_parts() -> None:
    dataclasses.replace(CLAIM, rule=All(CLAIM.rule, Within("norm", "oja", low=0.9, high=1.1)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "Finds It"}, "a claim's id must be lower-case words joined by hyphens, got 'Finds It'"),
        ({"paper": " "}, "claim finds-it needs a sentence in paper, got ' '"),
        ({"tested": None}, "claim finds-it needs a sentence in tested, got None"),
        ({"scale": "small"}, "claim finds-it needs the scale toy, reduced or full, got 'small'"),
        ({"rule": 0.9}, "claim finds-it needs a rule in rule, got 0.9"),
        ({"control": CLAIM.rule}, "claim finds-it has its own rule as control; the control needs an arm without the mechanism"),
        (
            {"control": Difference("alignment", "oja", minus="shuffled", at_least=0.9)},
            "claim finds-it needs a control of the same kind as its rule, Above, got Difference",
        ),
        ({"version": 0}, "claim finds-it needs a version of 1 or more, got 0"),
        ({"version": 2}, "claim finds-it is at version 2 and needs a reason why it changed"),
    ],
)
def test_it_refuses_a_card_that_does_not_say_enough(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ClaimError) as refused:
        dataclasses.replace(CLAIM, **change)
    assert str(refused.value) == sentence


texts = st.text(min_size=1).filter(str.strip)


@given(
    texts,
    texts,
    st.sampled_from(["toy", "reduced", "full"]),
    st.floats(0.1, 1e9),
    st.text(),
    st.text(),
    st.integers(1, 99),
    texts,
)
def test_json_gives_a_claim_back(
    paper: str, tested: str, scale: Scale, threshold: float, where: str, control_is: str, version: int, reason: str
) -> None:
    rules = [Above("alignment", arm, at_least=threshold) for arm in ("oja", "shuffled")]
    claim = Claim("a-b", paper, tested, scale, rules[0], rules[1], where, control_is, version, reason)
    again = claim_from_json(json.loads(json.dumps(claim.to_json())))
    assert again == claim
    assert card_hash(again) == card_hash(claim)


def test_json_gives_a_verdict_back() -> None:
    verdict = judge(CLAIM, evidence(HIGH, (-math.inf, 0.1, 0.2)))
    assert verdict_from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict


@pytest.mark.parametrize("given", [{}, {"claim_id": "a", "version": 1, "verdict": "proved"}])
def test_json_that_is_no_verdict_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^a verdict cannot be read: "):
        verdict_from_json(given)


def test_json_that_is_no_claim_is_refused() -> None:
    with pytest.raises(ClaimError, match=r"^a claim cannot be made of "):
        claim_from_json({"id": "a"})
    with pytest.raises(ClaimError, match=r"^a claim cannot be made of .*unexpected keyword argument 'extra'"):
        claim_from_json(CLAIM.to_json() | {"extra": 1})
    with pytest.raises(RuleError, match=r"^a rule must be a JSON object, got 3"):
        claim_from_json(CLAIM.to_json() | {"rule": 3})


def test_its_hash_follows_from_its_content_alone() -> None:
    # Worked out once with another program over the card's canonical JSON; it must never change, or every lock file breaks.
    assert card_hash(CLAIM) == "91de20931a3b26f68624d48437aabeb1049a85cfef1fde743c123a906427b571"
    assert card_hash(dataclasses.replace(CLAIM, reason="worded better")) == card_hash(CLAIM)


@pytest.mark.parametrize(
    "change",
    [
        {"rule": Above("alignment", "oja", at_least=0.91)},
        {"control": Above("alignment", "shuffled", at_least=0.91)},
        {"tested": "The alignment at the end is at least 0.95."},
        {"scale": "full"},
        {"version": 2, "reason": "r"},
    ],
)
def test_any_change_of_its_content_changes_its_hash(change: dict[str, Any]) -> None:
    assert card_hash(dataclasses.replace(CLAIM, **change)) != card_hash(CLAIM)


def test_what_a_claim_reads_and_nobody_recorded_is_named() -> None:
    assert unrecorded([CLAIM], evidence(HIGH, LOW)) == ()
    assert unrecorded([CLAIM], evidence(HIGH, ())) == (
        "claim finds-it reads metric 'alignment' of arm 'shuffled', which was not recorded",
    )


def test_the_contract_needs_no_site_and_no_learning_library() -> None:
    heavy = ("django", "torch", "pandas", "matplotlib", "scipy.stats", "pressrun.web", "pressrun.catalog", "pressrun.search")
    check = f"import sys, pressrun.replicate; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "[]\n"
