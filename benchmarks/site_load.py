"""Many readers at once: pages and JSON of the site beside a plain Django view and Datasette that serve the same papers.

    python benchmarks/site_load.py --papers 100000
    python benchmarks/site_load.py --papers 100000 --database postgresql://user:password@localhost/empty
    python benchmarks/site_load.py --papers 100000 --datasette /path/to/its/own/environment/bin/datasette

Everything runs on this machine's loopback: the servers one after the other, with `--workers` processes each (Datasette has one),
and `--readers` connections in this process, each of which asks again as soon as it was answered, or after `--pause` seconds on
average. A phase ends after `--seconds` or `--requests`, whichever is first. Papers, queries and stand-ins for vectors are those of
`search_speed.py`. In the last phase `--voters` people vote for one paper, once each, while the readers go on; the count must be theirs.

The plain view (`plain_papers.py`) gives the very same JSON for list and paper, which is checked before it is timed; its search is
FTS5 on SQLite and full-text search with a GIN index on PostgreSQL. The site keeps a page for strangers for five seconds; it is told not
to where pages are timed, but for its front page, which all readers ask for at once. Datasette reads the same tables and the same FTS5 index. What
still differs is what is asked: the site's search reads words and meaning and ranks both, Datasette answers with the columns of one
table, and only the site knows who asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpcore

HERE = Path(__file__).parent
TABLE = "papers_paper"
SAMPLE = 500
"""Different addresses of each kind that the readers ask for."""
PATIENCE = 60.0
"""Seconds that a reader waits for an answer."""
GROUPS: dict[str, int] = {}
"""The process group of each server, by its address."""
LIST = 50
"""Papers in a list that is answered as JSON."""


@dataclass
class Phase:
    """What became of one kind of request to one server."""

    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds that all processes of the server took, of which there are as many a second as there are cores."""
    times: list[float] = field(default_factory=list)
    """Of answers with a status below 400, in seconds."""
    errors: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def cells(self) -> list[str]:
        if len(self.times) < 2:
            return [f"{sum(self.errors.values())} errors", "", "", "", "", ""]
        fine = sorted(self.times)
        p50, p95 = (fine[int(len(fine) * share)] for share in (0.5, 0.95))
        wrong = ", ".join(f"{count} {what}" for what, count in self.errors.most_common(3)) or "0"
        rate, size = len(fine) / self.seconds, self.bytes / len(fine)
        work = f"{self.cpu / len(fine) * 1000:.1f}"
        return [f"{rate:,.0f}", f"{p50 * 1000:,.0f}", f"{p95 * 1000:,.0f}", work, f"{size / 1000:.1f}", wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--voters", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--requests", type=int, default=20_000, help="at most, in each phase")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that a reader reads, on average")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", default="", help="of an empty PostgreSQL database; else SQLite")
    parser.add_argument("--datasette", default="", help="its command")
    parser.add_argument("--folder", type=Path, help="keep the installation here, and take it up from there")
    parser.add_argument("--step", choices=["fill", "search-index", "no-votes", "vote-count"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step(asked)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # by which the servers end, too
    home = asked.folder or Path(tempfile.mkdtemp(prefix="pressrun-load-"))
    home.mkdir(exist_ok=True)
    try:
        measure(asked, home)
    finally:
        if not asked.folder:
            shutil.rmtree(home)


def measure(asked: argparse.Namespace, home: Path) -> None:
    environment = environment_of(asked, home)
    print(f"Load of the machine before we begin: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)
    if not (home / "sample.json").exists():
        again(asked, "fill", environment)
    sample = json.loads((home / "sample.json").read_text())
    engine = "PostgreSQL" if asked.database else "SQLite"
    print(f"{asked.papers:,} papers in {engine}, {asked.readers} readers, {asked.pause:g} s between two requests of one.\n")
    print(
        "| server | what | requests/s | p50 ms | p95 ms | CPU ms | kB | errors |\n|---|---|---|---|---|---|---|---|", flush=True
    )
    with served(asked, "site", environment | {"PRESSRUN_PAGE_SECONDS": "0"}, home) as site:
        told(site, "the site", asked, {f"{what}, page": pages for what, pages in pages_of(sample).items()})
        told(site, "the site", asked, {f"{what}, JSON": pages for what, pages in json_of(sample).items()})
        site_said = {what: said(site + pages[0]) for what, pages in json_of(sample).items()}
    if not asked.database and not (home / "peer.sqlite3").exists():
        peer_database(home)
    if asked.database:
        again(asked, "search-index", environment)
    with served(asked, "plain", environment, home) as plain:
        for what in ("list", "paper"):
            check_same(site_said[what], plain + plain_of(sample)[what][0])
        told(plain, "plain Django", asked, {f"{what}, JSON": pages for what, pages in plain_of(sample).items()})
    if asked.datasette and not asked.database:
        with served(asked, "datasette", environment, home) as datasette:
            told(datasette, "Datasette", asked, {f"{what}, JSON": pages for what, pages in datasette_of(sample).items()})
    with served(asked, "site", environment, home) as site:
        told(site, "the site", asked, {"front page, as all ask for it": ["/"]})
        vote(site, asked, sample, environment)


def said(url: str) -> object:
    return json.loads(httpcore.request("GET", url).content)


def check_same(ours: object, url: str) -> None:
    """End with a sentence where the plain view would be timed on other work than the site."""
    theirs = said(url)
    if theirs != ours:
        raise SystemExit(f"{url} gives other JSON than the site: {json.dumps(theirs)[:600]} is not {json.dumps(ours)[:600]}")


def told(address: str, server: str, asked: argparse.Namespace, kinds: dict[str, list[str]]) -> None:
    for what, pages in kinds.items():
        phase = asyncio.run(read(address, pages, asked))
        print(f"| {server} | {what} | {' | '.join(phase.cells())} |", flush=True)


def vote(address: str, asked: argparse.Namespace, sample: dict[str, Any], environment: dict[str, str]) -> None:
    """All vote for the same paper while the readers read lists."""

    async def both() -> tuple[Phase, Phase]:
        readers = asyncio.create_task(read(address, pages_of(sample)["list"], asked))
        votes = await voted(address, sample["voted"], sample["tokens"][: asked.voters], asked)
        return votes, await readers

    again(asked, "no-votes", environment)
    votes, reading = asyncio.run(both())
    kept, counted = again(asked, "vote-count", environment).split()
    print(f"| the site | votes while reading | {' | '.join(votes.cells())} |")
    print(f"| the site | lists while votes come in, page | {' | '.join(reading.cells())} |")
    print(
        f"\n{len(votes.times):,} of {asked.voters:,} votes were answered, {kept} are kept, and the paper's count says {counted}."
    )


# The readers


async def read(address: str, pages: Sequence[str], asked: argparse.Namespace) -> Phase:
    """Let all readers read until time or requests are up, once every process of the server is warm."""
    phase, order = Phase(), random.Random(1)
    async with asyncio.TaskGroup() as warming:
        for number in range(4 * asked.workers):
            warming.create_task(_warm(address, pages[number::50][:3]))
    began, worked = time.perf_counter(), work_of(address)
    left = asked.requests

    async def reader() -> None:
        nonlocal left
        line = Line(address)
        while left > 0 and time.perf_counter() - began < asked.seconds:
            left -= 1
            await line.ask(phase, "GET", order.choice(pages))
            if asked.pause:
                await asyncio.sleep(order.expovariate(1 / asked.pause))
        line.close()

    await asyncio.gather(*(reader() for _ in range(asked.readers)))
    phase.seconds, phase.cpu = time.perf_counter() - began, work_of(address) - worked
    return phase


async def _warm(address: str, pages: Sequence[str]) -> None:
    line = Line(address)
    for page in pages:
        await line.ask(Phase(), "GET", page)
    line.close()


async def voted(address: str, paper: str, tokens: Sequence[str], asked: argparse.Namespace) -> Phase:
    """One vote with each token, at most `readers` at a time. Who is told to try again does."""
    phase, begins, room = Phase(), time.perf_counter(), asyncio.Semaphore(asked.readers)

    async def voter(token: str) -> None:
        headers = f"Authorization: Bearer {token}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\n"
        async with room:
            line = Line(address)
            for _ in range(20):
                if await line.ask(phase, "POST", f"/vote/{paper}", headers, "on=1") != 503:
                    break
                await asyncio.sleep(1)
            line.close()

    await asyncio.gather(*(voter(token) for token in tokens))
    phase.seconds = time.perf_counter() - begins
    return phase


class Line:
    """One reader's connection, opened anew where the server closed it. As bare as can be: it works on the servers' own cores."""

    def __init__(self, address: str) -> None:
        self._host, self._port = address.removeprefix("http://").split(":")
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, phase: Phase, method: str, path: str, headers: str = "", body: str = "") -> int:
        """Ask once and read the whole answer; gives its status, 0 where there was none."""
        begins = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                status, size = await self._asked(f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n{body}")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as problem:
            phase.errors[type(problem).__name__] += 1
            self.close()
            return 0
        if status < 400:
            phase.times.append(time.perf_counter() - begins)
            phase.bytes += size
        else:
            phase.errors[str(status)] += 1
        return status

    async def _asked(self, request: str) -> tuple[int, int]:
        """Status and size of the answer, whether its length is told or it comes in chunks."""
        if self._ends is None:
            self._ends = await asyncio.open_connection(self._host, int(self._port), limit=1 << 20)
        answer, question = self._ends
        question.write(request.encode())
        head = (await answer.readuntil(b"\r\n\r\n")).lower()
        size, length = 0, re.search(rb"\r\ncontent-length: *(\d+)", head)
        if length:
            size = len(await answer.readexactly(int(length[1])))
        while not length and (chunk := int(await answer.readline(), 16)):
            size += len((await answer.readexactly(chunk + 2))[:-2])
        if not length:
            await answer.readline()
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head[9:12]), size

    def close(self) -> None:
        if self._ends:
            self._ends[1].close()
        self._ends = None


def pages_of(sample: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "list": [f"/papers/date/{day}" for day in sample["days"]],
        "search": [f"/search?{urlencode({'q': query})}" for query in sample["queries"]],
        "paper": [f"/papers/{key}" for key in sample["ids"]],
    }


def json_of(sample: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "list": [f"/api/daily_papers?date={day}&limit={LIST}" for day in sample["days"]],
        "search": [f"/api/papers/search?{urlencode({'q': query})}" for query in sample["queries"]],
        "paper": [f"/api/papers/{key}" for key in sample["ids"]],
    }


def plain_of(sample: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "list": [f"/list?{urlencode({'day': day})}" for day in sample["days"]],
        "search": [f"/search?{urlencode({'q': query})}" for query in sample["queries"]],
        "paper": [f"/paper?{urlencode({'id': key})}" for key in sample["ids"]],
    }


def datasette_of(sample: dict[str, Any]) -> dict[str, list[str]]:
    rows = f"/peer/{TABLE}.json?_shape=array&_nofacet=1&_nocount=1&"
    any_word = [" OR ".join(f'"{word}"' for word in query.split()) for query in sample["queries"]]
    ask_words = "select * from papers_paper where id in (select rowid from found where found match :q order by rank limit 20)"
    return {
        "list": [f"{rows}{urlencode({'day': day, '_sort_desc': 'votes', '_size': LIST})}" for day in sample["days"]],
        "search": [f"/peer.json?{urlencode({'sql': ask_words, 'q': query, '_shape': 'array'})}" for query in any_word],
        "paper": [f"{rows}{urlencode({'public_id': key})}" for key in sample["ids"]],
    }


# The servers


def environment_of(asked: argparse.Namespace, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PRESSRUN_HOME": str(home),
        "DATABASE_URL": asked.database,
        "DJANGO_SETTINGS_MODULE": "pressrun.web.settings",
        "PRESSRUN_LIMITS": "vote=1000000/1m write=1000000/1m",  # all voters share this machine's address
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def served(asked: argparse.Namespace, what: str, environment: dict[str, str], home: Path) -> Iterator[str]:
    """A server on loopback, ended with the block; gives its address."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uvicorn = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--workers",
        str(asked.workers),
        "--log-level",
        "error",
        "--timeout-keep-alive",
        "30",
        "--timeout-worker-healthcheck",
        "60",
    ]
    command = {
        "site": [*uvicorn, "pressrun.web.asgi:application"],
        "plain": [*uvicorn, "--app-dir", str(HERE), "plain_papers:application"],
        "datasette": [asked.datasette, "serve", str(home / "peer.sqlite3"), "--port", str(port)],
    }[what]
    # A group of its own: uvicorn's workers end with it, whatever happens here.
    quiet = subprocess.DEVNULL if what == "datasette" else None  # it tells of its start and end on standard error
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=quiet, start_new_session=True)
    try:
        until_open(server, port)
        GROUPS[f"http://127.0.0.1:{port}"] = server.pid
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def work_of(address: str) -> float:
    """Seconds of CPU time that the processes of a server have taken so far. Linux tells; elsewhere it is 0."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = file.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(told[2]) == GROUPS[address]:
            ticks += int(told[11]) + int(told[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def until_open(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"the server ended with code {server.returncode} before it answered")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not open its port within a minute")


def peer_database(home: Path) -> None:
    """The site's database in one state, with the full-text index that Datasette and the plain view search."""
    with closing(sqlite3.connect(home / "pressrun.sqlite3")) as ours, closing(sqlite3.connect(home / "peer.part")) as copy:
        ours.backup(copy)
        copy.execute("PRAGMA journal_mode=WAL")
        copy.execute(f"CREATE VIRTUAL TABLE found USING fts5(title, abstract, content={TABLE}, tokenize='porter unicode61')")
        copy.execute("INSERT INTO found(found) VALUES ('rebuild')")
        copy.commit()
    (home / "peer.part").rename(home / "peer.sqlite3")


# Filling


def again(asked: argparse.Namespace, name: str, environment: dict[str, str]) -> str:
    """A step in a process of its own, so that this one stays small; gives what it says."""
    command = [sys.executable, __file__, "--step", name, "--papers", str(asked.papers), "--voters", str(asked.voters)]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def step(asked: argparse.Namespace) -> None:
    import django

    django.setup()
    if asked.step == "fill":
        fill(asked.papers, asked.voters)
        return
    if asked.step == "search-index":
        search_index()
        return
    from django.conf import settings

    from pressrun.web.community.models import Vote
    from pressrun.web.papers.models import Paper

    voted_for = json.loads((settings.HOME / "sample.json").read_text())["voted"]
    votes = Vote.objects.filter(paper__public_id=voted_for)
    if asked.step == "no-votes":  # of an earlier run on the same folder
        votes.delete()
        return
    paper = Paper.objects.get(public_id=voted_for)
    print(votes.count(), paper.votes - (paper.upvotes_found or 0))


def fill(papers: int, voters: int) -> None:
    """Tables, papers through the site's own import, the index with stand-ins for vectors, and people with access tokens."""
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    begins = time.perf_counter()
    queries = store(papers)
    stored = time.perf_counter()
    index(papers)
    indexed = time.perf_counter()
    sample = take_sample(queries) | {"tokens": people(voters)}
    (settings.HOME / "sample.json").write_text(json.dumps(sample))
    rates = papers / (stored - begins), papers / (indexed - stored)
    print(f"Filled: {rates[0]:,.0f} papers/s stored, {rates[1]:,.0f} papers/s indexed.\n", file=sys.stderr, flush=True)


def search_index() -> None:
    """For the plain view's search on PostgreSQL: the index that Django's documentation advises."""
    from django.db import connection

    words = "to_tsvector('english'::regconfig, COALESCE(title, '') || ' ' || COALESCE(abstract, ''))"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS plain_words ON {TABLE} USING gin (({words}))")
        cursor.execute(f"ANALYZE {TABLE}")


def store(papers: int) -> list[str]:
    from search_speed import chunks

    from pressrun.catalog import Author, Links, Paper
    from pressrun.web.papers.ingest import Report, save

    queries: list[str] = []
    number = 0
    for chunk in chunks(papers, queries):
        for first in range(0, len(chunk), 500):
            batch = []
            for each in chunk[first : first + 500]:
                batch.append(
                    Paper(
                        title=each.title,
                        arxiv_id=f"{1501 + number // 100_000}.{number % 100_000:05}",
                        abstract=each.text,
                        authors=tuple(Author(name) for name in each.authors),
                        organisation=each.organisation,
                        topics=each.topics,
                        published=each.published,
                        listed=date(2020, 1, 1) + timedelta(days=number % max(papers // LIST, 1)),
                        upvotes=each.votes,
                        links=Links(code=f"https://github.com/example/{number}" if each.has_code else ""),
                    )
                )
                number += 1
            save(batch, Report())
    return queries


def index(papers: int) -> None:
    import numpy as np
    from search_speed import points

    from pressrun.search import ladder
    from pressrun.search.generation import current, folder
    from pressrun.search.vectors import VectorFiles
    from pressrun.web.papers.indexing import index_path, index_pending

    index_pending()
    files = VectorFiles(folder(index_path(), current(index_path())) / "vectors")
    for first in range(0, papers, 10_000):
        rows = np.arange(first, min(first + 10_000, papers))
        files.put(rows, points(len(rows), seed=first + 10**6), ladder.WHOLE)
    files.arrange(changed=0)


def take_sample(queries: list[str]) -> dict[str, Any]:
    from pressrun.web.papers.models import Paper

    keys = list(Paper.objects.visible().order_by("pk").values_list("public_id", flat=True))
    days = [str(day) for day in Paper.objects.visible().order_by("day").values_list("day", flat=True).distinct()]
    draw = random.Random(2)
    ids = draw.sample(keys, min(SAMPLE, len(keys)))
    return {
        "ids": [quote(key) for key in ids],
        "days": draw.sample(days, min(SAMPLE, len(days))),
        "queries": queries,
        "voted": keys[0],
    }


def people(count: int) -> list[str]:
    """Members, each with a token that may write. They have no password, so nobody else signs in as them."""
    from django.contrib.auth.models import User

    from pressrun.web.people import tokens

    User.objects.bulk_create(User(username=f"voter-{number}", password="!") for number in range(count))
    voters = User.objects.filter(username__startswith="voter-").order_by("pk")
    return [tokens.make(voter, "load", ["write"], 1)[1] for voter in voters]


if __name__ == "__main__":
    main()
