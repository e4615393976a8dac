"""A mail server on loopback that does as a test tells it: takes, refuses, stalls, breaks off, or kills whoever sends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from pressrun.web.alerts.mailserver import Server


@dataclass
class Letter:
    recipient: str
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)  # type: ignore[return-value]


@dataclass
class Post:
    """What the server was given. `answers` maps a recipient to what RCPT answers; `drops` and `stalls` are recipients at whose DATA it does so.

    `at` is called with the stage ("mail", "data", "taken") and how many letters were taken so far.
    """

    server: Server = field(default_factory=lambda: Server("127.0.0.1", 0, "off"))
    letters: list[Letter] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    stalls: set[str] = field(default_factory=set)
    connections: int = 0
    at: Callable[[str, int], bool] = lambda stage, taken: True
    """False: the server acts as if the line had broken just now."""

    def to(self, recipient: str) -> list[EmailMessage]:
        return [letter.message for letter in self.letters if letter.recipient == recipient]

    @property
    def recipients(self) -> list[str]:
        return [letter.recipient for letter in self.letters]


def _hang_up(server: SMTP) -> None:
    assert server.transport is not None
    server.transport.abort()


class _Handler:
    def __init__(self, post: Post) -> None:
        self.post = post

    async def handle_EHLO(  # noqa: N802  as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.post.connections += 1
        return responses

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802  as aiosmtpd calls it
        if not self.post.at("mail", len(self.post.letters)):
            _hang_up(server)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802  as aiosmtpd calls it
        if answer := self.post.answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  as aiosmtpd calls it
        (recipient,) = envelope.rcpt_tos
        if recipient in self.post.stalls:
            await asyncio.sleep(30)
        if recipient in self.post.drops or not self.post.at("data", len(self.post.letters)):
            _hang_up(server)
            return "451 never heard"
        assert isinstance(envelope.content, bytes)
        self.post.letters.append(Letter(recipient, envelope.content))
        self.post.at("taken", len(self.post.letters))
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[Post]:
    """A server on a free port, in a thread of its own."""
    post, loop = Post(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = loop.create_server(lambda: SMTP(_Handler(post), loop=loop), "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
    post.server = Server("127.0.0.1", server.sockets[0].getsockname()[1], "off")
    try:
        yield post
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _ended(server: asyncio.Server) -> None:
    """Nobody listens any more, and whoever still stalls is let go."""
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
