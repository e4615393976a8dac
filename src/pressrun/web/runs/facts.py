"""What is known of a paper's replication in few words: for cards, search, feeds and the JSON APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pressrun.replicate import Claim, Replication
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed
from pressrun.web.runs.models import Outcome, Run, css
from pressrun.web.runs.wording import lasting, tally

__all__ = ["Patch", "Strip", "for_index", "in_brief", "in_full", "latest", "strips"]


@dataclass(frozen=True)
class Patch:
    """One claim's mark: a square. `css` is the class of its verdict."""

    css: str
    word: str
    claim_id: str = ""


@dataclass(frozen=True)
class Strip:
    """The control strip of a paper: a patch a claim, the same in words, the scale, the cost, and the run that moves or fell short."""

    patches: tuple[Patch, ...]
    words: str
    scale: str
    cost: str
    can_run: bool
    run: Run | None = None
    shipped: bool = False


def latest(paper: Paper) -> list[Outcome]:
    """The outcomes that count for a paper, in the order of its claims. Read many papers `with_facts`."""
    read: list[Outcome] | None = getattr(paper, "outcomes_read", None)
    outcomes = paper.outcomes.all() if read is None else read
    return _of_one(installed.of_paper(paper), (each for each in outcomes if each.latest))


def _of_one(replication: Replication | None, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Of several replications of a paper, the outcomes of the one that the site shows."""
    found = sorted(outcomes, key=lambda each: (each.replication, each.number))
    name = replication.name if replication else found[0].replication if found else ""
    return [each for each in found if each.replication == name]


def strips(papers: Iterable[Paper]) -> dict[int, Strip]:
    """The strips of those papers that have one, by key, in two queries."""
    rows = {paper.pk: paper for paper in papers}
    outcomes: dict[int, list[Outcome]] = {}
    for outcome in Outcome.objects.filter(paper__in=rows, latest=True).order_by("replication", "number"):
        outcomes.setdefault(outcome.paper_id or 0, []).append(outcome)
    runs = {run.paper_id: run for run in Run.objects.filter(paper__in=rows, newest=True).order_by("created")}
    made = ((key, _strip(installed.of_paper(paper), outcomes.get(key, []), runs.get(key))) for key, paper in rows.items())
    return {key: strip for key, strip in made if strip}


def _strip(replication: Replication | None, found: Sequence[Outcome], run: Run | None) -> Strip | None:
    outcomes = _of_one(replication, found)
    if replication is None and not outcomes:
        return None
    patches = tuple(Patch(each.css_verdict, each.verdict, each.claim_id) for each in outcomes)
    words, scale = tally(each.verdict for each in outcomes), installed.scale_words(_scales(replication, outcomes))
    # A run that is over tells nothing that its verdicts do not, unless it fell short of verdicts.
    told = run if run and (run.moving or (run.state != "succeeded" and not outcomes)) else None
    cost = lasting(outcomes[0].seconds) if outcomes else ""
    return Strip(patches, words, scale, cost, replication is not None, told, bool(outcomes) and outcomes[0].shipped)


def for_index(paper: Paper) -> tuple[bool, Mapping[str, int | tuple[str, ...]]]:
    """Whether a paper has a replication, and what search can filter by: verdict, scale, runs (seconds). Reads `outcomes`."""
    replication, outcomes = installed.of_paper(paper), latest(paper)
    fields: dict[str, int | tuple[str, ...]] = {
        "verdict": tuple(dict.fromkeys(each.verdict.replace(" ", "-") for each in outcomes)),
        "scale": tuple(dict.fromkeys(_scales(replication, outcomes))),
    }
    seconds = [each.seconds for each in outcomes if each.seconds is not None]
    if seconds:
        fields["runs"] = round(max(seconds))
    return replication is not None or bool(outcomes), fields


def in_brief(paper: Paper) -> dict[str, str] | None:
    """The replication of a paper for clients that know texts only; None without one. Reads `outcomes`."""
    replication, outcomes = installed.of_paper(paper), latest(paper)
    if replication is None and not outcomes:
        return None
    found = {
        "name": replication.name if replication else outcomes[0].replication,
        "verdicts": tally(each.verdict for each in outcomes) or "not run yet",
        "scale": installed.scale_words(_scales(replication, outcomes)),
    }
    if outcomes:
        found |= {"judged": outcomes[0].judged.isoformat(), "seconds": f"{outcomes[0].seconds or 0:.1f}"}
        found["run"] = outcomes[0].run.run_id if outcomes[0].run else ""
    return found


def in_full(paper: Paper) -> dict[str, Any] | None:
    """The replication of a paper with every claim; None without one. Reads `outcomes`."""
    replication, outcomes = installed.of_paper(paper), {each.claim_id: each for each in latest(paper)}
    if replication is None and not outcomes:
        return None
    cards = {card.id: card for card in replication.cards} if replication else {}
    first = next(iter(outcomes.values()), None)
    return {
        "name": replication.name if replication else (first.replication if first else ""),
        "title": replication.title if replication else "",
        "installed": replication is not None,
        "presets": list(replication.presets) if replication else [],
        "seconds": first.seconds if first else None,
        "run": first.run.run_id if first and first.run else None,
        "judged": first.judged if first else None,
        "machine": first.machine if first else "",
        "elsewhere": bool(first and first.shipped),
        "not_tested": list(replication.not_tested) if replication else [],
        "claims": [
            _claim(claim_id, cards.get(claim_id), outcomes.get(claim_id)) for claim_id in [*cards, *(set(outcomes) - set(cards))]
        ],
    }


def _scales(replication: Replication | None, outcomes: Sequence[Outcome]) -> list[str]:
    """The scale of each claim: as judged, else as the cards say."""
    cards = replication.cards if replication else ()
    return [each.scale for each in outcomes] or [card.scale for card in cards]


def _claim(claim_id: str, card: Claim | None, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "id": claim_id,
        "paper": card.paper if card else "",
        "where": card.where if card else "",
        "tested": card.tested if card else "",
        "rule": card.rule.sentence() if card else "",
        "scale": outcome.scale if outcome else card.scale if card else "",
        "version": outcome.version if outcome else card.version if card else 0,
        "verdict": outcome.verdict if outcome else "not run yet",
        "estimate": _finite(outcome.estimate) if outcome else None,
        "low": _finite(outcome.low) if outcome else None,
        "high": _finite(outcome.high) if outcome else None,
        "threshold": _finite(outcome.threshold) if outcome else None,
        "unit": outcome.unit if outcome else "",
        "n": outcome.n if outcome else 0,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and abs(value) < float("inf") else None


def patches_of(words: Iterable[str]) -> tuple[Patch, ...]:
    return tuple(Patch(css(word), word) for word in words)
