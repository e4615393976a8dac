"""The claims of a paper as its page shows them: a row each, with what was found under its rule, or that it was not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pressrun.replicate import Claim, Replication, Verdict
from pressrun.replicate.record import RunError
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed, ledger, sync
from pressrun.web.runs.models import Outcome, Run, css
from pressrun.web.runs.plot import Plot, plots_of

__all__ = ["Claims", "Row", "of_paper", "of_run"]


@dataclass(frozen=True)
class Row:
    """One claim. `word` is its verdict; `sentences` are the rule and what else has to be said."""

    number: int
    card: Claim
    word: str
    plots: tuple[Plot, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def css(self) -> str:
        return css(self.word) if self.plots else "pending"


@dataclass(frozen=True)
class Claims:
    """All claims of a paper's replication, where they were judged, and what is not tested."""

    replication: Replication | None
    rows: tuple[Row, ...] = ()
    not_tested: tuple[str, ...] = ()
    run: Run | None = None
    machine: str = ""
    judged: datetime | None = None
    preset: str = ""
    shipped: bool = False
    problem: str = ""


def of_paper(paper: Paper) -> Claims | None:
    """What the page of a paper shows; None for a paper without a replication and without verdicts."""
    replication = installed.of_paper(paper)
    judged_here = Outcome.objects.filter(latest=True, **({"replication": replication.name} if replication else {"paper": paper}))
    outcome = judged_here.select_related("run").order_by("replication", "number").first()
    if replication is None and outcome is None:
        return None
    judged, problem = _judged(replication, outcome)
    not_tested = replication.not_tested if replication else judged.record.not_tested if judged else ()
    if judged is None or outcome is None:
        cards, word = replication.cards if replication else (), "not readable" if problem else "not run yet"
        rows = tuple(_pending(number, card, word) for number, card in enumerate(cards, 1))
        return Claims(replication, rows, not_tested, problem=problem)
    return Claims(
        replication,
        rows=tuple(_rows(judged, replication)),
        not_tested=not_tested,
        run=outcome.run,
        machine=judged.machine,
        judged=outcome.judged,
        preset=outcome.preset,
        shipped=outcome.shipped,
    )


def of_run(run: Run) -> tuple[Row, ...]:
    """The claims of one run, judged or not. Raises RunError where its record or cards cannot be read."""
    judged = ledger.judged(sync.runs_dir() / run.folder)
    if not judged.verdicts:
        word = "not judged yet" if run.moving else "not judged"
        return tuple(_pending(number, card, word) for number, card in enumerate(judged.cards, 1))
    return tuple(_rows(judged, None))


def _judged(replication: Replication | None, outcome: Outcome | None) -> tuple[ledger.Judged | None, str]:
    if outcome is None:
        return None, ""
    if outcome.run is None:
        return (ledger.shipped(replication) if replication else None), ""
    try:
        return ledger.judged(sync.runs_dir() / outcome.run.folder), ""
    except RunError as problem:
        return None, f"The verdicts cannot be shown: {sync.told(problem)}"


def _pending(number: int, card: Claim, word: str = "not run yet") -> Row:
    return Row(number, card, word, sentences=(f"Rule: {card.rule.sentence()}", *_control_sentence(card)))


def _control_sentence(card: Claim) -> tuple[str, ...]:
    return (f"The control, {card.control_is}, must not pass.",) if card.control_is else ()


def _rows(judged: ledger.Judged, replication: Replication | None) -> list[Row]:
    """The rows of a run: its cards in their order, then those that were added since."""
    verdicts = {verdict.claim_id: verdict for verdict in judged.verdicts}
    cards = list(judged.cards)
    now = {card.id: card for card in replication.cards} if replication else {}
    cards += [card for card in now.values() if card.id not in {each.id for each in judged.cards}]
    rows = []
    for number, card in enumerate(cards, 1):
        verdict = verdicts.get(card.id)
        rows.append(_row(number, card, verdict, now.get(card.id), replication) if verdict else _pending(number, card))
    return rows


def _row(number: int, card: Claim, verdict: Verdict, now: Claim | None, replication: Replication | None) -> Row:
    sentences = [f"Rule: {card.rule.sentence()}"] if not verdict.rule.parts else []
    if verdict.control.verdict == "matched":
        control = f"The control, {card.control_is}," if card.control_is else "The control"
        sentences.append(f"{control} passes too: this test cannot tell.")
    if now and now.version != card.version:
        sentences.append(f"Judged by version {card.version} of its card; version {now.version} is in force: {now.reason}")
    elif now is None and replication is not None and card.id in replication.withdrawn:
        sentences.append(f"Withdrawn since: {replication.withdrawn[card.id]}")
    return Row(
        number, card, verdict.verdict, tuple(plots_of(card, verdict.rule, verdict.control, verdict.verdict)), tuple(sentences)
    )
