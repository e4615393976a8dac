"""The metadata formats of OAI-PMH: a paper as Dublin Core, and in arXiv's two own forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.urls import reverse
from lxml import etree

from pressrun.catalog.names import direct, family_given
from pressrun.web.api.answers import absolute, clean, midnight, one_line
from pressrun.web.api.xml import root
from pressrun.web.papers.models import Paper

__all__ = ["FORMATS", "Format", "add", "located"]

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(frozen=True)
class Format:
    """A metadata format: where it is defined, how a paper is written in it, and whether only arXiv papers have it."""

    namespace: str
    schema: str
    write: Callable[[HttpRequest, Paper], etree._Element]
    arxiv_only: bool


def located(name: str, namespace: str, schema: str) -> etree._Element:
    """An outermost element that says where its schema is."""
    found = root(namespace, name, xsi=_XSI)
    _locate(found, namespace, schema)
    return found


def _locate(element: etree._Element, namespace: str, schema: str) -> None:
    element.set(f"{{{_XSI}}}schemaLocation", f"{namespace} {schema}")


def add(element: etree._Element, namespace: str, name: str, text: str) -> None:
    """A child with this text, where there is any."""
    if text:
        etree.SubElement(element, f"{{{namespace}}}{name}").text = clean(text)


def _created(paper: Paper) -> datetime:
    return midnight(paper.published or paper.listed or paper.created.date())


def _dublin_core(request: HttpRequest, paper: Paper) -> etree._Element:
    home, terms = "http://www.openarchives.org/OAI/2.0/oai_dc/", "http://purl.org/dc/elements/1.1/"
    entry = etree.Element(f"{{{home}}}dc", nsmap={"oai_dc": home, "dc": terms, "xsi": _XSI})
    _locate(entry, home, "http://www.openarchives.org/OAI/2.0/oai_dc.xsd")
    facts = [("title", one_line(paper.title)), *(("creator", _family_first(name)) for name in paper.author_names)]
    facts += [("subject", topic.name) for topic in paper.topics.all()] + [("subject", name) for name in paper.categories]
    facts += [("description", paper.text), ("description", paper.note)]
    facts += [("publisher", paper.organisation.name)] if paper.organisation else []
    facts += [("date", _created(paper).date().isoformat()), ("type", "text")]
    facts += [("identifier", f"http://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else "")]
    facts += [("identifier", f"doi:{paper.doi}" if paper.doi else "")]
    facts += [("identifier", absolute(request, reverse("paper", args=[paper.public_id]))), ("source", paper.journal)]
    for name, text in facts:
        add(entry, terms, name, text)
    return entry


def _family_first(name: str) -> str:
    return ", ".join(part for part in family_given(direct(name)) if part)


_IN_ARXIV = "http://arxiv.org/OAI/arXiv/"
_IN_RAW = "http://arxiv.org/OAI/arXivRaw/"


def _as_arxiv(request: HttpRequest, paper: Paper) -> etree._Element:
    entry = located("arXiv", _IN_ARXIV, "http://arxiv.org/OAI/arXiv.xsd")
    add(entry, _IN_ARXIV, "id", paper.arxiv_id or "")
    add(entry, _IN_ARXIV, "created", _created(paper).date().isoformat())
    if paper.record_date and paper.record_date.date() > _created(paper).date():
        add(entry, _IN_ARXIV, "updated", paper.record_date.date().isoformat())
    authors = etree.SubElement(entry, f"{{{_IN_ARXIV}}}authors")
    for person in paper.authors:
        author = etree.SubElement(authors, f"{{{_IN_ARXIV}}}author")
        family, given, suffix = family_given(direct(person["name"]))
        add(author, _IN_ARXIV, "keyname", family)
        # Always there, even empty: harvesters that flatten records pair the n-th forenames with the n-th keyname.
        etree.SubElement(author, f"{{{_IN_ARXIV}}}forenames").text = clean(given) or None
        add(author, _IN_ARXIV, "suffix", suffix)
        add(author, _IN_ARXIV, "affiliation", person.get("affiliation", ""))
    add(entry, _IN_ARXIV, "title", one_line(paper.title))
    _tail(entry, _IN_ARXIV, paper)
    return entry


def _as_arxiv_raw(request: HttpRequest, paper: Paper) -> etree._Element:
    entry = located("arXivRaw", _IN_RAW, "http://arxiv.org/OAI/arXivRaw.xsd")
    add(entry, _IN_RAW, "id", paper.arxiv_id or "")
    version = etree.SubElement(entry, f"{{{_IN_RAW}}}version", version="v1")
    add(version, _IN_RAW, "date", _created(paper).strftime("%a, %d %b %Y %H:%M:%S GMT"))
    add(entry, _IN_RAW, "title", one_line(paper.title))
    add(entry, _IN_RAW, "authors", one_line(", ".join(paper.author_names)))
    _tail(entry, _IN_RAW, paper)
    return entry


def _tail(entry: etree._Element, namespace: str, paper: Paper) -> None:
    """What both formats of arXiv end with."""
    add(entry, namespace, "categories", " ".join(paper.categories))
    add(entry, namespace, "comments", one_line(paper.note))
    add(entry, namespace, "journal-ref", one_line(paper.journal))
    add(entry, namespace, "doi", paper.doi)
    add(entry, namespace, "abstract", paper.text)


FORMATS: dict[str, Format] = {
    "oai_dc": Format(
        "http://www.openarchives.org/OAI/2.0/oai_dc/",
        "http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
        _dublin_core,
        arxiv_only=False,
    ),
    "arXiv": Format(_IN_ARXIV, "http://arxiv.org/OAI/arXiv.xsd", _as_arxiv, arxiv_only=True),
    "arXivRaw": Format(_IN_RAW, "http://arxiv.org/OAI/arXivRaw.xsd", _as_arxiv_raw, arxiv_only=True),
}
