"""XML records, read one by one and without entities, network or document types."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from pressrun.catalog.errors import SourceError
from pressrun.catalog.sources._format import BadRecord
from pressrun.catalog.sources._opening import Opened
from pressrun.catalog.text import one_line

__all__ = ["XmlRecords", "children", "local", "root_name", "said", "text_of"]

_ROOT = re.compile(r"<(?![?!])([\w:.-]+)((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)>")
_CONTROLS = bytes(set(range(32)) - {9, 10, 13})
_CONTROL_REFERENCE = re.compile(rb"&#(?:0*(?:[0-8]|1[1-2]|1[4-9]|2[0-9]|3[01])|x0*(?:[0-8bcef]|1[0-9a-f]));", re.IGNORECASE)


def root_name(head: str) -> str:
    """The name of the outermost element, with its prefix; "" where there is none."""
    match = _ROOT.search(re.sub(r"<!--.*?-->", "", head, flags=re.DOTALL))
    return match[1] if match else ""


class XmlRecords:
    """Parses single records of one document: each is put back under the document's root tag, for the namespaces."""

    def __init__(self, opened: Opened) -> None:
        head = re.sub(r"<!--.*?-->", "", opened.head.decode("utf-8", "replace"), flags=re.DOTALL)
        match = _ROOT.search(head)
        if not match:
            raise SourceError(f"{opened.label} has no XML element within its first {len(opened.head)} bytes")
        if "<!ENTITY" in head[: match.start()]:
            raise SourceError(
                f"{opened.label} defines XML entities of its own, which are never expanded; a plain XML file is needed"
            )
        self.root = match[1].encode()
        self.root_tag = f"<{match[1]}{match[2].rstrip('/')}>".encode()

    def __call__(self, raw: bytes) -> etree._Element:
        raw.decode("utf-8")
        plain = _CONTROL_REFERENCE.sub(b"", raw.translate(None, _CONTROLS))
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            huge_tree=False,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
            encoding="utf-8",
        )
        try:
            return etree.fromstring(self.root_tag + plain + b"</" + self.root + b">", parser)[0]
        except (etree.XMLSyntaxError, IndexError) as error:
            raise BadRecord(f"the record is no well-formed XML ({re.sub(r', line.*', '', str(error))})") from error


def local(element: etree._Element) -> str:
    """The element's name without namespace."""
    name = element.tag
    return name.rpartition("}")[2] if isinstance(name, str) else ""


def children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in element if local(child) == name)


def said(element: etree._Element, name: str) -> str:
    """The text of the first child of this name, all on one line; "" where there is none."""
    return next((one_line(text_of(child)) for child in children(element, name)), "")


def text_of(element: etree._Element) -> str:
    return "".join(str(text) for text in element.itertext())
