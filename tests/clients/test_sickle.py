"""The real sickle harvester against a live server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.live_server_helper import LiveServer
from sickle import Sickle, oaiexceptions
from sickle.iterator import OAIResponseIterator

from pressrun.catalog import Paper
from pressrun.web.api import oai
from pressrun.web.papers import models

pytestmark = pytest.mark.client


@pytest.fixture
def sickle(live_server: LiveServer) -> Sickle:
    return Sickle(f"{live_server.url}/oai", timeout=30)


@pytest.fixture
def pages_of_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oai, "PAGE", 100)


def test_it_says_what_it_is(sickle: Sickle, papers: tuple[Paper, ...]) -> None:
    me = sickle.Identify()
    assert me.protocolVersion == "2.0"
    assert me.deletedRecord == "persistent"
    assert me.granularity == "YYYY-MM-DDThh:mm:ssZ"
    assert me.repositoryName == "pressrun"
    assert {form.metadataPrefix for form in sickle.ListMetadataFormats()} == {"oai_dc", "arXiv", "arXivRaw"}


def test_it_harvests_three_pages_with_a_deleted_record(sickle: Sickle, many: tuple[Paper, ...], pages_of_100: None) -> None:
    gone = models.Paper.objects.get(arxiv_id="2401.00007")
    gone.withdrawn = True
    gone.derive()
    gone.save()
    records = list(sickle.ListRecords(metadataPrefix="oai_dc"))
    assert len(records) == 250
    assert len({record.header.identifier for record in records}) == 250
    deleted = [record for record in records if record.deleted]
    assert [record.header.identifier for record in deleted] == [oai.identifier("2401.00007")]
    # Its datestamp is the newest, so it comes last: a harvester that began before the change still learns of it.
    assert records[-1].deleted
    assert records[0].metadata["title"] == ["Spiking study number 0"]
    assert records[0].metadata["creator"] == ["Lovelace, Ada", "Hopper0, Grace"]


def test_a_changed_paper_is_seen_again_by_a_harvest_under_way(
    sickle: Sickle, many: tuple[Paper, ...], pages_of_100: None
) -> None:
    harvest = iter(sickle.ListIdentifiers(metadataPrefix="oai_dc"))
    first = [next(harvest).identifier for _ in range(100)]
    row = models.Paper.objects.get(arxiv_id="2401.00003")
    row.derive()
    row.save()
    rest = [header.identifier for header in harvest]
    assert oai.identifier("2401.00003") in first
    assert oai.identifier("2401.00003") == rest[-1]
    assert len(first) + len(rest) == 251


def test_forenames_stay_beside_their_keynames(sickle: Sickle, db: None) -> None:
    from pressrun.catalog import Author
    from pressrun.web.papers.ingest import Report, save

    authors = (Author("Plato"), Author("Ada Lovelace"), Author("Sammy Davis Jr."))
    save([Paper(title="On names", arxiv_id="2401.00001", authors=authors, categories=("cs.LG",))], Report())
    record = sickle.GetRecord(identifier=oai.identifier("2401.00001"), metadataPrefix="arXiv")
    assert record.metadata["keyname"] == ["Plato", "Lovelace", "Davis"]
    assert record.metadata["forenames"] == [None, "Ada", "Sammy"]
    assert record.metadata["suffix"] == ["Jr."]


def test_it_selects_by_set(sickle: Sickle, papers: tuple[Paper, ...]) -> None:
    def ids(spec: str) -> set[str]:
        return {header.identifier for header in sickle.ListIdentifiers(metadataPrefix="oai_dc", set=spec)}

    assert ids("topic:inhibition") == {oai.identifier("2509.23253"), oai.identifier("10.1371/journal.pcbi.1011459")}
    assert len(ids("topic")) == 5
    for spec in ("cs", "cs:cs", "cs:cs:NE", "cs:cs:LG"):
        assert ids(spec) == {oai.identifier("2509.23253")}
    specs = {found.setSpec for found in sickle.ListSets()}
    assert {"topic", "topic:inhibition", "cs", "cs:cs", "cs:cs:NE", "cs:cs:LG"} <= specs


def test_it_selects_by_datestamp(sickle: Sickle, papers: tuple[Paper, ...]) -> None:
    models.Paper.objects.update(modified=datetime(2026, 4, 20, 12, 0, 0, 500_000, tzinfo=UTC))
    models.Paper.objects.filter(arxiv_id="2509.23253").update(modified=datetime(2026, 4, 21, 8, 30, 0, tzinfo=UTC))

    def count(**bounds: str) -> int:
        return sum(1 for _ in sickle.ListIdentifiers(metadataPrefix="oai_dc", **bounds))

    assert count(**{"from": "2026-04-21"}) == 1
    assert count(until="2026-04-20") == 4
    assert count(**{"from": "2026-04-20", "until": "2026-04-20"}) == 4
    # Both bounds count, and a second holds all its fractions.
    assert count(**{"from": "2026-04-20T12:00:00Z", "until": "2026-04-20T12:00:00Z"}) == 4
    assert count(**{"from": "2026-04-21T08:30:00Z"}) == 1
    with pytest.raises(oaiexceptions.NoRecordsMatch):
        count(**{"from": "2026-04-21T08:30:01Z"})


def test_every_error_of_the_protocol_reaches_the_harvester(sickle: Sickle, papers: tuple[Paper, ...]) -> None:
    known = oai.identifier("10.1371/journal.pcbi.1011459")
    with pytest.raises(oaiexceptions.BadArgument):
        sickle.ListRecords(metadataPrefix="oai_dc", color="green")
    with pytest.raises(oaiexceptions.BadArgument):
        sickle.ListRecords(**{"metadataPrefix": "oai_dc", "from": "2026-02-30"})
    with pytest.raises(oaiexceptions.BadVerb):
        OAIResponseIterator(sickle, {"verb": "Fetch"})
    with pytest.raises(oaiexceptions.BadResumptionToken):
        sickle.ListRecords(resumptionToken="made-up")
    with pytest.raises(oaiexceptions.CannotDisseminateFormat):
        sickle.ListRecords(metadataPrefix="marc21")
    with pytest.raises(oaiexceptions.CannotDisseminateFormat):
        sickle.GetRecord(identifier=known, metadataPrefix="arXiv")
    with pytest.raises(oaiexceptions.IdDoesNotExist):
        sickle.GetRecord(identifier=oai.identifier("9999.99999"), metadataPrefix="oai_dc")
    with pytest.raises(oaiexceptions.NoRecordsMatch):
        sickle.ListRecords(metadataPrefix="oai_dc", set="topic:nothing")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    with pytest.raises(oaiexceptions.NoRecordsMatch):
        sickle.ListRecords(**{"metadataPrefix": "oai_dc", "from": tomorrow})


def test_harvesting_by_post_gives_the_same(live_server: LiveServer, papers: tuple[Paper, ...]) -> None:
    by_post = Sickle(f"{live_server.url}/oai", http_method="POST")
    assert len(list(by_post.ListRecords(metadataPrefix="oai_dc"))) == 5
