"""The saved HTML of a Daily Papers page: the JSON that its list is drawn from, or else its cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import orjson
from lxml import etree, html

from pressrun.catalog.errors import SourceError
from pressrun.catalog.paper import Extra, Paper, arxiv_id_in
from pressrun.catalog.sources._cutting import Chunk, Place
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting, json_record
from pressrun.catalog.sources.hf_json import paper_of
from pressrun.catalog.sources.page import DAY, Days, printed_day, year_of_capture
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["HTML_PAGE"]

LARGEST_PAGE = 16 << 20
_HTML = re.compile(
    r"^\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|main|article)\b", re.IGNORECASE | re.DOTALL
)


def _cut(setting: Setting, stream: BinaryIO, _: Place) -> Iterator[Chunk]:
    label = setting.opened.label
    raw = stream.read(LARGEST_PAGE + 1)
    if len(raw) > LARGEST_PAGE:
        raise SourceError(f"{label} is a web page of more than {LARGEST_PAGE >> 20} MB; a saved Daily Papers page is far smaller")
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        page = html.document_fromstring(raw.translate(None, b"\0"), parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise SourceError(f"{label} is a web page that cannot be read ({error})") from error
    records = _props(page) or [_card(card) for card in page.iter("article")]
    if not records:
        raise SourceError(f"{label} is a web page without daily papers; a saved Daily Papers page is needed")
    for number, record in enumerate(records, start=1):
        yield Chunk(record, len(raw), number)


def _props(page: html.HtmlElement) -> list[bytes]:
    """The items of the list's JSON, each with the day of the list where it has none itself."""
    for element in page.iter():
        if element.get("data-target") != "DailyPapers":
            continue
        try:
            props = orjson.loads(element.get("data-props", ""))
        except ValueError:
            continue
        items = props.get("dailyPapers") if isinstance(props, dict) else None
        if isinstance(items, list) and items:
            day = {"submittedOnDailyAt": props["dateString"]} if isinstance(props.get("dateString"), str) else {}
            return [orjson.dumps({**day, **item} if isinstance(item, dict) else item) for item in items]
    return []


def _card(card: html.HtmlElement) -> bytes:
    """What a card shows, as one JSON record."""
    links = [
        link for link in card.iter("a") if str(link.get("href", "")).startswith(("/papers/", "https://huggingface.co/papers/"))
    ]
    titled = next((link for link in links if one_line(link.text_content()) and link.getparent().tag in ("h2", "h3", "h4")), None)
    comments = next((link.text_content() for link in links if str(link.get("href")).endswith("#community")), "")
    text = one_line(card.text_content())
    return orjson.dumps(
        {
            "title": titled.text_content() if titled is not None else "",
            "href": titled.get("href") if titled is not None else "",
            "abstract": next((part.text_content() for part in card.iter("p")), ""),
            "comments": match[0] if (match := re.search(r"\d+", comments)) else "",
            "authors": match[1] if (match := re.search(r"(\d{1,6}) authors?\b", text)) else "",
            "day": match[1] if (match := re.search(rf"·\s*({DAY.pattern})", text)) else "",
        }
    )


def _parser(setting: Setting) -> Parse:
    # A card without a year is of the year of the page's capture, of which the saved page shows no more than the cards do.
    year = year_of_capture(Days(), setting.as_of)

    def parse(raw: bytes) -> Paper | Extra | None:
        row = json_record(raw)
        return _paper_of_card(row, year) if "href" in row else paper_of(row)

    return parse


def _paper_of_card(row: dict[str, object], year: int) -> Paper:
    title, day = one_line(str(row["title"])), DAY.fullmatch(one_line(str(row["day"])))
    if not title:
        raise BadRecord("the card has no title that links to its paper")
    return Paper(
        title=title,
        arxiv_id=arxiv_id_in(str(row["href"])),
        abstract=paragraphs(str(row["abstract"])),
        author_count=int(str(row["authors"])) if row["authors"] else None,
        comments=int(str(row["comments"])[:9]) if row["comments"] else None,
        published=printed_day(day, year) if day else None,
    )


HTML_PAGE = Format(
    key="html-page",
    name="a saved Daily Papers page (HTML)",
    recognises=lambda head: bool(_HTML.match(head)),
    cut=_cut,
    parser=_parser,
    from_byte=False,
)
