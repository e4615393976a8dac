"""From what somebody pasted (an arXiv id, a DOI, an address) to the paper's record, by asking arXiv, Crossref, DataCite or the page.

Everything is fetched by `catalog.Fetcher`: public addresses only, whatever a name resolves or a page redirects to, and never long.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import replace
from datetime import date
from urllib.parse import quote, urlsplit

from lxml import etree, html

from pressrun.catalog import Author, Fetcher, FetchError, Links, Paper, SourceError, arxiv_id_in, doi_in, open_source
from pressrun.web.errors import BadInput

__all__ = ["FETCHER", "NotFetched", "fetch_record", "named_in"]

ARXIV = "https://export.arxiv.org/api/query?id_list={}&max_results=1"
DOIS = (
    "https://api.crossref.org/works/{}/transform/application/x-bibtex",
    "https://data.crosscite.org/application/x-bibtex/{}",
)
# One for the process, so that arXiv is asked once in three seconds however many people submit.
FETCHER = Fetcher(connect_timeout=4, read_timeout=8, total_timeout=12, max_bytes=4 << 20, tries=1)
_LARGEST_PAGE = 8 << 20


class NotFetched(Exception):
    """No source gave the record; the message is a sentence saying why."""


def named_in(text: str) -> tuple[str, str, str]:
    """The arXiv id, DOI and address that a text means, "" for each that it does not.

    Raises:
        BadInput: it means none of them.
    """
    text = text.strip()
    arxiv_id, doi = arxiv_id_in(text), doi_in(text)
    parts = urlsplit(text) if re.match(r"https?://[^\s<>\"']+$", text, re.IGNORECASE) else None
    address = text if parts and parts.hostname else ""
    if not (arxiv_id or doi or address):
        raise BadInput("that is neither an arXiv id, a DOI nor an http(s) address.")
    return arxiv_id, doi, address


def fetch_record(text: str, fetch: Fetcher | None = None) -> Paper:
    """The record of what a text means, from the first source that has it.

    Raises:
        BadInput: the text means nothing.
        NotFetched: no source could be asked, or none knows it.
    """
    arxiv_id, doi, address = named_in(text)
    fetch = fetch or FETCHER
    try:
        if arxiv_id:
            return _first_of(ARXIV.format(quote(arxiv_id, safe="/.")), fetch, f"arXiv knows no paper {arxiv_id}")
        if doi:
            return _by_doi(doi, fetch)
        return _from_page(address, fetch)
    except (FetchError, SourceError) as problem:
        raise NotFetched(f"{problem}.") from problem


def _first_of(url: str, fetch: Fetcher, otherwise: str) -> Paper:
    with open_source(url, fetch=fetch) as reader:
        found = next((item for item in reader if isinstance(item, Paper)), None)
    if found is None:
        raise NotFetched(f"{otherwise}.")
    return found


def _by_doi(doi: str, fetch: Fetcher) -> Paper:
    problem: Exception | None = None
    for place in DOIS:
        try:
            found = _first_of(place.format(quote(doi, safe="/")), fetch, f"nobody knows the DOI {doi}")
        except (FetchError, SourceError, NotFetched) as error:
            problem = error
        else:
            return replace(found, id=doi if found.id != found.arxiv_id else found.id, doi=doi)
    raise NotFetched(f"{str(problem).rstrip('.')}.")


def _from_page(address: str, fetch: Fetcher) -> Paper:
    """What a publisher's page says of its paper in the tags that Google Scholar and Zotero read (citation_title and the like)."""
    with fetch.get(address) as answer:
        raw = answer.path.read_bytes()
        where = answer.url
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = zlib.decompressobj(wbits=31).decompress(raw, _LARGEST_PAGE)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise NotFetched("the page is packed in a damaged way.") from error
    tags = _citation_tags(raw)
    title = _one(tags, "citation_title")
    if not title:
        raise NotFetched("the page does not say in its head which paper it is about.")
    found_id = arxiv_id_in(_one(tags, "citation_arxiv_id"))
    doi = doi_in(_one(tags, "citation_doi"))
    pdf = _one(tags, "citation_pdf_url")
    return Paper(
        title=title,
        arxiv_id=found_id,
        doi=doi,
        authors=tuple(Author(_forwards(name)) for name in tags.get("citation_author", ())[:5000]),
        abstract=_one(tags, "citation_abstract"),
        published=_day(_one(tags, "citation_publication_date") or _one(tags, "citation_date")),
        journal=_one(tags, "citation_journal_title") or _one(tags, "citation_conference_title"),
        links=Links(
            project="" if found_id or doi or len(where) > 500 else where,
            pdf=pdf if pdf.startswith(("https://", "http://")) and len(pdf) <= 500 else "",
        ),
    )


def _citation_tags(raw: bytes) -> dict[str, list[str]]:
    try:
        page = html.document_fromstring(raw.translate(None, b"\0"), html.HTMLParser(no_network=True, huge_tree=False))
    except (etree.LxmlError, ValueError) as error:
        raise NotFetched("what is there is no web page.") from error
    tags: dict[str, list[str]] = {}
    for meta in page.iter("meta"):
        name = str(meta.get("name") or meta.get("property") or "").lower()
        content = " ".join(str(meta.get("content") or "").split())
        if name.startswith("citation_") and content:
            tags.setdefault(name, []).append(content)
    return tags


def _one(tags: dict[str, list[str]], name: str) -> str:
    return tags.get(name, [""])[0]


def _forwards(name: str) -> str:
    """ "Liu, Peiyu" as "Peiyu Liu"."""
    family, comma, given = name.partition(",")
    return f"{given.strip()} {family.strip()}" if comma and given.strip() and "," not in given else name


def _day(text: str) -> date | None:
    """2025/09/27, 2025-9-27, 2025/09, 2025; a day or month that is not said is the first."""
    match = re.match(r"(\d{4})(?:[/-](\d{1,2}))?(?:[/-](\d{1,2}))?$", text)
    try:
        return date(int(match[1]), int(match[2] or 1), int(match[3] or 1)) if match else None
    except ValueError:
        return None
