"""The same papers for agents, over the Model Context Protocol: the tools search, read, list and similar, and run, run_status and verdicts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import uvicorn
from django.db import close_old_connections
from django.http import Http404
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field
from starlette.applications import Starlette

from pressrun import __version__
from pressrun.replicate.record import RunError, load_record
from pressrun.web.api import searching
from pressrun.web.api.answers import find_paper
from pressrun.web.api.paperfiles import markdown
from pressrun.web.errors import BadInput, Busy
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper
from pressrun.web.runs import facts, starting, sync
from pressrun.web.runs.access import OWNER
from pressrun.web.runs.live import look, seeds_of
from pressrun.web.runs.models import Run

__all__ = ["http_app", "run", "server", "stdio"]

P = ParamSpec("P")
R = TypeVar("R")

INSTRUCTIONS = """Scientific papers of one self-hosted installation: a daily list, search in own words, similar papers.
It covers only the papers imported here: what is not found may well exist elsewhere. It knows titles, abstracts or short
summaries, authors, dates, topics and links; it has no full texts, no citations and no code. Some papers have a replication:
claims that can be run here and are judged by rules fixed before the run. Nothing but `run` changes anything."""

server: MCPServer[dict[str, Any]] = MCPServer(
    "pressrun", title="pressrun: daily papers", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING"
)


class Brief(BaseModel):
    """A paper in a list. `text` is the beginning of its abstract or summary; `read` gives the whole."""

    id: str
    title: str
    authors: list[str]
    published: str | None = Field(description="YYYY-MM-DD, null where unknown")
    organisation: str
    topics: list[str]
    votes: int
    text: str


class Hit(BaseModel):
    """A paper that a search found: its rank by words and by meaning (null: not found that way), and the query's words in it."""

    paper: Brief
    lexical_rank: int | None
    semantic_rank: int | None
    matched: list[str]


class SearchAnswer(BaseModel):
    total: int = Field(description="how many papers there are in all")
    total_is_exact: bool
    hits: list[Hit]


class WholePaper(BaseModel):
    id: str
    title: str
    markdown: str = Field(description="title, facts, abstract, summary and links")
    withdrawn: bool


class ListAnswer(BaseModel):
    title: str
    total: int
    page: int
    pages: int
    papers: list[Brief]


class SimilarAnswer(BaseModel):
    papers: list[Brief]


class ClaimVerdict(BaseModel):
    """A claim and how it came out: `verdict` is matched, partly matched, not matched, too noisy, void, or not run yet."""

    id: str
    paper: str = Field(description="what the paper says")
    tested: str = Field(description="what is tested here")
    rule: str
    scale: str = Field(description="toy, reduced or full: how large the test is against the paper's")
    verdict: str
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float | None


class Verdicts(BaseModel):
    """The claims of a paper. `run` names the run that they were judged in, "" for one elsewhere or none."""

    paper: str
    runnable: bool
    presets: list[str]
    claims: list[ClaimVerdict]
    not_tested: list[str]
    run: str
    machine: str


class RunStatus(BaseModel):
    """How far a run is. It has verdicts when it has succeeded, and was not a smoke run."""

    run: str
    paper: str
    state: str
    note: str
    preset: str
    changed_knobs: dict[str, bool | int | float | str]
    seeds: dict[int, str] = Field(description="what each seed does")
    seconds: float | None
    verdicts: dict[str, str] = Field(description="verdict by claim")
    last_lines: list[str]


def tool(name: str, title: str, description: str, *, reads_only: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Offer a function as a tool. What it raises for the caller reaches the agent as a sentence."""

    def offer(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def answer(*args: P.args, **kwargs: P.kwargs) -> R:
            close_old_connections()
            try:
                return function(*args, **kwargs)
            except (BadInput, Busy, Http404) as problem:
                raise ToolError(str(problem)) from problem
            finally:
                close_old_connections()

        server.add_tool(
            answer,
            name=name,
            title=title,
            description=description,
            annotations=ToolAnnotations(
                read_only_hint=reads_only, idempotent_hint=reads_only, destructive_hint=False, open_world_hint=False
            ),
            structured_output=True,
        )
        return function

    return offer


@tool(
    "search",
    "Search papers",
    'Find papers by a question or words. The query may hold filters: "a phrase", -exclude, author:, org:, topic:, year:2025 or '
    "year:2020..2023, before:, after:, has:code, sort:date or sort:votes. Searches titles, abstracts, summaries and authors of "
    "the papers imported here; not full texts, not the web.",
)
def search(
    query: Annotated[str, Field(description="words, a question, or filters", min_length=1, max_length=2000)],
    limit: Annotated[int, Field(ge=1, le=50)] = 10,
    mode: Annotated[Literal["hybrid", "lexical", "semantic"], Field(description="both ways, by words, by meaning")] = "hybrid",
) -> SearchAnswer:
    found = searching.search(_usable(query), limit=limit, mode=mode)
    hits = [
        Hit(paper=_brief(paper), lexical_rank=hit.lexical_rank, semantic_rank=hit.semantic_rank, matched=list(hit.matched))
        for paper, hit in found.papers
    ]
    return SearchAnswer(total=found.results.total, total_is_exact=found.results.total_is_exact, hits=hits)


@tool(
    "read",
    "Read a paper",
    "Everything that is known here about one paper, as Markdown: facts, the abstract or a short summary, links. Not its full "
    "text. Takes its id here, an arXiv id, a DOI, or an address that holds one.",
)
def read(paper: Annotated[str, Field(description="such as 2509.23253", min_length=1, max_length=500)]) -> WholePaper:
    found = find_paper(_usable(paper))
    text = markdown(found, found.get_absolute_url())
    return WholePaper(id=found.public_id, title=found.title, markdown=text, withdrawn=found.withdrawn)


@tool(
    "list",
    "List papers",
    "The papers of a day, ISO week or month of the daily list, the trending ones, or those of an author, organisation or topic; "
    "20 a page. A day without papers gives an empty list, not the nearest day.",
)
def list_papers(
    kind: Annotated[
        Literal["date", "week", "month", "trending", "author", "organisation", "topic"], Field(description="which kind of list")
    ] = "date",
    value: Annotated[
        str,
        Field(description="YYYY-MM-DD, YYYY-Www, YYYY-MM, or a name; empty for the latest and for trending", max_length=300),
    ] = "",
    page: Annotated[int, Field(ge=1, le=1000)] = 1,
) -> ListAnswer:
    found = lists.by_name(kind, _usable(value))
    shown = lists.page_of(found.papers.with_topics(), page, 20)
    papers = [_brief(paper) for paper in shown.object_list]
    return ListAnswer(title=found.title, total=shown.paginator.count, page=page, pages=shown.paginator.num_pages, papers=papers)


@tool(
    "similar",
    "Similar papers",
    "The papers imported here that are nearest in content to one paper, nearest first. It judges by title and abstract or "
    "summary, not by citations.",
)
def similar(
    paper: Annotated[str, Field(description="id, arXiv id or DOI", min_length=1, max_length=500)],
    limit: Annotated[int, Field(ge=1, le=50)] = 10,
) -> SimilarAnswer:
    found = searching.similar(find_paper(_usable(paper)), limit=limit)
    return SimilarAnswer(papers=[_brief(row) for row, _ in found])


@tool(
    "verdicts",
    "Verdicts of a paper",
    "The claims of one paper that can be tested here, the rule of each, and how it came out when it was run. A paper without a "
    "replication has none. `scale` says how large the test is against the paper's own.",
)
def verdicts(paper: Annotated[str, Field(description="id, arXiv id or DOI", min_length=1, max_length=500)]) -> Verdicts:
    sync.catch_up()
    found = find_paper(_usable(paper))
    known = facts.in_full(found)
    if known is None:
        raise BadInput(f"nobody has written a replication of {found.public_id} yet, so none of its claims was tested.")
    fields = ClaimVerdict.model_fields
    return Verdicts(
        paper=found.public_id,
        runnable=known["installed"],
        presets=known["presets"],
        claims=[ClaimVerdict(**{name: claim[name] for name in fields}) for claim in known["claims"]],
        not_tested=known["not_tested"],
        run=known["run"] or "",
        machine=known["machine"],
    )


@tool(
    "run",
    "Run a paper's replication",
    "Start the replication of one paper on this machine and return at once; `run_status` follows it. The preset smoke takes "
    "seconds and gives no verdict, laptop takes minutes. A changed knob keeps the verdicts out of the ledger.",
    reads_only=False,
)
def run_replication(
    paper: Annotated[str, Field(description="id, arXiv id or DOI", min_length=1, max_length=500)],
    preset: Annotated[Literal["smoke", "laptop", "paper"], Field(description="how large")] = "laptop",
    knobs: Annotated[dict[str, str] | None, Field(description="values of knobs that differ from the preset's")] = None,
    seeds: Annotated[int | None, Field(ge=1, le=starting.MOST_SEEDS, description="how many; 5 for a verdict")] = None,
) -> RunStatus:
    if not _owner_asks:
        raise BadInput(
            "runs can be started over standard input and output only, where the owner of the machine started the agent."
        )
    given = {"preset": preset, "seeds": "" if seeds is None else str(seeds)}
    given |= {f"{starting.KNOB}{name}": value for name, value in (knobs or {}).items()}
    started = starting.run_paper(find_paper(_usable(paper)), given, f"{OWNER}, by an agent")
    return run_status(started.run_id)


@tool("run_status", "State of a run", "How far a run is, its last lines, and its verdicts once it has succeeded.")
def run_status(run: Annotated[str, Field(description="id of a run", min_length=1, max_length=120)]) -> RunStatus:
    sync.catch_up()
    row = Run.objects.filter(run_id=_usable(run)).first()
    if row is None:
        raise BadInput(f"there is no run {run[:120]!r} here.")
    try:
        record = load_record(sync.runs_dir() / row.folder)
        seen = look(record)
    except RunError as problem:
        raise BadInput(sync.told(problem)) from problem
    return RunStatus(
        run=row.run_id,
        paper=record.paper,
        state=record.state.value,
        note=record.note or record.not_judged,
        preset=record.preset,
        changed_knobs=dict(record.changed),
        seeds={view.seed: f"{view.state} {view.note}".strip() for view in seeds_of(record, seen)},
        seconds=record.seconds,
        verdicts={str(verdict["claim_id"]): str(verdict["verdict"]) for verdict in record.verdicts},
        last_lines=[f"seed {line.seed}: {line.text}" for line in list(seen.lines)[-10:]],
    )


def _usable(text: str) -> str:
    if "\0" in text:
        raise BadInput("the text can't hold a NUL character.")
    return text.strip()


def _brief(paper: Paper) -> Brief:
    text = paper.text if len(paper.text) <= 400 else paper.text[:399].rsplit(" ", 1)[0] + "…"
    return Brief(
        id=paper.public_id,
        title=paper.title,
        authors=paper.author_names,
        published=paper.published.isoformat() if paper.published else None,
        organisation=paper.organisation.name if paper.organisation else "",
        topics=[topic.name for topic in paper.filed_under],
        votes=paper.votes,
        text=text,
    )


_owner_asks = False
"""Whether whoever asks is at this machine: a process that the owner started may start runs, the network may not."""


def stdio() -> None:
    """Serve the process that started this one, over standard input and output, until it closes them."""
    global _owner_asks
    _owner_asks = True
    server.run("stdio")


def http_app(host: str = "127.0.0.1") -> Starlette:
    """The ASGI application that serves /mcp. Requests are independent of each other: no sessions, so any worker will do."""
    return server.streamable_http_app(stateless_http=True, json_response=True, host=host)


def run(http: bool = False, host: str = "127.0.0.1", port: int = 8018) -> None:
    """Serve until interrupted: over standard input and output, or with `http` at http://host:port/mcp."""
    if http:
        uvicorn.run(http_app(host), host=host, port=port, log_level="warning")
    else:
        stdio()
