"""Export and import carry what people added: out, in elsewhere, out again the same; and twice in changes nothing."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from pressrun import catalog
from pressrun.catalog import Extra
from pressrun.web.community import authorship, curating, discussion, models, moderation, shelves, submitting, voting
from pressrun.web.papers.exchange import restore
from pressrun.web.papers.imports import export_to, import_source
from pressrun.web.papers.models import Paper
from pressrun.web.people.own_data import delete_account, everything_of
from tests.conftest import LATEST
from tests.web.community.conftest import SNN

pytestmark = pytest.mark.django_db

ADDED = (
    models.Vote, models.Bookmark, models.ReadMark, models.Note, models.Collection, models.CollectionItem, models.Follow,
    models.Comment, models.Revision, models.Lock, models.AuthorClaim, models.MailDomain, models.Submission, models.Day,
    models.Placement,
)  # fmt: skip


@pytest.fixture
def lively(ada: User, bo: User, curator: User, owner: User, paper: Paper) -> Paper:
    """A paper with something of every kind."""
    for person in (ada, bo):
        voting.vote(person, paper, on=True)
    shelves.mark(ada, paper, "bookmark", on=True)
    shelves.mark(bo, paper, "read", on=True)
    shelves.write_note(ada, paper, "my note: \u2028 “quoted”, <b>")
    shelves.collect(ada, shelves.new_collection(ada, "To read", "soon", public=True), Paper.objects.all(), on=True)
    shelves.follow(bo, "search", "lateral inhibition", on=True)
    first = discussion.post(ada, paper, "first @bo")
    discussion.edit(ada, first, "first, edited @bo")
    answer = discussion.post(bo, paper, "answer", parent=first)
    discussion.post(ada, paper, "deeper", parent=answer)
    moderation.hide(curator, discussion.post(bo, paper, "rude"), "an insult")
    moderation.lock(curator, Paper.objects.exclude(pk=paper.pk).earliest("pk"), "enough")
    authorship.trust_domain(owner, "example.edu", "Example")
    authorship.decide(owner, authorship.claim(ada, paper, "Zhaofei Yu"), verified=True)
    submitting.submit(bo, "2602.00002", catalog.Paper(title="A new gate", arxiv_id="2602.00002", published=date(2026, 2, 2)))
    curating.order(curator, LATEST, {paper.pk: 3})
    curating.complete(curator, LATEST, on=True)
    return paper


def exported() -> str:
    out = io.StringIO()
    export_to(out, "jsonl")
    return out.getvalue()


def counts() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in ADDED}


def test_everything_comes_back_on_an_empty_site(lively: Paper, tmp_path: Path) -> None:
    before, file = counts(), tmp_path / "all.jsonl"
    first = exported()
    assert 0 not in before.values()
    file.write_text(first)
    Paper.objects.all().delete()
    for model in (models.Follow, models.Collection, models.MailDomain, models.Submission, models.Day):
        model._default_manager.all().delete()
    User.objects.all().delete()
    assert set(counts().values()) == {0}
    _, report, _ = import_source(str(file), resume=False)
    assert report.rejections == []
    assert counts() == before
    assert exported() == first
    assert Paper.objects.get(public_id=SNN).votes == 33
    assert Paper.objects.get(public_id=SNN).comments == 4


def test_a_second_import_changes_nothing(lively: Paper, tmp_path: Path) -> None:
    before, first, file = counts(), exported(), tmp_path / "all.jsonl"
    file.write_text(first)
    for _ in range(2):
        import_source(str(file), resume=False)
    assert (counts(), exported()) == (before, first)


def test_people_without_an_account_get_one_that_nobody_signs_in_to(lively: Paper, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text(exported())
    User.objects.get(username="bo").delete()
    import_source(str(file), resume=False)
    bo = User.objects.get(username="bo")
    assert (bo.is_active, bo.has_usable_password(), bo.email) == (False, False, "")
    assert Paper.objects.get(public_id=SNN).votes == 33


def test_an_export_holds_no_address_and_no_password(lively: Paper) -> None:
    User.objects.filter(username="ada").update(email="ada@private.example", password="md5$salt$hash")
    assert "private.example" not in exported()
    assert "md5$" not in exported()


def test_votes_go_by_name_and_as_a_count(lively: Paper) -> None:
    (line,) = [json.loads(line) for line in exported().splitlines() if '"kind":"votes"' in line]
    assert (line["data"]["paper"], line["data"]["count"]) == (SNN, 2)
    assert [vote["user"] for vote in line["data"]["by"]] == ["ada", "bo"]


def test_a_newer_note_is_not_written_over_by_an_older_one(lively: Paper, ada: User, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text(exported())
    shelves.write_note(ada, lively, "newer")
    import_source(str(file), resume=False)
    assert models.Note.objects.get(user=ada).text == "newer"


AT = "2026-04-20T10:00:00+00:00"
UID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("votes", {"paper": "nowhere", "count": 0, "by": []}, "there is no paper 'nowhere' here"),
        ("votes", {"paper": SNN, "count": 5, "by": [{"user": "ada", "at": AT}]}, "5 votes are said, 1 people are named"),
        ("votes", {"paper": SNN, "count": 1, "by": [{"user": "a b", "at": AT}]}, "'a b' can't be the name of a user"),
        ("votes", {"paper": SNN, "count": 1, "by": [{"user": "ada", "at": "noon"}]}, "by.0.at does not fit"),
        ("note", {"user": "ada", "paper": SNN, "at": AT, "modified": AT}, "text does not fit: field required"),
        ("note", {"user": "ada", "paper": SNN, "at": AT, "modified": AT, "text": "x" * 10_001}, "text does not fit"),
        ("follow", {"user": "ada", "kind": "planet", "key": "x", "label": "x", "at": AT}, "kind does not fit"),
        ("comment", {"uid": "x", "paper": SNN, "text": "x", "state": "shown", "at": AT}, "uid does not fit"),
        (
            "comment",
            {"uid": UID, "paper": SNN, "text": "x", "state": "shown", "at": AT, "parent": "f" * 32},
            "that this answers is not here",
        ),
        ("placement", {"paper": SNN, "place": 0}, "place does not fit"),
        ("day", {"day": "yesterday"}, "day does not fit"),
    ],
)
def test_a_record_that_cannot_be_is_refused_in_a_sentence(paper: Paper, kind: str, data: dict[str, Any], why: str) -> None:
    assert why in restore(Extra(kind, data))
    assert (set(counts().values()), User.objects.count()) == ({0}, 0)


def test_hostile_words_of_an_import_are_shown_as_words(paper: Paper, client: Client) -> None:
    data = {"uid": UID, "paper": SNN, "author": "eve", "text": "<script>alert(1)</script>", "state": "shown", "at": AT}
    assert restore(Extra("comment", data)) == ""
    assert "<script>alert(1)" not in client.get(f"/papers/{SNN}").text


def test_one_persons_things_can_be_taken_along(lively: Paper, ada: User) -> None:
    mine = everything_of(ada)
    assert [note["text"] for note in mine["notes"]] == ["my note: \u2028 “quoted”, <b>"]  # type: ignore[index,union-attr]
    assert [comment["text"] for comment in mine["comments"]] == ["first, edited @bo", "deeper"]  # type: ignore[index,union-attr]
    assert {name: len(mine[name]) for name in ("votes", "bookmarks", "read", "collections", "follows", "author_claims")} == {  # type: ignore[arg-type]
        "votes": 1, "bookmarks": 1, "read": 0, "collections": 1, "follows": 0, "author_claims": 1,
    }  # fmt: skip
    json.dumps(mine, default=str)


def test_an_account_goes_with_its_private_things_and_its_words_stay(lively: Paper, ada: User) -> None:
    delete_account(ada)
    assert models.Note.objects.count() == models.Bookmark.objects.count() == models.Collection.objects.count() == 0
    assert Paper.objects.get(pk=lively.pk).votes == 32
    assert models.Comment.objects.filter(author=None).count() == 2
    exported()
