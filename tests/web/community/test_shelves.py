"""What a person keeps is theirs: kept once, found again, and seen by nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.http import Http404
from django.test import Client
from lxml import html

from pressrun.web.community import shelves
from pressrun.web.community.models import Bookmark, CollectionItem, Follow, Note, ReadMark
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from tests.web.community.conftest import SNN

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]


@pytest.mark.parametrize(("kind", "model"), [("bookmark", Bookmark), ("read", ReadMark)])
def test_a_mark_is_set_once_and_taken_off(ada: User, paper: Paper, kind: str, model: type[Bookmark | ReadMark]) -> None:
    counts = []
    for on in (True, True, False, False):
        shelves.mark(ada, paper, kind, on=on)
        counts.append(model.objects.filter(user=ada, paper=paper).count())  # type: ignore[attr-defined]
    assert counts == [1, 1, 0, 0]


def test_a_note_is_written_over_and_an_empty_one_is_gone(ada: User, paper: Paper) -> None:
    shelves.write_note(ada, paper, "try with 4 layers")
    shelves.write_note(ada, paper, "tried with 4 layers")
    assert list(Note.objects.values_list("text", flat=True)) == ["tried with 4 layers"]
    shelves.write_note(ada, paper, "  ")
    assert Note.objects.count() == 0


def test_collections_of_one_title_have_addresses_of_their_own(ada: User) -> None:
    slugs = [shelves.new_collection(ada, title).slug for title in ("To read", "to  read!", "????")]
    assert slugs[:2] == ["to-read", "to-read-2"]
    assert len(slugs[2]) == 16  # nothing is left of the title, so the address is a hash


def test_a_paper_is_in_a_collection_once(ada: User, paper: Paper) -> None:
    collection = shelves.new_collection(ada, "To read")
    shelves.collect(ada, collection, [paper, paper], on=True)
    shelves.collect(ada, collection, [paper], on=True)
    assert CollectionItem.objects.count() == 1
    shelves.collect(ada, collection, [paper], on=False)
    assert CollectionItem.objects.count() == 0


def test_nobody_fills_anothers_collection(ada: User, bo: User, paper: Paper) -> None:
    collection = shelves.new_collection(ada, "Shared", public=True)
    with pytest.raises(Http404):
        shelves.collect(bo, collection, [paper], on=True)


@pytest.mark.parametrize(
    ("kind", "key", "label"),
    [
        ("author", "peiyu-liu", "Peiyu Liu"),
        ("organisation", "peking-university", "Peking University"),
        ("topic", "inhibition", "inhibition"),
        ("search", "  lateral   inhibition ", "lateral inhibition"),
    ],
)
def test_one_follows_things_that_are_here(ada: User, paper: Paper, kind: str, key: str, label: str) -> None:
    for _ in range(2):
        shelves.follow(ada, kind, key, on=True)
    assert list(Follow.objects.values_list("kind", "label")) == [(kind, label)]
    shelves.follow(ada, kind, key, on=False)
    assert Follow.objects.count() == 0


@pytest.mark.parametrize(
    ("kind", "key", "sentence"),
    [
        ("author", "nobody", "there is no author 'nobody' here"),
        ("planet", "mars", "one can follow an author, an organisation, a topic or a search, got 'planet'"),
        ("search", "", "the search is empty"),
        ("search", "x" * 301, "the search has 301 characters"),
    ],
)
def test_one_follows_nothing_else(ada: User, paper: Paper, kind: str, key: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        shelves.follow(ada, kind, key, on=True)


# On pages


TABS = ["bookmarks", "read", "votes", "notes", "collections", "follows"]


@pytest.mark.parametrize("tab", TABS)
def test_every_shelf_is_ones_own(ada: User, bo: User, paper: Paper, as_user: AsUser, client: Client, tab: str) -> None:
    mine = as_user(ada)
    mine.post(f"/vote/{SNN}", {"on": "1"})
    mine.post(f"/bookmark/{SNN}", {"on": "1"})
    mine.post(f"/read/{SNN}", {"on": "1"})
    mine.post(f"/note/{SNN}", {"note": "my secret thought"})
    mine.post(f"/collect/{SNN}", {"title": "My secret list", "on": "1"})
    mine.post("/follow", {"kind": "topic", "key": "spiking-networks", "on": "1"})
    wanted = {"notes": "my secret thought", "collections": "My secret list", "follows": "spiking networks"}.get(tab, paper.title)
    assert wanted in html.fromstring(mine.get(f"/library/{tab}").text).xpath("//main")[0].text_content()
    assert wanted not in html.fromstring(as_user(bo).get(f"/library/{tab}").text).xpath("//main")[0].text_content()
    assert client.get(f"/library/{tab}")["Location"].startswith("/account/login/")
    assert "secret" not in client.get(f"/papers/{SNN}").text
    assert "secret" not in client.get("/members/ada").text


@pytest.mark.parametrize("tab", TABS)
def test_every_shelf_says_how_to_fill_it(ada: User, as_user: AsUser, tab: str) -> None:
    assert html.fromstring(as_user(ada).get(f"/library/{tab}").text).xpath("//main//*[@class='note']")


def test_an_unknown_shelf_is_a_404(ada: User, as_user: AsUser) -> None:
    assert as_user(ada).get("/library/attic").status_code == 404


def test_a_private_collection_is_not_there_for_others(ada: User, bo: User, paper: Paper, as_user: AsUser, client: Client) -> None:
    as_user(ada).post("/library/collections/new", {"title": "To read"})
    for browser in (client, as_user(bo)):
        assert browser.get("/collections/ada/to-read").status_code == 404
    assert as_user(bo).post("/library/collections/to-read", {"title": "x"}).status_code == 404
    as_user(ada).post("/library/collections/to-read", {"title": "Read this", "public": "1"})
    assert "Read this" in client.get("/collections/ada/to-read").text


def test_a_collection_is_removed_with_its_papers_left_alone(ada: User, paper: Paper, as_user: AsUser) -> None:
    client = as_user(ada)
    client.post(f"/collect/{SNN}", {"title": "To read", "on": "1"})
    client.post("/library/collections/to-read", {"remove": "1"})
    assert client.get("/collections/ada/to-read").status_code == 404
    assert client.get(f"/papers/{SNN}").status_code == 200


def test_lists_and_searches_have_a_button_to_follow_them(ada: User, indexed: object, as_user: AsUser) -> None:
    client = as_user(ada)
    for path, kind, key in (("/topics/inhibition", "topic", "inhibition"), ("/search?q=refuse", "search", "refuse")):
        form = html.fromstring(client.get(path).text).xpath("//form[@action='/follow']")[0]
        assert (form.xpath("input[@name='kind']/@value"), form.xpath("input[@name='key']/@value")) == ([kind], [key])
        client.post("/follow", {"kind": kind, "key": key, "on": "1"})
        assert "Don’t follow any more" in client.get(path).text


def test_a_member_has_a_page(ada: User, paper: Paper, as_user: AsUser, client: Client) -> None:
    as_user(ada).post(f"/discussion/{SNN}", {"text": "I said <b>this</b>"})
    page = client.get("/members/ada")
    assert "I said &lt;b&gt;this&lt;/b&gt;" in page.text
    assert client.get("/members/nobody").status_code == 404
