"""The ledger as a page: papers by claims by verdicts, filtered and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pressrun.replicate import Replication
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed
from pressrun.web.runs.models import SCALES, VERDICTS, Outcome, css
from pressrun.web.runs.wording import lasting

__all__ = ["NOT_RUN", "ORDERS", "Cell", "Entry", "Filters", "Overview", "filters_of", "overview"]

NOT_RUN = "not run yet"
ORDERS = {
    "topic": "by topic",
    "newest": "newest run first",
    "claims": "most claims first",
    "matched": "most matched first",
    "cost": "cheapest first",
}
OTHER = "Other"
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Filters:
    text: str = ""
    verdict: str = ""
    scale: str = ""
    topic: str = ""
    order: str = "topic"

    @property
    def any(self) -> bool:
        return bool(self.text or self.verdict or self.scale or self.topic)


@dataclass(frozen=True)
class Cell:
    """One claim of a paper."""

    number: int
    claim_id: str
    word: str
    scale: str
    outcome: Outcome | None = None

    @property
    def css(self) -> str:
        return css(self.word) if self.outcome else "pending"


@dataclass(frozen=True)
class Entry:
    """One replication: its paper, if that is in the catalogue, and its claims."""

    name: str
    title: str
    paper: Paper | None
    cells: tuple[Cell, ...]
    topics: tuple[str, ...]
    search: str

    @property
    def judged(self) -> datetime | None:
        return max((cell.outcome.judged for cell in self.cells if cell.outcome), default=None)

    @property
    def seconds(self) -> float | None:
        return next((cell.outcome.seconds for cell in self.cells if cell.outcome), None)

    @property
    def cost(self) -> str:
        return lasting(self.seconds)

    @property
    def shipped(self) -> bool:
        return any(cell.outcome and cell.outcome.shipped for cell in self.cells)

    @property
    def machine(self) -> str:
        return next((cell.outcome.machine for cell in self.cells if cell.outcome), "")

    @property
    def scale(self) -> str:
        return installed.scale_words(cell.scale for cell in self.cells)

    @property
    def published(self) -> date | None:
        return self.paper.published if self.paper else None

    @property
    def group(self) -> str:
        return self.topics[0] if self.topics else OTHER

    def count(self, word: str) -> int:
        return sum(cell.word == word for cell in self.cells)


@dataclass(frozen=True)
class Overview:
    """The page: entries in groups (one without a name, where the order is not by topic), and how many claims got each verdict."""

    groups: tuple[tuple[str, tuple[Entry, ...]], ...]
    counts: tuple[tuple[str, str, int], ...]
    topics: tuple[str, ...]
    papers: int
    claims: int
    last: datetime | None

    @property
    def columns(self) -> range:
        most = max((len(entry.cells) for _, entries in self.groups for entry in entries), default=0)
        return range(1, most + 1)


def filters_of(given: Mapping[str, str]) -> Filters:
    """The filters in an address. A value that is none of those to choose from is bad input."""

    def one_of(name: str, known: Iterable[str]) -> str:
        value = given.get(name, "")
        if value and value not in known:
            raise BadInput(f"{name} must be one of {', '.join(known)}, got {value[:40]!r}.")
        return value

    return Filters(
        text=" ".join(given.get("q", "").replace("\0", " ").split())[:200],
        verdict=one_of("verdict", (*VERDICTS, NOT_RUN)),
        scale=one_of("scale", SCALES),
        topic=given.get("topic", "").replace("\0", "")[:120],
        order=one_of("order", ORDERS) or "topic",
    )


def overview(filters: Filters) -> Overview:
    """Everything that has a replication here, and what was judged. Three queries, however much there is."""
    entries = list(_entries())
    chosen = [entry for entry in entries if _fits(entry, filters)]
    counted = Counter(cell.word for entry in chosen for cell in entry.cells)
    judged = [entry.judged for entry in chosen if entry.judged]
    return Overview(
        groups=tuple(_grouped(chosen, filters.order)),
        counts=tuple((word, css(word) if word != NOT_RUN else "pending", counted[word]) for word in (*VERDICTS, NOT_RUN)),
        topics=tuple(sorted({topic for entry in entries for topic in entry.topics})),
        papers=len(chosen),
        claims=sum(counted[word] for word in VERDICTS),
        last=max(judged, default=None),
    )


def _entries() -> Iterator[Entry]:
    rows: dict[str, list[Outcome]] = {}
    for outcome in Outcome.objects.filter(latest=True).select_related("run").order_by("replication", "number"):
        rows.setdefault(outcome.replication, []).append(outcome)
    known = installed.replications()
    papers = _papers(known.values(), rows.values())
    for name in sorted({*known, *rows}):
        replication, outcomes = known.get(name), rows.get(name, [])
        paper = papers.get(name)
        yield Entry(
            name=name,
            title=paper.title if paper else replication.title if replication else name,
            paper=paper,
            cells=tuple(_cells(replication, outcomes)),
            topics=tuple(topic.name for topic in paper.topics.all()) if paper else (),
            search=_searchable(paper, replication),
        )


def _papers(known: Iterable[Replication], rows: Iterable[list[Outcome]]) -> dict[str, Paper]:
    """The paper of each replication that has one here, by the replication's name."""
    keys = {outcomes[0].replication: outcomes[0].paper_id for outcomes in rows}
    refs = [each.paper for each in known]
    wanted = Paper.objects.filter(pk__in=filter(None, keys.values())) | Paper.objects.filter(public_id__in=refs)
    wanted |= Paper.objects.filter(arxiv_id__in=refs) | Paper.objects.filter(doi__in=[ref.lower() for ref in refs])
    found = list(wanted.distinct().defer("abstract").prefetch_related("topics"))
    by_key = {paper.pk: paper for paper in found}
    papers = {name: by_key[key] for name, key in keys.items() if key in by_key}
    for paper in found:
        replication = installed.of_paper(paper)
        if replication:
            papers.setdefault(replication.name, paper)
    return papers


def _cells(replication: Replication | None, outcomes: list[Outcome]) -> Iterator[Cell]:
    by_claim = {outcome.claim_id: outcome for outcome in outcomes}
    cards = {card.id: card.scale for card in replication.cards} if replication else {}
    order = [*(outcome.claim_id for outcome in outcomes), *(claim for claim in cards if claim not in by_claim)]
    for number, claim in enumerate(order, 1):
        outcome = by_claim.get(claim)
        yield Cell(number, claim, outcome.verdict if outcome else NOT_RUN, outcome.scale if outcome else cards[claim], outcome)


def _searchable(paper: Paper | None, replication: Replication | None) -> str:
    texts = [paper.title, paper.public_id] if paper else []
    if replication:
        texts += [replication.title, replication.name, *(f"{card.paper} {card.tested}" for card in replication.cards)]
    return " ".join(texts).casefold()


def _fits(entry: Entry, filters: Filters) -> bool:
    cells = [cell for cell in entry.cells if filters.scale in ("", cell.scale) and filters.verdict in ("", cell.word)]
    words = filters.text.casefold().split()
    return bool(cells) and filters.topic in ("", *entry.topics) and all(word in entry.search for word in words)


def _grouped(entries: list[Entry], order: str) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    entries = sorted(entries, key=lambda entry: entry.title.casefold())
    match order:
        case "topic":
            for name in sorted({entry.group for entry in entries}, key=lambda name: (name == OTHER, name)):
                yield name, tuple(entry for entry in entries if entry.group == name)
            return
        case "newest":
            entries.sort(key=lambda entry: entry.judged or _NEVER, reverse=True)
        case "claims":
            entries.sort(key=lambda entry: len(entry.cells), reverse=True)
        case "matched":
            entries.sort(key=lambda entry: (entry.count("matched"), entry.count("partly matched")), reverse=True)
        case "cost":
            entries.sort(key=lambda entry: float("inf") if entry.seconds is None else entry.seconds)
    if entries:
        yield "", tuple(entries)
