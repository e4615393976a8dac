"""A real SMTP server takes, refuses, stalls and breaks off; senders are killed. Each reader gets each digest, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from pytest_django import Settings

from pressrun.web.alerts.digests import compose_due
from pressrun.web.alerts.mailserver import Server, parse_sender, parse_server, parse_site
from pressrun.web.alerts.models import Mail, Reader, SentPaper, Subscription
from pressrun.web.alerts.outbox import claim, deliver, queue
from tests.web.alerts.conftest import NOW, Subscribe
from tests.web.alerts.post import Post, kill, mail_server

HOUR = timedelta(hours=1)


@pytest.fixture
def three(indexed: object, subscribe: Subscribe) -> None:
    """Digests for three readers wait."""
    for name in ("ada", "bo", "cy"):
        subscribe(address=f"{name}@example.org")
    assert compose_due(NOW) == 3


@pytest.mark.django_db
class TestSending:
    def test_each_reader_gets_their_mail_over_one_connection(self, three: None, post: Post) -> None:
        assert deliver(NOW).sent == 3
        assert deliver(NOW + HOUR).sent == 0
        assert post.recipients == ["ada@example.org", "bo@example.org", "cy@example.org"]
        assert post.connections == 1
        (letter,) = post.to("bo@example.org")
        assert letter["Subject"] == "Trending: 5 papers"
        assert letter["To"] == "bo@example.org"

    def test_one_who_is_refused_holds_up_nobody(self, three: None, post: Post) -> None:
        post.answers["ada@example.org"] = "550 no such user"
        done = deliver(NOW)
        assert (done.sent, done.later, done.why) == (2, 1, "the mail server says 550 no such user")
        assert post.recipients == ["bo@example.org", "cy@example.org"]

    def test_who_is_refused_three_times_is_paused_and_the_papers_are_free_again(self, three: None, post: Post) -> None:
        post.answers["ada@example.org"] = "550 no such user"
        for minutes in (0, 1, 6):
            deliver(NOW + timedelta(minutes=minutes))
        reader = Reader.objects.get(email="ada@example.org")
        assert reader.paused == NOW + timedelta(minutes=6)
        assert reader.why == "the mail server says 550 no such user"
        assert Mail.objects.get(reader=reader).state == "failed"
        assert not SentPaper.objects.filter(reader=reader).exists()
        assert compose_due(NOW + timedelta(days=1)) == 0
        assert deliver(NOW + timedelta(days=1)).sent == 0

    def test_who_is_to_be_tried_later_is_tried_later(self, three: None, post: Post) -> None:
        post.answers["ada@example.org"] = "451 greylisted, come back"
        assert deliver(NOW).later == 1
        del post.answers["ada@example.org"]
        assert deliver(NOW + timedelta(seconds=59)).sent == 0
        assert deliver(NOW + timedelta(seconds=60)).sent == 1
        assert Counter(post.recipients) == {f"{name}@example.org": 1 for name in ("ada", "bo", "cy")}

    def test_pauses_between_tries_grow_and_end(self, three: None, post: Post) -> None:
        post.answers |= {f"{name}@example.org": "452 mailbox full" for name in ("ada", "bo", "cy")}
        waits, moment = [], NOW
        while (mail := Mail.objects.get(recipient="ada@example.org")).state == "waiting":
            moment = mail.next_try
            deliver(moment)
            mail.refresh_from_db()
            waits.append(int((mail.next_try - moment).total_seconds() // 60))
        assert waits[:-1] == [1, 5, 30, 120, 360, 720, 1440]
        assert mail.attempts == 8
        assert Reader.objects.get(email="ada@example.org").why == "the mail server says 452 mailbox full"

    def test_a_server_that_breaks_off_costs_no_mail_and_no_second_one(self, three: None, post: Post) -> None:
        post.drops.add("bo@example.org")
        done = deliver(NOW)
        assert (done.sent, done.later) == (2, 1)
        post.drops.clear()
        deliver(NOW + HOUR)
        assert Counter(post.recipients) == {f"{name}@example.org": 1 for name in ("ada", "bo", "cy")}

    def test_a_server_that_stalls_is_waited_for_no_longer_than_the_limit(self, three: None, post: Post) -> None:
        post.stalls.add("bo@example.org")
        done = deliver(NOW)
        assert (done.sent, done.later) == (2, 1)
        assert "timed out" in done.why

    def test_a_connection_closed_between_two_mails_is_opened_again(self, three: None, post: Post) -> None:
        def at(stage: str, taken: int) -> bool:
            return not (stage == "mail" and taken == 1 and post.connections == 1)

        post.at = at
        first = deliver(NOW)
        assert (first.sent, first.later) == (2, 1)
        deliver(NOW + HOUR)
        assert sorted(post.recipients) == ["ada@example.org", "bo@example.org", "cy@example.org"]

    def test_without_a_server_the_round_ends_early_and_nobody_is_paused(self, three: None, settings: Settings) -> None:
        settings.MAIL_SERVER = Server("127.0.0.1", 1, "off")
        for days in range(20):
            deliver(NOW + timedelta(days=days))
        assert not Reader.objects.exclude(paused=None).exists()
        assert set(Mail.objects.values_list("state", flat=True)) == {"failed"}
        assert not SentPaper.objects.exists()

    def test_a_round_without_a_server_tries_three_mails_not_all(
        self, three: None, subscribe: Subscribe, settings: Settings
    ) -> None:
        subscribe(address="di@example.org")
        compose_due(NOW)
        settings.MAIL_SERVER = Server("127.0.0.1", 1, "off")
        assert deliver(NOW).later == 3
        assert Mail.objects.filter(attempts=0).count() == 1

    def test_what_a_person_waits_for_goes_before_digests(self, three: None, post: Post) -> None:
        queue(EmailMessage("Your link", "here", to=["di@example.org"]), "di@example.org", "late", NOW + HOUR)
        deliver(NOW + HOUR)
        assert post.recipients[0] == "di@example.org"
        assert len(post.recipients) == 4

    def test_of_two_workers_one_gets_the_mail(self, three: None) -> None:
        mail = Mail.objects.first()
        again = Mail.objects.first()
        assert mail is not None
        assert again is not None
        assert claim(mail, NOW)
        assert not claim(again, NOW)

    def test_a_mail_that_cannot_be_made_holds_up_nobody(self, three: None, post: Post) -> None:
        Subscription.objects.filter(reader__email="bo@example.org").update(often="unheard of")
        done = deliver(NOW)
        assert (done.sent, done.later) == (2, 1)

    def test_who_stopped_between_making_and_sending_gets_nothing(self, three: None, post: Post) -> None:
        Subscription.objects.filter(reader__email="bo@example.org").update(state="stopped")
        assert deliver(NOW).dropped == 1
        assert post.recipients == ["ada@example.org", "cy@example.org"]


# Killed by kill -9. Each stage is where the server or a printed line says it is, so time decides nothing.

READERS = 12
PATIENCE = 120.0


@pytest.fixture(scope="module")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    worker(home, "prepare", str(READERS)).wait(120)
    return home


@pytest.fixture
def home(_prepared: Path, tmp_path: Path) -> Path:
    """A data directory with readers whose digests are due."""
    return Path(shutil.copytree(_prepared, tmp_path / "home"))


def worker(home: Path, *arguments: str, server: Server | None = None) -> subprocess.Popen[str]:
    smtp = f"smtp://{server.host}:{server.port}" if server else ""
    environment = {
        **os.environ, "PRESSRUN_HOME": str(home), "PRESSRUN_SMTP": smtp, "DJANGO_SETTINGS_MODULE": "pressrun.web.settings",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "tests.web.alerts.sender", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def everybody() -> Counter[str]:
    return Counter(f"reader{n}@example.org" for n in range(READERS))


def killed(home: Path, post: Post, hours: int, stage: str, taken: int, *, goes_through: bool) -> None:
    """A worker that is killed at a stage of the mail after `taken` ones; claims of workers killed `hours` ago have run out for it."""
    process = worker(home, "send", str(hours), server=post.server)

    def at(reached: str, count: int) -> bool:
        if (reached, count) != (stage, taken):
            return True
        kill(process.pid)
        return goes_through

    post.at = at
    assert process.wait(PATIENCE) == -9
    post.at = lambda stage, taken: True


def test_however_workers_are_killed_and_two_finish_at_once_each_reader_gets_one_mail(home: Path) -> None:
    with mail_server() as post:
        process = worker(home, "make", server=post.server)
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(5)] == ["made\n"] * 5
        kill(process.pid)
        process.wait(60)
        killed(home, post, 0, "data", 3, goes_through=False)  # before the server took the fourth
        killed(home, post, 1, "mail", 7, goes_through=True)  # after the seventh was taken and marked
        both = [worker(home, "send", "2", server=post.server) for _ in range(2)]
        assert [process.wait(120) for process in both] == [0, 0]
    assert Counter(post.recipients) == everybody()


def test_killed_between_the_servers_yes_and_our_mark_one_mail_comes_again_under_the_same_id(home: Path) -> None:
    """The window that SMTP leaves: at least once there, and recognisable as the same."""
    with mail_server() as post:
        killed(home, post, 0, "taken", 5, goes_through=True)
        assert worker(home, "send", "1", server=post.server).wait(120) == 0
    assert len(post.letters) == READERS + 1
    assert set(post.recipients) == set(everybody())
    assert len({letter.message["Message-ID"] for letter in post.letters}) == READERS


# The settings


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("", None),
        ("smtp://localhost", Server("localhost", 25, "off")),
        ("smtp://mail.example", Server("mail.example", 587, "start")),
        ("smtp://mail.example:2525?tls=off", Server("mail.example", 2525, "off")),
        ("smtps://ada%40example.org:p%3Aw@mail.example", Server("mail.example", 465, "implicit", "ada@example.org", "p:w")),
    ],
)
def test_a_mail_server_is_named_by_one_address(text: str, server: Server | None) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    "text", ["mail.example", "http://mail.example", "smtp://", "smtp://x:99999999", "smtp://u:p@mail.example?tls=off"]
)
def test_an_address_that_names_no_safe_server_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PRESSRUN_SMTP") as problem:
        parse_server(text)
    assert ":p@" not in str(problem.value)


@pytest.mark.parametrize("text", ["papers", "a@b\r\nBcc: c@d", "Ada <ada@example.org>", "a@b,c@d", "a b@example.org"])
def test_a_sender_is_an_address_and_nothing_else(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PRESSRUN_MAIL_FROM"):
        parse_sender(text)
    assert parse_sender("papers@example.org") == "papers@example.org"


@pytest.mark.parametrize("text", ["papers.example.org", "https://papers.example.org/sub", "https://a\nb", "javascript:alert(1)"])
def test_a_site_is_named_by_scheme_and_host(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PRESSRUN_URL"):
        parse_site(text)
    assert parse_site("https://papers.example.org/") == "https://papers.example.org"


def test_a_password_is_not_shown_where_a_server_is_printed() -> None:
    assert "secret" not in repr(parse_server("smtps://u:secret@mail.example"))
