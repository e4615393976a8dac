"""One seed of one replication, or its figure, in a process of its own. `_guard` has limited the process before this is loaded."""

from __future__ import annotations

import errno
import importlib
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, cast

from pydantic import BaseModel, JsonValue

from pressrun.replicate.claims import Claim, card_hash
from pressrun.replicate.evidence import Evidence
from pressrun.replicate.knobs import Value
from pressrun.replicate.record import write_whole
from pressrun.replicate.run import Run, sha256_of

OUT_OF_MEMORY, FAILED = 3, 1  # exit codes of a worker that could still say what happened


class Job(BaseModel, frozen=True):
    """What a worker is told: everything it needs, as one line of JSON.

    `directory` is where `seeds/` and `figures/` are; `cards` is sha256 by claim id, as the run was asked for.
    """

    kind: Literal["seed", "draw"] = "seed"
    module: str
    config: dict[str, Value] = {}
    seed: int = 0
    cards: dict[str, str]
    units: dict[str, str]
    directory: Path
    scratch: Path
    cache: Path | None = None
    threads: int = 1
    cpu_seconds: float | None = None
    output_bytes: int | None = None


class Problem(BaseModel, frozen=True):
    """Why a worker failed, in a sentence, and of which kind where pressrun knows."""

    sentence: str
    kind: Literal["error", "memory", "output", "cards"] = "error"


class Facts(BaseModel, frozen=True):
    """What a worker knows about itself: written when it starts, and again with the rest when it ends."""

    pid: int
    network: str
    threads: int
    determinism: dict[str, JsonValue] = {}
    libraries: dict[str, str] = {}
    code: dict[str, str] = {}
    data: list[dict[str, JsonValue]] = []
    seconds: float = 0.0
    problem: Problem | None = None


class ReplicationModule(Protocol):
    """The names that a worker uses of a replication."""

    PAPER: str
    CLAIMS: tuple[Claim, ...]
    METRICS: Mapping[str, str]

    def Config(self, **knobs: Value) -> object: ...  # noqa: N802  # a dataclass, so it is called like one
    def replicate(self, config: object, seed: int, run: Run) -> None: ...
    def draw(self, evidence: Evidence) -> object: ...


class CardsDiffer(Exception):
    """The module's claim cards are not the ones that the run is to be judged by."""


def work(line: bytes, network: str) -> int:
    """Do the job and return the exit code; a failure is told in the facts, with the traceback on standard error."""
    job = Job.model_validate_json(line)
    facts = Facts(pid=os.getpid(), network=network, threads=job.threads)
    began = time.monotonic()
    run: Run | None = None
    code = 0
    write_facts(job, facts)
    try:
        if job.kind == "draw":
            draw(job)
        else:
            module = load(job.module, job.cards)
            facts = facts.model_copy(update={"determinism": settle_chance(job.seed, job.threads), "libraries": libraries()})
            write_facts(job, facts)
            run = new_run(job, module)
            config = module.Config(**job.config)
            module.replicate(config, job.seed, run)
            run.close()
    except BaseException as problem:  # SystemExit too: a replication does not decide that it is done by leaving
        with suppress(OSError):  # the output may be what is full
            sys.stderr.write(without_places(traceback.format_exc()))
        facts = facts.model_copy(update={"problem": told(problem)})
        code = OUT_OF_MEMORY if isinstance(problem, MemoryError) else FAILED
    data = [dict(asdict(file)) for file in run.data_files.values()] if run else []
    write_facts(job, facts.model_copy(update={"seconds": time.monotonic() - began, "data": data, "code": code_used(job.module)}))
    return code


def without_places(text: str) -> str:
    """A text without the folders that modules are imported from: output is kept, shown and sent around."""
    roots = {folder for folder in (*sys.path, sys.prefix, sys.base_prefix, str(Path.home())) if len(folder) > 1}
    for folder in sorted(roots, key=len, reverse=True):
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def load(name: str, cards: Mapping[str, str]) -> ReplicationModule:
    """Import a replication.

    Raises:
        CardsDiffer: if its claim cards are not those of the run.
    """
    module = cast(ReplicationModule, importlib.import_module(name))
    found = {claim.id: card_hash(claim) for claim in module.CLAIMS}
    differing = sorted(claim for claim in found.keys() | cards.keys() if found.get(claim) != cards.get(claim))
    if differing:
        raise CardsDiffer(
            f"the claim cards of {name} differ from the locked ones ({', '.join(differing)}): give them a new version and lock them"
        )
    return module


def new_run(job: Job, module: ReplicationModule) -> Run:
    origin = cast(ModuleType, module).__file__
    return Run(
        job.directory / "seeds",
        job.seed,
        module.METRICS,
        scratch=job.scratch,
        threads=job.threads,
        data_root=Path(origin).parent if origin else None,
    )


def settle_chance(seed: int, threads: int) -> dict[str, JsonValue]:
    """Seed every generator that is loaded and ask for deterministic kernels. Returns what was set, for the record."""
    random.seed(seed)
    done: dict[str, JsonValue] = {"random": seed, "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "random")}
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed)  # noqa: NPY002  # for the libraries that still draw from the global generator
        done["numpy"] = seed
    if "torch" in sys.modules:
        done |= _settle_torch(seed, threads)
    return done


def _settle_torch(seed: int, threads: int) -> dict[str, JsonValue]:
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # An operation without a deterministic kernel warns instead of failing: the run is still worth having, and says so.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    return {"torch": seed, "torch deterministic algorithms": True, "torch threads": threads, "cudnn benchmark": False}


def libraries() -> dict[str, str]:
    """Version of what computes, where it is loaded: NumPy with its BLAS, torch with its devices."""
    found: dict[str, str] = {}
    if "numpy" in sys.modules:
        import numpy as np

        parts = cast(dict[str, dict[str, dict[str, str]]], np.show_config(mode="dicts"))
        blas = parts.get("Build Dependencies", {}).get("blas", {})
        found |= {"numpy": np.__version__, "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()}
    if "torch" in sys.modules:
        torch = importlib.import_module("torch")
        devices = (
            [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        )
        found |= {"torch": torch.__version__, "torch devices": ", ".join(devices) or "cpu"}
    return found


def code_used(module: str) -> dict[str, str]:
    """The sha256 of every file of ours and of the replication's own package that was imported, by module name."""
    ours = {"pressrun", module.partition(".")[0]}
    files = {name: getattr(loaded, "__file__", None) for name, loaded in sys.modules.items() if name.partition(".")[0] in ours}
    return {name: sha256_of(Path(file)) for name, file in sorted(files.items()) if file and Path(file).is_file()}


def draw(job: Job) -> None:
    """Draw the figure from the evidence, as SVG and PNG. The same evidence gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "pressrun"
    module = cast(ReplicationModule, importlib.import_module(job.module))
    figure = module.draw(Evidence.read(job.directory / "evidence.parquet"))
    if not isinstance(figure, Figure):
        raise TypeError(f"draw must return a matplotlib Figure, got {type(figure).__name__}")
    folder = job.directory / "figures"
    folder.mkdir(exist_ok=True)
    for kind, metadata in {"svg": {"Date": None}, "png": {"Software": None}}.items():
        fresh = folder / f".figure.{kind}"
        figure.savefig(fresh, format=kind, metadata=metadata, dpi=144)
        fresh.replace(folder / f"figure.{kind}")


def told(problem: BaseException) -> Problem:
    """A problem in one line, and its kind."""
    text = " ".join(without_places(str(problem)).split())[:500]
    name = type(problem).__name__
    if isinstance(problem, MemoryError):
        return Problem(sentence=f"memory could not be had{f': {text}' if text else ''}", kind="memory")
    if isinstance(problem, OSError) and problem.errno == errno.EFBIG:
        return Problem(sentence="a file grew beyond the output limit", kind="output")
    if isinstance(problem, CardsDiffer):
        return Problem(sentence=text, kind="cards")
    return Problem(sentence=f"{name}: {text}" if text else name)


def facts_path(directory: Path, job: Job) -> Path:
    return directory / "seeds" / (f"{job.seed}.json" if job.kind == "seed" else "draw.json")


def write_facts(job: Job, facts: Facts) -> None:
    write_whole(facts_path(job.directory, job), facts.model_dump_json(indent=1).encode(), sync=False)


def read_facts(path: Path) -> Facts | None:
    """What a worker said about itself, None when it never came so far."""
    try:
        return Facts.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
