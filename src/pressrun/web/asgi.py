"""The application that an ASGI server runs."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

__all__ = ["READERS", "WRITERS", "Site", "application"]

READERS = 3
"""Requests that read and are at work at once in one process. Each waits for the database or the index now and then; more than a
few only take the interpreter from each other."""

WRITERS = 8
"""Requests that may write and are at work at once in one process. They wait for each other, or for what another machine answers.
With the readers they are fewer than the connections to PostgreSQL that one process may have."""

INTERVAL = 0.0005
"""Seconds after which a thread gives the interpreter to another that waits. A writer waits for it after every statement, with SQLite's
one lock in hand; at Python's usual 5 ms, readers at work in the same process make a vote take several times as long."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Site(ASGIHandler):
    """Django as it is, but requests wait their turn, in the order they came.

    Django would give each request a thread and a connection. Two hundred readers at once then share one interpreter between two
    hundred threads, and an answer costs six times the work; two hundred writers find SQLite locked until some have waited too long.
    Here a few threads, each with its connection, do one request after the other. Those that read wait for none that write. What was
    answered is sent from outside of these threads, streams as well: a slow line takes nobody's turn.
    """

    def __init__(self) -> None:
        super(ASGIHandler, self).__init__()
        # Views and middleware are plain functions: one calls the next in one thread, without a way over the event loop.
        self.load_middleware(is_async=False)
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._writers = ThreadPoolExecutor(WRITERS, "writer")

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        request.came = time.perf_counter()  # type: ignore[attr-defined]  # waiting is a part of the time that is measured
        threads = self._readers if request.method in _READING else self._writers
        return await sync_to_async(self._respond, thread_sensitive=False, executor=threads)(request)

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            for connection in connections.all(initialized_only=True):
                if connection.vendor == "sqlite":
                    connection.close_at = None  # an open file stays open; a connection to PostgreSQL goes back to its pool
                connection.close_if_unusable_or_obsolete()


def _site() -> Site:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pressrun.web.settings")
    django.setup(set_prefix=False)
    sys.setswitchinterval(INTERVAL)
    return Site()


application = _site()
