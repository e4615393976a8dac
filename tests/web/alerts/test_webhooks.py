"""Webhooks: signed, to the open internet only, tried again, and paused when nobody is there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from datetime import datetime, timedelta

import pytest

from pressrun.catalog import Fetcher
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Delivery, Event, Webhook
from pressrun.web.alerts.spreading import spread
from pressrun.web.alerts.webhooks import deliver_webhooks, new_secret, payload, sign
from pressrun.web.papers.models import Paper
from tests.catalog.server import Answer, fetcher, serving
from tests.web.alerts.conftest import NOW, Make

pytestmark = pytest.mark.django_db


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example that the specification's own libraries are tested with.
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_no_two_secrets_are_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 24


@pytest.fixture
def paper(papers: object) -> Paper:
    return Paper.objects.get(arxiv_id="2509.23253")


def hooked(make: Make, url: str, format: str = "json") -> Webhook:
    return Webhook.objects.create(user=make(), url=url, format=format, kinds=["verdict", "comment"], secret=new_secret())


def happened(paper: Paper, kind: str = "comment") -> None:
    publish(
        kind,
        paper=paper,
        data={"claims": [{"claim": "it-learns", "verdict": "matched", "before": ""}]} if kind == "verdict" else {},
    )
    spread(NOW)


def test_an_event_is_posted_once_and_its_signature_holds(somebody: Make, paper: Paper) -> None:
    with serving(lambda _: Answer("ok")) as site:
        hook = hooked(somebody, f"{site.address}/in")
        happened(paper, "verdict")
        assert deliver_webhooks(NOW, fetcher()) == 1
        assert deliver_webhooks(NOW + timedelta(days=1), fetcher()) == 0
    (body,) = site.posted
    told = json.loads(body)
    assert told["text"] == (
        "“Lateral Inhibition Trains Deep Spiking Networks” was run: it learns matched http://localhost:8017/papers/2509.23253"
    )
    assert told["event"]["claims"] == [{"claim": "it-learns", "verdict": "matched", "before": ""}]
    stamped = f"{site.headers['webhook-id']}.{site.headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, stamped, hashlib.sha256).digest()).decode()
    assert site.headers["webhook-signature"] == f"v1,{expected}"
    assert site.headers["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_slack_gets_text_that_it_reads_no_marks_into(paper: Paper) -> None:
    paper.title = "<!channel> & <https://evil.example|click>"
    body = json.loads(payload(Event(kind="comment", paper=paper, data={}, at=NOW), "slack"))
    assert body == {
        "text": "Somebody commented on “&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;” "
        "<http://localhost:8017/papers/2509.23253|pressrun>"
    }


def test_html_for_chats_is_escaped(paper: Paper) -> None:
    paper.title = "<img src=x onerror=alert(1)>"
    body = json.loads(payload(Event(kind="comment", paper=paper, data={}, at=NOW), "json"))
    assert "<img" not in body["html"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_taken_is_tried_again_later_and_no_redirect_is_followed(somebody: Make, paper: Paper, status: int) -> None:
    with serving(lambda _: Answer(status=status, headers={"Location": "/elsewhere"})) as site:
        hooked(somebody, f"{site.address}/in")
        happened(paper)
        assert deliver_webhooks(NOW, fetcher()) == 0
        assert deliver_webhooks(NOW + timedelta(seconds=59), fetcher()) == 0
        assert site.asked == ["/in"]
        deliver_webhooks(NOW + timedelta(seconds=60), fetcher())
        assert site.asked == ["/in", "/in"]
    assert Delivery.objects.get().why == f"it answers {status}"


def test_a_webhook_that_fails_is_asked_once_a_round_however_much_waits(somebody: Make, paper: Paper) -> None:
    with serving(lambda _: Answer(status=500)) as site:
        hooked(somebody, f"{site.address}/in")
        for _ in range(5):
            happened(paper)
        deliver_webhooks(NOW, fetcher())
        assert len(site.asked) == 1


def test_after_the_last_try_the_webhook_pauses(somebody: Make, paper: Paper) -> None:
    with serving(lambda _: Answer(status=500)) as site:
        hook = hooked(somebody, f"{site.address}/in")
        happened(paper)
        moments = rounds()
        for moment in moments:
            deliver_webhooks(moment, fetcher())
        assert len(site.asked) == 8
    hook.refresh_from_db()
    assert hook.paused is not None
    assert hook.why == "it answers 500"
    happened(paper)
    assert Delivery.objects.filter(state="waiting").count() == 0


def rounds() -> list[datetime]:
    """A round every half hour for five days."""
    return [NOW + timedelta(minutes=30) * n for n in range(240)]


def test_gone_pauses_at_once(somebody: Make, paper: Paper) -> None:
    with serving(lambda _: Answer(status=410)) as site:
        hook = hooked(somebody, f"{site.address}/in")
        happened(paper)
        deliver_webhooks(NOW, fetcher())
    hook.refresh_from_db()
    assert hook.why == "it answers 410"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"]
)
def test_nothing_is_posted_into_the_machine_or_its_network(somebody: Make, paper: Paper, host: str) -> None:
    with serving(lambda _: Answer("secret")) as site:
        port = site.address.rpartition(":")[2]
        hooked(somebody, f"http://{host}:{port}/in")
        happened(paper)
        assert deliver_webhooks(NOW, Fetcher(tries=1, interval=0.0, connect_timeout=1.0)) == 0
        assert site.asked == []
    assert Delivery.objects.get().why == "its host is not one of the open internet, and nothing is posted there"


def test_a_name_that_turns_private_between_two_looks_gains_nothing(
    somebody: Make, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look-up is checked, and what was checked is what is connected to."""
    answers, tried = ["93.184.215.14", "127.0.0.1"], []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        tried.append(address[0])
        raise OSError("unreachable")

    hooked(somebody, "http://rebinding.example/in")
    happened(paper)
    through = Fetcher(resolve=lambda host, port: [answers.pop(0)], tries=1, interval=0.0)
    monkeypatch.setattr(socket, "create_connection", connect)
    deliver_webhooks(NOW, through)
    assert Delivery.objects.get().why == "http://rebinding.example/in cannot be read: unreachable"
    deliver_webhooks(NOW + timedelta(hours=1), through)
    assert Delivery.objects.get().why == "its host is not one of the open internet, and nothing is posted there"
    assert tried == ["93.184.215.14"]
    assert answers == []


def test_what_a_slow_server_makes_us_wait_is_bounded(somebody: Make, paper: Paper) -> None:
    with serving(lambda _: Answer(raw=lambda handler: site.stop.wait(20))) as site:
        hooked(somebody, f"{site.address}/in")
        happened(paper)
        deliver_webhooks(NOW, fetcher())
        site.stop.set()
    assert "did not answer in time" in Delivery.objects.get().why
