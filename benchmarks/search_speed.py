"""How fast, how large? A generated corpus in our index, SQLite FTS5, bm25s and LanceDB, each in processes of its own.

    python benchmarks/search_speed.py --papers 100000
    python benchmarks/search_speed.py --papers 3000000 --engines pressrun --limit 7200

Texts of 180 words and titles of 10 are drawn from a Zipf-Mandelbrot vocabulary of 300,000 words, frequent ones short as in
English. A query is 2 to 5 words of one paper, without regard to how frequent they are. Vectors are not the model's but points
around 1,000 random directions, so that no hours of embedding are needed; a query still goes through the model, so its time counts.
Building and searching run in separate processes; what is measured is printed as a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pressrun.search import Document, IndexWriter, SearchIndex, ladder
from pressrun.search.encoder import DIMENSIONS, MiniLM
from pressrun.search.generation import current, folder
from pressrun.search.vectors import VectorFiles

Floats = NDArray[np.float32]
Search = Callable[[str], object]

CHUNK = 100_000
"""Papers generated before the clock runs again: engines that index behind our back catch up with a few thousand at most."""
QUERIES = 1100
COLUMNS = (
    "engine",
    "papers",
    "build, papers/s",
    "vectors, s",
    "index, MB",
    "building, MB",
    "searching, MB",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "first 100: p50",
    "p95 ms",
    "CPU: build, papers/s",
    "p50 ms",
    "p95 ms",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--engines", default="pressrun,fts5,bm25s,lancedb", help="separated by commas")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which building or searching is given up")
    parser.add_argument("--folder", type=Path, help="keep the indexes here")
    parser.add_argument("--step", nargs=2, metavar=("ENGINE", "build|search"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step(*asked.step, asked.folder, asked.papers)
        return
    print(f"Load of the machine before we begin: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for engine in asked.engines.split(","):
        home = (asked.folder or Path(tempfile.mkdtemp())) / engine
        print(row(engine, home, asked.papers, asked.limit), flush=True)
        if not asked.folder:
            shutil.rmtree(home.parent)


def row(engine: str, home: Path, papers: int, limit: float) -> str:
    """One line of the table, or a sentence in its place."""
    home.mkdir(parents=True, exist_ok=True)
    found: dict[str, float] = {}
    for name in ("build", "search"):
        command = [sys.executable, __file__, "--papers", str(papers), "--folder", str(home), "--step", engine, name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"({engine} is left out: its {name} was not done after {limit:.0f} s.)"
        if done.returncode:
            return f"({engine} is left out: {done.stderr.strip().splitlines()[-1]})"
        found |= json.loads(done.stdout.splitlines()[-1])
    cells = [engine, f"{papers:,}", *(f"{found[key]:,.0f}" for key in ("rate", "vectors", "size", "built", "resident"))]
    cells += [f"{found[key]:.1f}" for key in ("p50", "p95", "p99", "first50", "first95")]
    return "| " + " | ".join([*cells, f"{found['cpu_rate']:,.0f}", f"{found['cpu50']:.1f}", f"{found['cpu95']:.1f}"]) + " |"


def step(engine: str, name: str, home: Path, papers: int) -> None:
    """Build or search, in this process; the figures go to standard output as JSON."""
    build, search = ENGINES[engine]
    if name == "build":
        index = home / "index"
        if index.exists() and (home / "built.json").exists():
            print((home / "built.json").read_text())
            return
        shutil.rmtree(index, ignore_errors=True)
        index.mkdir(parents=True)
        queries: list[str] = []
        meter = Meter()
        vectors = build(index, chunks(papers, queries), meter)
        (home / "queries.json").write_text(json.dumps(queries))
        size = sum(file.stat().st_blocks * 512 for file in index.rglob("*") if file.is_file())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {
            "rate": papers / meter.seconds,
            "cpu_rate": papers / meter.used,
            "vectors": vectors,
            "size": size / 1e6,
            "built": peak,
        }
        (home / "built.json").write_text(json.dumps(figures))
        print(json.dumps(figures))
        return
    queries = json.loads((home / "queries.json").read_text())
    ask = search(home / "index")
    times = np.array([timed(ask, query) for query in queries])
    figures = {"resident": resident()}
    figures |= dict(zip(("first50", "first95"), np.percentile(times[:100, 0], [50, 95]), strict=True))
    figures |= dict(zip(("p50", "p95", "p99"), np.percentile(times[100:, 0], [50, 95, 99]), strict=True))
    figures |= dict(zip(("cpu50", "cpu95"), np.percentile(times[100:, 1], [50, 95]), strict=True))
    print(json.dumps(figures))


def timed(ask: Search, query: str) -> tuple[float, float]:
    """Milliseconds gone by, and milliseconds of all cores used: on a busy machine only the second means something."""
    start, used = time.perf_counter(), time.process_time()
    ask(query)
    return (time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000


def resident() -> float:
    """MB of memory this process holds now, files mapped and touched included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


class Meter:
    """Seconds gone by and seconds of all cores used while it ran."""

    seconds = used = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start[0]
        self.used += time.process_time() - self._start[1]


# The corpus


def vocabulary(size: int = 300_000) -> NDArray[np.object_]:
    """Made-up words of English letters, the more frequent the shorter."""
    random = np.random.default_rng(1)
    letters = np.array(list("etaoinshrdlcumwfgypbvkjxqz"))
    shares = np.array(
        [12.7, 9.1, 8.2, 7.5, 7, 6.7, 6.3, 6.1, 6, 4.3, 4, 2.8, 2.8, 2.4, 2.4, 2.2, 2, 2, 1.9, 1.5, 1, 0.8, 0.15, 0.15, 0.1, 0.07]
    )
    words: dict[str, None] = {}
    while len(words) < size:
        rank = len(words)
        shortest = 1 if rank < 5 else 2 if rank < 60 else 3
        length = max(shortest, int(random.normal(2.6 + 1.44 * np.log10(rank + 2), 1.6)))
        words["".join(random.choice(letters, size=length, p=shares / shares.sum()))] = None
    return np.array(list(words), dtype=object)


def chunks(papers: int, queries: list[str]) -> Iterator[list[Document]]:
    """The corpus in pieces; `queries` is filled on the way, from papers all over it."""
    words = vocabulary()
    chances = 1 / (np.arange(len(words)) + 2.7) ** 1.07
    bounds = np.cumsum(chances / chances.sum())
    random = np.random.default_rng(0)
    every = max(papers // QUERIES, 1)
    for start in range(0, papers, CHUNK):
        chunk = []
        for first in range(start, min(start + CHUNK, papers), 2000):
            drawn = np.minimum(np.searchsorted(bounds, random.random((min(2000, papers - first), 190))), len(words) - 1)
            chunk += [paper(first + place, words[row], words, random) for place, row in enumerate(drawn)]
        for number in range(-start % every, len(chunk), every):
            text = chunk[number].text.split()
            if len(queries) < QUERIES:
                queries.append(" ".join(random.choice(text, random.integers(2, 6), replace=False)))
        yield chunk
    random.shuffle(queries)


def paper(number: int, text: NDArray[np.object_], words: NDArray[np.object_], random: np.random.Generator) -> Document:
    family, given, other, days, votes = (random.random(5) * (20_000, 20_000, 1000, 9000, 40)).astype(int)
    return Document(
        f"{number // 100_000 + 1001:04}.{number % 100_000:05}",
        " ".join(text[:10]),
        " ".join(text[10:]),
        authors=(f"{words[1000 + given]} {words[1000 + family]}", f"{words[1000 + family]} {words[1000 + given]}"),
        organisation=f"institute {other}",
        topics=(f"topic {other % 50}",),
        published=date(2000, 1, 1) + timedelta(int(days)),
        votes=int(votes),
        has_code=bool(votes > 20),
    )


@cache
def centres() -> Floats:
    return np.random.default_rng(9).standard_normal((1000, DIMENSIONS)).astype(np.float32)


def points(count: int, seed: int) -> Floats:
    """Unit vectors around 1,000 random directions, cosine about .6 to theirs: stand-ins for the model's."""
    random = np.random.default_rng(seed)
    found = centres()[random.integers(0, 1000, count)] + 1.3 * random.standard_normal((count, DIMENSIONS), dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


class TimedModel(MiniLM):
    """Reads the query with the model, for its time, and answers with one of the stand-ins."""

    def encode(self, texts: Sequence[str]) -> Floats:
        super().encode(texts)
        return points(len(texts), seed=sum(map(len, texts)))


# The engines: each builds from chunks, its words under the meter, and returns the seconds its vectors took; each opens for searching


def build_pressrun(home: Path, corpus: Iterator[list[Document]], meter: Meter) -> float:
    papers = 0
    with IndexWriter(home, memory=1 << 30) as writer:
        for chunk in corpus:
            with meter:
                writer.add(chunk)
            papers += len(chunk)
        with meter:
            writer.commit()
    files = VectorFiles(folder(home, current(home)) / "vectors")
    for first in range(0, papers, 10_000):
        rows = np.arange(first, min(first + 10_000, papers))
        files.put(rows, points(len(rows), seed=first + 10**6), ladder.WHOLE)
    start = time.perf_counter()
    files.arrange(changed=0)
    return time.perf_counter() - start


def search_pressrun(home: Path) -> Search:
    index = SearchIndex.open(home, encoder=TimedModel())
    return lambda query: index.search(query)


def build_fts5(home: Path, corpus: Iterator[list[Document]], meter: Meter) -> float:
    database = sqlite3.connect(home / "papers.db")
    database.execute("create virtual table papers using fts5(id unindexed, title, text, tokenize='porter unicode61')")
    for chunk in corpus:
        with meter, database:
            database.executemany("insert into papers values (?, ?, ?)", ((one.id, one.title, one.text) for one in chunk))
    return 0.0


def search_fts5(home: Path) -> Search:
    database = sqlite3.connect(home / "papers.db")
    asked = "select id from papers where papers match ? order by rank limit 20"
    return lambda query: database.execute(asked, (" OR ".join(f'"{word}"' for word in query.split()),)).fetchall()


def build_bm25s(home: Path, corpus: Iterator[list[Document]], meter: Meter) -> float:
    import bm25s

    texts = [f"{one.title} {one.text}" for chunk in corpus for one in chunk]
    index = bm25s.BM25()
    with meter:
        index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
        index.save(str(home))
    return 0.0


def search_bm25s(home: Path) -> Search:
    import bm25s

    index = bm25s.BM25.load(str(home), mmap=True)
    return lambda query: index.retrieve(bm25s.tokenize([query], stopwords=None, show_progress=False), k=20, show_progress=False)


def build_lancedb(home: Path, corpus: Iterator[list[Document]], meter: Meter) -> float:
    import lancedb
    import lancedb.index
    import pyarrow as pa

    table = None
    for number, chunk in enumerate(corpus):
        vectors = pa.FixedSizeListArray.from_arrays(points(len(chunk), seed=number).ravel(), DIMENSIONS)
        columns = pa.table(
            {"id": [one.id for one in chunk], "text": [f"{one.title} {one.text}" for one in chunk], "vector": vectors}
        )
        with meter:
            table = lancedb.connect(home).create_table("papers", columns) if table is None else table
            if number:
                table.add(columns)
    assert table is not None
    with meter:
        table.create_index("text", config=lancedb.index.FTS())
    start = time.perf_counter()
    table.create_index("vector", config=lancedb.index.IvfPq(distance_type="cosine"))
    return time.perf_counter() - start


def search_lancedb(home: Path) -> Search:
    import lancedb

    table = lancedb.connect(home).open_table("papers")
    model = TimedModel()
    return lambda query: table.search(query_type="hybrid").vector(model.encode([query])[0]).text(query).limit(20).to_list()


ENGINES: dict[str, tuple[Callable[[Path, Iterator[list[Document]], Meter], float], Callable[[Path], Search]]] = {
    "pressrun": (build_pressrun, search_pressrun),
    "fts5": (build_fts5, search_fts5),
    "bm25s": (build_bm25s, search_bm25s),
    "lancedb": (build_lancedb, search_lancedb),
}


if __name__ == "__main__":
    main()
