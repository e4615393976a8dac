"""Fetching from a server that misbehaves, and from addresses that must not be asked."""

from __future__ import annotations

import gzip
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from pressrun.catalog import Fetcher, FetchError, open_source
from tests.catalog import samples
from tests.catalog.server import Answer, fetcher, serving


def why_of(fetch: Fetcher, url: str) -> str:
    with pytest.raises(FetchError) as caught:
        fetch.get(url)
    return str(caught.value)


def test_it_fetches_into_a_file_that_goes_when_closed() -> None:
    with serving(lambda _: Answer("hello", headers={"Content-Type": "text/plain"})) as site:
        answer = fetcher().get(site.address + "/a#part")
        assert (answer.path.read_text(), answer.media_type, answer.url) == ("hello", "text/plain", site.address + "/a")
        answer.close()
        assert not answer.path.exists()
    assert site.headers["User-Agent"].startswith("pressrun")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/a", "ftp://example.org/a is neither http nor https"),
        ("file:///etc/passwd", "file:///etc/passwd is neither http nor https"),
        ("http://ada:secret@example.org/", "an address on example.org carries a user name or password; give it without"),
        ("http:///nothing", "http:///nothing names no host"),
        ("http://[::1", "http://[::1 is no address: Invalid port: ':1'"),
    ],
)
def test_it_refuses_what_is_no_plain_web_address(url: str, why: str) -> None:
    assert why_of(fetcher(), url) == why


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_it_refuses_private_and_reserved_addresses_behind_any_name(address: str) -> None:
    fetch = Fetcher(resolve=lambda host, port: [address], tries=1)
    assert why_of(fetch, "http://looks-public.example/") == (
        f"looks-public.example is the private or reserved address {address}, which is not fetched from"
    )


def test_it_refuses_loopback_without_being_told_otherwise() -> None:
    with serving(lambda _: Answer("secret")) as site:
        assert "which is not fetched from" in why_of(Fetcher(), site.address)
        assert site.asked == []


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that points elsewhere at the second look is looked up once only."""
    looks = []

    def resolve(host: str, port: int) -> list[str]:
        looks.append(host)
        return ["127.0.0.1"] if len(looks) == 1 else ["10.0.0.1"]

    with serving(lambda _: Answer("once")) as site:
        port = site.address.rpartition(":")[2]
        assert fetcher(resolve=resolve).get(f"http://rebinding.example:{port}/").path.read_text() == "once"
    assert looks == ["rebinding.example"]
    assert site.headers["Host"] == f"rebinding.example:{port}"


def test_it_connects_to_the_public_one_of_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        tried.append(address[0])
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", connect)
    fetch = Fetcher(resolve=lambda host, port: ["127.0.0.1", "93.184.215.14"], tries=1)
    assert why_of(fetch, "http://example.org/") == "http://example.org/ cannot be read: unreachable"
    assert tried == ["93.184.215.14"]


def test_it_follows_five_redirects_and_no_sixth() -> None:
    def route(query: dict[str, str]) -> Answer:
        left = int(query["left"])
        return Answer("there") if left == 0 else Answer(status=302, headers={"Location": f"/?left={left - 1}"})

    with serving(route) as site:
        assert fetcher().get(f"{site.address}/?left=5").path.read_text() == "there"
        assert why_of(fetcher(), f"{site.address}/?left=6") == f"{site.address}/?left=6 redirects more than 5 times"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("file:///etc/passwd", "file:/etc/passwd, where {} redirects to, is neither http nor https"),
        (
            "http://a:b@example.org/",
            "an address on example.org, where {} redirects to, carries a user name or password; give it without",
        ),
    ],
)
def test_it_checks_where_a_redirect_leads(target: str, why: str) -> None:
    with serving(lambda _: Answer(status=301, headers={"Location": target})) as site:
        assert why_of(fetcher(), site.address + "/") == why.format(site.address + "/")


def test_it_does_not_follow_a_redirect_into_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback plays the public server here, everything else is as it is.
    monkeypatch.setattr("pressrun.catalog.fetch._is_public", lambda address: address == "127.0.0.1")
    with serving(lambda _: Answer(status=307, headers={"Location": "http://inside.example/admin"})) as site:
        fetch = Fetcher(resolve=lambda host, port: ["10.0.0.1" if host == "inside.example" else "127.0.0.1"], tries=1)
        assert (
            why_of(fetch, site.address) == "inside.example is the private or reserved address 10.0.0.1, which is not fetched from"
        )
    assert len(site.asked) == 1


def test_a_hanging_server_is_given_up() -> None:
    with serving(lambda _: Answer(raw=lambda handler: site.stop.wait(5) and None)) as site:
        assert why_of(fetcher(), site.address + "/") == f"{site.address}/ did not answer in time (2 tries)"
        assert len(site.asked) == 2


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_dripping_server_is_given_up_when_the_whole_time_is_used_up(part: str) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X-Slow: "))
        while not site.stop.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    with serving(lambda _: Answer(raw=drip)) as site:
        assert why_of(fetcher(tries=1, total_timeout=0.5), site.address + "/") == f"{site.address}/ did not answer in time"


def test_an_answer_that_breaks_off_is_tried_again_and_then_told() -> None:
    with serving(lambda _: Answer("short", headers={"Content-Length": "100"})) as site:
        assert why_of(fetcher(), site.address + "/").startswith(f"{site.address}/ cannot be read: peer closed connection")
        assert len(site.asked) == 2


def test_garbage_instead_of_http_is_told() -> None:
    with serving(lambda _: Answer(raw=lambda handler: handler.wfile.write(b"\x00garbage\r\n\r\n") and None)) as site:
        assert why_of(fetcher(), site.address + "/").startswith(f"{site.address}/ cannot be read: illegal")


@pytest.mark.parametrize("headers", [{"Content-Length": "5000"}, {"Content-Length": "x" * 0, "Connection": "close"}])
def test_a_huge_answer_is_not_kept(headers: dict[str, str]) -> None:
    def huge(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items() if v) + b"\r\n" + b"x" * 5000
        )

    with serving(lambda _: Answer(raw=huge)) as site:
        assert why_of(fetcher(max_bytes=4000), site.address + "/") == f"{site.address}/ is larger than 4000 bytes"


def test_other_packings_than_gzip_are_refused() -> None:
    with serving(lambda _: Answer("x", headers={"Content-Encoding": "br"})) as site:
        assert why_of(fetcher(), site.address + "/") == f"{site.address}/ answers packed as 'br', which was not asked for"


def test_a_gzipped_answer_is_read_like_a_gzipped_file() -> None:
    with serving(lambda _: Answer(gzip.compress(samples.RIS.encode()), headers={"Content-Encoding": "gzip"})) as site:
        assert len(list(open_source(site.address, fetch=fetcher()))) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_told_at_once(status: int) -> None:
    with serving(lambda _: Answer(status=status)) as site:
        assert why_of(fetcher(), site.address + "/").startswith(f"{site.address}/ answers {status} ")
        assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("after", "low", "high"),
    [
        ("7", 7, 7),
        ("99999", 120, 120),
        ("soon", 3, 3),
        ("", 3, 3),
        (timedelta(seconds=90), 1, 90),
        (timedelta(days=-1), 0, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks_but_not_for_ever(
    status: int, after: str | timedelta, low: float, high: float
) -> None:
    if isinstance(after, timedelta):
        after = format_datetime(datetime.now(UTC) + after, usegmt=True)
    waits: list[float] = []
    answers = iter([Answer(status=status, headers={"Retry-After": after} if after else {}), Answer("now")])
    with serving(lambda _: next(answers)) as site:
        fetch = fetcher(sleep=waits.append, clock=lambda: 1e9 * (1 + len(site.asked)))
        assert fetch.get(site.address).path.read_text() == "now"
    assert len(waits) == 1
    assert low <= waits[0] <= high


def test_pauses_double_and_the_last_failure_is_told() -> None:
    waits: list[float] = []
    with serving(lambda _: Answer(status=500)) as site:
        fetch = fetcher(sleep=waits.append, tries=4, clock=lambda: 1e9 * (1 + len(site.asked)))
        assert why_of(fetch, site.address + "/") == f"{site.address}/ answers 500 Internal Server Error (4 tries)"
    assert waits == [3, 6, 12]


def test_two_requests_to_one_host_keep_their_distance() -> None:
    now, waits = [100.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    with serving(lambda _: Answer("x")) as site:
        fetch = fetcher(sleep=sleep, clock=lambda: now[0])
        fetch.get(site.address)
        now[0] += 1
        fetch.get(site.address)
        fetch.get(site.address.replace("127.0.0.1", "localhost"))
        now[0] += 5
        fetch.get(site.address)
    assert waits == [2.0]


def test_a_name_that_nobody_has_is_told() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    assert why_of(fetcher(resolve=resolve, tries=1), "http://nobody.example/") == (
        "http://nobody.example/ cannot be read: there is no host nobody.example"
    )
