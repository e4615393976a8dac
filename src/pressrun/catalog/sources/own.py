"""pressrun's own export: JSON Lines with a header, papers, and whatever else people added."""

from __future__ import annotations

import re

from pressrun.catalog.errors import SourceError
from pressrun.catalog.json_form import paper_from_json
from pressrun.catalog.paper import Extra, Paper
from pressrun.catalog.sources._cutting import lines
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting, json_record, text_at

__all__ = ["OWN"]

VERSION = 1
_KIND = re.compile(r'^\s*\{\s*"kind"\s*:\s*"', re.MULTILINE)


def _parser(setting: Setting) -> Parse:
    def parse(raw: bytes) -> Paper | Extra | None:
        row = json_record(raw)
        kind = text_at(row, "kind")
        if kind == "paper":
            return paper_from_json(row)
        if kind == "pressrun":
            if row.get("version") != VERSION:
                raise SourceError(
                    f"{setting.opened.label} is an export of version {row.get('version')}; this pressrun reads version {VERSION}"
                )
            return None
        if not kind:
            raise BadRecord("the record has no kind")
        data = row.get("data")
        if not isinstance(data, dict):
            raise BadRecord(f"the record of kind {kind[:40]!r} has no object `data`")
        return Extra(kind, data)

    return parse


OWN = Format(
    key="own",
    name="an export of pressrun (JSON Lines)",
    recognises=lambda head: bool(_KIND.search(head)),
    cut=lambda _setting, stream, place: lines(stream, place),
    parser=_parser,
    unit="line",
)
