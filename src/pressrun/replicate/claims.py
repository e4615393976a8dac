"""Claims: what a paper says, what is tested of it here, and by which rule."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from pressrun.replicate.evidence import Evidence
from pressrun.replicate.rules import All, Rule, rule_from_json
from pressrun.replicate.verdicts import JSON, Judgement, Verdict, Word, worst

__all__ = ["Claim", "ClaimError", "Scale", "card_hash", "claim_from_json", "judge", "unrecorded"]

Scale = Literal["toy", "reduced", "full"]


class ClaimError(ValueError):
    """A claim card that cannot be judged, or that does not say enough."""


@dataclass(frozen=True)
class Claim:
    """One claim card.

    Args:
        id: a short name in lower-case words joined by hyphens; it never changes.
        paper: what the paper says, with its figure.
        tested: what is tested here.
        scale: how large the test is against the paper's: "toy", "reduced" or "full".
        rule: what decides.
        control: the same kind of rule on an arm without the mechanism. It must not match: if it does, the test cannot tell.
        where: where the paper says it: table, section, "abstract".
        control_is: what the control is, in a few words, such as "labels shuffled".
        version: raised with every change of the card.
        reason: why this version differs from the one before.

    Raises:
        ClaimError: if a text is empty, the control is the rule itself or of another kind, or a later version gives no reason.
    """

    id: str
    paper: str
    tested: str
    scale: Scale
    rule: Rule
    control: Rule
    where: str = ""
    control_is: str = ""
    version: int = 1
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.id):
            raise ClaimError(f"a claim's id must be lower-case words joined by hyphens, got {self.id!r:.80}")
        for name in ("paper", "tested"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise ClaimError(f"claim {self.id} needs a sentence in {name}, got {text!r:.80}")
        if self.scale not in get_args(Scale):
            raise ClaimError(f"claim {self.id} needs the scale toy, reduced or full, got {self.scale!r:.80}")
        for name in ("rule", "control"):
            if not isinstance(getattr(self, name), Rule):
                raise ClaimError(f"claim {self.id} needs a rule in {name}, got {getattr(self, name)!r:.80}")
        if self.control == self.rule:
            raise ClaimError(f"claim {self.id} has its own rule as control; the control needs an arm without the mechanism")
        if type(self.control) not in _kinds(self.rule):
            kinds = " or ".join(sorted(kind.__name__ for kind in _kinds(self.rule)))
            raise ClaimError(
                f"claim {self.id} needs a control of the same kind as its rule, {kinds}, got {type(self.control).__name__}"
            )
        if not isinstance(self.version, int) or isinstance(self.version, bool) or self.version < 1:
            raise ClaimError(f"claim {self.id} needs a version of 1 or more, got {self.version!r:.80}")
        if self.version > 1 and not self.reason.strip():
            raise ClaimError(f"claim {self.id} is at version {self.version} and needs a reason why it changed")

    def to_json(self) -> JSON:
        """As JSON types; `claim_from_json` gives it back."""
        return {
            "id": self.id,
            "paper": self.paper,
            "where": self.where,
            "tested": self.tested,
            "scale": self.scale,
            "rule": self.rule.to_json(),
            "control": self.control.to_json(),
            "control_is": self.control_is,
            "version": self.version,
            "reason": self.reason,
        }


def claim_from_json(given: Mapping[str, object]) -> Claim:
    """The claim that `to_json` made.

    Raises:
        ClaimError, RuleError: if `given` is no claim.
    """
    try:
        fields = dict(given)
        rule, control = (rule_from_json(cast(JSON, fields.pop(name))) for name in ("rule", "control"))
        return Claim(rule=rule, control=control, **fields)  # type: ignore[arg-type]  # Claim checks its fields itself
    except (KeyError, TypeError) as error:
        raise ClaimError(f"a claim cannot be made of {given!s:.120}: {error}") from None


def card_hash(claim: Claim) -> str:
    """The sha256 of the card without its reason, in hexadecimal digits. Equal cards have equal hashes on every machine."""
    card = {name: value for name, value in claim.to_json().items() if name != "reason"}
    return hashlib.sha256(json.dumps(card, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on a claim: that of its rule, unless the control does as well.

    A control that matches, or partly matches where the claim does no better, makes it void: what the mechanism adds does not
    show. It saves no claim that did not match. A control that was not recorded leaves nothing proved.
    """
    rule, control = claim.rule.judge(evidence), claim.control.judge(evidence)
    word: Word = rule.verdict
    if control.verdict == "matched" or control.verdict == word == "partly matched":
        word = worst([word, "void"])
    elif control.n == 0 and not control.missing:
        word = worst([word, "too noisy"])
    return Verdict(claim.id, claim.version, word, rule, control, _sentence(claim, word, rule, control))


def unrecorded(claims: Iterable[Claim], evidence: Evidence) -> tuple[str, ...]:
    """What the claims read and no seed recorded, a sentence each. Any seed of any preset shows it."""
    missing = []
    recorded = {(row.metric, row.arm) for row in evidence.rows()}
    for claim in claims:
        for metric, arm in sorted((claim.rule.reads() | claim.control.reads()) - recorded):
            missing.append(f"claim {claim.id} reads metric {metric!r} of arm {arm!r}, which was not recorded")
    return tuple(missing)


def _kinds(rule: Rule) -> set[type[Rule]]:
    """The kinds a control of this rule may have: its own, and for an `All` those of its parts."""
    return {type(rule)}.union(*map(_kinds, rule.rules)) if isinstance(rule, All) else {type(rule)}


def _sentence(claim: Claim, word: Word, rule: Judgement, control: Judgement) -> str:
    control_is = f" ({claim.control_is})" if claim.control_is else ""
    told = {
        "matched": "Matched",
        "partly matched": "Partly matched: surely the right direction, surely short of the threshold",
        "not matched": "Not matched",
        "too noisy": "Too noisy to tell",
        "void": "Void: the control does as well, so the test cannot tell",
    }[word]
    return f"{told}. {claim.rule.sentence()} Measured: {rule.sentence()}. Control{control_is}, {control.verdict}: {control.sentence()}."
