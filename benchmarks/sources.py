"""How fast an arXiv metadata snapshot is read, and in how much memory.

    python -m benchmarks.sources                      # 200,000 invented rows
    python -m benchmarks.sources --rows 1000000
    python -m benchmarks.sources --file SNAPSHOT      # a snapshot of your own

The invented rows have the keys, lengths and shapes of the real ones: 4 authors, an abstract of about 180 words broken
into lines, one to three versions, now and then TeX accents, a DOI, a journal.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import orjson

from pressrun.catalog import Paper, open_source

CATEGORIES = ["cs.LG", "cs.NE", "cs.CL", "stat.ML", "hep-ph", "math.GT", "quant-ph", "astro-ph.GA", "cond-mat.mes-hall"]
FAMILIES = ["Bárány", "Okafor", 'M\\"uller', "Tanaka", "Ivanova", "O'Neil", "van der Berg", "Zhou", "Castro", "Lindqvist"]


def snapshot_rows(count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` lines of an invented snapshot."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvwy", k=chance.randint(2, 11))) for _ in range(5000)]
    for number in range(count):
        month = number // 90_000
        arxiv_id = f"{7 + month // 12:02}{1 + month % 12:02}.{number % 90_000:05}"
        yield (
            orjson.dumps(
                _row(arxiv_id, datetime(2007, 4, 2, 19, 18, 42, tzinfo=UTC) + timedelta(minutes=number * 3), words, chance)
            )
            + b"\n"
        )


def _row(arxiv_id: str, created: datetime, words: list[str], chance: random.Random) -> dict[str, object]:
    people = [[chance.choice(FAMILIES), f"{chance.choice('ABCDEFGH')}.", ""] for _ in range(chance.randint(1, 7))]
    body = chance.choices(words, k=chance.randint(100, 260))
    return {
        "id": arxiv_id,
        "submitter": " ".join(people[0][1::-1]),
        "authors": ", ".join(f"{given} {family}" for family, given, _ in people),
        "title": "\n  ".join(" ".join(chance.choices(words, k=6)).capitalize() for _ in range(2)),
        "comments": f"{chance.randint(4, 40)} pages, {chance.randint(1, 12)} figures" if chance.random() < 0.7 else None,
        "journal-ref": f"Phys.Rev.D{chance.randint(50, 99)}:{chance.randint(1, 9999)},2008" if chance.random() < 0.3 else None,
        "doi": f"10.1103/PhysRevD.{chance.randint(50, 99)}.{chance.randint(1, 999999):06}" if chance.random() < 0.4 else None,
        "report-no": None,
        "categories": " ".join(chance.sample(CATEGORIES, chance.randint(1, 3))),
        "license": None,
        "abstract": "  " + "\n".join(" ".join(body[i : i + 11]) for i in range(0, len(body), 11)) + ".\n",
        "versions": [
            {"version": f"v{n + 1}", "created": format_datetime(created + timedelta(days=40 * n), usegmt=True)}
            for n in range(chance.randint(1, 3))
        ],
        "update_date": f"{created + timedelta(days=90):%Y-%m-%d}",
        "authors_parsed": people,
    }


def measure(path: Path) -> None:
    """Read the file and print rows per second of one core, and the peak of the process's memory."""
    begun, papers, others = time.process_time(), 0, 0
    with open_source(path) as reader:
        for item in reader:
            if isinstance(item, Paper):
                papers += 1
            else:
                others += 1
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = path.stat().st_size / 1e6
    print(
        f"{path.suffix or 'file':8} {papers:>9,} papers  {others:>5,} others  {seconds:7.1f} s  {papers / seconds:>9,.0f} rows/s  {size:8,.0f} MB  peak {peak:5.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="invented rows to read (%(default)s)")
    parser.add_argument("--file", type=Path, help="a snapshot to read instead")
    parser.add_argument("--gzip", action="store_true", help="also read the rows packed with gzip")
    arguments = parser.parse_args()
    if arguments.file:
        measure(arguments.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "snapshot.jsonl"
        with plain.open("wb") as file:
            file.writelines(snapshot_rows(arguments.rows))
        measure(plain)
        if arguments.gzip:
            packed = plain.with_suffix(".gz")
            with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
                while piece := source.read(1 << 20):
                    target.write(piece)
            measure(packed)


if __name__ == "__main__":
    main()
