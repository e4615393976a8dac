"""The last step of a mail: to the owner's SMTP server, or into a folder where no server is named."""

from __future__ import annotations

import hashlib
import os
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from email.generator import BytesGenerator
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage

from pressrun.web.alerts.mailserver import Server

__all__ = ["Later", "Refused", "Send", "Unreachable", "folder", "transport", "wire"]

Send = Callable[[str, str, bytes], None]
"""Hands one message over: sender, recipient, and the message with CRLF line ends. Returns once the other side took it."""


class Refused(Exception):
    """The server refuses this mail or its recipient for good (a 5xx answer)."""


class Later(Exception):
    """The server asks to try this mail again later (a 4xx answer)."""


class Unreachable(Exception):
    """The server does not answer, breaks off, or refuses us altogether: no fault of this mail."""


def wire(message: EmailMessage) -> bytes:
    """A message as it goes out. Its long headers stay on one line: some programs don't find an address that begins on the second."""
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=compat32.clone(max_line_length=900, linesep="\r\n")).flatten(message.message())
    return out.getvalue()


def folder() -> Path:
    """Where mails go when no server is named: one .eml file each, for its owner's eyes only."""
    path = Path(settings.HOME) / "mail"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


@contextmanager
def transport() -> Iterator[Send]:
    """The way out that the settings name, open as long as it is needed.

    What it gives raises `Refused`, `Later` or `Unreachable`, with a sentence without passwords.
    """
    if settings.MAIL_SERVER is None:
        yield _write
        return
    line = _Line(settings.MAIL_SERVER, settings.MAIL_TIMEOUT)
    try:
        yield line.send
    finally:
        line.close()


def _write(sender: str, recipient: str, raw: bytes) -> None:
    """A mail that is written twice has one file: its name comes from its Date and Message-ID."""
    headers = BytesHeaderParser().parsebytes(raw)
    identity = hashlib.sha256(str(headers["Message-ID"] or "").encode() or raw).hexdigest()[:16]
    path = folder() / f"{parsedate_to_datetime(headers['Date']).astimezone(UTC):%Y%m%dT%H%M%S}-{identity}.eml"
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.touch(mode=0o600)
        fresh.write_bytes(raw)
        fresh.replace(path)
    except OSError as problem:
        fresh.unlink(missing_ok=True)
        raise Unreachable(f"the mail folder cannot be written to: {problem.strerror}") from problem


class _Line:
    """One connection for many mails, opened when the first one goes out and again after it broke."""

    def __init__(self, server: Server, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._smtp: smtplib.SMTP | None = None

    def send(self, sender: str, recipient: str, raw: bytes) -> None:
        try:
            self._ready().sendmail(sender, [recipient], raw)
        except smtplib.SMTPRecipientsRefused as problem:
            code, said = problem.recipients[recipient]
            raise _judged(code, said) from problem
        except smtplib.SMTPDataError as problem:
            raise _judged(problem.smtp_code, problem.smtp_error) from problem
        except smtplib.SMTPResponseException as problem:
            self.close()
            raise Unreachable(f"the mail server says {problem.smtp_code} {_text(problem.smtp_error)}") from problem
        except (smtplib.SMTPException, OSError) as problem:
            self.close()
            raise Unreachable(f"the mail server does not take mail: {_text(str(problem)) or type(problem).__name__}") from problem

    def close(self) -> None:
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
            self._smtp.close()
            self._smtp = None

    def _ready(self) -> smtplib.SMTP:
        """The connection. One that the server hung up on between two mails, as many do after some, is opened again."""
        if self._smtp is not None:
            try:
                if self._smtp.noop()[0] == 250:
                    return self._smtp
            except (smtplib.SMTPException, OSError):
                pass
            self.close()
        self._smtp = self._opened()
        return self._smtp

    def _opened(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "implicit":
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=self._timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            if server.tls == "start":
                smtp.starttls(context=ssl.create_default_context())
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp


def _judged(code: int, said: bytes | str) -> Exception:
    sentence = f"the mail server says {code} {_text(said)}"
    if code == 421:
        return Unreachable(sentence)
    return Refused(sentence) if code >= 500 else Later(sentence)


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
