"""Each format: what is read from it. All of them: packing, encoding, damage, size, and going on after a stop."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pressrun.catalog import Author, Extra, Links, Paper, Rejected, SourceError, open_source
from tests.catalog import samples

AS_OF = date(2026, 11, 22)
Item = Paper | Rejected | Extra


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], list[Item]]:
    def reading(data: str | bytes) -> list[Item]:
        path = tmp_path / "file"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(open_source(path, as_of=AS_OF))

    return reading


Read = Callable[[str | bytes], list[Item]]


def paper(item: Item) -> Paper:
    assert isinstance(item, Paper), item
    return item


def rejected(item: Item) -> Rejected:
    assert isinstance(item, Rejected), item
    return item


def test_it_reads_the_arxiv_snapshot(read: Read) -> None:
    first, second = read(samples.SNAPSHOT)
    assert first == Paper(
        title="Calculation of prompt diphoton production",
        arxiv_id="0704.0001",
        doi="10.1103/physrevd.76.013009",
        abstract="A fully differential calculation is presented.\n\nThe second paragraph.",
        authors=(Author("C. Balázs"), Author("E. L. Berger Jr.", "Argonne")),
        published=date(2007, 4, 2),
        updated=datetime(2008, 11, 26, tzinfo=UTC),
        categories=("hep-ph", "hep-ex"),
        journal="Phys.Rev.D76:013009,2007",
        note="37 pages, 15 figures",
        submitted_by="Pavel Nadolsky",
    )
    assert [author.name for author in paper(second).authors] == ["A. Bee", "C. Dee", "E. Fee"]
    assert (paper(second).withdrawn, paper(second).published) == (True, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"title": 7}, "title is the number 7, a text is needed"),
        ({"title": " "}, "a paper needs a title"),
        ({"id": None}, "the record has no id"),
        ({"update_date": "2026-02-30"}, "update_date is '2026-02-30', a date such as 2025-09-27 is needed"),
        (
            {"versions": [{"created": "yesterday"}]},
            "the date is 'yesterday', one such as 'Mon, 2 Apr 2007 19:18:42 GMT' is needed",
        ),
        ({"versions": {"v1": 1}}, "versions is no list of {version, created}"),
        ({"authors_parsed": [["Bee"]]}, "authors_parsed is no list of [family, given, suffix]"),
        ({"authors_parsed": 5}, "authors_parsed is no list of [family, given, suffix]"),
    ],
)
def test_a_row_of_the_snapshot_that_is_wrong_is_rejected_with_its_line(read: Read, change: dict[str, object], why: str) -> None:
    good, other = samples.SNAPSHOT.splitlines()
    first, second, third = read("\n".join((other, json.dumps({**json.loads(good), **change}), "", good)))
    assert (rejected(second).where, rejected(second).why) == ("line 2", why)
    assert (paper(first).arxiv_id, paper(third).arxiv_id) == ("hep-th/9901001", "0704.0001")


def test_it_reads_hugging_face_json_nested_and_flat(read: Read) -> None:
    nested, flat = read(samples.HF_JSON)
    assert nested == Paper(
        title="Silent Synapses",
        arxiv_id="2509.23253",
        abstract="They learn.",
        authors=(Author("Ada Bee"), Author("Cy Dee")),
        published=date(2025, 9, 27),
        listed=date(2025, 10, 1),
        organisation="Quiet Lab",
        topics=("spiking networks",),
        links=Links(code="https://github.com/example/silent"),
        submitted_by="ak",
        comments=3,
        upvotes=0,
    )
    assert flat == Paper(
        title="Flat",
        arxiv_id="quant-ph/0201082",
        abstract='One { brace and "quotes" ] in it.',
        published=date(2002, 1, 16),
        listed=date(2025, 10, 2),
        upvotes=7,
    )


def test_it_reads_one_paper_and_a_list_in_an_object(read: Read) -> None:
    items = json.loads(samples.HF_JSON)
    assert [paper(p).title for p in read(json.dumps(items[1], indent=1))] == ["Flat"]
    assert [paper(p).title for p in read(json.dumps({"count": 2, "items": items, "next": None}))] == ["Silent Synapses", "Flat"]


def test_an_empty_list_has_no_papers(read: Read) -> None:
    assert read('{"papers": [], "title": "x"}') == []


@pytest.mark.parametrize("indent", [None, 2])
def test_a_broken_object_in_a_list_costs_that_object_alone(read: Read, indent: int | None) -> None:
    rows = [{"title": f"Paper {n}", "id": f"2509.0000{n}", "authors": [{"name": "A B"}, {"name": "C D"}]} for n in range(5)]
    text = json.dumps(rows, indent=indent)
    for broken in (
        text.replace('Paper 2"', "Paper 2"),
        text.replace('"2509.00002"', '"2509.00002'),
        text.replace('"2509.00002"', "}"),
    ):
        found = read(broken)
        titles = [item.title for item in found if isinstance(item, Paper)]
        assert [title for title in titles if title != "Paper 2"] == ["Paper 0", "Paper 1", "Paper 3", "Paper 4"]
        assert any(isinstance(item, Rejected) for item in found)


def test_it_reads_the_arxiv_api(read: Read) -> None:
    first, second = read(samples.ATOM)
    assert first == Paper(
        title="Silent Synapses <b>bold</b>",
        arxiv_id="2509.23253",
        doi="10.1000/xyz.1",
        abstract="They learn. But x < y.",
        authors=(Author("Ada Bee", "Quiet Lab"), Author("Cy Dee")),
        published=date(2025, 9, 27),
        updated=datetime(2025, 10, 3, 8, tzinfo=UTC),
        categories=("cs.NE", "cs.LG"),
        links=Links(pdf="http://arxiv.org/pdf/2509.23253v2"),
        journal="J. Quiet 3 (2025)",
        note="12 pages",
    )
    assert paper(second).arxiv_id == "hep-th/9901001"


def test_an_error_answer_of_the_arxiv_api_is_told(tmp_path: Path) -> None:
    text = samples.ATOM.replace("http://arxiv.org/abs/2509.23253v2</id>", "http://arxiv.org/api/errors#incorrect_id</id>")
    (tmp_path / "file").write_text(text)
    with pytest.raises(SourceError, match=r"file is an error answer of the arXiv API: They learn"):
        list(open_source(tmp_path / "file"))


def test_it_reads_the_three_formats_of_oai(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(samples.OAI)
    reader = open_source(tmp_path / "file")
    arxiv, deleted, raw, dublin = reader
    assert arxiv == Paper(
        title="Silent Synapses",
        arxiv_id="2509.23253",
        doi="10.1000/xyz.1",
        abstract="They learn.",
        authors=(Author("Ada Bee Jr."), Author("Collective")),
        published=date(2025, 9, 27),
        updated=datetime(2025, 10, 2, tzinfo=UTC),
        categories=("cs.NE", "cs.LG"),
        note="12 pages",
    )
    assert deleted == Extra("deleted", {"id": "math.GT/0309136", "datestamp": "2025-10-03"})
    assert (paper(raw).published, [author.name for author in paper(raw).authors]) == (date(2007, 4, 2), ["C. Balázs", "E. Fee"])
    assert dublin == Paper(
        title="From Elsewhere",
        abstract="It walks.",
        authors=(Author("Ed Fee"), Author("Ada Bee")),
        published=date(2025, 9, 28),
        updated=datetime(2025, 10, 1, 10, tzinfo=UTC),
        topics=("Robotics",),
        links=Links(project="https://example.org/77"),
        note="3 pages",
    )
    assert reader.notes == [f"{tmp_path / 'file'} is one part of a longer list; harvest its address to get the rest"]


def test_it_reads_arxivs_rss(read: Read) -> None:
    new, replaced = read(samples.ARXIV_RSS)
    assert new == Paper(
        title="Silent Synapses",
        arxiv_id="2509.23253",
        abstract="They learn, for x < y.",
        authors=(Author("Ada Bee"), Author("Cy Dee")),
        published=date(2025, 9, 29),
        updated=datetime(2025, 9, 29, 4, tzinfo=UTC),
        categories=("cs.NE",),
    )
    assert (paper(replaced).arxiv_id, paper(replaced).published) == ("2509.00007", None)


def test_it_reads_the_atom_of_any_site(read: Read) -> None:
    first, second = read(samples.BLOG_ATOM)
    assert first == Paper(
        title="Robots & us",
        doi="10.1000/abc.7",
        abstract="First.\n\nSecond part.",
        authors=(Author("Ada Bee"), Author("Cy Dee")),
        published=date(2025, 9, 29),
        updated=datetime(2025, 9, 29, tzinfo=UTC),
        topics=("robots",),
    )
    assert paper(second).links.project == "https://example.org/post"


def test_it_reads_bibtex(read: Read) -> None:
    first, second = read(samples.BIBTEX)
    assert first == Paper(
        title="Silent Synapses – Études of $\\ell_1$ & others",
        arxiv_id="2509.23253",
        doi="10.1000/xyz_1",
        abstract="They learn, 50% of the time.",
        authors=(
            Author("Ada Bee"),
            Author("Pieter van der Berg Jr."),
            Author("Quiet Lab, Inc. and Friends"),
            Author("Jörg Müller"),
        ),
        published=date(2025, 9, 27),
        topics=("spiking networks", "silence"),
        categories=("cs.NE",),
        journal="Journal of Quiet",
    )
    assert second == Paper(
        title="Feet That Think",
        authors=(Author("Ed Fee"),),
        published=date(1999, 1, 1),
        journal="Proc. Walking",
        links=Links(project="https://example.org/feet"),
    )


def test_a_broken_bibtex_entry_costs_that_entry_alone(read: Read) -> None:
    first, second = read(samples.BIBTEX.replace("{2509.23253}", "{2509.23253"))
    assert rejected(first).why == "the entry is no BibTeX that can be read; a brace, a quote or a comma may be missing"
    assert paper(second).title == "Feet That Think"


def test_it_reads_ris(read: Read) -> None:
    first, second = read(samples.RIS)
    assert first == Paper(
        title="Silent Synapses",
        arxiv_id="2509.23253",
        doi="10.1000/xyz_1",
        abstract="They learn.",
        authors=(Author("Ada Bee"), Author("Pieter van der Berg Jr."), Author("Quiet Lab")),
        published=date(2025, 9, 27),
        topics=("silence", "spiking networks"),
        links=Links(pdf="https://arxiv.org/pdf/2509.23253"),
        journal="Journal of Quiet",
    )
    assert (paper(second).title, paper(second).published) == ("Feet That Think", date(1999, 1, 1))


def test_it_reads_csl_json(read: Read) -> None:
    first, second = read(samples.CSL)
    assert first == Paper(
        title="Silent Synapses",
        doi="10.1000/xyz_1",
        authors=(Author("Ada Bee"), Author("Quiet Lab")),
        published=date(2025, 9, 1),
        journal="Journal of Quiet",
    )
    assert paper(second).links.project == "https://example.org/feet"


def test_it_reads_our_own_export(read: Read) -> None:
    first, vote = read(samples.OWN)
    assert first == Paper(
        title="Silent Synapses", arxiv_id="2509.23253", authors=(Author("Ada Bee", orcid="0000-0001"),), listed=date(2025, 10, 1)
    )
    assert vote == Extra("vote", {"paper": "2509.23253", "by": "ada"})


def test_an_export_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(samples.OWN.replace('"version":1', '"version":9'))
    with pytest.raises(SourceError, match=r"file is an export of version 9; this pressrun reads version 1"):
        list(open_source(tmp_path / "file"))


def test_it_reads_the_json_in_a_saved_page(read: Read) -> None:
    nested, flat = read(samples.HTML_PROPS)
    assert (paper(nested).arxiv_id, paper(nested).upvotes, paper(nested).listed) == ("2509.23253", 0, date(2025, 10, 1))
    assert paper(flat).listed == date(2025, 10, 2)


def test_it_reads_the_cards_of_a_saved_page(read: Read) -> None:
    first, second, advertisement = read(samples.HTML_CARDS)
    assert first == Paper(
        title="Silent Synapses",
        arxiv_id="2509.23253",
        abstract="They learn.",
        author_count=3,
        comments=12,
        published=date(2025, 9, 27),
    )
    assert paper(second).arxiv_id == "2509.00007"
    assert rejected(advertisement).why == "the card has no title that links to its paper"


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("packing", ["gzip", "zip", "mark", "utf-16", "crlf"])
def test_packing_encoding_and_line_ends_do_not_matter(read: Read, tmp_path: Path, name: str, packing: str) -> None:
    plain = samples.ALL[name].encode()
    match packing:
        case "gzip":
            data = gzip.compress(plain)
        case "zip":
            with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("folder/inner.dat", plain)
            data = (tmp_path / "zip").read_bytes()
        case "mark":
            data = plain.decode().encode("utf-8-sig")
        case "utf-16":
            data = plain.decode().encode("utf-16")
        case _:
            data = plain.replace(b"\n", b"\r\n")
    assert read(data) == read(plain)


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("packed", [False, True])
def test_it_goes_on_behind_any_record(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / "file"
    data = samples.ALL[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    every = list(open_source(path, as_of=AS_OF))
    reader = open_source(path, as_of=AS_OF)
    for number, _ in enumerate(reader, start=1):
        assert list(open_source(path, as_of=AS_OF, position=reader.position)) == every[number:]
    assert reader.done == reader.total == path.stat().st_size


@pytest.mark.parametrize("name", [name for name in samples.ALL if not name.startswith("html")])
def test_a_file_cut_short_gives_what_is_whole_and_says_so(read: Read, name: str) -> None:
    text = samples.ALL[name]
    every = read(text)
    found = read(text[: len(text.rstrip()) - 12])
    assert found[: len(every) - 1] == every[:-1]
    assert rejected(found[-1]).why.startswith("the file ends in the middle of ")


def test_a_packed_file_cut_short_says_so(read: Read) -> None:
    row = samples.OWN.splitlines()[1]
    packed = gzip.compress("\n".join([row] * 2000).encode(), 0)
    found = read(packed[: len(packed) // 2])
    assert len(found) > 800
    assert rejected(found[-1]).why == "the file ends in the middle of a record"
    lines = gzip.compress(b"\n".join([row.encode()] * 2) + b"\n", 0)
    assert rejected(read(lines[:-8])[-1]).why == "the compressed file ends in the middle"
    assert rejected(read(lines[:-8] + b"\0" * 8)[-1]).why.startswith("the compressed file is damaged here (CRC check failed")


WRONG_BYTES = {
    "snapshot": b"prompt",
    "hf_json": b"They learn",
    "atom": b"They learn",
    "oai": b"They learn",
    "arxiv_rss": b"They learn",
    "blog_atom": b"Ada Bee",
    "bibtex": b"They learn",
    "ris": b"They learn",
    "csl": b"Journal",
    "own": b"Ada",
}


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_wrong_bytes_cost_one_record(read: Read, name: str) -> None:
    data = samples.ALL[name].encode()
    every = read(data)
    first, *others = read(data.replace(WRONG_BYTES[name], b"\xff\xc0" + WRONG_BYTES[name], 1))
    assert rejected(first).why == "the record holds bytes that are not UTF-8"
    assert others == every[1:]


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_control_characters_are_taken_out(read: Read, name: str) -> None:
    data = samples.ALL[name].encode()
    first = paper(read(data.replace(b"Synapses", b"Sy\x00na\x1b\xe2\x80\xaepses").replace(b"diphoton", b"di\x01photon"))[0])
    assert not set(first.title) & {"\0", "\x01", "\x1b", "\u202e"}
    assert first.title.replace(" ", "")[:6] in {"Silent", "Calcul", "Robots"}


def test_a_declared_encoding_is_used(read: Read) -> None:
    text = samples.ATOM.replace("UTF-8", "ISO-8859-1").replace("Ada Bee", "Zoë Bee")
    assert paper(read(text.encode("latin-1"))[0]).authors[0].name == "Zoë Bee"


def test_a_record_of_more_than_4_mb_is_rejected_and_the_next_is_read(read: Read) -> None:
    big = "x" * (5 << 20)
    row = json.dumps({"kind": "paper", "title": "After"})
    first, second = read(json.dumps({"kind": "paper", "title": big}) + "\n" + row + "\n")
    assert (rejected(first).why, paper(second).title) == ("the record is larger than 4 MB", "After")
    assert len(rejected(first).raw) <= 200
    for name, start in {
        "atom": "They learn.",
        "bibtex": "They learn,",
        "ris": "They learn.",
    }.items():
        every = read(samples.ALL[name])
        first, *others = read(samples.ALL[name].replace(start, big, 1))
        assert rejected(first).why == "the record is larger than 4 MB", name
        assert others == every[1:], name
    others = read(samples.PAGE)[2:]
    assert rejected(read(samples.PAGE.replace("Refusal sits", big))[1]).why == "the record is larger than 4 MB"
    assert read(samples.PAGE.replace("Refusal sits", big))[2:] == others
    rows = [{"title": f"Paper {n}", "summary": big if n == 1 else "Small."} for n in range(3)]
    titles = [getattr(item, "title", "") for item in read(json.dumps(rows))]
    assert titles == ["Paper 0", "", "Paper 2"]


@pytest.mark.parametrize(
    ("name", "place", "hostile", "why"),
    [
        ("bibtex", "They learn", "{a}" * 30_000, "the entry has more than 20000 braces, fields and commands"),
        ("bibtex", "They learn", "{" * 200 + "}" * 200, "the entry's braces lie more than 100 deep"),
        ("snapshot", "C. Bal", "A, " * 30_000, ""),
        ("oai", "C. Bal", "A, " * 30_000, "the record names more than 20000 authors"),
        ("ris", "They learn", "word " * 300_000, "the record is larger than 1 MB"),
        ("blog_atom", "Robots", "word " * 300_000, "the record is larger than 1 MB"),
    ],
)
def test_records_made_to_cost_time_are_rejected(read: Read, name: str, place: str, hostile: str, why: str) -> None:
    found = read(samples.ALL[name].replace(place, hostile + place, 1))
    assert [item.why for item in found if isinstance(item, Rejected)] == ([why] if why else [])


def test_brackets_in_a_line_of_authors_are_left_out_however_many(read: Read) -> None:
    row = {
        "id": "0704.0001",
        "title": "T",
        "update_date": None,
        "authors": "A. Bee (a (b) c), C. Dee (d, E. Fee" + ", F. Gee (x)" + "(" * 100_000,
    }
    assert [author.name for author in paper(read(json.dumps(row))[0]).authors][:3] == ["A. Bee", "C. Dee (d", "E. Fee"]


def test_memory_stays_small_whatever_the_file_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(samples.OWN.encode())
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    first, _, bomb = open_source(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (paper(first).title, rejected(bomb).why) == ("Silent Synapses", "the record is larger than 4 MB")
    assert peak < 40 << 20


def test_entities_are_refused_and_files_are_not_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text('<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + samples.BLOG_ATOM)
    with pytest.raises(
        SourceError, match=r"bomb.xml defines XML entities of its own, which are never expanded; a plain XML file is needed"
    ):
        open_source(path)
    path.write_text(samples.ATOM.replace("They learn.", "&secret;"))
    assert rejected(next(iter(open_source(path)))).why == "the record is no well-formed XML (Entity 'secret' not defined)"


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"%PDF-1.7\n\xff\xfe\x00", "looks like a PDF"),
        (bytes(range(256)) * 9, "looks like a binary file"),
        (b"BZh91AY&SY", r"looks like a file packed with bzip2 \(only gzip and zip are unpacked\)"),
        (b"Dear Sir or Madam", "looks like text of another kind"),
        (b'{"a": 1}', "looks like JSON of another kind"),
        (b"<svg xmlns='x'/>", "looks like XML of another kind"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(gzip.compress(samples.RIS.encode())), "looks like a binary file"),
    ],
)
def test_what_is_no_source_is_told_in_one_sentence(tmp_path: Path, data: bytes, looks: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(
        SourceError,
        match=rf"^{tmp_path / 'file'} {looks}.*; what can be read: an export of pressrun.*, BibTeX, RIS, the Daily.*zip$",
    ):
        open_source(tmp_path / "file")


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder; a file or an"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"is no file; a file or an"):
        open_source(tmp_path / "missing")
    with pytest.raises(SourceError, match=r"cannot be opened: embedded null byte|is no file"):
        open_source("a\0b")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("b", "2")
    with pytest.raises(SourceError, match=r"two.zip is a zip archive of 2 files; one file in it is needed"):
        open_source(tmp_path / "two.zip")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no zip at all")
    with pytest.raises(SourceError, match=r"bad.zip is a zip archive that cannot be read"):
        open_source(tmp_path / "bad.zip")
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b no gzip at all")
    with pytest.raises(SourceError, match=r"bad.gz cannot be unpacked: the compressed file is damaged"):
        open_source(tmp_path / "bad.gz")
    (tmp_path / "page.html").write_text("<!doctype html><html><body>Hello</body></html>")
    with pytest.raises(SourceError, match=r"page.html is a web page without daily papers; a saved Daily Papers page is needed"):
        list(open_source(tmp_path / "page.html"))
    (tmp_path / "coded.xml").write_text("<?xml version='1.0' encoding='unicode_escape'?><feed/>")
    with pytest.raises(SourceError, match=r"coded.xml declares the encoding 'unicode_escape'; UTF-8, UTF-16 or a common"):
        open_source(tmp_path / "coded.xml")
