"""Seeds as processes of this machine: side by side, each within limits, each with nothing in its environment but what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Protocol

import psutil

from pressrun.replicate import _guard
from pressrun.replicate.record import Limits, Live, SeedResult, State
from pressrun.replicate.worker import Facts, Job, facts_path, read_facts

POLL = 0.1  # seconds
MARK = "PRESSRUN_RUN"  # in a worker's environment, so that what it leaves behind can be found

# Everything else in the environment stays outside: tokens, keys, proxies, the site's own settings.
PASSED_ON = (
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "MPLCONFIGDIR",
)
OVER_OUTPUT = "wrote more than the output limit"
THREADS_OF = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")


class Executor(Protocol):
    """Runs the seeds of a job and returns how each ended, in the order given. `stop` says why to end now; `beat` hears how it goes."""

    def __call__(
        self,
        job: Job,
        seeds: Sequence[int],
        *,
        limits: Limits,
        parallel: int,
        run_id: str,
        stop: Callable[[], str | None],
        beat: Callable[[Live], None],
    ) -> Outcome: ...


@dataclass(frozen=True)
class Outcome:
    """How all seeds ended together: the state of the run, why in a sentence, the limit that was hit, and each seed."""

    state: State
    note: str = ""
    limit: str | None = None
    results: tuple[SeedResult, ...] = ()
    peak_memory: int = 0


@dataclass
class Worker:
    """A started worker and what was seen of it."""

    job: Job
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    cpu: float = 0.0
    peak_memory: int = 0
    ended: float | None = None

    def poll(self) -> bool:
        """Whether it has ended. The kernel's own count of CPU time and peak memory is taken with the exit status."""
        if self.ended is not None:
            return True
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.ended = time.monotonic()
        self.cpu = max(self.cpu, usage.ru_utime + usage.ru_stime)
        self.peak_memory = max(self.peak_memory, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        self.kill()
        return True

    def measure(self) -> int:
        """Bytes of memory that its processes hold now."""
        memory, cpu = 0, 0.0
        processes = _descendants(self.process.pid)
        for process in processes:
            with suppress(psutil.Error):
                # Pages shared by several processes count once; that costs a walk over their pages, so only where there are several.
                memory += process.memory_info().rss if len(processes) == 1 else process.memory_full_info().pss
                times = process.cpu_times()
                cpu += times.user + times.system
        self.cpu, self.peak_memory = max(self.cpu, cpu), max(self.peak_memory, memory)
        return memory

    def kill(self) -> None:
        """End its whole process group, and what has left the group but is still ours."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()

    def wait(self) -> None:
        while not self.poll():
            time.sleep(0.01)


def run_seeds(
    job: Job,
    seeds: Sequence[int],
    *,
    limits: Limits,
    parallel: int,
    run_id: str,
    stop: Callable[[], str | None],
    beat: Callable[[Live], None],
) -> Outcome:
    """Run each seed in a fresh process, `parallel` at a time. The first failure, limit or request to stop ends all; rows stay."""
    waiting, running, results = list(seeds), list[Worker](), dict[int, SeedResult]()
    watch = Watch(limits, job.directory, job.scratch, stop)
    verdict: Outcome | None = None
    try:
        while verdict is None and (waiting or running):
            while waiting and len(running) < parallel:
                running.append(start_worker(seed_job(job, waiting.pop(0)), run_id))
            time.sleep(POLL)
            for worker in [worker for worker in running if worker.poll()]:
                running.remove(worker)
                results[worker.job.seed] = result = result_of(worker)
                if result.state is not State.SUCCEEDED:
                    verdict = verdict or failed_outcome(result, limits)
            verdict = verdict or watch.look(running)
            beat(watch.live(seeds, [worker.job.seed for worker in running], results))
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
    ending = verdict or Outcome(State.SUCCEEDED)
    for worker in running:
        note = "stopped with the run" if ending.state is not State.CANCELLED else "cancelled"
        results[worker.job.seed] = result_of(worker).model_copy(update={"state": ending.state, "note": note})
    in_order = tuple(results[seed] for seed in seeds if seed in results)
    return Outcome(ending.state, ending.note, ending.limit, in_order, watch.peak_memory)


class Watch:
    """What all workers of a run use together, and whether it is too much."""

    def __init__(self, limits: Limits, directory: Path, scratch: Path, stop: Callable[[], str | None]) -> None:
        self.limits, self.folders, self.stop = limits, (directory / "seeds", scratch), stop
        self.began = time.monotonic()
        self.memory = self.peak_memory = self.output = 0
        self.cpu: dict[int, float] = {}
        self._looked_at_output = 0.0

    def look(self, running: Sequence[Worker]) -> Outcome | None:
        """Measure, and say how the run must end, if it must."""
        self.memory = sum(worker.measure() for worker in running)
        self.peak_memory = max(self.peak_memory, self.memory)
        self.cpu.update((worker.job.seed, worker.cpu) for worker in running)
        # The walk over the files is the dear part, so it is not made at every look.
        if time.monotonic() - self._looked_at_output > 5 * POLL:
            self.output, self._looked_at_output = sum(map(size_of, self.folders)), time.monotonic()
        if why := self.stop():
            return Outcome(State.CANCELLED, why)
        if self.limits.wall is not None and time.monotonic() - self.began > self.limits.wall:
            return limit_outcome("wall", self.limits)
        if self.limits.memory is not None and self.memory > self.limits.memory:
            return limit_outcome("memory", self.limits)
        if self.limits.output is not None and self.output > self.limits.output:
            return limit_outcome("output", self.limits)
        over = [worker.job.seed for worker in running if self.limits.cpu is not None and worker.cpu > self.limits.cpu]
        return limit_outcome("cpu", self.limits, over[0]) if over else None

    def live(self, seeds: Sequence[int], running: Sequence[int], results: Mapping[int, SeedResult]) -> Live:
        states = {
            seed: "running" if seed in running else str(results[seed].state) if seed in results else "waiting" for seed in seeds
        }
        return Live(at=datetime.now(UTC), memory=self.memory, cpu=sum(self.cpu.values()), output=self.output, seeds=states)


def limit_outcome(limit: str, limits: Limits, seed: int | None = None) -> Outcome:
    """The end of a run that hit a limit, named."""
    match limit:
        case "wall":
            return Outcome(State.TIMED_OUT, f"timed out: wall limit {limits.wall:g} s", limit)
        case "cpu":
            return Outcome(
                State.TIMED_OUT, f"timed out: CPU limit {limits.cpu or 0:g} s{'' if seed is None else f' in seed {seed}'}", limit
            )
        case "memory":
            return Outcome(State.OUT_OF_MEMORY, f"out of memory: memory limit {as_size(limits.memory or 0)}", limit)
        case _:
            return Outcome(State.FAILED, f"too much output: output limit {as_size(limits.output or 0)}", "output")


def failed_outcome(result: SeedResult, limits: Limits) -> Outcome:
    """The end of a run one of whose seeds did not succeed."""
    if result.signal == "SIGXCPU":
        return limit_outcome("cpu", limits, result.seed)
    if result.note == OVER_OUTPUT:
        return limit_outcome("output", limits)
    return Outcome(result.state, f"seed {result.seed} {result.note}")


def result_of(worker: Worker) -> SeedResult:
    """How a worker ended, from its exit status and what it said about itself."""
    code = worker.process.returncode
    facts = read_facts(facts_path(worker.job.directory, worker.job))
    state, note = ending(code, facts)
    return SeedResult(
        seed=worker.job.seed,
        state=state,
        exit_code=code if code >= 0 else None,
        signal=signal_name(-code) if code < 0 else None,
        note=note,
        wall=(worker.ended or time.monotonic()) - worker.began,
        cpu=worker.cpu,
        peak_memory=worker.peak_memory,
        host=os.uname().nodename,
    )


def ending(code: int, facts: Facts | None) -> tuple[State, str]:
    """The state of a seed and why, from the exit code (negative: the signal) and the worker's own words."""
    problem = facts.problem if facts else None
    if code == 0:
        return State.SUCCEEDED, ""
    if code < 0:
        name = signal_name(-code)
        if name == "SIGXCPU":
            return State.TIMED_OUT, "hit the CPU limit"
        if name == "SIGXFSZ":
            return State.FAILED, OVER_OUTPUT
        hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
        return State.FAILED, f"was killed by signal {-code} ({name}){hint}"
    if problem is None:
        return State.FAILED, f"ended with exit code {code} and said nothing; see its output"
    match problem.kind:
        case "memory":
            return State.OUT_OF_MEMORY, f"ran out of memory: {problem.sentence}"
        case "output":
            return State.FAILED, OVER_OUTPUT
        case _:
            return State.FAILED, f"failed: {problem.sentence}"


def seed_job(job: Job, seed: int) -> Job:
    """The job for one seed, with a scratch folder of its own."""
    return job.model_copy(update={"seed": seed, "scratch": job.scratch / str(seed)})


def start_worker(job: Job, run_id: str) -> Worker:
    """Start the process for a job: in its own session, its output in the run's files, its input the line that says what to do."""
    job.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    if job.cache:
        job.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    (job.directory / "seeds").mkdir(exist_ok=True)
    output = facts_path(job.directory, job).with_suffix(".txt")
    with output.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-u", _guard.__file__],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=job.scratch,
            env=variables(job.threads, job.scratch, run_id, job.cache),
            start_new_session=True,
        )
    worker = Worker(job, process)
    assert process.stdin is not None  # noqa: S101
    with suppress(BrokenPipeError):  # it died at once; its exit status says how
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    return worker


def variables(threads: int, scratch: Path, run_id: str, cache: Path | None = None) -> dict[str, str]:
    """The whole environment of a worker. `cache` outlives the run: fonts are looked through and models converted once, not once a seed."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if "PYTHONPATH" in passed_on:  # the worker starts in another folder
        passed_on["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, passed_on["PYTHONPATH"].split(os.pathsep)))
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(scratch))
    return {
        **folders,
        **passed_on,
        **{f"{library}_NUM_THREADS": str(threads) for library in THREADS_OF},
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS is not deterministic
        "HF_HUB_OFFLINE": "1",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(cache or scratch),
        "XDG_CACHE_HOME": str(cache or scratch),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
        MARK: run_id,
    }


def sweep(run_id: str) -> int:
    """Kill every process that carries the mark of this run; how many there were. For what is left of a dead supervisor."""
    left = [process for process in psutil.process_iter() if _carries(process, run_id)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    return len(left)


def _carries(process: psutil.Process, run_id: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == run_id
    except (psutil.Error, OSError):
        return False


def _descendants(guard: int) -> list[psutil.Process]:
    """The worker and its children; the guard itself is ours and holds next to nothing."""
    try:
        return psutil.Process(guard).children(recursive=True)
    except psutil.Error:
        return []


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder; what vanishes meanwhile does not count."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(Path(entry.path))
                else:
                    yield entry.stat(follow_symlinks=False).st_size


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def as_size(size: float) -> str:
    """Bytes for people, in powers of 1,024."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError


def empty(folder: Path) -> None:
    """Remove a scratch folder and all in it."""
    rmtree(folder, ignore_errors=True)
