"""A web server on loopback that answers as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from pressrun.catalog import Fetcher


@dataclass
class Answer:
    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], object] | None = None


Route = Callable[[dict[str, str]], Answer]


@dataclass
class Site:
    """`asked` holds the path and query of every request, `headers` those of the last one, `posted` the bodies of posts."""

    address: str
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    posted: list[bytes] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(route: Route) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.headers = dict(self.headers.items())
            answer = route(dict(parse_qsl(urlsplit(self.path).query)))
            try:
                if answer.raw:
                    answer.raw(self)
                    return
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client has had enough

        def do_POST(self) -> None:
            site.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def fetcher(**settings: object) -> Fetcher:
    """One that may ask loopback, never sleeps and soon gives up."""
    given = {"allow_private": True, "read_timeout": 0.3, "total_timeout": 1.0, "tries": 2, "sleep": lambda _: None, **settings}
    return Fetcher(**given)  # type: ignore[arg-type]
