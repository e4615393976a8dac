"""A claim, the evidence and the verdict: the contract of a replication. It knows no site and no learning library."""

from pressrun.replicate.claims import Claim, ClaimError, card_hash, claim_from_json, judge, unrecorded
from pressrun.replicate.discovery import Found, Replication, discover, replication_for, replications
from pressrun.replicate.evidence import Curve, Evidence, EvidenceError, Row, number
from pressrun.replicate.knobs import Knob, KnobError, changed, check_config, knob, knobs_of, make_config, settings
from pressrun.replicate.lock import LockError, lock
from pressrun.replicate.rules import (
    Above,
    All,
    Below,
    Contrast,
    Difference,
    Equivalent,
    Monotone,
    Ordered,
    Rate,
    Ratio,
    Rule,
    RuleError,
    Within,
    rule_from_json,
)
from pressrun.replicate.run import Run
from pressrun.replicate.verdicts import Judgement, Verdict, judgement_from_json, verdict_from_json

__all__ = [
    "Above",
    "All",
    "Below",
    "Claim",
    "ClaimError",
    "Contrast",
    "Curve",
    "Difference",
    "Equivalent",
    "Evidence",
    "EvidenceError",
    "Found",
    "Judgement",
    "Knob",
    "KnobError",
    "LockError",
    "Monotone",
    "Ordered",
    "Rate",
    "Ratio",
    "Replication",
    "Row",
    "Rule",
    "RuleError",
    "Run",
    "Verdict",
    "Within",
    "card_hash",
    "changed",
    "check_config",
    "claim_from_json",
    "discover",
    "judge",
    "judgement_from_json",
    "knob",
    "knobs_of",
    "lock",
    "make_config",
    "number",
    "replication_for",
    "replications",
    "rule_from_json",
    "settings",
    "unrecorded",
    "verdict_from_json",
]
