"""OAI-PMH as it stands on the wire; tests/clients harvests it with the real sickle."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from pressrun.catalog import Author, Paper
from pressrun.web.api import oai
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save

OAI = {
    "o": "http://www.openarchives.org/OAI/2.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "a": "http://arxiv.org/OAI/arXiv/",
    "r": "http://arxiv.org/OAI/arXivRaw/",
}
SPIKING = "oai:testserver:2509.23253"

# The order and number of elements that the protocol's schema asks for, in RELAX NG compact form turned into XML by hand.
ENVELOPE = etree.RelaxNG(
    etree.fromstring(
        """<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://www.openarchives.org/OAI/2.0/"
         datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <define name="stamp"><data type="string"><param name="pattern">\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ</param></data></define>
  <define name="uri"><data type="anyURI"/></define>
  <define name="any"><element><anyName/><zeroOrMore><attribute><anyName/></attribute></zeroOrMore>
    <zeroOrMore><choice><text/><ref name="any"/></choice></zeroOrMore></element></define>
  <define name="header"><element name="header"><optional><attribute name="status" ns=""><value>deleted</value></attribute></optional>
    <element name="identifier"><ref name="uri"/></element><element name="datestamp"><ref name="stamp"/></element>
    <zeroOrMore><element name="setSpec"><data type="string"><param name="pattern">[A-Za-z0-9_.!~*'()\\-]+(:[A-Za-z0-9_.!~*'()\\-]+)*</param></data></element></zeroOrMore></element></define>
  <define name="record"><element name="record"><ref name="header"/><optional><element name="metadata"><ref name="any"/></element></optional></element></define>
  <define name="token"><optional><element name="resumptionToken">
    <optional><attribute name="cursor" ns=""><data type="nonNegativeInteger"/></attribute></optional>
    <optional><attribute name="completeListSize" ns=""><data type="positiveInteger"/></attribute></optional><text/></element></optional></define>
  <start><element name="OAI-PMH"><zeroOrMore><attribute><anyName/></attribute></zeroOrMore>
    <element name="responseDate"><ref name="stamp"/></element>
    <element name="request"><zeroOrMore><attribute><anyName/></attribute></zeroOrMore><ref name="uri"/></element>
    <choice>
      <oneOrMore><element name="error"><attribute name="code" ns=""><text/></attribute><text/></element></oneOrMore>
      <element name="Identify"><element name="repositoryName"><text/></element><element name="baseURL"><ref name="uri"/></element>
        <element name="protocolVersion"><value>2.0</value></element><oneOrMore><element name="adminEmail"><data type="string"><param name="pattern">\\S+@\\S+</param></data></element></oneOrMore>
        <element name="earliestDatestamp"><ref name="stamp"/></element><element name="deletedRecord"><value>persistent</value></element>
        <element name="granularity"><value>YYYY-MM-DDThh:mm:ssZ</value></element>
        <zeroOrMore><element name="description"><ref name="any"/></element></zeroOrMore></element>
      <element name="ListMetadataFormats"><oneOrMore><element name="metadataFormat"><element name="metadataPrefix"><text/></element>
        <element name="schema"><ref name="uri"/></element><element name="metadataNamespace"><ref name="uri"/></element></element></oneOrMore></element>
      <element name="ListSets"><oneOrMore><element name="set"><element name="setSpec"><text/></element><element name="setName"><text/></element></element></oneOrMore><ref name="token"/></element>
      <element name="GetRecord"><ref name="record"/></element>
      <element name="ListRecords"><oneOrMore><ref name="record"/></oneOrMore><ref name="token"/></element>
      <element name="ListIdentifiers"><oneOrMore><ref name="header"/></oneOrMore><ref name="token"/></element>
    </choice></element></start>
</grammar>"""
    )
)


def ask(client: Client, **arguments: str) -> etree._Element:
    answer = client.get("/oai", arguments)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/xml; charset=utf-8"
    found = etree.fromstring(answer.content)
    assert ENVELOPE.validate(found), ENVELOPE.error_log
    return found


def code(answer: etree._Element) -> str:
    return str(answer.xpath("string(o:error/@code)", namespaces=OAI))


@pytest.mark.parametrize(
    "arguments",
    [
        {"verb": "Identify"},
        {"verb": "ListMetadataFormats"},
        {"verb": "ListMetadataFormats", "identifier": SPIKING},
        {"verb": "ListSets"},
        {"verb": "GetRecord", "identifier": SPIKING, "metadataPrefix": "oai_dc"},
        {"verb": "GetRecord", "identifier": SPIKING, "metadataPrefix": "arXiv"},
        {"verb": "GetRecord", "identifier": SPIKING, "metadataPrefix": "arXivRaw"},
        {"verb": "ListRecords", "metadataPrefix": "oai_dc"},
        {"verb": "ListRecords", "metadataPrefix": "arXiv", "set": "cs"},
        {"verb": "ListIdentifiers", "metadataPrefix": "arXivRaw", "from": "2020-01-01"},
    ],
)
def test_every_verb_answers_in_the_order_of_the_schema(
    client: Client, papers: tuple[Paper, ...], arguments: dict[str, str]
) -> None:
    answer = ask(client, **arguments)
    assert code(answer) == ""
    request = answer.find("o:request", OAI)
    assert request is not None
    assert dict(request.attrib) == arguments
    assert request.text == "http://testserver/oai"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "badVerb"),
        ({"verb": "Fetch"}, "badVerb"),
        ({"verb": "Identify", "set": "cs"}, "badArgument"),
        ({"verb": "GetRecord", "identifier": SPIKING}, "badArgument"),
        ({"verb": "ListRecords"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "resumptionToken": "x"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-02-30"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-01-01T00:00Z"}, "badArgument"),
        (
            {"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-01-01", "until": "2026-01-01T00:00:00Z"},
            "badArgument",
        ),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-01-02", "until": "2026-01-01"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "until": "9999-12-31"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "marc"}, "cannotDisseminateFormat"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "until": "1990-01-01"}, "noRecordsMatch"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "set": "math:cs"}, "noRecordsMatch"),
        ({"verb": "ListRecords", "resumptionToken": "x"}, "badResumptionToken"),
        ({"verb": "ListSets", "resumptionToken": "x"}, "badResumptionToken"),
        ({"verb": "GetRecord", "identifier": "oai:elsewhere:2509.23253", "metadataPrefix": "oai_dc"}, "idDoesNotExist"),
        ({"verb": "ListMetadataFormats", "identifier": "oai:testserver:nothing"}, "idDoesNotExist"),
    ],
)
def test_every_misuse_has_its_code(client: Client, papers: tuple[Paper, ...], arguments: dict[str, str], expected: str) -> None:
    answer = ask(client, **arguments)
    assert code(answer) == expected
    request = answer.find("o:request", OAI)
    assert request is not None
    if expected in {"badVerb", "badArgument"}:
        assert not request.attrib


def test_a_repeated_argument_is_refused(client: Client, papers: tuple[Paper, ...]) -> None:
    answer = etree.fromstring(client.get("/oai?verb=ListRecords&metadataPrefix=oai_dc&metadataPrefix=arXiv").content)
    assert code(answer) == "badArgument"


def test_a_token_of_another_list_or_a_changed_one_is_refused(
    client: Client, papers: tuple[Paper, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oai, "PAGE", 2)
    first = ask(client, verb="ListRecords", metadataPrefix="oai_dc")
    token = str(first.xpath("string(//o:resumptionToken)", namespaces=OAI))
    assert first.xpath("string(//o:resumptionToken/@completeListSize)", namespaces=OAI) == "5"
    assert code(ask(client, verb="ListIdentifiers", resumptionToken=token)) == "badResumptionToken"
    assert (
        code(ask(client, verb="ListRecords", resumptionToken=token[:-1] + ("A" if token[-1] != "A" else "B")))
        == "badResumptionToken"
    )
    second = ask(client, verb="ListRecords", resumptionToken=token)
    assert second.xpath("string(//o:resumptionToken/@cursor)", namespaces=OAI) == "2"
    last = ask(client, verb="ListRecords", resumptionToken=str(second.xpath("string(//o:resumptionToken)", namespaces=OAI)))
    # The list ends with an empty token, and the same token asked twice gives the same page.
    assert last.xpath("string(//o:resumptionToken)", namespaces=OAI) == ""
    assert ask(client, verb="ListRecords", resumptionToken=token).xpath("//o:identifier/text()", namespaces=OAI) == second.xpath(
        "//o:identifier/text()", namespaces=OAI
    )


def test_a_page_costs_a_constant_number_of_queries_and_never_an_offset(
    client: Client, papers: tuple[Paper, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    save([Paper(title=f"More {n}", arxiv_id=f"2601.{n:05}", topics=("t",)) for n in range(60)], Report())
    counts = []
    for size in (5, 50):
        monkeypatch.setattr(oai, "PAGE", size)
        first = ask(client, verb="ListRecords", metadataPrefix="oai_dc")
        token = str(first.xpath("string(//o:resumptionToken)", namespaces=OAI))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            ask(client, verb="ListRecords", resumptionToken=token)
        counts.append(len(queries))
        assert not any("OFFSET" in query["sql"] for query in queries)
    assert counts == [4, 4]


def test_deleted_records_are_headers_without_metadata(client: Client, papers: tuple[Paper, ...]) -> None:
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    row.withdrawn = True
    row.derive()
    row.save()
    answer = ask(client, verb="GetRecord", identifier=SPIKING, metadataPrefix="oai_dc")
    assert answer.xpath("string(//o:header/@status)", namespaces=OAI) == "deleted"
    assert not answer.xpath("//o:metadata", namespaces=OAI)


def test_an_id_of_old_is_a_deleted_record(client: Client, papers: tuple[Paper, ...]) -> None:
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    models.FormerId.objects.create(public_id="lateral-inhibition-2025", paper=row)
    old = "oai:testserver:lateral-inhibition-2025"
    answer = ask(client, verb="GetRecord", identifier=old, metadataPrefix="oai_dc")
    assert answer.xpath("string(//o:header/@status)", namespaces=OAI) == "deleted"
    listed = ask(client, verb="ListIdentifiers", metadataPrefix="oai_dc")
    assert listed.xpath("//o:header[@status='deleted']/o:identifier/text()", namespaces=OAI) == [old]


def test_the_formats_hold_what_is_known(client: Client, papers: tuple[Paper, ...]) -> None:
    models.Paper.objects.filter(arxiv_id="2509.23253").update(note="12 pages", record_date=datetime(2026, 1, 2, tzinfo=UTC))
    core = ask(client, verb="GetRecord", identifier=SPIKING, metadataPrefix="oai_dc")
    assert core.xpath("//dc:creator/text()", namespaces=OAI) == ["Liu, Peiyu", "Ding, Jianhao", "Yu, Zhaofei"]
    assert core.xpath("//dc:identifier/text()", namespaces=OAI) == [
        "http://arxiv.org/abs/2509.23253",
        "http://testserver/papers/2509.23253",
    ]
    assert core.xpath("//dc:description/text()", namespaces=OAI)[-1] == "12 pages"
    own = ask(client, verb="GetRecord", identifier=SPIKING, metadataPrefix="arXiv")
    names = [etree.QName(child).localname for child in own.xpath("//a:arXiv", namespaces=OAI)[0]]
    assert names == ["id", "created", "updated", "authors", "title", "categories", "comments", "abstract"]
    assert own.xpath("string(//a:categories)", namespaces=OAI) == "cs.NE cs.LG"
    assert own.xpath("//a:affiliation/text()", namespaces=OAI) == ["Zhejiang University"]
    raw = ask(client, verb="GetRecord", identifier=SPIKING, metadataPrefix="arXivRaw")
    assert raw.xpath("string(//r:version/r:date)", namespaces=OAI) == "Sat, 27 Sep 2025 00:00:00 GMT"
    assert raw.xpath("string(//r:authors)", namespaces=OAI) == "Peiyu Liu, Jianhao Ding, Zhaofei Yu"


def test_papers_that_are_not_on_arxiv_have_one_format(client: Client, papers: tuple[Paper, ...]) -> None:
    own = "oai:testserver:10.1371/journal.pcbi.1011459"
    formats = ask(client, verb="ListMetadataFormats", identifier=own)
    assert formats.xpath("//o:metadataPrefix/text()", namespaces=OAI) == ["oai_dc"]
    listed = ask(client, verb="ListIdentifiers", metadataPrefix="arXiv")
    assert own not in listed.xpath("//o:identifier/text()", namespaces=OAI)


@pytest.mark.parametrize(
    ("category", "spec"),
    [
        ("cs.LG", "cs:cs:LG"),
        ("quant-ph", "physics:quant-ph"),
        ("astro-ph.CO", "physics:astro-ph:CO"),
        ("physics.bio-ph", "physics:physics:bio-ph"),
        ("math-ph", "physics:math-ph"),
        ("q-bio.NC", "q-bio:q-bio:NC"),
        ("machine learning", ""),
    ],
)
def test_categories_are_sets_as_arxiv_groups_them(category: str, spec: str) -> None:
    assert oai.set_of(category) == spec


def test_a_group_holds_its_archives(client: Client, db: None) -> None:
    save(
        [
            Paper(title="Q", arxiv_id="quant-ph/0201082", categories=("quant-ph",)),
            Paper(title="B", arxiv_id="2601.00001", categories=("q-bio.NC",)),
        ],
        Report(),
    )
    for spec in ("physics", "physics:quant-ph"):
        found = ask(client, verb="ListIdentifiers", metadataPrefix="oai_dc", set=spec)
        assert found.xpath("//o:identifier/text()", namespaces=OAI) == ["oai:testserver:quant-ph/0201082"]
    assert ask(client, verb="ListSets").xpath("//o:setSpec/text()", namespaces=OAI) == [
        "topic", "physics", "physics:quant-ph", "q-bio", "q-bio:q-bio", "q-bio:q-bio:NC",
    ]  # fmt: skip


def test_a_topic_in_another_script_has_a_set_of_plain_letters(client: Client, db: None) -> None:
    save([Paper(title="Q", arxiv_id="2601.00001", topics=("нейроны",))], Report())
    (spec,) = ask(client, verb="ListSets").xpath("//o:setSpec/text()", namespaces=OAI)[1:]
    assert re.fullmatch(r"topic:id-\d+", spec)
    found = ask(client, verb="ListIdentifiers", metadataPrefix="oai_dc", set=spec)
    assert found.xpath("//o:header/o:setSpec/text()", namespaces=OAI) == [spec]


def test_hostile_text_is_written_as_text(client: Client, db: None) -> None:
    save([Paper(title="<b>&]]>", arxiv_id="2601.00001", authors=(Author("A <i>B</i>"),), categories=("cs.LG",))], Report())
    models.Paper.objects.update(title="<b>\x00&]]>".replace("\x00", "\x0c"), abstract="\ufffe<script>")
    for prefix in ("oai_dc", "arXiv", "arXivRaw"):
        answer = ask(client, verb="GetRecord", identifier="oai:testserver:2601.00001", metadataPrefix=prefix)
        assert "<b>" in "".join(answer.itertext())
        assert re.search("<script>", "".join(answer.itertext()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arguments=st.dictionaries(
        st.sampled_from(["verb", "metadataPrefix", "set", "from", "until", "identifier", "resumptionToken", "x"]),
        st.sampled_from(
            [
                "Identify",
                "ListRecords",
                "ListIdentifiers",
                "GetRecord",
                "ListSets",
                "oai_dc",
                "arXiv",
                SPIKING,
                "topic:",
                "cs::",
                "0001-01-01",
            ]
        )
        | st.text(max_size=20),
    )
)
def test_any_request_has_a_valid_answer(client: Client, papers: tuple[Paper, ...], arguments: dict[str, str]) -> None:
    answer = client.post("/oai", arguments)
    assert answer.status_code == 200
    assert ENVELOPE.validate(etree.fromstring(answer.content)), ENVELOPE.error_log
