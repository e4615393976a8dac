"""Mails go only to addresses whose readers said yes; links work for what they were made for; pages say what happens."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core import mail as djangos
from django.core.mail import send_mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from lxml import html
from pytest_django import Settings

from pressrun.web.alerts import links, retention
from pressrun.web.alerts.digests import compose_due
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Event, Mail, Notification, Reader, Subscription, Webhook
from pressrun.web.alerts.outbox import deliver
from pressrun.web.alerts.transports import folder
from pressrun.web.papers.models import Paper
from pressrun.web.people.own_data import delete_account, everything_of
from pressrun.web.people.roles import Role
from tests.web.alerts.conftest import NOW, Make, Subscribe
from tests.web.runs import owner

pytestmark = pytest.mark.django_db
ASKED = {"what": "trending", "often": "weekly", "timezone": "Europe/Berlin", "hour": "6", "address": "Ada@Example.org"}


def text_of(response: object, path: str = "//main") -> str:
    tree = html.fromstring(response.content.decode())  # type: ignore[attr-defined]
    return " ".join(" ".join(node.text_content() for node in tree.xpath(path)).split())


def link_in_last_mail() -> str:
    deliver()
    newest = max(folder().glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    found = re.search(r"http://localhost:8017(/subscriptions/\S+)", newest.read_text())
    assert found
    return found[1]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# Double opt-in


def test_an_address_gets_mails_only_after_its_reader_said_yes(client: Client, papers: object) -> None:
    response = client.post("/subscriptions", ASKED)
    assert "Look into your mail." in text_of(response)
    subscription = Subscription.objects.get()
    assert (subscription.state, subscription.due, subscription.reader.email) == ("pending", None, "ada@example.org")
    assert (subscription.reader.timezone, subscription.reader.hour) == ("Europe/Berlin", 6)
    link = link_in_last_mail()
    assert "a…@example.org shall get the trending list every week" in text_of(client.get(link))
    subscription.refresh_from_db()
    assert subscription.state == "pending"  # looking alone confirms nothing
    assert "Your mails will come" in text_of(client.post(link))
    subscription.refresh_from_db()
    assert subscription.state == "active"
    assert subscription.due is not None
    assert subscription.due.weekday() == 0


def test_the_answer_tells_nobody_whether_an_address_is_known(client: Client, subscribe: Subscribe) -> None:
    subscribe(address="ada@example.org", often="weekly")
    known = client.post("/subscriptions", ASKED)
    unknown = client.post("/subscriptions", ASKED | {"address": "bo@example.org"})
    assert text_of(known) == text_of(unknown)


def test_who_gets_a_list_already_is_sent_the_link_to_change_it(client: Client, subscribe: Subscribe) -> None:
    subscription = subscribe(often="daily")
    client.post("/subscriptions", ASKED)
    subscription.refresh_from_db()
    assert (subscription.state, subscription.often) == ("active", "daily")
    assert link_in_last_mail().startswith("/subscriptions/of/")


def test_asking_again_at_once_sends_no_second_mail(client: Client, papers: object) -> None:
    for _ in range(3):
        client.post("/subscriptions", ASKED)
    assert Mail.objects.count() == 1


def test_one_address_cannot_be_flooded(client: Client, papers: object, settings: Settings) -> None:
    statuses = [client.post("/subscriptions", ASKED | {"what": "search", "query": f"word{n}"}).status_code for n in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    assert Mail.objects.count() == 5


def test_a_link_to_confirm_ends_with_its_time(client: Client, papers: object) -> None:
    client.post("/subscriptions", ASKED)
    link = link_in_last_mail()
    with patch("time.time", return_value=datetime.now(UTC).timestamp() + 8 * 86400):
        assert client.get(link).status_code == 404


def test_a_link_works_for_what_it_was_made_for_only(client: Client, subscribe: Subscribe) -> None:
    subscription = subscribe()
    stop = links.stop_path(subscription).rpartition("/")[2]
    preferences = links.preferences_path(subscription.reader).rpartition("/")[2]
    assert client.get(f"/subscriptions/of/{stop}").status_code == 404
    assert client.post(f"/subscriptions/stop/{preferences}").status_code == 404
    assert client.post(f"/subscriptions/confirm/{stop}").status_code == 404


@pytest.mark.parametrize("broken", ["x", "1:x:y", "", "%00", "9" * 400])
def test_a_link_that_is_none_of_ours_is_refused_in_a_sentence(client: Client, db: None, broken: str) -> None:
    for purpose in ("confirm", "stop", "of"):
        assert client.get(f"/subscriptions/{purpose}/{broken}").status_code == 404


def test_another_address_s_link_cannot_be_made_from_one_s_own(client: Client, subscribe: Subscribe) -> None:
    own, other = subscribe(), subscribe(address="bo@example.org")
    forged = links.stop_path(own).replace(f"/{own.pk}:", f"/{other.pk}:")
    assert forged != links.stop_path(own)
    assert client.post(forged).status_code == 404


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"address": "nobody"}, "a mail address reads like ada@example.org, got 'nobody'."),
        ({"address": "a@example.org\nBcc: b@example.org"}, "a mail address reads like ada@example.org"),
        ({"address": "a@example.org,b@example.org"}, "a mail address reads like ada@example.org"),
        ({"what": "follows"}, "Only somebody who is signed in follows something; sign in to get it by mail."),
        ({"what": "all"}, "a digest is of trending, follows, search, got 'all'."),
        ({"what": "search", "query": " "}, "a saved search has 1 to 300 characters, got 0."),
        ({"what": "search", "query": "year:abc"}, "year"),
        ({"often": "hourly"}, "a digest comes daily, weekly, monthly, got 'hourly'."),
        ({"timezone": "../etc/passwd"}, "a time zone is named like Europe/Berlin, got '../etc/passwd'."),
        ({"hour": "24"}, "an hour is 0 to 23, got 24."),
        ({"hour": "x"}, "an hour is 0 to 23, got 'x'."),
    ],
)
def test_bad_input_is_said_in_a_sentence_and_writes_nothing(
    client: Client, db: None, changed: dict[str, str], sentence: str
) -> None:
    response = client.post("/subscriptions", ASKED | changed)
    assert response.status_code == 400
    assert sentence in text_of(response)
    assert not Subscription.objects.exists()
    assert not Mail.objects.exists()


# With an account


def test_a_confirmed_account_needs_no_second_mail(somebody: Make) -> None:
    ada = somebody()
    client = signed_in(ada)
    assert client.post("/subscriptions", {**ASKED, "what": "follows", "address": ""}).status_code == 302
    subscription = Subscription.objects.get()
    assert (subscription.state, subscription.reader.email, subscription.reader.user) == ("active", "ada@example.org", ada)
    assert "What you follow" in text_of(client.get("/subscriptions"))
    assert not Mail.objects.exists()


def test_an_account_takes_over_what_its_address_had_before(somebody: Make, subscribe: Subscribe) -> None:
    subscribe(address="ada@example.org")
    ada = somebody()
    assert "Trending" in text_of(signed_in(ada).get("/subscriptions"), "//ul[contains(@class, 'subscriptions')]")
    assert Reader.objects.get().user == ada


def test_nobody_takes_over_the_mails_of_an_address_that_they_did_not_confirm(somebody: Make, subscribe: Subscribe) -> None:
    subscribe(address="bo@example.org")
    eve = somebody("eve")
    signed_in(eve).post("/subscriptions", ASKED | {"address": "bo@example.org"})
    assert Reader.objects.get(email="bo@example.org").user is None
    assert Subscription.objects.get(reader__user=eve).reader.email == "eve@example.org"


def test_the_local_owner_confirms_an_address_of_theirs(papers: object) -> None:
    client = owner()
    response = client.post("/subscriptions", ASKED | {"what": "follows"})
    assert "Look into your mail." in text_of(response)
    assert Subscription.objects.get().state == "pending"
    client.post(link_in_last_mail())
    assert Subscription.objects.get().state == "active"
    assert Reader.objects.get().user is not None


def test_hour_zone_rhythm_and_end_are_changed_by_the_link_in_each_mail(client: Client, subscribe: Subscribe) -> None:
    trending, search = subscribe(), subscribe(what="search", query="spiking")
    path = links.preferences_path(trending.reader)
    assert "New for “spiking”" in text_of(client.get(path))
    change = {
        "timezone": "Asia/Kathmandu",
        "hour": "8",
        f"often-{trending.pk}": "never",
        f"often-{search.pk}": "monthly",
        "do": "save",
    }
    assert client.post(path, change).status_code == 302
    trending.refresh_from_db()
    search.refresh_from_db()
    assert (trending.state, search.state, search.often) == ("stopped", "active", "monthly")
    assert search.due is not None
    assert (search.due.hour, search.due.minute) == (2, 15)  # 8:00 at 5:45 ahead of UTC
    assert client.post(path, {"do": "stop-all"}).status_code == 302
    assert not Subscription.objects.filter(state="active").exists()


def test_a_paused_reader_lets_mail_go_on(client: Client, subscribe: Subscribe) -> None:
    subscription = subscribe()
    Reader.objects.update(paused=NOW, why="the mail server says 550 no such user")
    path = links.preferences_path(subscription.reader)
    assert "the mail server says 550 no such user" in text_of(client.get(path))
    client.post(path, {"timezone": "UTC", "hour": "7", "do": "resume"})
    assert Reader.objects.get().paused is None


# Notifications


def test_notifications_are_counted_on_every_page_until_they_are_read(somebody: Make, papers: object) -> None:
    ada = somebody()
    client = signed_in(ada)
    publish("submission", to=[ada], data={"text": "Your paper is on the list", "url": "/papers/trending"})
    assert text_of(client.get("/topics"), "//b[@class='unread']") == "1 new"
    assert "Your paper is on the list" in text_of(client.get("/notifications"))
    response = client.post("/notifications/read", {"notification": str(Notification.objects.get().pk)})
    assert (response.status_code, response["Location"]) == (302, "/papers/trending")
    assert text_of(client.get("/topics"), "//b[@class='unread']") == ""


def test_the_newest_notification_stands_first(somebody: Make, papers: object) -> None:
    ada = somebody()
    for name in ("first", "second", "third"):
        publish("submission", to=[ada], data={"text": name})
    tree = html.fromstring(signed_in(ada).get("/notifications").content.decode())
    assert [node.text_content() for node in tree.xpath("//main//li//button")] == [
        "New: Submission: third", "New: Submission: second", "New: Submission: first",
    ]  # fmt: skip


def test_nobody_reads_the_notifications_of_others(somebody: Make, papers: object) -> None:
    ada, eve = somebody("ada"), somebody("eve")
    publish("submission", to=[ada], data={"text": "A secret"})
    client = signed_in(eve)
    assert "A secret" not in text_of(client.get("/notifications"))
    assert client.post("/notifications/read", {"notification": str(Notification.objects.get().pk)}).status_code == 404
    client.post("/notifications/read")
    assert Notification.objects.get().read is None


def test_a_list_of_notifications_takes_a_constant_number_of_queries(somebody: Make, papers: object) -> None:
    ada, bo = somebody(), somebody("bo")
    client = signed_in(ada)
    counts = []
    for _ in range(2):
        for paper in Paper.objects.all():
            publish("comment", paper=paper, actor=bo, to=[ada])
        client.get("/notifications")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/notifications")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_what_others_wrote_is_no_markup_in_a_notification(somebody: Make, papers: object) -> None:
    ada = somebody()
    publish("submission", to=[ada], data={"text": "<script>alert(1)</script>"})
    tree = html.fromstring(signed_in(ada).get("/notifications").content.decode())
    assert not tree.xpath("//main//script")


# Webhooks


HOOK = {"url": "https://chat.example/in", "format": "json", "kinds": ["verdict"]}


def test_a_member_adds_a_webhook_and_sees_its_secret_once(somebody: Make) -> None:
    client = signed_in(somebody())
    secret = Webhook.objects.get().secret if "Added." in text_of(client.post("/webhooks", HOOK)) else ""
    assert secret.startswith("whsec_")
    page = client.get("/webhooks").content.decode()
    assert "https://chat.example/in" in page
    assert secret not in page
    client.post(f"/webhooks/{Webhook.objects.get().pk}", {"do": "remove"})
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"url": "file:///etc/passwd"}, "is neither http nor https"),
        ({"url": "https://user:secret@chat.example/"}, "carries a user name or password"),
        ({"url": "https://"}, "names no host"),
        ({"kinds": []}, "a webhook needs at least one kind of event."),
        ({"format": "xml"}, "a webhook's form is json or slack, got 'xml'."),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(somebody: Make, changed: dict[str, object], sentence: str) -> None:
    response = signed_in(somebody()).post("/webhooks", HOOK | changed)
    assert response.status_code == 400
    assert sentence in text_of(response)
    assert not Webhook.objects.exists()


def test_nobody_touches_the_webhooks_of_others(somebody: Make) -> None:
    signed_in(somebody("ada")).post("/webhooks", HOOK)
    hook = Webhook.objects.get()
    eve = signed_in(somebody("eve"))
    assert eve.post(f"/webhooks/{hook.pk}", {"do": "remove"}).status_code == 404
    assert "chat.example" not in text_of(eve.get("/webhooks"))


# The outbox


def test_site_mail_waits_in_the_outbox_and_is_forgotten_once_sent(settings: Settings, db: None) -> None:
    settings.EMAIL_BACKEND = "pressrun.web.alerts.backends.Outbox"
    send_mail("Reset", "your secret link", None, ["ada@example.org"])
    waiting = Mail.objects.get()
    assert b"your secret link" in bytes(waiting.raw or b"")
    assert deliver().sent == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.raw) == ("sent", None)
    (path,) = folder().glob("*.eml")
    assert "your secret link" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert djangos.outbox == []


def test_the_owner_reads_the_mails_of_the_folder(subscribe: Subscribe, indexed: object) -> None:
    subscribe()
    compose_due(NOW)
    deliver(NOW)
    (path,) = folder().glob("*.eml")
    client = owner()
    assert "Trending: 5 papers" in text_of(client.get("/mail/"))
    page = client.get(f"/mail/{path.name}")
    assert "to ada@example.org" not in text_of(page)
    assert "Lateral Inhibition Trains Deep Spiking Networks" in text_of(page)
    part = client.get(f"/mail/{path.name}/html")
    assert "unsafe" not in part["Content-Security-Policy"]
    assert "sandbox" in part["Content-Security-Policy"]
    (style,) = html.fromstring(part.content.decode()).xpath("//style/text()")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in part["Content-Security-Policy"]
    assert "\r" not in style  # a browser would take it out before it looks at the hash
    file = client.get(f"/mail/{path.name}/file")
    assert b"".join(file.streaming_content) == path.read_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["..%2Fsecret-key", "secret-key", "20260421T060000-0000000000000000.eml", "..", "x.eml"])
def test_the_folder_is_all_that_can_be_read(db: None, name: str) -> None:
    client = owner()
    for path in (f"/mail/{name}", f"/mail/{name}/html", f"/mail/{name}/file"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("role", [Role.MEMBER, Role.CURATOR])
def test_only_the_owner_reads_the_outbox(somebody: Make, role: Role) -> None:
    client = signed_in(somebody("ada", role))
    for path in ("/mail/", "/mail/20260421T060000-0000000000000000.eml"):
        assert client.get(path).status_code == 403


@pytest.mark.parametrize("path", ["/notifications", "/webhooks", "/mail/"])
def test_strangers_are_led_to_the_sign_in(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/account/login/")


@pytest.mark.parametrize("path", ["/subscriptions", "/subscriptions/save", "/notifications/read", "/webhooks", "/webhooks/1"])
def test_every_form_needs_its_token(somebody: Make, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(somebody())
    assert client.post(path, HOOK).status_code == 403


# What is removed


def test_what_is_over_is_removed_and_what_counts_stays(client: Client, subscribe: Subscribe, papers: object) -> None:
    kept = subscribe(address="kept@example.org")
    client.post("/subscriptions", ASKED | {"address": "never@example.org"})
    deliver()
    stopped = subscribe(address="stopped@example.org")
    Subscription.objects.filter(pk=stopped.pk).update(state="stopped")
    publish("comment")
    late = datetime.now(UTC) + timedelta(days=400)
    retention.clean(late)
    assert list(Reader.objects.values_list("email", flat=True)) == ["kept@example.org"]
    assert list(Subscription.objects.all()) == [kept]
    assert not Event.objects.exists()
    assert not Mail.objects.exists()
    assert list(folder().glob("*.eml")) == []


def test_an_account_takes_its_subscriptions_along_and_leaves_nothing_behind(somebody: Make, subscribe: Subscribe) -> None:
    ada = somebody()
    subscribe(user=ada)
    publish("submission", to=[ada], data={"text": "a paper"})
    signed_in(ada).post("/webhooks", HOOK)
    found = everything_of(ada)
    assert [row["address"] for row in found["subscriptions"]] == ["ada@example.org"]  # type: ignore[attr-defined]
    assert [row["says"] for row in found["notifications"]] == ["Submission: a paper"]  # type: ignore[attr-defined]
    assert Webhook.objects.get().secret not in str(found)
    delete_account(ada)
    for model in (Reader, Subscription, Notification, Webhook):
        assert not model.objects.exists()


def test_pages_of_links_let_the_browser_name_its_origin(client: Client, subscribe: Subscribe) -> None:
    """With the policy "no-referrer" a browser posts from `Origin: null`, which the check against forged forms refuses."""
    subscription = subscribe()
    for path in (links.stop_path(subscription), links.preferences_path(subscription.reader)):
        response = client.get(path)
        assert response["Referrer-Policy"] == "same-origin"
        assert not html.fromstring(response.content.decode()).xpath("//meta[@name='referrer']")
