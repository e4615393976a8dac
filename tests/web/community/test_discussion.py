"""Comments: who may write them, what becomes of them, and who hears of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from lxml import html
from pytest_django import DjangoAssertNumQueries

from pressrun.web.alerts.models import Notification
from pressrun.web.community import discussion, moderation
from pressrun.web.community.models import AuthorClaim, Comment
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from pressrun.web.runs.models import Outcome
from tests.web.community.conftest import SNN, member

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]


def heard(user: User) -> list[str]:
    return list(Notification.objects.filter(user=user).order_by("pk").values_list("event__kind", flat=True))


def verified(user: User, paper: Paper, name: str = "Peiyu Liu") -> None:
    AuthorClaim.objects.create(user=user, paper=paper, name=name, state=AuthorClaim.State.VERIFIED)


def judged(paper: Paper, claim: str = "trains-without-normalisation") -> None:
    Outcome.objects.create(
        paper=paper, paper_ref=SNN, replication="ei_snn", claim_id=claim, number=1, version=1, verdict="matched", scale="toy",
        preset="laptop", judged=paper.modified, latest=True,
    )  # fmt: skip


def words(answer: object) -> str:
    return " ".join(html.fromstring(answer.text).text_content().split())  # type: ignore[attr-defined]


def test_a_comment_counts_on_top_of_those_found_at_the_source(ada: User, paper: Paper) -> None:
    discussion.post(ada, paper, "Does it hold with *fewer* layers?")
    assert Paper.objects.get(pk=paper.pk).comments == 2


def test_replies_stand_below_what_they_answer(ada: User, bo: User, paper: Paper) -> None:
    first = discussion.post(ada, paper, "first")
    second = discussion.post(ada, paper, "second")
    answer = discussion.post(bo, paper, "answer", parent=first)
    discussion.post(ada, paper, "back", parent=answer)
    discussion.post(bo, paper, "to second", parent=second)
    said = discussion.threads(paper)[1]
    assert [(each.comment.text, each.depth) for each in said] == [
        ("first", 0), ("answer", 1), ("back", 2), ("second", 0), ("to second", 1),
    ]  # fmt: skip


def test_a_long_exchange_is_indented_three_times_at_most_and_names_whom_it_answers(ada: User, bo: User, paper: Paper) -> None:
    last = None
    for n in range(6):
        last = discussion.post(bo if n % 2 else ada, paper, str(n), parent=last)
    assert [(each.depth, each.to) for each in discussion.threads(paper)[1]] == [
        (0, ""), (1, ""), (2, ""), (3, ""), (3, "bo"), (3, "ada"),
    ]  # fmt: skip


def test_a_discussion_costs_a_constant_number_of_queries(
    ada: User, bo: User, paper: Paper, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(12):
        root = discussion.post(ada, paper, f"thread {n} @bo")
        discussion.post(bo, paper, "yes", parent=root)
    with django_assert_max_num_queries(5):
        assert len(discussion.threads(paper)[1]) == 24


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("  \n ", "the comment is empty; write something."),
        ("x" * 10_001, "the comment has 10,001 characters; 10,000 are the most."),
        ("a\0b", "the comment holds a NUL character, which no text has."),
    ],
)
def test_it_refuses_what_is_no_comment(ada: User, paper: Paper, text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match="^" + sentence.replace(".", r"\.") + "$"):
        discussion.post(ada, paper, text)
    assert Comment.objects.count() == 0


def test_it_refuses_an_answer_to_what_was_said_elsewhere(ada: User, paper: Paper) -> None:
    other = Paper.objects.exclude(pk=paper.pk).earliest("pk")
    with pytest.raises(BadInput, match="stands under another paper"):
        discussion.post(ada, paper, "yes", parent=discussion.post(ada, other, "elsewhere"))


def test_each_hears_once_mentioned_before_answered(ada: User, bo: User, paper: Paper) -> None:
    eve = member("eve")
    first = discussion.post(ada, paper, "first")
    discussion.post(bo, paper, "@ada, and @Eve too; not @nobody", parent=first)
    assert (heard(ada), heard(eve), heard(bo)) == (["mention"], ["mention"], [])
    discussion.post(bo, paper, "again", parent=first)
    assert heard(ada) == ["mention", "reply"]


def test_authors_hear_of_new_threads_on_their_paper(ada: User, bo: User, paper: Paper) -> None:
    verified(ada, paper)
    discussion.post(bo, paper, "A question.")
    assert heard(ada) == ["comment"]


def test_an_edit_keeps_what_was_said_and_tells_only_those_newly_mentioned(ada: User, bo: User, paper: Paper) -> None:
    eve = member("eve")
    comment = discussion.post(ada, paper, "Hello @bo")
    discussion.edit(ada, comment, "Hello @bo and @eve")
    assert (heard(bo), heard(eve)) == (["mention"], ["mention"])
    assert list(comment.revisions.values_list("text", flat=True)) == ["Hello @bo"]
    assert discussion.threads(paper)[1][0].comment.edited is not None


def test_an_edit_that_changes_nothing_is_none(ada: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "Hello")
    assert discussion.edit(ada, comment, "Hello").edited is None


def test_only_who_wrote_a_comment_changes_it(ada: User, bo: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "mine")
    for change in (lambda: discussion.edit(bo, comment, "yours"), lambda: discussion.delete(bo, comment)):
        with pytest.raises(PermissionDenied, match="Only who wrote a comment may change it"):
            change()
    comment.refresh_from_db()
    assert (comment.text, comment.state) == ("mine", "shown")


def test_what_is_taken_back_is_gone_with_all_it_ever_said(ada: User, bo: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "first words")
    discussion.edit(ada, comment, "second words")
    discussion.post(bo, paper, "an answer", parent=comment)
    discussion.delete(ada, comment)
    comment.refresh_from_db()
    assert (comment.text, comment.revisions.count()) == ("", 0)
    assert [each.comment.text for each in discussion.threads(paper)[1]] == ["", "an answer"]
    assert Paper.objects.get(pk=paper.pk).comments == 2


def test_notifications_forget_the_words_of_a_removed_comment(ada: User, bo: User, curator: User, paper: Paper) -> None:
    discussion.delete(ada, discussion.post(ada, paper, "secret one @bo"))
    moderation.hide(curator, discussion.post(ada, paper, "secret two @bo"), "an insult")
    discussion.post(ada, paper, "open words @bo")
    told = [notification.event.data.get("text") for notification in Notification.objects.filter(user=bo).order_by("pk")]
    assert told == [None, None, "open words @bo"]


def test_a_comment_taken_back_that_nobody_answered_leaves_no_trace(ada: User, paper: Paper) -> None:
    discussion.delete(ada, discussion.post(ada, paper, "never mind"))
    assert discussion.threads(paper)[1] == []


def test_words_stay_when_their_writer_leaves(ada: User, paper: Paper) -> None:
    discussion.post(ada, paper, "I was here")
    ada.delete()
    (said,) = discussion.threads(paper)[1]
    assert (said.by, said.comment.text) == ("a former member", "I was here")


def test_a_locked_discussion_takes_comments_of_curators_alone(ada: User, curator: User, paper: Paper) -> None:
    comment = discussion.post(ada, paper, "before")
    moderation.lock(curator, paper, "It got heated.")
    for change in (lambda: discussion.post(ada, paper, "after"), lambda: discussion.edit(ada, comment, "after")):
        with pytest.raises(PermissionDenied, match="locked: It got heated"):
            change()
    discussion.post(curator, paper, "a last word")
    moderation.unlock(curator, paper)
    discussion.post(ada, paper, "after")


# Authors and verdicts


def test_only_a_verified_author_answers_a_verdict(ada: User, bo: User, paper: Paper) -> None:
    judged(paper)
    verified(ada, paper)
    discussion.post(ada, paper, "We agree.", claim="trains-without-normalisation")
    with pytest.raises(PermissionDenied, match="Only a verified author"):
        discussion.post(bo, paper, "I agree, too.", claim="trains-without-normalisation")
    with pytest.raises(BadInput, match="no judged claim 'another'"):
        discussion.post(ada, paper, "What?", claim="another")


def test_an_answer_to_a_verdict_loses_its_place_with_the_authorship(ada: User, paper: Paper) -> None:
    judged(paper)
    verified(ada, paper)
    discussion.post(ada, paper, "We agree.", claim="trains-without-normalisation")
    assert list(discussion.answers_to_claims(paper)) == ["trains-without-normalisation"]
    AuthorClaim.objects.update(state=AuthorClaim.State.REFUSED)
    assert discussion.answers_to_claims(paper) == {}


def test_an_author_has_a_badge(ada: User, bo: User, paper: Paper, client: Client) -> None:
    verified(ada, paper)
    discussion.post(ada, paper, "As an author")
    discussion.post(bo, paper, "As a reader")
    badges = html.fromstring(client.get(f"/discussion/{SNN}").text).xpath(
        "//article[contains(@class,'comment')][.//*[@class='badge']]"
    )
    assert ["As an author" in each.text_content() for each in badges] == [True]


# On pages


def test_the_papers_page_shows_the_discussion_and_the_form(ada: User, paper: Paper, as_user: AsUser) -> None:
    discussion.post(ada, paper, "Is $\\beta$ learnt? <script>alert(1)</script>")
    page = as_user(ada).get(f"/papers/{SNN}")
    tree = html.fromstring(page.text)
    assert tree.xpath("//section[@id='discussion']//div[contains(@class,'said')]/p/text()") == [
        "Is $\\beta$ learnt? <script>alert(1)</script>"
    ]
    assert "<script>alert" not in page.text
    assert tree.xpath("//textarea[@id='say']")


def test_a_visitor_reads_and_is_shown_the_way_in(ada: User, paper: Paper, client: Client) -> None:
    discussion.post(ada, paper, "For everybody")
    page = client.get(f"/papers/{SNN}")
    assert "For everybody" in page.text
    assert html.fromstring(page.text).xpath("//section[@id='discussion']//form") == []
    assert f"/account/login/?next=%2Fpapers%2F{SNN}" in page.text


def test_posting_leads_to_the_comment(ada: User, paper: Paper, as_user: AsUser) -> None:
    client = as_user(ada)
    answer = client.post(f"/discussion/{SNN}", {"text": "Hello"})
    comment = Comment.objects.get()
    assert answer["Location"] == f"/discussion/{SNN}?comment={comment.uid}#comment-{comment.uid}"
    assert f'id="comment-{comment.uid}"' in client.get(answer["Location"]).text


def test_a_comment_is_found_on_a_later_page(ada: User, paper: Paper, client: Client) -> None:
    for n in range(discussion.THREADS):
        discussion.post(ada, paper, f"thread {n}")
    last = discussion.post(ada, paper, "the last one")
    assert "the last one" not in client.get(f"/discussion/{SNN}").text
    assert "the last one" in client.get(last.get_absolute_url()).text


def test_the_history_shows_what_was_said_before(ada: User, paper: Paper, client: Client) -> None:
    comment = discussion.edit(ada, discussion.post(ada, paper, "*before*"), "after")
    tree = html.fromstring(client.get(f"/comments/{comment.uid}/history").text)
    assert tree.xpath("//div[contains(@class,'said')]/p//text()") == ["after", "before"]


def test_nothing_is_shown_of_what_a_removed_comment_said(ada: User, curator: User, paper: Paper, client: Client) -> None:
    comment = discussion.edit(ada, discussion.post(ada, paper, "very rude"), "still rude")
    discussion.post(curator, paper, "Please don't.", parent=comment)
    moderation.hide(curator, comment, "an insult")
    assert client.get(f"/comments/{comment.uid}/history").status_code == 404
    assert client.get(f"/comments/{comment.uid}/report").status_code == 404
    page = client.get(f"/papers/{SNN}").text
    assert "rude" not in page
    assert "Hidden by a curator: an insult" in page


def test_a_banned_member_reads_and_does_not_write(ada: User, curator: User, paper: Paper, as_user: AsUser) -> None:
    moderation.ban(curator, ada, "spam")
    client = as_user(ada)
    answer = client.post(f"/discussion/{SNN}", {"text": "Buy now"})
    assert answer.status_code == 403
    assert "You may not write on this site. The reason given: spam" in words(answer)
    assert client.get(f"/papers/{SNN}").status_code == 200
    assert Comment.objects.count() == 0


@pytest.mark.parametrize(
    "path", [f"/discussion/{SNN}", "/comments/{uid}/edit", "/comments/{uid}/delete", "/comments/{uid}/report"]
)
def test_visitors_write_nothing(ada: User, paper: Paper, client: Client, path: str) -> None:
    comment = discussion.post(ada, paper, "mine")
    answer = client.post(path.format(uid=comment.uid), {"text": "x", "reason": "x"})
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/account/login/")
    comment.refresh_from_db()
    assert (comment.text, Comment.objects.count()) == ("mine", 1)


def test_a_papers_page_costs_the_same_whatever_is_said(ada: User, bo: User, paper: Paper, client: Client) -> None:
    root = discussion.post(ada, paper, "one @bo")
    discussion.post(bo, paper, "two", parent=root)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/papers/{SNN}").status_code == 200
        return len(queries)

    cost()
    few = cost()
    for n in range(10):
        discussion.post(ada, paper, f"more {n} @bo", parent=discussion.post(bo, paper, f"thread {n}"))
    assert cost() == few
