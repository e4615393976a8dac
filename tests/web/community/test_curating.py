"""A curator's hand in the day's list, and how lists show it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from django.contrib.auth.models import User
from django.test import Client
from lxml import html

from pressrun import catalog
from pressrun.web.community import curating
from pressrun.web.community.models import AuditEntry, Day
from pressrun.web.errors import BadInput
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.models import Paper
from tests.conftest import EARLIER, LATEST
from tests.web.community.conftest import SNN

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]
REFUSAL, SPARSE = "2510.06036", "10.1371/journal.pcbi.1011459"


def shown(client: Client, path: str = f"/papers/date/{LATEST}") -> list[str]:
    links = html.fromstring(client.get(path).text).xpath("//article//h2/a/@href")
    return [str(link).removeprefix("/papers/") for link in links]


def key(public_id: str) -> int:
    return Paper.objects.get(public_id=public_id).pk


def test_papers_with_a_place_come_first_the_others_by_votes(client: Client, curator: User, paper: Paper) -> None:
    assert shown(client) == [SNN, REFUSAL, SPARSE]
    curating.order(curator, LATEST, {key(SPARSE): 1, key(SNN): None, key(REFUSAL): None})
    assert shown(client) == [SPARSE, SNN, REFUSAL]
    assert shown(client, f"/papers/date/{LATEST}?sort=trending") == [SNN, REFUSAL, SPARSE]
    assert "A curator put 1 paper first; the others go by votes." in client.get(f"/papers/date/{LATEST}").text


def test_the_same_place_twice_is_refused(curator: User, paper: Paper) -> None:
    with pytest.raises(BadInput, match="two papers have the same place"):
        curating.order(curator, LATEST, {key(SPARSE): 1, key(SNN): 1})


def test_a_paper_of_another_day_has_no_place_here(curator: User, paper: Paper) -> None:
    with pytest.raises(BadInput, match="1 of these papers are not on the list"):
        curating.order(curator, EARLIER, {key(SPARSE): 1})


def test_what_is_taken_off_leaves_every_list_and_keeps_its_page(client: Client, curator: User, paper: Paper) -> None:
    curating.take_off(curator, paper, "off topic")
    for path in (f"/papers/date/{LATEST}", "/papers/month/2026-04", "/papers/trending"):
        assert SNN not in shown(client, path)
    assert client.get(f"/api/daily_papers?date={LATEST}").json()[0]["paper"]["id"] != SNN
    page = client.get(f"/papers/{SNN}")
    assert page.status_code == 200
    assert "Taken off its list by a curator" in page.text


def test_no_import_puts_it_back_but_a_curator_does(client: Client, curator: User, paper: Paper) -> None:
    curating.take_off(curator, paper)
    save([catalog.Paper(title=paper.title, arxiv_id=SNN, listed=LATEST, note="news")], Report())
    assert SNN not in shown(client)
    assert [row.public_id for row in curating.taken_off(LATEST)] == [SNN]
    curating.put_back(curator, paper)
    assert SNN in shown(client)


def test_a_paper_of_this_site_is_moved_for_good(client: Client, curator: User, paper: Paper) -> None:
    curating.add_known(curator, paper, EARLIER)
    assert SNN in shown(client, f"/papers/date/{EARLIER}")
    save([catalog.Paper(title=paper.title, arxiv_id=SNN, listed=LATEST)], Report())
    assert SNN not in shown(client)


def test_a_complete_list_says_so_to_readers_and_programs(client: Client, curator: User, paper: Paper) -> None:
    assert "Complete since" not in client.get(f"/papers/date/{LATEST}").text
    assert client.get(f"/api/v1/days/{LATEST}").json() == {"day": "2026-04-20", "papers": 3, "placed": 0, "complete": None}
    curating.complete(curator, LATEST, on=True)
    assert "Complete since" in client.get(f"/papers/date/{LATEST}").text
    assert client.get(f"/api/v1/days/{LATEST}").json()["complete"] is not None
    curating.complete(curator, LATEST, on=False)
    assert "Complete since" not in client.get(f"/papers/date/{LATEST}").text


def test_every_change_is_in_the_log(curator: User, paper: Paper) -> None:
    curating.order(curator, LATEST, {key(SNN): 1})
    curating.take_off(curator, paper, "off topic")
    curating.put_back(curator, paper)
    curating.add_known(curator, paper, EARLIER)
    curating.complete(curator, LATEST, on=True)
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["ordered list", "took off list", "put back on list", "added to list", "completed list"]


# At the desk


def test_the_page_changes_the_list(client: Client, curator: User, paper: Paper, as_user: AsUser) -> None:
    desk, day = as_user(curator), str(LATEST)
    change = "/desk/list/change"
    assert "Lateral Inhibition" in desk.get(f"/desk/list?day={day}").text
    order = {"day": day, "do": "order", f"place-{key(SPARSE)}": "1", f"place-{key(REFUSAL)}": "2", f"place-{key(SNN)}": ""}
    assert desk.post(change, order)["Location"] == f"/desk/list?day={day}"
    assert shown(client) == [SPARSE, REFUSAL, SNN]
    desk.post(change, {"day": day, "do": "take-off", "paper": REFUSAL})
    assert shown(client) == [SPARSE, SNN]
    desk.post(change, {"day": day, "do": "put-back", "paper": REFUSAL})
    desk.post(change, {"day": day, "do": "complete"})
    desk.post(change, {"day": str(EARLIER), "do": "add", "paper": f"https://arxiv.org/abs/{SNN}"})
    assert shown(client) == [SPARSE, REFUSAL]
    assert Day.objects.get(day=date(2026, 4, 20)).complete is not None


@pytest.mark.parametrize(
    "given",
    [
        {"do": "explode"}, {"do": "order", "place-x": "1"}, {"do": "order", "place-1": "0"}, {"do": "order", "place-1": "-1"},
        {"do": "order", "place-999999": "1"}, {"do": "add", "paper": ""}, {"do": "add", "paper": "hello"}, {"do": "add", "day": "x"},
    ],
)  # fmt: skip
def test_a_change_that_is_none_is_refused(curator: User, paper: Paper, as_user: AsUser, given: dict[str, str]) -> None:
    assert as_user(curator).post("/desk/list/change", {"day": "2026-04-20", **given}).status_code == 400
    assert AuditEntry.objects.count() == 0
