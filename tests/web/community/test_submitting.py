"""Papers that people submit: fetched or typed, recognised, listed or refused; and no way into the inner network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import count

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from lxml import html
from pytest_django import Settings

from pressrun import catalog
from pressrun.catalog import Fetcher
from pressrun.web.alerts.models import Event, Notification
from pressrun.web.community import metadata, submitting
from pressrun.web.community.metadata import NotFetched
from pressrun.web.community.models import AuditEntry, Submission
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from tests.catalog.server import Answer, Site, fetcher, serving
from tests.web.community.conftest import SNN

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]

ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">
<opensearch:totalResults>1</opensearch:totalResults>
<entry><id>http://arxiv.org/abs/2601.00001v2</id><published>2026-01-01T10:00:00Z</published><updated>2026-01-02T10:00:00Z</updated>
<title>Gated &lt;b&gt; inhibition</title><summary>We gate it.</summary><author><name>Ada Beispiel</name></author><author><name>Bo Li</name></author></entry>
</feed>"""
NOTHING = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">
<opensearch:totalResults>0</opensearch:totalResults></feed>"""
BIBTEX = "@article{Beispiel_2024, title={On gating}, DOI={10.5555/gate.7}, journal={J. Gates}, author={Beispiel, Ada and Li, Bo}, year={2024}}"
PAGE = """<html><head><meta name="citation_title" content="Attention to &amp; gates"><meta name="citation_author" content="Beispiel, Ada">
<meta name="citation_author" content="Bo Li"><meta name="citation_publication_date" content="2025/3/9">
<meta name="citation_pdf_url" content="javascript:alert(1)"><meta name="citation_conference_title" content="GateConf"></head><body>x</body></html>"""


@pytest.fixture
def arxiv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An arXiv on loopback that knows one paper."""
    with serving(lambda query: Answer(ATOM if query["id_list"] == "2601.00001" else NOTHING)) as site:
        monkeypatch.setattr(metadata, "ARXIV", site.address + "/api/query?id_list={}&max_results=1")
        monkeypatch.setattr(metadata, "FETCHER", fetcher(interval=0, tries=1))
        yield site


def record(title: str = "A new gate", **facts: object) -> catalog.Paper:
    return catalog.Paper(title=title, **{"arxiv_id": "2602.00002", "published": date(2026, 2, 2), **facts})


# What was pasted


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2509.23253", ("2509.23253", "", "")),
        (" arXiv:2509.23253v3 ", ("2509.23253", "", "")),
        ("https://arxiv.org/pdf/2509.23253v1", ("2509.23253", "", "https://arxiv.org/pdf/2509.23253v1")),
        ("doi:10.5555/Gate.7", ("", "10.5555/gate.7", "")),
        ("https://doi.org/10.5555/gate.7", ("", "10.5555/gate.7", "https://doi.org/10.5555/gate.7")),
        ("https://openreview.example/forum?id=x", ("", "", "https://openreview.example/forum?id=x")),
    ],
)
def test_it_understands_ids_dois_and_addresses(text: str, meant: tuple[str, str, str]) -> None:
    assert metadata.named_in(text) == meant


@pytest.mark.parametrize(
    "text", ["", "hello", "ftp://a.example/x", "file:///etc/passwd", "javascript:alert(1)", "http://", "https://a b"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="neither an arXiv id, a DOI nor an http"):
        metadata.named_in(text)


def test_arxiv_is_asked_for_an_arxiv_id(arxiv: Site) -> None:
    found = metadata.fetch_record("https://arxiv.org/abs/2601.00001")
    assert (found.title, found.arxiv_id, [author.name for author in found.authors]) == (
        "Gated <b> inhibition", "2601.00001", ["Ada Beispiel", "Bo Li"],
    )  # fmt: skip
    assert len(arxiv.asked) == 1


def test_an_id_that_arxiv_does_not_know_is_no_paper(arxiv: Site) -> None:
    with pytest.raises(NotFetched, match=r"arXiv knows no paper 2601\.99999\."):
        metadata.fetch_record("2601.99999")


def test_a_doi_is_looked_up_at_one_registry_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = count()
    with serving(lambda _: Answer(BIBTEX) if next(tries) else Answer("not here", 404)) as site:
        monkeypatch.setattr(metadata, "DOIS", (site.address + "/one/{}", site.address + "/two/{}"))
        found = metadata.fetch_record("10.5555/gate.7", fetcher(interval=0, tries=1))
        assert (found.title, found.doi, found.id) == ("On gating", "10.5555/gate.7", "10.5555/gate.7")
        assert site.asked == ["/one/10.5555/gate.7", "/two/10.5555/gate.7"]


def test_a_page_says_in_its_head_what_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: Answer(PAGE, headers={"Content-Type": "text/html"})) as site:
        found = metadata.fetch_record(f"{site.address}/paper", fetcher(interval=0, tries=1))
    assert (found.title, [author.name for author in found.authors]) == ("Attention to & gates", ["Ada Beispiel", "Bo Li"])
    assert (found.published, found.journal, found.links.project) == (date(2025, 3, 9), "GateConf", f"{site.address}/paper")
    assert found.links.pdf == ""


@pytest.mark.parametrize("body", ["<html><title>A shop</title></html>", "", "\x00\x01\x02", "%PDF-1.4", "{}"])
def test_a_page_about_nothing_gives_nothing(body: str) -> None:
    with serving(lambda _: Answer(body)) as site, pytest.raises(NotFetched):
        metadata.fetch_record(f"{site.address}/x", fetcher(interval=0, tries=1))


def test_a_packed_bomb_is_read_to_a_bound() -> None:
    import gzip

    bomb = gzip.compress(b"<html><head>" + b" " * (50 << 20) + b'<meta name="citation_title" content="x"></head>')
    with serving(lambda _: Answer(bomb, headers={"Content-Encoding": "gzip"})) as site, pytest.raises(NotFetched):
        metadata.fetch_record(f"{site.address}/x", fetcher(interval=0, tries=1, total_timeout=5.0))


# The inner network


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
        "http://192.168.1.1/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f000001/",
        "http://[64:ff9b::7f00:1]/", "http://100.64.0.1/", "http://user:secret@127.0.0.1/",
    ],
)  # fmt: skip
def test_nothing_is_fetched_from_inside(address: str) -> None:
    with pytest.raises(NotFetched):
        metadata.fetch_record(address, Fetcher(tries=1, connect_timeout=0.5, total_timeout=1.0))


def test_a_page_that_redirects_inside_is_not_followed() -> None:
    with serving(lambda _: Answer(PAGE)) as inside:
        asked = Fetcher(tries=1, interval=0, resolve=lambda host, port: ["127.0.0.1"])
        with pytest.raises(NotFetched, match="private or reserved"):
            metadata.fetch_record(f"http://innocent.example:{inside.address.rpartition(':')[2]}/", asked)
        assert inside.asked == []


def test_a_name_that_changes_its_address_gains_nothing() -> None:
    """DNS rebinding: the first look-up is public, the second one is not. There is only one."""
    answers = iter([["192.0.2.1", "127.0.0.1"], ["127.0.0.1"]])
    with serving(lambda _: Answer(PAGE)) as inside:
        asked = Fetcher(tries=1, interval=0, connect_timeout=0.2, total_timeout=0.5, resolve=lambda host, port: next(answers))
        with pytest.raises(NotFetched):
            metadata.fetch_record(f"http://innocent.example:{inside.address.rpartition(':')[2]}/", asked)
        assert inside.asked == []


# Submissions


def test_a_submission_waits_and_the_curators_hear_of_it(ada: User, curator: User, paper: Paper) -> None:
    made = submitting.submit(ada, "2602.00002", record())
    assert (made.state, Paper.objects.filter(arxiv_id="2602.00002").exists()) == ("waiting", False)
    assert Notification.objects.filter(user=curator, event__kind="submission").count() == 1


def test_a_curator_lists_it_under_the_name_of_who_found_it(ada: User, curator: User, paper: Paper) -> None:
    made = submitting.submit(ada, "2602.00002", record())
    submitting.decide(curator, made, listed=True, day=date(2026, 4, 20))
    listed = Paper.objects.get(arxiv_id="2602.00002")
    assert (listed.day, listed.submitted_by) == (date(2026, 4, 20), "ada")
    assert Notification.objects.filter(user=ada, event__kind="paper-listed").count() == 1
    assert AuditEntry.objects.get().action == "listed submission"


def test_two_curators_decide_once(ada: User, curator: User, owner: User, paper: Paper) -> None:
    made = submitting.submit(ada, "2602.00002", record())
    submitting.decide(curator, made, listed=False, reason="Not about inhibition.")
    with pytest.raises(BadInput, match="another curator has decided"):
        submitting.decide(owner, made, listed=True)
    assert not Paper.objects.filter(arxiv_id="2602.00002").exists()
    made.refresh_from_db()
    assert (made.state, made.why) == ("refused", "Not about inhibition.")


def test_an_open_site_lists_at_once(ada: User, settings: Settings) -> None:
    settings.SUBMISSIONS = "open"
    made = submitting.submit(ada, "2602.00002", record())
    assert made.paper is not None
    assert (made.state, made.paper.day) == ("listed", datetime.now(UTC).date())
    assert Event.objects.filter(kind="submission").count() == 0


def test_a_closed_site_takes_those_of_curators_alone(ada: User, curator: User, settings: Settings) -> None:
    settings.SUBMISSIONS = "closed"
    with pytest.raises(PermissionDenied, match="takes no submissions"):
        submitting.submit(ada, "2602.00002", record())
    assert submitting.submit(curator, "2602.00002", record()).state == "listed"


@pytest.mark.parametrize(
    "same",
    [
        {"arxiv_id": SNN, "title": "Another title"},
        {"arxiv_id": "", "title": "Lateral inhibition trains deep spiking networks!", "authors": (catalog.Author("P. Liu"),)},
        {"arxiv_id": "", "doi": "10.1371/JOURNAL.PCBI.1011459", "title": "x"},
    ],
)
def test_a_paper_that_is_here_is_recognised(ada: User, paper: Paper, same: dict[str, object]) -> None:
    with pytest.raises(submitting.AlreadyHere) as known:
        submitting.submit(ada, "x", record(**same))
    assert known.value.paper is not None
    assert Submission.objects.count() == 0


def test_a_paper_that_waits_is_not_taken_twice(ada: User, bo: User) -> None:
    submitting.submit(ada, "2602.00002", record())
    with pytest.raises(submitting.AlreadyHere, match="waits for a curator"):
        submitting.submit(bo, "https://arxiv.org/abs/2602.00002", record())
    assert Submission.objects.count() == 1


def test_a_paper_that_was_refused_may_be_submitted_again(ada: User, bo: User, curator: User) -> None:
    submitting.decide(curator, submitting.submit(ada, "x", record()), listed=False, reason="Not yet.")
    assert submitting.submit(bo, "x", record()).state == "waiting"


def test_counts_and_names_of_a_fetched_record_are_not_taken_over(ada: User, settings: Settings) -> None:
    settings.SUBMISSIONS = "open"
    made = submitting.submit(ada, "x", record(upvotes=9000, comments=70, submitted_by="somebody else"))
    assert made.paper is not None
    assert (made.paper.votes, made.paper.comments, made.paper.submitted_by) == (0, 0, "ada")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "the title is empty"),
        ({"title": "x" * 501}, "the title has 501 characters; 500 are the most"),
        ({"title": "x", "arxiv_id": "nope"}, "'nope' is no arXiv id"),
        ({"title": "x", "doi": "11.1/x"}, "'11.1/x' is no DOI"),
        ({"title": "x", "link": "javascript:alert(1)"}, "links.project needs to be an http"),
        ({"title": "x", "published": "31.12.2025"}, "published needs to be a date"),
        ({"title": "x", "authors": "a\n" * 1001}, "there are 1,001 authors"),
    ],
)
def test_a_typed_record_is_checked(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        submitting.typed_record(given)


# On pages


def test_pasting_an_id_submits_the_paper(ada: User, arxiv: Site, as_user: AsUser) -> None:
    client = as_user(ada)
    assert client.post("/submit", {"paper": "2601.00001"})["Location"] == "/submissions"
    assert "Gated &lt;b&gt; inhibition" in client.get("/submissions").text
    assert Submission.objects.get().key == "arxiv:2601.00001"


def test_pasting_what_is_here_leads_there_and_asks_nobody(ada: User, paper: Paper, arxiv: Site, as_user: AsUser) -> None:
    assert as_user(ada).post("/submit", {"paper": f"https://arxiv.org/abs/{SNN}v2"})["Location"] == f"/papers/{SNN}"
    assert arxiv.asked == []


def test_offline_a_form_takes_over(ada: User, as_user: AsUser, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise OSError("no network")

    monkeypatch.setattr(metadata, "FETCHER", Fetcher(tries=1, interval=0, resolve=nobody))
    client = as_user(ada)
    tree = html.fromstring(client.post("/submit", {"paper": "2601.00001"}).text)
    assert "there is no host export.arxiv.org" in tree.text_content()
    assert tree.xpath("//input[@id='arxiv_id']/@value") == ["2601.00001"]
    typed = {"typed": "1", "paper": "2601.00001", "title": "Gated", "authors": "Ada Beispiel\nBo Li", "arxiv_id": "2601.00001"}
    assert client.post("/submit", typed)["Location"] == "/submissions"
    row = Submission.objects.get()
    assert (row.typed, row.record["authors"]) == (True, [{"name": "Ada Beispiel"}, {"name": "Bo Li"}])


def test_a_form_with_a_slip_keeps_what_was_typed(ada: User, as_user: AsUser) -> None:
    answer = as_user(ada).post("/submit", {"typed": "1", "title": "", "abstract": "long words"})
    assert answer.status_code == 400
    tree = html.fromstring(answer.text)
    assert tree.xpath("//textarea[@id='abstract']")[0].text == "long words"
    assert "The title is empty; write something." in tree.text_content()


def test_the_queue_lists_and_refuses(ada: User, curator: User, as_user: AsUser) -> None:
    made = submitting.submit(ada, "x", record("<b>Bold</b> title"))
    desk = as_user(curator)
    assert "&lt;b&gt;Bold&lt;/b&gt; title" in desk.get("/desk").text
    assert desk.post(f"/desk/submissions/{made.uid}", {"do": "list", "day": "2026-04-20"}).status_code == 302
    assert Paper.objects.get(arxiv_id="2602.00002").day == date(2026, 4, 20)
    assert desk.post(f"/desk/submissions/{made.uid}", {"do": "refuse", "reason": "x"}).status_code == 400


def test_visitors_submit_nothing(client: Client) -> None:
    assert client.get("/submit").status_code == 302
    assert client.post("/submit", {"paper": SNN}).status_code == 302
