"""The same for programs: our API and that of Hugging Face, with access tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from pressrun.web.community import discussion, metadata, moderation, shelves, voting
from pressrun.web.community.models import AuthorClaim, Bookmark, Comment, Submission, Vote
from pressrun.web.papers.models import Paper
from tests.catalog.server import Answer, Site, fetcher, serving
from tests.web.community.conftest import SNN
from tests.web.community.test_submitting import ATOM, NOTHING

pytestmark = pytest.mark.django_db

Token = Callable[..., dict[str, str]]
JSON = "application/json"


@pytest.fixture
def arxiv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serving(lambda query: Answer(ATOM if query["id_list"] == "2601.00001" else NOTHING)) as site:
        monkeypatch.setattr(metadata, "ARXIV", site.address + "/api/query?id_list={}&max_results=1")
        monkeypatch.setattr(metadata, "FETCHER", fetcher(interval=0, tries=1))
        yield site


def verified(user: User, paper: Paper) -> None:
    AuthorClaim.objects.create(user=user, paper=paper, name="Peiyu Liu", state=AuthorClaim.State.VERIFIED)


# Our own


def test_a_program_votes_keeps_and_reads(ada: User, paper: Paper, client: Client, with_token: Token) -> None:
    header = with_token(ada)
    base = f"/api/v1/papers/{SNN}"
    assert client.get(f"{base}/mine", headers=header).json() == {
        "paper": SNN, "votes": 31, "voted": False, "kept": False, "read": False,
    }  # fmt: skip
    for name in ("vote", "vote", "bookmark", "read"):
        answer = client.put(f"{base}/{name}", headers=header)
    assert answer.json() == {"paper": SNN, "votes": 32, "voted": True, "kept": True, "read": True}
    assert client.get("/api/v1/bookmarks", headers=header).json() == {"total": 1, "page": 1, "pages": 1, "papers": [SNN]}
    for name in ("vote", "bookmark", "read"):
        answer = client.delete(f"{base}/{name}", headers=header)
    assert answer.json() == {"paper": SNN, "votes": 31, "voted": False, "kept": False, "read": False}


def test_old_ids_with_a_slash_work_too(ada: User, paper: Paper, client: Client, with_token: Token) -> None:
    assert client.put("/api/v1/papers/math/0309136/vote", headers=with_token(ada)).json()["votes"] == 1
    assert client.get("/api/v1/papers/math/0309136/comments").json()["threads"] == 0
    assert client.get("/api/v1/papers/math/0309136").json()["votes"] == 1


def test_a_discussion_by_programs(ada: User, paper: Paper, client: Client, with_token: Token) -> None:
    header = with_token(ada)
    first = client.post(f"/api/v1/papers/{SNN}/comments", {"text": "*first*"}, content_type=JSON, headers=header)
    assert first.status_code == 201
    uid = first.json()["id"]
    client.post(f"/api/v1/papers/{SNN}/comments", {"text": "second", "parent": uid}, content_type=JSON, headers=header)
    client.patch(f"/api/v1/comments/{uid}", {"text": "**first**"}, content_type=JSON, headers=header)
    shown = client.get(f"/api/v1/papers/{SNN}/comments").json()
    assert (shown["threads"], shown["locked"]) == (1, False)
    assert [(each["text"], each["html"], each["parent"], each["author"]) for each in shown["comments"]] == [
        ("**first**", "<p><strong>first</strong></p>\n", None, "ada"),
        ("second", "<p>second</p>\n", uid, "ada"),
    ]
    assert client.delete(f"/api/v1/comments/{uid}", headers=header).status_code == 204
    assert client.get(f"/api/v1/papers/{SNN}/comments").json()["comments"][0]["state"] == "deleted"


def test_what_is_hidden_is_hidden_from_programs(ada: User, curator: User, paper: Paper, client: Client) -> None:
    moderation.hide(curator, discussion.post(ada, paper, "rude words"), "an insult")
    assert "rude" not in client.get(f"/api/v1/papers/{SNN}/comments").text


def test_follows_by_programs(ada: User, paper: Paper, client: Client, with_token: Token) -> None:
    header, topic = with_token(ada), {"kind": "topic", "key": "inhibition"}
    for _ in range(2):
        assert client.post("/api/v1/follows", topic, content_type=JSON, headers=header).status_code == 201
    assert client.get("/api/v1/follows", headers=header).json() == [topic | {"label": "inhibition"}]
    assert client.delete("/api/v1/follows?kind=topic&key=inhibition", headers=header).status_code == 204
    assert client.get("/api/v1/follows", headers=header).json() == []


def test_submissions_by_programs(ada: User, paper: Paper, arxiv: Site, client: Client, with_token: Token) -> None:
    header = with_token(ada)

    def submit(**given: object) -> tuple[int, str]:
        answer = client.post("/api/v1/submissions", given, content_type=JSON, headers=header)
        return answer.status_code, answer.json().get("state") or answer.json()["error"]

    assert submit(paper=SNN) == (200, "here")
    assert submit(paper="2601.00001") == (201, "waiting")
    assert submit(paper="2601.00001") == (200, "waiting")
    assert submit(paper="2601.00009") == (502, "arXiv knows no paper 2601.00009. Give the record instead.")
    assert submit(paper="hello") == (400, "that is neither an arXiv id, a DOI nor an http(s) address.")
    assert submit(record={"title": "Typed", "authors": ["Ada"]}) == (201, "waiting")
    assert [row["title"] for row in client.get("/api/v1/submissions", headers=header).json()] == ["Typed", "Gated <b> inhibition"]


def test_a_days_list_is_completed_by_a_curators_program(
    curator: User, ada: User, paper: Paper, client: Client, with_token: Token
) -> None:
    path = "/api/v1/days/2026-04-20/complete"
    assert client.put(path, headers=with_token(ada)).status_code == 403
    assert client.put(path, headers=with_token(curator, "read", "write", "admin")).json()["complete"] is not None
    assert client.get("/api/v1/days/2026-13-01").status_code == 400


WRITES = [
    ("put", f"/api/v1/papers/{SNN}/vote", None),
    ("delete", f"/api/v1/papers/{SNN}/vote", None),
    ("put", f"/api/v1/papers/{SNN}/bookmark", None),
    ("put", f"/api/v1/papers/{SNN}/read", None),
    ("post", f"/api/v1/papers/{SNN}/comments", {"text": "x"}),
    ("post", "/api/v1/follows", {"kind": "topic", "key": "inhibition"}),
    ("post", "/api/v1/submissions", {"record": {"title": "x"}}),
    ("put", "/api/v1/days/2026-04-20/complete", None),
    ("post", f"/api/papers/{SNN}/upvote", None),
    ("post", f"/api/papers/{SNN}/comment", {"comment": "x"}),
    ("post", "/api/papers/index", {"arxivId": SNN}),
    ("post", "/api/settings/papers/claim", {"paperId": SNN, "claimAuthorId": f"{SNN}#1"}),
    ("post", f"/api/papers/{SNN}/links", {"githubRepo": "https://example.org/x"}),
]


def changed() -> int:
    return (
        Vote.objects.count()
        + Bookmark.objects.count()
        + Comment.objects.count()
        + Submission.objects.count()
        + AuthorClaim.objects.count()
    )


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_nothing_is_written_without_a_right_to(
    ada: User, paper: Paper, client: Client, with_token: Token, method: str, path: str, body: dict[str, Any] | None
) -> None:
    def ask(browser: Client, **header: str) -> tuple[int, bool]:
        answer = getattr(browser, method)(path, body, content_type=JSON, headers=header)
        return answer.status_code, set(answer.json()) == {"error"}

    assert ask(client) == (401, True)
    assert ask(client, Authorization="Bearer pr_unknown") == (401, True)
    assert ask(client, **with_token(ada, "read")) == (403, True)
    session = Client(enforce_csrf_checks=True)
    session.force_login(ada)
    assert ask(session) == (403, True)
    assert changed() == 0


@pytest.mark.parametrize("body", ["", "{", "[]", '{"text": 5}', '{"text": ""}', '{"text": "\\u0000"}', '{"text": null}'])
def test_a_body_that_does_not_fit_is_refused_in_a_sentence(
    ada: User, paper: Paper, client: Client, with_token: Token, body: str
) -> None:
    answer = client.post(f"/api/v1/papers/{SNN}/comments", body, content_type=JSON, headers=with_token(ada))
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert Comment.objects.count() == 0


# That of Hugging Face


def test_hugging_face_calls_write(ada: User, paper: Paper, client: Client, with_token: Token) -> None:
    header = with_token(ada)
    assert client.post(f"/api/papers/{SNN}/upvote", headers=header).json() == {"upvotes": 32, "upvoted": True}
    assert client.delete(f"/api/papers/{SNN}/upvote", headers=header).json() == {"upvotes": 31, "upvoted": False}
    made = client.post(f"/api/papers/{SNN}/comment", {"comment": "hi"}, content_type=JSON, headers=header).json()
    answer = client.post(
        f"/api/papers/{SNN}/comment/{made['id']}/reply", {"comment": "ho"}, content_type=JSON, headers=header
    ).json()
    assert (made["content"], answer["author"], answer["createdAt"][-1]) == ("hi", "ada", "Z")
    assert Comment.objects.get(uid=answer["id"]).parent.uid == made["id"]  # type: ignore[union-attr]
    assert client.get(f"/api/papers/{SNN}").json()["numComments"] == 3


def test_hugging_face_index_submits(ada: User, paper: Paper, arxiv: Site, client: Client, with_token: Token) -> None:
    header = with_token(ada)
    found = [
        client.post("/api/papers/index", {"arxivId": number}, content_type=JSON, headers=header)
        for number in (SNN, "2601.00001", "2601.00009")
    ]
    assert [answer.status_code for answer in found] == [200, 200, 502]
    assert [answer.json()["status"] for answer in found[:2]] == ["indexed", "waiting"]


def test_hugging_face_claims_go_by_the_id_of_an_author(
    ada: User, bo: User, paper: Paper, client: Client, with_token: Token
) -> None:
    author = client.get(f"/api/papers/{SNN}").json()["authors"][1]

    def claim(**more: str) -> int:
        body = {"paperId": SNN, "claimAuthorId": author["_id"], **more}
        return client.post("/api/settings/papers/claim", body, content_type=JSON, headers=with_token(ada)).status_code

    assert (claim(targetUserId="bo"), claim(claimAuthorId=f"{SNN}#9"), claim(claimAuthorId="x")) == (403, 400, 400)
    assert claim(targetUserId="ada") == 200
    assert list(AuthorClaim.objects.values_list("user__username", "name", "state")) == [("ada", "Jianhao Ding", "waiting")]


def test_hugging_face_shows_who_stands_behind_a_paper(ada: User, bo: User, paper: Paper, client: Client) -> None:
    Paper.objects.filter(pk=paper.pk).update(submitted_by="bo")
    bo.profile.display_name = "Bo Li"
    bo.profile.save()
    verified(ada, paper)
    item = client.get("/api/daily_papers?date=2026-04-20").json()[-1]
    item = next(each for each in client.get("/api/daily_papers?date=2026-04-20").json() if each["paper"]["id"] == SNN)
    assert item["isAuthorParticipating"] is False
    assert (item["submittedBy"]["user"], item["submittedBy"]["fullname"]) == ("bo", "Bo Li")
    first, second = item["paper"]["authors"][:2]
    assert (first["status"], first["user"]["user"], "user" in second) == ("claimed_verified", "ada", False)
    discussion.post(ada, paper, "I wrote this.")
    item = next(each for each in client.get("/api/daily_papers?date=2026-04-20").json() if each["paper"]["id"] == SNN)
    assert (item["isAuthorParticipating"], item["numComments"]) == (True, 2)


def test_the_votes_of_people_are_in_every_answer(ada: User, paper: Paper, client: Client) -> None:
    voting.vote(ada, paper, on=True)
    assert client.get(f"/api/papers/{SNN}").json()["upvotes"] == 32
    assert client.get(f"/api/v1/papers/{SNN}").json()["votes"] == 32
    assert client.get("/api/daily_papers?date=2026-04-20&sort=trending").json()[0]["upvotes"] == 32


def test_shared_collections_are_told_of_private_ones_not(ada: User, paper: Paper, client: Client) -> None:
    for title, public in (("Shared", True), ("Private", False)):
        shelves.collect(ada, shelves.new_collection(ada, title, public=public), [paper], on=True)
    assert client.get(f"/api/collections?item=papers/{SNN}").json() == [{"slug": "ada/shared", "title": "Shared"}]


def test_links_are_set_by_verified_authors(ada: User, bo: User, paper: Paper, client: Client, with_token: Token) -> None:
    verified(ada, paper)

    def links(user: User, **given: str) -> int:
        return client.post(f"/api/papers/{SNN}/links", given, content_type=JSON, headers=with_token(user)).status_code

    assert links(bo, githubRepo="https://example.org/bo") == 403
    assert links(ada, githubRepo="javascript:alert(1)") == 400
    assert links(ada, githubRepo="https://example.org/ada") == 200
    row = Paper.objects.get(pk=paper.pk)
    assert (row.code_url, row.edited) == ("https://example.org/ada", ["links"])
