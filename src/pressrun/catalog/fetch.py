"""Fetching an address without being led astray: http(s) only, public addresses only, bounded in time, size and redirects.

The address that is checked is the address that is connected to, so a name that changes between the two gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import tempfile
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpcore
import httpx

from pressrun.catalog.errors import FetchError

__all__ = ["FetchError", "Fetched", "Fetcher", "PrivateAddress"]

REDIRECTS = 5
LONGEST_WAIT = 120.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Resolve = Callable[[str, int], list[str]]


def _agent() -> str:
    try:
        return f"pressrun/{version('pressrun')} (self-hosted daily papers; polite harvester)"
    except PackageNotFoundError:
        return "pressrun (self-hosted daily papers; polite harvester)"


def _resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PrivateAddress(FetchError):
    """A host that is not of the open internet. The sentence names its address: not for strangers, who could map a network by it."""


@dataclass
class Fetched:
    """An answer's body in a temporary file, packed as it was sent; gone once closed. `url` is where it came from in the end."""

    path: Path
    url: str
    media_type: str
    _file: typing.Any = field(repr=False)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Fetched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Fetcher:
    """Fetches addresses into temporary files.

    Times in seconds, `max_bytes` as sent over the wire. `interval` is the least time between two requests to one host.
    `tries` counts the first one; 429, 5xx, time-outs and broken connections are tried again after `Retry-After` or a
    doubling pause. `allow_private` also lets in loopback, private, link-local and reserved addresses.
    `clock` and `sleep` rule politeness only; time-outs go by the real clock.
    """

    allow_private: bool = False
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    total_timeout: float = 600.0
    max_bytes: int = 2 << 30
    interval: float = 3.0
    tries: int = 4
    user_agent: str = field(default_factory=_agent)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    resolve: Resolve = _resolve
    _last: dict[str, float] = field(default_factory=dict, repr=False)

    def get(self, url: str) -> Fetched:
        """The answer to one address. Raises FetchError, whose text is one sentence."""
        pause = max(self.interval, 1.0) if self.interval else 0.1
        for attempt in range(1, self.tries + 1):
            try:
                return self._follow(url)
            except _Again as again:
                if attempt == self.tries:
                    tried = f" ({self.tries} tries)" if self.tries > 1 else ""
                    raise FetchError(f"{again}{tried}") from again
                self.sleep(min(LONGEST_WAIT, pause if again.wait is None else again.wait))
                pause *= 2
        raise FetchError(f"{url} was not asked for: `tries` is {self.tries}, at least 1 is needed")

    def _follow(self, url: str) -> Fetched:
        here = _checked(url)
        for _ in range(REDIRECTS + 1):
            found = self._ask(here, time.monotonic() + self.total_timeout)
            if isinstance(found, Fetched):
                return found
            here = _checked(str(here.join(found)), f", where {_short(str(here))} redirects to,")
        raise FetchError(f"{_short(url)} redirects more than {REDIRECTS} times")

    def check(self, url: str) -> None:
        """Nothing, for an address that may be asked for as far as its form tells: http(s), a host, no password. Raises FetchError."""
        _checked(url)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post a body to one address, once, and give the status of the answer. A redirect is an answer, and is not followed.

        Raises FetchError, whose text is one sentence.
        """
        try:
            with self._answer("POST", _checked(url), time.monotonic() + self.total_timeout, headers, body) as answer:
                return answer.status_code
        except _Again as again:
            raise FetchError(str(again)) from again

    def _ask(self, url: httpx.URL, deadline: float) -> Fetched | str:
        """The answer, or where it redirects to."""
        name = _short(str(url))
        with self._answer("GET", url, deadline, {"Accept": "*/*", "Accept-Encoding": "gzip"}) as answer:
            if answer.status_code in {301, 302, 303, 307, 308} and (target := answer.headers.get("location")):
                return str(target)
            _judge(answer, name)
            return self._keep(answer, name, deadline)

    @contextmanager
    def _answer(
        self, method: str, url: httpx.URL, deadline: float, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to one request, its body not read yet; what fails, here or while it is read, is `_Again` or FetchError."""
        self._wait_for(url.host)
        name = _short(str(url))
        timeout = httpx.Timeout(self.read_timeout, connect=self.connect_timeout)
        headers = {"User-Agent": self.user_agent, **headers}
        try:
            with (
                httpx.Client(
                    transport=_Transport(self, deadline), timeout=timeout, trust_env=False, follow_redirects=False
                ) as client,
                client.stream(method, url, headers=headers, content=body) as answer,
            ):
                yield answer
        except (httpcore.TimeoutException, httpx.TimeoutException) as error:
            raise _Again(f"{name} did not answer in time") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, httpx.TransportError, ssl.SSLError) as error:
            raise _Again(f"{name} cannot be read: {_plain(error)}") from error
        except (httpx.InvalidURL, httpx.HTTPError, httpx.StreamError, httpcore.UnsupportedProtocol, UnicodeError) as error:
            raise FetchError(f"{name} cannot be fetched: {_plain(error)}") from error

    def _keep(self, answer: httpx.Response, name: str, deadline: float) -> Fetched:
        """Stream the body into a file."""
        coding = answer.headers.get("content-encoding", "identity").lower()
        if coding not in {"identity", "gzip", "x-gzip", ""}:
            raise FetchError(f"{name} answers packed as {coding[:20]!r}, which was not asked for")
        promised = answer.headers.get("content-length", "")
        if promised.isascii() and promised.isdigit() and int(promised[:18]) > self.max_bytes:
            raise FetchError(f"{name} is larger than {_size(self.max_bytes)}")
        file = tempfile.NamedTemporaryFile(prefix="pressrun-")  # noqa: SIM115  # it lives as long as the answer
        try:
            taken = 0
            for piece in answer.iter_raw():
                taken += len(piece)
                if taken > self.max_bytes:
                    raise FetchError(f"{name} is larger than {_size(self.max_bytes)}")
                if time.monotonic() > deadline:
                    raise _Again(f"{name} did not answer in time")
                file.write(piece)
            file.flush()
        except OSError as error:
            file.close()
            raise FetchError(f"{name} cannot be kept: {_plain(error)}") from error
        except BaseException:
            file.close()
            raise
        return Fetched(Path(file.name), str(answer.url), answer.headers.get("content-type", ""), file)

    def _wait_for(self, host: str) -> None:
        before = self._last.get(host)
        if before is not None and (wait := before + self.interval - self.clock()) > 0:
            self.sleep(wait)
        self._last[host] = self.clock()


class _Again(Exception):
    """A failure that may pass; `wait` is what the server asks for, in seconds."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


def _checked(url: str, which: str = "") -> httpx.URL:
    """The address, if it is one that may be asked for at all."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise FetchError(f"{_short(url)}{which} is no address: {_plain(error)}") from error
    if parsed.scheme not in {"http", "https"}:
        raise FetchError(f"{_short(url)}{which} is neither http nor https")
    if parsed.userinfo:
        raise FetchError(f"an address on {parsed.host}{which} carries a user name or password; give it without")
    if not parsed.host:
        raise FetchError(f"{_short(url)}{which} names no host")
    return parsed.copy_with(fragment=None)


def _judge(answer: httpx.Response, name: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    said = f"{name} answers {status} {answer.reason_phrase}".rstrip()
    if status == 429 or status >= 500:
        raise _Again(said, _retry_after(answer.headers.get("retry-after", "")))
    raise FetchError(said)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from a number or a date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever it is wrapped in."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(part is not None and not _is_public(str(part)) for part in inner):
            return False
        if ip.ipv4_mapped:
            return True
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates, read once."""
    return httpx.create_ssl_context(trust_env=False)


class _Transport(httpx.BaseTransport):
    """One connection a request, made by `_Backend`."""

    def __init__(self, fetcher: Fetcher, deadline: float) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_keepalive_connections=0,
            network_backend=_Backend(fetcher, deadline),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        body = typing.cast("Iterable[bytes]", answer.stream)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(body, answer.close), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, pieces: Iterable[bytes], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        self._close()


class _Backend(httpcore.SyncBackend):
    """Connects to addresses that are allowed, and to those only."""

    def __init__(self, fetcher: Fetcher, deadline: float) -> None:
        self._fetcher = fetcher
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: typing.Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = list(dict.fromkeys(self._fetcher.resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"there is no host {host}") from error
        allowed = [address for address in found if self._fetcher.allow_private or _is_public(address)]
        if not allowed:
            raise PrivateAddress(
                f"{host} is the private or reserved address {found[0] if found else 'of nobody'}, which is not fetched from"
            )
        problem: Exception | None = None
        for address in allowed[:4]:
            try:
                stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
                return _Hurried(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError(f"there is no host {host}")


class _Hurried(httpcore.NetworkStream):
    """A connection on which no wait goes beyond the deadline, so that a server that drips bytes cannot hold us."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the whole time is used up")
        return left if timeout is None else min(left, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Hurried(self._inner.start_tls(ssl_context, server_hostname, self._left(timeout)), self._deadline)

    def get_extra_info(self, info: str) -> typing.Any:  # noqa: ANN401  # as httpcore has it
        return self._inner.get_extra_info(info)


def _short(url: str) -> str:
    """An address for a sentence: no more than a line of it, and no password."""
    plain = re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", re.sub(r"//[^/@]*@", "//", url))
    return plain if len(plain) <= 120 else plain[:117] + "…"


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count} bytes"
