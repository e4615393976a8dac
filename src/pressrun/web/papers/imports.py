"""Importing and exporting whole sources: where a reading goes on after a crash, and what a file gets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TextIO

from pressrun.catalog import Fetcher, Paper, open_source
from pressrun.catalog.exports import Format, export, extra_line
from pressrun.catalog.shipped import SHIPPED
from pressrun.web.errors import BadInput
from pressrun.web.papers import exchange, models
from pressrun.web.papers.ingest import Report, identity_of, load

__all__ = ["Progress", "export_to", "import_source", "load_shipped", "replaced_by", "replaced_when_whole"]

Progress = Callable[[Report, float | None, float | None], None]
"""Called after each batch with the report so far, and how much of how much has been read, where that is known."""


def import_source(
    location: str,
    *,
    as_of: date | None = None,
    resume: bool = True,
    fetch: Fetcher | None = None,
    progress: Progress | None = None,
) -> tuple[models.ImportRun, Report, list[str]]:
    """Read one file or address into the database.

    An earlier reading of the very same source that did not come to its end is taken up where it stopped, unless
    `resume` is off. Gives the reading, what it brought, and notes worth a person's eye. Raises `SourceError` or `FetchError` before anything is written when the source is not readable.
    """
    identity = identity_of(location)
    stopped = models.ImportRun.objects.filter(identity=identity).order_by("-pk").first()
    position = stopped.position if resume and stopped and stopped.state != stopped.State.FINISHED else ""
    with open_source(location, as_of=as_of, position=position or None, fetch=fetch) as reader:
        run = models.ImportRun.objects.create(location=location, identity=identity, format=reader.name, position=position)

        def tell(report: Report) -> None:
            if progress:
                progress(report, reader.done, reader.total)

        return run, load(reader, run=run, progress=tell), list(reader.notes)


def load_shipped() -> Report | None:
    """Load the catalogue that comes with pressrun, once for each version of it."""
    identity = identity_of(str(SHIPPED))
    if models.ImportRun.objects.filter(identity=identity, state=models.ImportRun.State.FINISHED).exists():
        return None
    return import_source(str(SHIPPED))[1]


def export_to(file: TextIO, format: Format) -> int:
    """Write every paper, and for JSON Lines all that people added; returns the number of papers."""
    count = 0

    def records() -> Iterator[Paper]:
        nonlocal count
        rows = models.Paper.objects.select_related("organisation").prefetch_related("topics").order_by("pk")
        for row in rows.iterator(chunk_size=1000):
            count += 1
            yield row.to_record()

    export(records(), format, file)
    if format == "jsonl":
        for extra in exchange.extras():
            file.write(extra_line(extra))
    return count


@contextmanager
def replaced_by(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, for its owner's eyes only, that takes its place when the block ends well."""
    if path.is_dir() or not path.parent.is_dir():
        raise BadInput(f"cannot write to {path}: it must be a file in a folder that exists.")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    unfinished = Path(name)
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def replaced_when_whole(path: Path) -> Iterator[TextIO]:
    """A text file to write to that takes the place of `path` only when everything is in it."""
    with replaced_by(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        yield file
