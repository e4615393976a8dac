"""What a digest holds: nothing twice, nothing where there is nothing, and in its headers only what belongs there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from django.test import Client
from lxml import html
from pytest_django import Settings

from pressrun.catalog import Paper as Record
from pressrun.web.alerts import digests, subscribing
from pressrun.web.alerts.digests import compose_due
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Event, Mail, Reader, SentPaper, Subscription
from pressrun.web.community.models import Bookmark, Follow
from pressrun.web.papers.indexing import index_pending
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.models import Paper
from tests.web.alerts.conftest import NOW, Make, Subscribe

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def titles(mail: Mail) -> list[str]:
    return [row.paper.title for row in SentPaper.objects.filter(mail=mail).select_related("paper")]


def message(mail: Mail) -> EmailMessage:
    raw = digests.rendered(mail)
    assert raw is not None
    return message_from_bytes(raw, policy=policy.default)  # type: ignore[return-value]


def parts(mail: Mail) -> tuple[str, str]:
    found = message(mail)
    return tuple(str(found.get_body((kind,)).get_content()) for kind in ("plain", "html"))  # type: ignore[return-value, union-attr]


def arrive(*records: Record) -> None:
    save(list(records), Report())
    index_pending()


def test_a_digest_of_the_trending_list_holds_its_top_in_order(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    assert compose_due(NOW) == 1
    assert titles(Mail.objects.get()) == [
        "Lateral Inhibition Trains Deep Spiking Networks",
        "Refusal Falls off a Cliff",
        "A bihemispheric controller for motor learning",
        "Beyond $\\ell_1$ sparse coding in V1",
        "Hebbian projection for continual learning",
    ]


def test_nothing_new_means_no_mail(indexed: object, subscribe: Subscribe) -> None:
    subscription = subscribe()
    compose_due(NOW)
    assert compose_due(NOW + DAY) == 0
    assert Mail.objects.count() == 1
    subscription.refresh_from_db()
    assert subscription.due == datetime(2026, 4, 23, 5, tzinfo=UTC)  # the 22nd passed with nothing to send


def test_only_what_is_new_comes_the_next_day(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    compose_due(NOW)
    arrive(Record(title="Fresh from the press", arxiv_id="2604.00001", listed=date(2026, 4, 21)))
    compose_due(NOW + DAY)
    assert titles(Mail.objects.latest("pk")) == ["Fresh from the press"]


def test_no_paper_comes_twice_to_one_reader_whatever_they_subscribed_to(indexed: object, subscribe: Subscribe) -> None:
    subscribe(often="daily")
    subscribe(what="search", query="spiking", often="daily")
    subscribe(address="bo@example.org")
    compose_due(NOW)
    sent = list(SentPaper.objects.values_list("reader__email", "paper"))
    assert len(sent) == len(set(sent)) == 10  # five papers to each of two readers
    assert Mail.objects.filter(reader__email="ada@example.org").count() == 1


def test_a_period_has_one_mail_even_when_the_hour_is_moved(indexed: object, subscribe: Subscribe) -> None:
    subscription = subscribe()
    compose_due(NOW)
    arrive(Record(title="Fresh from the press", arxiv_id="2604.00001", listed=date(2026, 4, 21)))
    subscribing.set_times(subscription.reader, "UTC", 20, NOW)
    assert compose_due(NOW + timedelta(hours=15)) == 0  # 21:00 of the same day
    assert compose_due(NOW + timedelta(hours=39)) == 1


def test_days_that_were_missed_come_as_one_mail(indexed: object, subscribe: Subscribe) -> None:
    subscription = subscribe()
    assert compose_due(NOW + 10 * DAY) == 1
    subscription.refresh_from_db()
    assert subscription.due == datetime(2026, 5, 2, 5, tzinfo=UTC)
    assert compose_due(NOW + 10 * DAY) == 0


def test_what_is_not_due_waits(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    assert compose_due(NOW - DAY) == 0


def test_asked_for_by_address_it_comes_early_and_once(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    early = NOW.replace(hour=1)
    assert compose_due(early, "ada@example.org") == 1
    assert compose_due(early, "ada@example.org") == 0
    assert compose_due(NOW) == 0


def test_followed_things_bring_what_came_since(indexed: object, somebody: Make, subscribe: Subscribe) -> None:
    ada = somebody()
    for kind, key in (("author", "zhouchen-lin"), ("topic", "sleep"), ("organisation", "lab-nine"), ("search", "echo state")):
        Follow.objects.create(user=ada, kind=kind, key=key, label=key)
    subscription = subscribe(user=ada, what="follows")
    subscription.since = datetime.now(UTC) - timedelta(seconds=1)
    Paper.objects.update(created=subscription.since - DAY)
    subscription.save()
    arrive(
        Record(title="By topic", arxiv_id="2604.00001", listed=date(2026, 4, 20), topics=("sleep",)),
        Record(title="By organisation", arxiv_id="2604.00002", listed=date(2026, 4, 19), organisation="Lab Nine"),
        Record(title="Echo networks and their state", arxiv_id="2604.00003", listed=date(2026, 4, 18)),
        Record(title="Echo only", arxiv_id="2604.00004", listed=date(2026, 4, 18)),
    )
    now = datetime.now(UTC) + timedelta(seconds=1)
    compose_due(now)
    assert titles(Mail.objects.get()) == ["By topic", "By organisation", "Echo networks and their state"]


def test_a_verdict_on_a_paper_that_the_reader_keeps_is_told(indexed: object, somebody: Make, subscribe: Subscribe) -> None:
    ada, paper = somebody(), Paper.objects.get(arxiv_id="2510.06036")
    Bookmark.objects.create(user=ada, paper=paper)
    subscription = subscribe(user=ada, what="follows")
    subscription.since = datetime.now(UTC) - timedelta(seconds=1)
    subscription.save()
    claims = [{"claim": "it-falls", "verdict": "not matched", "before": "matched"}]
    publish("verdict", paper=paper, data={"claims": claims, "url": "/runs/r1"})
    publish("verdict", paper=Paper.objects.get(arxiv_id="2509.23253"), data={"claims": claims})
    now = datetime.now(UTC) + timedelta(seconds=1)
    assert compose_due(now) == 1
    text, markup = parts(Mail.objects.get())
    assert "“Refusal Falls off a Cliff” was run: it falls not matched (was matched)" in " ".join(text.split())
    assert "http://localhost:8017/runs/r1" in text
    assert html.fromstring(markup).xpath("string(//span[@class='not-matched'])") == "✕ it falls: not matched, was matched"
    assert "Lateral" not in text
    assert compose_due(now + 2 * DAY) == 0


def test_what_does_not_fit_into_one_mail_comes_with_the_next(indexed: object, subscribe: Subscribe) -> None:
    subscribe(what="search", query="reservoir")
    arrive(*(Record(title=f"Reservoir {n}", arxiv_id=f"2604.{n:05}", listed=date(2026, 4, 20)) for n in range(1, 61)))
    compose_due(NOW)
    compose_due(NOW + DAY)
    assert [mail.papers.count() for mail in Mail.objects.order_by("pk")] == [50, 10]


def test_a_saved_search_never_brings_papers_that_only_resemble_it(indexed: object, subscribe: Subscribe) -> None:
    subscribe(what="search", query="motor sleep")
    compose_due(NOW)
    assert titles(Mail.objects.get()) == ["A bihemispheric controller for motor learning"]


def test_whoever_stopped_gets_nothing_any_more_even_of_what_is_made(indexed: object, subscribe: Subscribe) -> None:
    subscription = subscribe()
    compose_due(NOW)
    subscribing.stop(subscription)
    assert digests.rendered(Mail.objects.select_related("subscription__reader").get()) is None
    assert compose_due(NOW + DAY) == 0


def test_an_account_that_was_closed_or_banned_gets_nothing(indexed: object, somebody: Make, subscribe: Subscribe) -> None:
    ada = somebody()
    subscribe(user=ada)
    ada.is_active = False
    ada.save()
    assert compose_due(NOW) == 0


def test_mail_follows_an_account_to_its_new_address(indexed: object, somebody: Make, subscribe: Subscribe) -> None:
    ada = somebody()
    subscribe(user=ada)
    ada.emailaddress_set.update(email="new@example.org")
    compose_due(NOW)
    assert Mail.objects.get().recipient == "new@example.org"


def test_a_paper_withdrawn_between_making_and_sending_is_left_out(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    compose_due(NOW)
    Paper.objects.filter(arxiv_id="2509.23253").update(withdrawn=True)
    assert "Lateral" not in parts(Mail.objects.get())[0]
    Paper.objects.update(withdrawn=True)
    assert digests.rendered(Mail.objects.get()) is None


def test_making_and_rendering_take_a_constant_number_of_queries(
    indexed: object, subscribe: Subscribe, django_assert_max_num_queries: object
) -> None:
    arrive(*(Record(title=f"Reservoir {n}", arxiv_id=f"2604.{n:05}", listed=date(2026, 4, 20)) for n in range(1, 46)))
    subscribe(often="monthly", what="trending")
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        compose_due(NOW)
    mail = Mail.objects.select_related("subscription__reader__user").get()
    assert mail.papers.count() == 50
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        digests.rendered(mail)


# The mail itself


def test_both_parts_say_the_same(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    compose_due(NOW)
    text, markup = parts(Mail.objects.get())
    tree = html.fromstring(markup)
    for title in titles(Mail.objects.get()):
        assert title in text
        assert title in [heading.text_content() for heading in tree.xpath("//h2")]
    links = tree.xpath("//a/@href")
    assert all(link.startswith("http://localhost:8017/") for link in links)
    assert all(link in text for link in links)
    assert "You get this because you asked for the trending list every day." in text
    assert not tree.xpath("//script | //img | //link | //@style | //@onclick")


def test_its_headers_are_those_that_mail_programs_ask_for(indexed: object, subscribe: Subscribe, settings: Settings) -> None:
    settings.SITE_URL = "https://papers.example.org"
    subscribe()
    compose_due(NOW)
    found = message(Mail.objects.get())
    assert found["To"] == "ada@example.org"
    assert found["From"] == "pressrun <pressrun@localhost>"
    assert found["Subject"] == "Trending: 5 papers"
    assert found["List-Unsubscribe"].startswith("<https://papers.example.org/subscriptions/stop/")
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Date"].datetime == NOW


def test_a_second_rendering_has_the_same_identity(indexed: object, subscribe: Subscribe) -> None:
    subscribe()
    compose_due(NOW)
    first, second = message(Mail.objects.get()), message(Mail.objects.get())
    assert first["Message-ID"] == second["Message-ID"]
    subscribe(address="bo@example.org")
    compose_due(NOW)
    assert message(Mail.objects.latest("pk"))["Message-ID"] != first["Message-ID"]


HEADERS = {
    "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "List-Id", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Auto-Submitted",
}  # fmt: skip
INJECTIONS = (
    "x\r\nBcc: victim@example.org",
    "x\nBcc: victim@example.org",
    "x\rBcc: victim@example.org",
    "x%0d%0aBcc: victim@example.org",
    "x\u2028Bcc: victim@example.org",
    "x\u0085Bcc: victim@example.org",
    "x\x0bBcc: victim@example.org",
    "x\x0cBcc: victim@example.org",
    "x\x1cBcc: victim@example.org",
    "x\x01\r\nBcc: victim@example.org",
    "x\r\n\r\n<html>body</html>",
    "x\r\n --boundary\r\n",
    "=?utf-8?q?x=0D=0ABcc:_victim@example.org?=",
    "=?utf-8?b?eA0KQmNjOiB2aWN0aW1AZXhhbXBsZS5vcmc=?=",
    "é\r\nBcc: victim@example.org",
    "x" * 990 + "\r\nBcc: victim@example.org",
)


@pytest.mark.parametrize("hostile", INJECTIONS)
def test_no_search_and_no_title_writes_headers(indexed: object, subscribe: Subscribe, settings: Settings, hostile: str) -> None:
    """A subscription made past every form, with a hostile search, and papers whose titles are hostile."""
    subscription = subscribe(what="trending")
    Subscription.objects.update(what="search", query=hostile[:300])
    subscription.refresh_from_db()
    paper = Paper.objects.get(arxiv_id="2509.23253")
    Paper.objects.filter(pk=paper.pk).update(title=hostile, summary=hostile)
    event = Event.objects.create(kind="verdict", paper=paper, data={"claims": [{"claim": hostile, "verdict": "void"}]})
    mail = Mail.objects.create(
        key="x", reader=subscription.reader, subscription=subscription, period="2026-04-21", recipient="ada@example.org",
        events=[event.pk], next_try=NOW, created=NOW,
    )  # fmt: skip
    SentPaper.objects.create(reader=subscription.reader, paper=paper, mail=mail)
    raw = digests.rendered(mail)
    assert raw is not None
    for reading in (policy.default, policy.compat32):
        found = message_from_bytes(raw, policy=reading)
        assert set(found.keys()) == HEADERS
        assert len(found.keys()) == len(HEADERS)
    head = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert not [line for line in head if line.lower().startswith(b"bcc")]
    assert max(map(len, head)) <= 998  # RFC 5322, 2.1.1
    assert len(list(message_from_bytes(raw).walk())) == 3  # the whole, text, HTML


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ settings.SECRET_KEY }}",
        "</title><style>*{display:none}",
    ],
)
def test_nothing_in_a_paper_becomes_markup_in_a_mail(indexed: object, subscribe: Subscribe, hostile: str) -> None:
    subscribe()
    Paper.objects.filter(arxiv_id="2509.23253").update(title=hostile, summary=hostile)
    compose_due(NOW)
    tree = html.fromstring(parts(Mail.objects.get())[1])
    assert hostile in tree.xpath("//h2")[0].text_content()
    assert len(tree.xpath("//style")) == 1
    assert not tree.xpath("//script | //img")


def test_the_site_name_writes_no_headers(indexed: object, subscribe: Subscribe, settings: Settings) -> None:
    settings.SITE_NAME = "x\r\nBcc: victim@example.org"
    subscribe()
    compose_due(NOW)
    assert set(message(Mail.objects.get()).keys()) == HEADERS


def test_the_stop_link_of_a_mail_stops_it_by_one_post_without_cookies(indexed: object, subscribe: Subscribe) -> None:
    subscription = subscribe()
    compose_due(NOW)
    address = str(message(Mail.objects.get())["List-Unsubscribe"]).strip("<>").removeprefix("http://localhost:8017")
    client = Client(enforce_csrf_checks=True)
    assert client.get(address).status_code == 200
    subscription.refresh_from_db()
    assert subscription.state == "active"  # looking alone stops nothing: mail scanners look
    body = "List-Unsubscribe=One-Click"
    assert client.post(address, body, content_type="application/x-www-form-urlencoded").status_code == 200
    subscription.refresh_from_db()
    assert subscription.state == "stopped"
    assert Reader.objects.get().paused is None
