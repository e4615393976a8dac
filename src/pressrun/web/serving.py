"""Making an installation ready, and serving it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from filelock import FileLock
from uvicorn.supervisors import Multiprocess

from pressrun.web.errors import BadInput
from pressrun.web.ops.alive import attending
from pressrun.web.ops.models import Process
from pressrun.web.papers.imports import load_shipped
from pressrun.web.papers.indexing import index_pending
from pressrun.web.papers.models import Paper
from pressrun.web.runs import access
from pressrun.web.runs import sync as runs

__all__ = ["bind", "owner_path", "prepare", "serve"]

DEFAULT_PORT = 8017
RESTART = 5.0
"""Seconds after which a process beside the server that died is begun anew."""

PATIENCE = 12.0
"""Seconds that a process beside the server gets to finish what it has in hand. Work that is cut off is taken up by the next."""


def prepare(say: Callable[[str], None]) -> None:
    """Bring the data directory up to date: tables, the shipped catalogue, the index. Does nothing where nothing is to do.

    Safe with several servers on one directory: the first one works, the others wait for it.
    """
    with FileLock(settings.HOME / "prepare.lock"):
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            say("Making the tables")
            call_command("migrate", verbosity=0, interactive=False)
        report = load_shipped()
        if report:
            say(f"Loaded {report.added} papers")
        if lost := runs.start_up():
            say(f"Found {lost} runs that were lost with the machine or their supervisor")
        if Paper.objects.filter(to_index=True).exists():
            say(f"Indexed {index_pending()} papers")


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket on `host`; without a port the usual one, else any that is free."""
    for wanted in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, wanted))
            listener.listen(512)
        except OSError as problem:
            listener.close()
            reason = problem
            continue
        listener.set_inheritable(True)
        return listener
    raise BadInput(f"cannot listen on {host} port {port}: {reason.strerror or reason}; choose another with --port.")


def owner_path() -> str:
    """The path that makes whoever opens it the owner, once, from this machine. The one before works no more."""
    return f"/owner?token={access.new_token()}"


def serve(listener: socket.socket, workers: int = 1, *, work: bool = True) -> None:
    """Answer requests until interrupted, with one process beside that reads papers by meaning, and with `work` one worker."""
    config = uvicorn.Config(
        "pressrun.web.asgi:application",
        workers=workers,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=60,  # a process that has much to do may answer late; ended for that, it drops all that it does
        proxy_headers=os.environ.get("PRESSRUN_BEHIND_PROXY") == "1",
    )
    _name_address(listener)
    # uvicorn ends by sending itself the signal that it was sent. The default would end us at once, and not the process beside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as beside:
        beside.enter_context(attending(Process.Kind.SERVER))
        connection.close()
        beside.enter_context(_kept_running("index", "--follow"))
        if work:
            beside.enter_context(_kept_running("worker"))
        if workers > 1:
            beside.enter_context(_shared_metrics())
            Multiprocess(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


def _name_address(listener: socket.socket) -> None:
    """Tell this process and those that it starts where the links in mails lead, unless the owner named an address or a host."""
    if os.environ.get("PRESSRUN_URL") or os.environ.get("PRESSRUN_HOSTS"):
        return
    os.environ["PRESSRUN_URL"] = settings.SITE_URL = f"http://localhost:{listener.getsockname()[1]}"


@contextmanager
def _kept_running(*arguments: str) -> Iterator[None]:
    """A command of ours beside the server: begun anew when it dies, and ended with the server, also when that is killed."""
    command = [sys.executable, "-m", "pressrun", *arguments]
    environment = {**os.environ, "PRESSRUN_PARENT": str(os.getpid()), "OMP_NUM_THREADS": "1"}
    ending = threading.Event()
    child = _begun(command, environment)

    def keep() -> None:
        nonlocal child
        while True:
            child.wait()
            if ending.wait(RESTART):
                return
            child = _begun(command, environment)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ending.set()
        deadline = time.monotonic() + PATIENCE
        # More than once: it may have been begun anew a moment ago.
        while keeper.is_alive() and time.monotonic() < deadline:
            child.terminate()
            keeper.join(timeout=PATIENCE / 3)
        if keeper.is_alive():
            child.kill()


def _begun(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603  our own command


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """A folder in which several server processes put their numbers together. They read its name as they start."""
    folder = settings.HOME / "metrics" / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
