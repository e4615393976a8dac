"""What curators may do, that it is written down, and that nobody else may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone

from pressrun.web.alerts.models import Notification
from pressrun.web.community import acting, discussion, moderation
from pressrun.web.community.models import AuditEntry, Comment, Report
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from tests.web.community.conftest import SNN

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]


def logged() -> list[tuple[str, str, str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("actor_name", "action", "subject", "reason"))


def test_a_report_reaches_every_curator_once(ada: User, bo: User, curator: User, owner: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "rude")
    assert moderation.report(bo, comment, "an insult")
    assert not moderation.report(bo, comment, "an insult, really")
    told = Notification.objects.filter(event__kind="report").values_list("user__username", flat=True)
    assert sorted(told) == ["curie", "olga"]


def test_hiding_takes_the_comment_out_of_the_count_and_settles_its_reports(
    ada: User, bo: User, curator: User, paper: Paper
) -> None:
    comment = discussion.post(ada, paper, "rude")
    moderation.report(bo, comment, "an insult")
    moderation.hide(curator, comment, "an insult")
    assert Paper.objects.get(pk=paper.pk).comments == 1
    assert Report.objects.filter(settled=None).count() == 0
    assert logged() == [("curie", "hid comment", f"ada on {paper.title}", "an insult")]


def test_a_hidden_comment_comes_back_as_it_was(ada: User, curator: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "not so rude")
    moderation.hide(curator, comment, "an insult")
    moderation.show(curator, comment)
    comment.refresh_from_db()
    assert (comment.text, comment.state, comment.reason) == ("not so rude", "shown", "")
    assert Paper.objects.get(pk=paper.pk).comments == 2
    assert [entry[1] for entry in logged()] == ["hid comment", "showed comment"]


def test_hiding_twice_is_refused(ada: User, curator: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "rude")
    moderation.hide(curator, comment, "an insult")
    with pytest.raises(BadInput, match="out of sight already"):
        moderation.hide(curator, comment, "an insult")
    assert len(logged()) == 1


def test_a_report_may_be_settled_without_hiding(ada: User, bo: User, curator: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "frank")
    moderation.report(bo, comment, "too frank")
    for _ in range(2):
        moderation.settle(curator, Report.objects.get())
    comment.refresh_from_db()
    assert (comment.state, [entry[1] for entry in logged()]) == ("shown", ["let comment stand"])


def test_a_ban_ends_by_itself(ada: User, curator: User) -> None:
    moderation.ban(curator, ada, "spam", timezone.now() + timedelta(days=7))
    assert acting.ban_of(ada) is not None
    ada.ban.until = timezone.now() - timedelta(seconds=1)
    ada.ban.save()
    assert acting.ban_of(ada) is None


def test_a_ban_is_lifted_and_both_are_written_down(ada: User, curator: User) -> None:
    moderation.ban(curator, ada, "spam")
    moderation.unban(curator, ada)
    assert acting.ban_of(ada) is None
    assert logged() == [("curie", "banned", "ada", "spam"), ("curie", "lifted ban", "ada", "")]


def test_a_curator_bans_neither_owners_nor_curators(curator: User, owner: User) -> None:
    for person in (owner, curator):
        with pytest.raises(PermissionDenied, match="whose role is below yours"):
            moderation.ban(curator, person, "spam")
    assert logged() == []


def test_the_log_is_never_changed(curator: User, paper: Paper) -> None:
    moderation.lock(curator, paper, "heated")
    entry = AuditEntry.objects.get()
    entry.reason = "nothing"
    with pytest.raises(TypeError, match="never changed"):
        entry.save()
    with pytest.raises(TypeError, match="never removed"):
        entry.delete()
    assert logged() == [("curie", "locked discussion", paper.title, "heated")]


def test_the_log_outlives_the_curators_account(curator: User, paper: Paper) -> None:
    moderation.lock(curator, paper, "heated")
    curator.delete()
    assert logged() == [("curie", "locked discussion", paper.title, "heated")]


def test_an_act_and_its_line_in_the_log_are_written_together(
    ada: User, curator: User, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the log is broken")

    comment = discussion.post(ada, paper, "rude")
    monkeypatch.setattr(moderation, "log", breaks)
    with pytest.raises(RuntimeError):
        moderation.hide(curator, comment, "an insult")
    assert Comment.objects.get().state == "shown"


# At the desk


def test_the_desk_shows_what_waits_and_decides(ada: User, bo: User, curator: User, paper: Paper, as_user: AsUser) -> None:
    comment = discussion.post(ada, paper, "rude")
    moderation.report(bo, comment, "an insult")
    desk = as_user(curator)
    assert "an insult" in desk.get("/desk").text
    assert desk.post(f"/desk/reports/{Report.objects.get().pk}", {"do": "hide", "reason": "Insults people."}).status_code == 302
    assert Comment.objects.get().state == "hidden"
    assert "an insult" not in desk.get("/desk").text
    assert "Insults people." in desk.get("/desk/log").text


def test_a_reason_is_needed(ada: User, curator: User, paper: Paper, as_user: AsUser) -> None:
    comment = discussion.post(ada, paper, "rude")
    assert as_user(curator).post(f"/desk/comments/{comment.uid}", {"do": "hide", "reason": " "}).status_code == 400
    assert Comment.objects.get().state == "shown"


PAGES = ["/desk", "/desk/list", "/desk/log"]
ACTS = [
    "/desk/list/change",
    "/desk/submissions/0123456789abcdef0123456789abcdef",
    "/desk/reports/1",
    "/desk/comments/0123456789abcdef0123456789abcdef",
    f"/desk/discussions/{SNN}",
    "/desk/members/bo",
    "/desk/claims/1",
    "/desk/domains",
]


@pytest.mark.parametrize("path", PAGES + ACTS)
def test_the_desk_is_closed_to_members_and_visitors(
    ada: User, bo: User, paper: Paper, client: Client, as_user: AsUser, path: str
) -> None:
    def ask(browser: Client) -> int:
        return (browser.get(path) if path in PAGES else browser.post(path, {"do": "ban", "reason": "x"})).status_code

    assert (ask(client), ask(as_user(ada))) == (302, 403)
    assert logged() == []


@pytest.mark.parametrize("path", ["/desk/claims/1", "/desk/domains"])
def test_who_is_an_author_only_owners_decide(curator: User, as_user: AsUser, path: str) -> None:
    assert as_user(curator).post(path, {"do": "trust"}).status_code == 403


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_the_desk_works_empty(curator: User, as_user: AsUser, path: str) -> None:
    assert as_user(curator).get(path).status_code == 200


@pytest.mark.parametrize("days", ["0", "-1", "x", "99999", "٣"])
def test_a_ban_of_no_length_is_refused(ada: User, curator: User, as_user: AsUser, days: str) -> None:
    assert as_user(curator).post("/desk/members/ada", {"do": "ban", "reason": "spam", "days": days}).status_code == 400
    assert acting.ban_of(ada) is None


@pytest.mark.parametrize("model", ["comment", "submission", "authorclaim", "ban", "auditentry"])
def test_the_admin_shows_and_finds_but_changes_nothing_by_hand(
    ada: User, bo: User, curator: User, owner: User, paper: Paper, as_user: AsUser, model: str
) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    discussion.post(ada, paper, "a comment of ada")
    moderation.ban(curator, bo, "spam")
    admin = as_user(owner)
    assert admin.get(f"/admin/community/{model}/?q=a").status_code == 200
    assert admin.get(f"/admin/community/{model}/add/").status_code == 403


def test_the_admin_decides_in_bulk_the_way_the_desk_does(ada: User, owner: User, paper: Paper, as_user: AsUser) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    rude = [discussion.post(ada, paper, f"rude {n}").pk for n in range(3)]
    as_user(owner).post("/admin/community/comment/", {"action": "hide", "_selected_action": rude[:2]})
    assert list(Comment.objects.order_by("pk").values_list("state", flat=True)) == ["hidden", "hidden", "shown"]
    assert [entry[:2] for entry in logged()] == [("olga", "hid comment")] * 2


def test_the_owner_at_this_machine_needs_no_account(client: Client, paper: Paper) -> None:
    session = client.session
    session["pressrun-owner"] = True
    session.save()
    assert client.get("/desk").status_code == 200
    assert client.post(f"/vote/{SNN}", {"on": "1"}).status_code == 302
    assert Paper.objects.get(pk=paper.pk).votes == 32
