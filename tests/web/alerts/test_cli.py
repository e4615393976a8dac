"""`pressrun digest`: how things stand, what would be sent, sending it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from pressrun import cli
from pressrun.web.alerts.models import Mail
from tests.web.alerts.conftest import Subscribe
from tests.web.alerts.post import Post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_shipped_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pressrun.web.serving.load_shipped", lambda: None)
    monkeypatch.setattr("pressrun.web.serving.runs.start_up", lambda: 0)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["digest", *arguments])


def test_it_says_who_gets_what(indexed: object, subscribe: Subscribe) -> None:
    assert run().stdout == "Nobody gets digests yet.\n"
    subscribe()
    (row,) = json.loads(run("--json").stdout)
    assert (row["reader"], row["gets"], row["state"]) == ("ada@example.org", "the trending list every day", "active")


def test_a_dry_run_shows_what_would_go_out_and_sends_nothing(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    (row,) = json.loads(run("--dry-run", "--json").stdout)
    assert (row["papers"], row["first"]) == (5, "Lateral Inhibition Trains Deep Spiking Networks")
    assert not Mail.objects.exists()
    assert post.letters == []


def test_it_sends_what_is_due(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    result = run("--send")
    assert result.stdout == "1 made, 1 sent, 0 to be tried again, 0 given up, 0 no longer wanted.\n"
    assert result.exit_code == 0
    assert post.recipients == ["ada@example.org"]


def test_it_sends_to_one_reader_alone(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    subscribe(address="bo@example.org")
    assert json.loads(run("--send", "--to", "Bo@example.org", "--json").stdout)["sent"] == 1
    assert post.recipients == ["bo@example.org"]


def test_mail_that_does_not_go_out_is_said_and_the_exit_code_is_1(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    post.answers["ada@example.org"] = "451 later"
    result = run("--send")
    assert result.exit_code == 1
    assert "The last problem: the mail server says 451 later." in result.stdout


def test_it_pauses_a_reader_whose_mail_comes_back(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    (row,) = json.loads(run("--to", "ada@example.org", "--pause", "--json").stdout)
    assert row["state"] == "paused"
    run("--send")
    assert post.letters == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--send", "--to", "nobody@example.org"], "nobody at 'nobody@example.org' gets digests here."),
        (["--send", "--dry-run"], "--dry-run, --send and --pause exclude each other."),
        (["--pause"], "--pause needs --to with the address of the reader."),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(db: None, arguments: list[str], sentence: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.strip()) == (2, f"pressrun: {sentence}")
