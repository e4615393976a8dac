"""OAI-PMH answers in the formats arXiv, arXivRaw and oai_dc."""

from __future__ import annotations

import re
from datetime import date, datetime

from lxml import etree

from pressrun.catalog.names import direct
from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import elements
from pressrun.catalog.sources._format import BadRecord, Format, Setting, day_in, moment_in
from pressrun.catalog.sources._xml import XmlRecords, children, local, root_name, said, text_of
from pressrun.catalog.sources.snapshot import author_names, day_of_mail, is_withdrawn, plain_name
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["OAI", "OaiParser"]


class OaiParser:
    """Reads the records of one answer and keeps what the answer says about itself.

    `token` is the resumption token, `total` the size of the whole list, `error` (code, sentence) of an error answer,
    `datestamp` the latest datestamp of a record so far.
    """

    def __init__(self, setting: Setting) -> None:
        self._element_of = XmlRecords(setting.opened)
        self._notes = setting.notes
        self._label = setting.opened.label
        self.token = ""
        self.total: int | None = None
        self.error: tuple[str, str] | None = None
        self.datestamp = ""

    def __call__(self, raw: bytes) -> Paper | Extra | None:
        element = self._element_of(raw)
        match local(element):
            case "resumptionToken":
                self._keep_token(element)
                return None
            case "error":
                self.error = one_line(str(element.get("code", ""))), one_line(text_of(element))
                self._notes.append(f"{self._label} is an error answer: {self.error[0]} ({self.error[1]})")
                return None
            case _:
                return self._record(element)

    def _keep_token(self, element: etree._Element) -> None:
        self.token = text_of(element).strip()
        size = str(element.get("completeListSize", ""))
        self.total = int(size) if re.fullmatch(r"[0-9]{1,9}", size) else None
        if self.token:
            self._notes.append(f"{self._label} is one part of a longer list; harvest its address to get the rest")

    def _record(self, record: etree._Element) -> Paper | Extra:
        header = next(children(record, "header"), None)
        if header is None:
            raise BadRecord("the record has no header")
        identifier, stamp = said(header, "identifier"), said(header, "datestamp")
        self.datestamp = max(self.datestamp, stamp)
        if header.get("status") == "deleted":
            name = identifier.split(":", 2)[-1] if identifier.startswith("oai:") else identifier
            return Extra("deleted", {"id": arxiv_id_in(name) or name, "datestamp": stamp})
        metadata = next((part for child in children(record, "metadata") for part in child), None)
        if metadata is None:
            raise BadRecord(f"the record {identifier[:80]!r} has no metadata")
        updated = moment_in(stamp, "datestamp") if stamp else None
        match local(metadata):
            case "arXiv":
                return _arxiv(metadata, updated)
            case "arXivRaw":
                return _arxiv_raw(metadata, updated)
            case "dc":
                return _dublin_core(metadata, updated)
            case other:
                raise BadRecord(f"the metadata format {other[:40]!r} is not read; arXiv, arXivRaw or oai_dc is needed")


def _arxiv(metadata: etree._Element, updated: datetime | None) -> Paper:
    people = (person for group in children(metadata, "authors") for person in children(group, "author"))
    created = said(metadata, "created")
    authors = (Author(_full_name(person), said(person, "affiliation")) for person in people)
    return _arxiv_paper(
        metadata, updated, tuple(filter(lambda a: a.name, authors)), day_in(created, "created") if created else None
    )


def _full_name(person: etree._Element) -> str:
    return plain_name(" ".join((said(person, "forenames"), said(person, "keyname"), said(person, "suffix"))))


def _arxiv_raw(metadata: etree._Element, updated: datetime | None) -> Paper:
    first = next((said(version, "date") for version in children(metadata, "version")), "")
    return _arxiv_paper(metadata, updated, author_names(said(metadata, "authors")), day_of_mail(first) if first else None)


def _arxiv_paper(
    metadata: etree._Element, updated: datetime | None, authors: tuple[Author, ...], published: date | None
) -> Paper:
    """What the two formats of arXiv have in common."""
    note = said(metadata, "comments")
    abstract = next((paragraphs(text_of(child), indented=True) for child in children(metadata, "abstract")), "")
    arxiv_id = said(metadata, "id")
    if not arxiv_id_in(arxiv_id):
        raise BadRecord(f"the record's id {arxiv_id[:80]!r} is no arXiv id")
    return Paper(
        title=said(metadata, "title"),
        arxiv_id=arxiv_id_in(arxiv_id),
        doi=doi_in(said(metadata, "doi")),
        abstract=abstract,
        authors=authors,
        published=published,
        updated=updated,
        categories=tuple(said(metadata, "categories").split()),
        journal=said(metadata, "journal-ref"),
        note=note,
        submitted_by=plain_name(said(metadata, "submitter")),
        withdrawn=is_withdrawn(note, abstract),
    )


def _dublin_core(metadata: etree._Element, updated: datetime | None) -> Paper:
    """Of several dates the first is the first version, of several descriptions the first the abstract."""
    dates = sorted(day_in(text_of(child)) for child in children(metadata, "date"))
    descriptions = [paragraphs(text_of(child)) for child in children(metadata, "description")]
    identifiers = [one_line(text_of(child)) for child in children(metadata, "identifier")]
    arxiv_id = next(filter(None, map(arxiv_id_in, identifiers)), "")
    pages = [address for address in identifiers if address.startswith(("https://", "http://"))]
    return Paper(
        title=said(metadata, "title"),
        arxiv_id=arxiv_id,
        doi=next(filter(None, map(doi_in, identifiers)), ""),
        abstract=descriptions[0] if descriptions else "",
        authors=tuple(
            Author(name) for child in children(metadata, "creator") if (name := plain_name(direct(one_line(text_of(child)))))
        ),
        published=dates[0] if dates else None,
        updated=updated,
        topics=tuple(filter(None, (one_line(text_of(child)) for child in children(metadata, "subject")))),
        links=Links(project=pages[0] if pages and not arxiv_id else ""),
        note=re.sub(r"^Comment: ", "", " ".join(descriptions[1:])),
    )


OAI = Format(
    key="oai",
    name="an OAI-PMH answer",
    recognises=lambda head: root_name(head).rpartition(":")[2] == "OAI-PMH",
    cut=lambda setting, stream, place: elements(
        stream, place, ("record", "resumptionToken", "error"), XmlRecords(setting.opened).root
    ),
    parser=OaiParser,
)
