"""What happens is written down once, and those whom it concerns are told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from pressrun.catalog import Paper as Record
from pressrun.web.alerts import wording
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Delivery, Event, Notification, Webhook
from pressrun.web.alerts.spreading import announce, spread
from pressrun.web.community.models import Bookmark, Follow
from pressrun.web.papers.indexing import index_pending
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role
from tests.web.alerts.conftest import NOW, Make

pytestmark = pytest.mark.django_db
VERDICT = {"claims": [{"claim": "learns-fast", "verdict": "not matched", "before": "matched"}]}


@pytest.fixture
def paper(papers: object) -> Paper:
    return Paper.objects.get(arxiv_id="2509.23253")


def told(user: User) -> list[str]:
    return [wording.sentence(row.event, you=True) for row in Notification.objects.filter(user=user).order_by("pk")]


def test_whoever_an_event_is_for_is_told_but_not_the_one_who_did_it(somebody: Make, paper: Paper) -> None:
    ada, bo = somebody("ada"), somebody("bo")
    publish("reply", paper=paper, actor=bo, to=[ada, ada, bo])
    assert told(ada) == ["bo replied to you on “Lateral Inhibition Trains Deep Spiking Networks”"]
    assert told(bo) == []


def test_an_event_goes_back_with_the_transaction_that_it_was_published_in(somebody: Make, paper: Paper) -> None:
    ada = somebody()
    with transaction.atomic():
        publish("comment", paper=paper, to=[ada])
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_one_key_is_one_event_of_which_each_is_told_once(somebody: Make, paper: Paper) -> None:
    ada, bo = somebody("ada"), somebody("bo")
    publish("vote-milestone", paper=paper, to=[ada], data={"votes": 100}, key="votes:1:100")
    publish("vote-milestone", paper=paper, to=[ada, bo], data={"votes": 100}, key="votes:1:100")
    assert Event.objects.count() == 1
    assert told(ada) == told(bo) == ["“Lateral Inhibition Trains Deep Spiking Networks” has 100 votes"]


def test_an_authors_answer_names_no_verdict(somebody: Make, paper: Paper) -> None:
    ada = somebody()
    publish("author-reply", paper=paper, actor=somebody("bo"), to=[ada], data={"claims": ["learns-fast"]})
    assert told(ada) == ["bo, an author of “Lateral Inhibition Trains Deep Spiking Networks”, answered"]
    assert wording.marks(Event.objects.get()) == []


def test_it_refuses_a_kind_that_there_is_none_of() -> None:
    with pytest.raises(ValueError, match="there is no event 'party'; there are comment, reply, mention"):
        publish("party")


@pytest.mark.parametrize(
    ("kind", "key"), [("topic", "inhibition"), ("author", "peiyu-liu"), ("organisation", "peking-university")]
)
def test_followers_hear_of_a_verdict_once(somebody: Make, paper: Paper, kind: str, key: str) -> None:
    ada, bo = somebody("ada"), somebody("bo")
    Follow.objects.create(user=ada, kind=kind, key=key, label=key)
    Follow.objects.create(user=bo, kind=kind, key="something-else", label="")
    publish("verdict", paper=paper, data=VERDICT)
    assert spread() == 1
    assert spread() == 0
    assert told(ada) == ["“Lateral Inhibition Trains Deep Spiking Networks” was run: learns fast not matched (was matched)"]
    assert told(bo) == []


def test_whoever_keeps_a_paper_hears_of_its_verdict_and_not_of_each_comment(somebody: Make, paper: Paper) -> None:
    ada = somebody()
    Bookmark.objects.create(user=ada, paper=paper)
    publish("comment", paper=paper, actor=somebody("bo"))
    publish("verdict", paper=paper, data=VERDICT)
    spread()
    assert len(told(ada)) == 1


def test_followers_are_not_told_of_a_withdrawn_paper(somebody: Make, paper: Paper) -> None:
    Follow.objects.create(user=somebody(), kind="topic", key="inhibition", label="inhibition")
    Paper.objects.update(withdrawn=True)
    paper.refresh_from_db()
    publish("verdict", paper=paper, data=VERDICT)
    spread()
    assert not Notification.objects.exists()


def test_papers_that_arrive_are_announced_to_followers_and_to_searches(somebody: Make, indexed: object) -> None:
    topical, seeking, other = somebody("topical"), somebody("seeking"), somebody("other")
    Follow.objects.create(user=topical, kind="topic", key="sleep", label="sleep")
    Follow.objects.create(user=seeking, kind="search", key="dreaming reservoirs", label="")
    Follow.objects.create(user=other, kind="search", key="reservoirs awake", label="")
    assert announce(NOW) == 0  # those that are here already are no news
    new = Record(title="Dreaming reservoirs", arxiv_id="2604.00001", listed=date(2026, 4, 20), topics=("sleep",))
    old = Record(title="Dreaming reservoirs of old", arxiv_id="1504.00001", listed=date(2015, 4, 20), topics=("sleep",))
    save([new, old], Report())
    assert announce(NOW) == 0  # the index does not know them yet
    index_pending()
    assert announce(NOW) == 1
    assert announce(NOW) == 0
    spread(NOW)
    for user, sentences in (
        (topical, ["“Dreaming reservoirs” is on the list"]),
        (seeking, ["“Dreaming reservoirs” is on the list"]),
        (other, []),
    ):
        assert told(user) == sentences


def hook(user: User, *kinds: str, mine: bool = False) -> Webhook:
    return Webhook.objects.create(user=user, url="https://chat.example/in", kinds=list(kinds), mine=mine, secret="whsec_AAAA")


def test_a_webhook_gets_the_kinds_that_it_asked_for(somebody: Make, paper: Paper) -> None:
    ada = somebody()
    hook(ada, "comment", "verdict")
    for kind in ("comment", "verdict", "vote-milestone"):
        publish(kind, paper=paper)
    spread(NOW)
    spread(NOW)
    assert sorted(Delivery.objects.values_list("event__kind", flat=True)) == ["comment", "verdict"]


def test_a_webhook_for_what_is_mine_gets_what_its_user_is_told(somebody: Make, paper: Paper) -> None:
    ada = somebody()
    hook(ada, "comment", "reply", mine=True)
    publish("comment", paper=paper)
    publish("reply", paper=paper, to=[ada])
    spread(NOW)
    assert list(Delivery.objects.values_list("event__kind", flat=True)) == ["reply"]


@pytest.mark.parametrize(("role", "count"), [(Role.MEMBER, 0), (Role.CURATOR, 1)])
def test_reports_go_to_webhooks_of_curators_only(somebody: Callable[..., User], paper: Paper, role: Role, count: int) -> None:
    hook(somebody("ada", role), "report")
    publish("report", paper=paper)
    spread(NOW)
    assert Delivery.objects.count() == count


@pytest.mark.parametrize(
    "hostile", ["//evil.example/", "https://evil.example/", "javascript:alert(1)", "/\\evil.example", "evil", None, 3, ["/"]]
)
def test_an_event_leads_to_pages_of_this_site_only(paper: Paper, hostile: object) -> None:
    event = Event(kind="comment", paper=paper, data={"url": hostile}, at=datetime.now(UTC))
    assert wording.path(event) == paper.get_absolute_url()


def test_every_kind_has_words(somebody: Make, paper: Paper) -> None:
    for kind in Event.Kind.values:
        sentence = wording.sentence(Event(kind=kind, paper=paper, actor=somebody(f"user-{kind}"), data={}))
        assert "Lateral Inhibition" in sentence, kind
        assert "\n" not in sentence
        assert wording.sentence(Event(kind=kind, data={}))
    assert set(wording.KINDS) == set(Event.Kind)
