"""Seeds as tasks of a Ray cluster. A task runs its seed exactly as the local executor does, on whichever node it lands.

What a seed writes on its node goes to the run's directory as it grows, through one actor on the machine of the supervisor:
nodes need no shared file system, and a node that is lost takes nothing with it that had arrived. Ray tries a seed again
when its worker or its node dies; the seed starts anew then. Every node needs pressrun and the replication installed.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from pressrun.replicate import local
from pressrun.replicate.local import Outcome, Watch
from pressrun.replicate.machine import allowed_cores
from pressrun.replicate.record import Limits, Live, RunError, SeedResult, State
from pressrun.replicate.worker import Job

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from ray.actor import ActorHandle

RETRIES = 3
POLL = 0.2  # seconds
FROM_OUTSIDE = ("SIGKILL", "SIGTERM")  # what a worker dies of when somebody or something else ends it: worth another try


class WorkerKilled(Exception):
    """The process of a seed was killed from outside. Ray tries the seed again."""


class Recorder:
    """Beside the supervisor: puts what arrives from the nodes into the run's files."""

    def __init__(self, directory: str) -> None:
        self.folder = Path(directory) / "seeds"
        self.folder.mkdir(exist_ok=True)
        self.attempts: dict[int, int] = {}

    def begin(self, seed: int) -> int:
        """A new attempt at a seed; its number, from 1. What the one before left stays, in a folder of its own."""
        attempt = self.attempts.get(seed, 0)
        if attempt:
            kept = self.folder / f"attempt-{attempt}"
            kept.mkdir(exist_ok=True)
            for path in self.folder.glob(f"{seed}.*"):
                path.replace(kept / path.name)
        self.attempts[seed] = attempt + 1
        return attempt + 1

    def append(self, seed: int, attempt: int, pieces: Mapping[str, bytes]) -> None:
        """Pieces of files, by name; facts come whole each time. What still arrives of an attempt that was given up is left out."""
        if attempt != self.attempts.get(seed):
            return
        for name, piece in pieces.items():
            with (self.folder / name).open("wb" if name.endswith(".json") else "ab") as file:
                file.write(piece)

    def settle(self, unfinished: Sequence[int]) -> dict[int, int]:
        """At the end: of a seed that did not succeed, the attempt with the most evidence counts. How often each seed was tried."""
        for seed in unfinished:
            tries = [path / f"{seed}.jsonl" for path in (self.folder, *self.folder.glob("attempt-*"))]
            best = max((path for path in tries if path.exists()), key=lambda path: path.stat().st_size, default=None)
            if best is not None and best.parent != self.folder:
                best.replace(self.folder / best.name)
        return self.attempts


def run_seeds(
    job: Job,
    seeds: Sequence[int],
    *,
    limits: Limits,
    parallel: int,  # noqa: ARG001  # how many run side by side is the cluster's business
    run_id: str,
    stop: Callable[[], str | None],
    beat: Callable[[Live], None],
) -> Outcome:
    """As `local.run_seeds`, on the cluster of RAY_ADDRESS, or one that is started on this machine for the time of the run.

    The wall limit is of the whole run, the memory limit of each seed.

    Raises:
        RunError: if Ray is not installed, the cluster cannot be reached, or no node has the cores for one seed.
    """
    with cluster() as ray:
        enough_cores(ray, job.threads)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        recorder = ray.remote(Recorder).options(num_cpus=0, scheduling_strategy=here).remote(str(job.directory))
        how = ray.remote(num_cpus=job.threads, max_retries=RETRIES, retry_exceptions=[WorkerKilled], max_calls=1)
        task = how(run_on_node)
        jobs = {seed: local.seed_job(job, seed).model_dump_json() for seed in seeds}
        path = os.environ.get("PYTHONPATH")
        started = {task.remote(jobs[seed], limits.model_dump_json(), run_id, recorder, path): seed for seed in seeds}
        watch = Watch(limits, job.directory, job.scratch, stop)
        results, ending = follow(ray, started, watch, beat)
        stopped = [seed for seed in started.values() if seed not in results]
        unfinished = [seed for seed in seeds if seed in stopped or results[seed].state is not State.SUCCEEDED]
        attempts = ray.get(recorder.settle.remote(unfinished))
    clear(f"pressrun-{run_id}-")
    for seed in stopped:
        if seed in attempts:
            results[seed] = SeedResult(seed=seed, state=ending.state, note="stopped with the run")
    in_order = tuple(results[seed].model_copy(update={"attempts": attempts.get(seed, 1)}) for seed in seeds if seed in results)
    return Outcome(ending.state, ending.note, ending.limit, in_order, max((result.peak_memory for result in in_order), default=0))


def follow(
    ray: ModuleType, started: dict[object, int], watch: Watch, beat: Callable[[Live], None]
) -> tuple[dict[int, SeedResult], Outcome]:
    """Wait for the tasks; the first failure, limit or request to stop ends all."""
    results: dict[int, SeedResult] = {}
    pending, ending = list(started), None
    while pending and ending is None:
        done, pending = ray.wait(pending, num_returns=1, timeout=POLL)
        for task in done:
            result, outcome = collected(ray, task, started[task])
            results[started[task]] = result
            if outcome.state is not State.SUCCEEDED:
                ending = ending or outcome
        ending = ending or watch.look([])
        seeds = list(started.values())
        beat(watch.live(seeds, [seed for seed in seeds if seed not in results and _has_begun(watch, seed)], results))
    for task in pending:
        ray.cancel(task, force=True)
    if pending:
        ray.wait(pending, num_returns=len(pending), timeout=10)
    return results, ending or Outcome(State.SUCCEEDED)


def _has_begun(watch: Watch, seed: int) -> bool:
    return (watch.folders[0] / f"{seed}.json").exists()


def collected(ray: ModuleType, task: object, seed: int) -> tuple[SeedResult, Outcome]:
    """What a finished task returns, or why Ray gave it up."""
    try:
        result, state, note, limit = ray.get(task)
        return SeedResult.model_validate_json(result), Outcome(State(state), note, limit)
    except WorkerKilled as killed:
        told = f"{killed.args[-1] if killed.args else killed}, and Ray tried it {RETRIES + 1} times"
    except ray.exceptions.OutOfMemoryError:
        note = f"seed {seed} was ended by Ray because its node ran out of memory"
        return SeedResult(seed=seed, state=State.OUT_OF_MEMORY, note=note), Outcome(State.OUT_OF_MEMORY, note)
    except ray.exceptions.RayError as problem:
        told = f"was lost with its Ray worker or node ({type(problem).__name__}), and Ray tried it {RETRIES + 1} times"
    return SeedResult(seed=seed, state=State.FAILED, note=told), Outcome(State.FAILED, f"seed {seed} {told}")


def run_on_node(
    job_json: str, limits_json: str, run_id: str, recorder: ActorHandle[Recorder], python_path: str | None
) -> tuple[str, str, str, str | None]:
    """One seed, in a Ray task: a process of its own with all limits, its files sent on as they grow."""
    import ray

    if python_path:
        os.environ["PYTHONPATH"] = python_path
    job = Job.model_validate_json(job_json)
    limits = Limits.model_validate_json(limits_json).model_copy(update={"wall": None})
    attempt = cast(int, ray.get(recorder.begin.remote(job.seed)))
    prefix = f"pressrun-{run_id}-{job.seed}-"
    clear(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        spool = Path(folder)
        here = job.model_copy(update={"directory": spool, "scratch": spool / "scratch", "cache": spool / "cache"})
        sent: dict[str, int] = {}

        def send(_: object = None) -> None:
            pieces = news(spool / "seeds", sent)
            if pieces:
                ray.get(recorder.append.remote(job.seed, attempt, pieces))

        outcome = local.run_seeds(here, [job.seed], limits=limits, parallel=1, run_id=run_id, stop=lambda: None, beat=send)
        send()
    result = outcome.results[0]
    if result.signal in FROM_OUTSIDE and outcome.limit is None:
        raise WorkerKilled(result.note)
    return result.model_dump_json(), outcome.state, outcome.note, outcome.limit


def clear(prefix: str) -> None:
    """Remove what tasks that were killed on this machine left behind."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        rmtree(left, ignore_errors=True)


def news(folder: Path, sent: dict[str, int]) -> dict[str, bytes]:
    """What has been added to the files since the last call, by name. `sent` moves along."""
    pieces = {}
    for path in folder.glob("[0-9]*"):
        content = path.read_bytes() if path.suffix == ".json" else _from(path, sent.get(path.name, 0))
        if path.suffix == ".json" and sent.get(path.name) == len(content):
            continue
        if content:
            pieces[path.name] = content
            sent[path.name] = len(content) + (0 if path.suffix == ".json" else sent.get(path.name, 0))
    return pieces


def _from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def enough_cores(ray: ModuleType, threads: int) -> None:
    """Raises RunError if no node has the cores for one seed: Ray would wait for one for ever."""
    most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if most < threads:
        raise RunError(f"a seed needs {threads} cores, and no node of the Ray cluster has more than {most:g}")


@contextmanager
def cluster() -> Iterator[ModuleType]:
    """Ray, connected for the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise RunError("Ray is not installed here; pip install ray, or run on this machine alone") from None
    address = os.environ.get("RAY_ADDRESS") or "local"
    try:
        own = {"num_cpus": allowed_cores(), "include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **cast(dict[str, Any], own))
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as problem:
        raise RunError(f"the Ray cluster {address} cannot be reached: {' '.join(str(problem).split())[:300]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()
