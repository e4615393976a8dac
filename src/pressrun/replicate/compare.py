"""Two runs side by side: what was asked, what they ran on, and whether evidence and verdicts came out the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pressrun.replicate.ending import EVIDENCE
from pressrun.replicate.evidence import Evidence, EvidenceError
from pressrun.replicate.record import RunError, RunRecord
from pressrun.replicate.verdicts import Verdict, verdict_from_json


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same. `a` and `b` are "" where a run does not have it."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class ClaimPair:
    """The verdicts of both runs on one claim; None where a run has none."""

    claim_id: str
    a: Verdict | None
    b: Verdict | None

    @property
    def same(self) -> bool:
        return self.a is not None and self.b is not None and self.a.verdict == self.b.verdict and self.a.version == self.b.version


@dataclass(frozen=True)
class MetricPair:
    """How far the numbers of one metric lie apart, over the seeds, arms and steps that both runs have."""

    metric: str
    unit: str
    shared: int
    differing: int
    largest: float
    only_a: int
    only_b: int


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs. `identical` is about the evidence, to the last bit."""

    asked: tuple[Difference, ...]
    surroundings: tuple[Difference, ...]
    claims: tuple[ClaimPair, ...]
    metrics: tuple[MetricPair, ...]
    identical: bool

    def sentence(self) -> str:
        if self.identical:
            return "The evidence is identical, to the last bit."
        changed = [pair.claim_id for pair in self.claims if not pair.same]
        told = f"{sum(pair.differing for pair in self.metrics):,} of {sum(pair.shared for pair in self.metrics):,} shared numbers differ"
        if not self.claims:
            return f"{told}; there are no verdicts to compare."
        return f"{told}; the verdict changed for {', '.join(changed)}." if changed else f"{told}; every verdict is the same."


def compare(a: RunRecord, b: RunRecord) -> Comparison:
    """Compare two runs that have ended.

    Raises:
        RunError: if one has no evidence that can be read.
    """
    mine, theirs = _evidence(a), _evidence(b)
    return Comparison(
        asked=_differences(_asked(a), _asked(b)),
        surroundings=_differences(_surroundings(a), _surroundings(b)),
        claims=_claims(a, b),
        metrics=_metrics(mine, theirs),
        identical=mine == theirs,
    )


def _evidence(record: RunRecord) -> Evidence:
    try:
        return Evidence.read(record.path / EVIDENCE)
    except EvidenceError as problem:
        raise RunError(f"run {record.id} ({record.state}) cannot be compared: {problem}") from None


def _asked(record: RunRecord) -> dict[str, str]:
    return {
        "replication": record.replication,
        "version": record.version,
        "source": record.source_sha256,
        "preset": record.preset,
        "seeds": ", ".join(map(str, record.seeds)),
        **{f"knob {name}": str(value) for name, value in record.config.items()},
        **{f"card {card.id}": f"version {card.version}, {card.sha256[:12]}" for card in record.cards},
    }


def _surroundings(record: RunRecord) -> dict[str, str]:
    found = {"on": record.on, "threads": str(record.threads), "network": record.network}
    if record.machine:
        found |= {name: str(value) for name, value in record.machine.model_dump().items()}
    if record.environment:
        found |= {"python": record.environment.python, "os": record.environment.os, "kernel": record.environment.kernel}
        found |= {f"package {name}": version for name, version in record.environment.packages.items()}
    found |= {f"code of {name}": sha256 for name, sha256 in record.code.items()}
    return found | {f"data {data.path}": data.sha256 for data in record.data}


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Difference, ...]:
    names = [*a, *(name for name in b if name not in a)]
    return tuple(Difference(name, a.get(name, ""), b.get(name, "")) for name in names if a.get(name) != b.get(name))


def _claims(a: RunRecord, b: RunRecord) -> tuple[ClaimPair, ...]:
    mine, theirs = ({verdict.claim_id: verdict for verdict in map(verdict_from_json, record.verdicts)} for record in (a, b))
    return tuple(
        ClaimPair(claim, mine.get(claim), theirs.get(claim)) for claim in [*mine, *(each for each in theirs if each not in mine)]
    )


def _metrics(a: Evidence, b: Evidence) -> tuple[MetricPair, ...]:
    mine, theirs = ({(row.metric, row.arm, row.seed, row.step): row.value for row in evidence.rows()} for evidence in (a, b))
    pairs = []
    for metric, unit in {**b.metrics, **a.metrics}.items():
        of_a, of_b = ({key for key in cells if key[0] == metric} for cells in (mine, theirs))
        gaps = [_gap(mine[key], theirs[key]) for key in of_a & of_b]
        differing = [gap for gap in gaps if gap > 0]
        pairs.append(
            MetricPair(metric, unit, len(gaps), len(differing), max(differing, default=0.0), len(of_a - of_b), len(of_b - of_a))
        )
    return tuple(pairs)


def _gap(a: float, b: float) -> float:
    """How far two numbers lie apart: 0 for equal ones, and for NaN and NaN; infinite where only one is a finite number."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf
