"""Papers as JSON Lines, BibTeX, RIS and CSL-JSON, written as they come. What we write, our own readers read back."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Literal, TextIO

import orjson

from pressrun.catalog.json_form import paper_from_json, paper_to_json
from pressrun.catalog.names import family_given
from pressrun.catalog.paper import Extra, Paper

__all__ = ["Format", "bibtex", "bibtex_key", "csl", "export", "extra_line", "paper_from_json", "paper_to_json", "ris"]

Format = Literal["jsonl", "bibtex", "ris", "csl"]
VERSION = 1
_DULL = {
    "a",
    "an",
    "and",
    "are",
    "as",
    "at",
    "by",
    "can",
    "do",
    "does",
    "for",
    "from",
    "how",
    "in",
    "is",
    "of",
    "on",
    "or",
    "the",
    "to",
    "what",
}
_DULL |= {"toward", "towards", "via", "when", "why", "with", "your"}


def export(papers: Iterable[Paper], format: Format, file: TextIO) -> None:  # it is what the reader calls it
    """Write the papers in one format. Only the keys given out so far are kept in memory, and those for BibTeX and CSL alone."""
    match format:
        case "jsonl":
            pieces = _json_lines(papers)
        case "bibtex":
            pieces = (bibtex(paper, key) + "\n" for paper, key in _keyed(papers))
        case "ris":
            pieces = (ris(paper) + "\n" for paper in papers)
        case "csl":
            pieces = _csl_list(papers)
        case _:
            raise ValueError(f"the format is {format!r}; jsonl, bibtex, ris or csl is needed")
    for piece in pieces:
        file.write(piece)


def _json_lines(papers: Iterable[Paper]) -> Iterator[str]:
    yield json.dumps({"kind": "pressrun", "version": VERSION}, separators=(",", ":")) + "\n"
    for paper in papers:
        yield orjson.dumps({"kind": "paper", **paper_to_json(paper)}).decode() + "\n"


def extra_line(extra: Extra) -> str:
    """The line of an export that carries something else than a paper. Its data must be of plain JSON values."""
    return orjson.dumps({"kind": extra.kind, "data": dict(extra.data)}).decode() + "\n"


def _csl_list(papers: Iterable[Paper]) -> Iterator[str]:
    between = "[\n"
    for paper, key in _keyed(papers):
        yield between + orjson.dumps(csl(paper, key)).decode()
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _keyed(papers: Iterable[Paper]) -> Iterator[tuple[Paper, str]]:
    """Each paper with a key that no other has: the second of two alike takes its id along, not its place in the list."""
    given: set[str] = set()
    for paper in papers:
        plain = key = bibtex_key(paper)
        if key in given:
            key = plain = f"{plain}-{re.sub(r'[^A-Za-z0-9]+', '-', paper.id).strip('-') or 'other'}"
        number = 2
        while key in given:
            key, number = f"{plain}-{number}", number + 1
        given.add(key)
        yield paper, key


def bibtex_key(paper: Paper) -> str:
    """familyYEARword: the first author's family name, the year, the first word of the title that says something."""
    family = family_given(paper.authors[0].name)[0] if paper.authors else paper.organisation
    word = next((plain for word in paper.title.split() if (plain := _ascii(word)) and plain not in _DULL), "")
    return f"{_ascii(family) or 'anonymous'}{paper.published.year if paper.published else ''}{word[:40]}"


def _ascii(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).lower())


def bibtex(paper: Paper, key: str = "") -> str:
    """The paper as one BibTeX entry, without a line end behind it."""
    fields = {
        "title": f"{{{_tex(paper.title)}}}",
        "author": " and ".join(_bibtex_name(author.name) for author in paper.authors),
        **_bibtex_day(paper.published),
        "journal": _tex(paper.journal),
        "eprint": paper.arxiv_id,
        "archivePrefix": "arXiv" if paper.arxiv_id else "",
        "primaryClass": _tex(paper.categories[0]) if paper.categories and paper.arxiv_id else "",
        "doi": _tex_address(paper.doi),
        "url": _tex_address(_address_of(paper)),
        "keywords": ", ".join(_tex(topic) for topic in paper.topics),
        "abstract": "\n\n".join(map(_tex, paper.abstract.split("\n\n"))),
        "note": _tex(paper.note),
    }
    lines = [f"  {name} = {value if name == 'month' else f'{{{value}}}'}," for name, value in fields.items() if value]
    return "\n".join((f"@{'article' if paper.journal else 'misc'}{{{key or bibtex_key(paper)},", *lines, "}"))


def _bibtex_day(day: date | None) -> dict[str, str]:
    return {"year": f"{day.year:04}", "month": f"{day:%b}".lower(), "day": str(day.day)} if day else {}


def _bibtex_name(name: str) -> str:
    """ "Family, Given"; in braces what must stay one name, such as a group's with a comma or an "and" in it."""
    family, given, generation = family_given(name)
    if not given or re.search(r",|\band\b", name, re.IGNORECASE):
        return f"{{{_tex(name)}}}"
    return ", ".join(_tex(part) for part in (family, generation, given) if part)


_TEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    **{sign: f"\\{sign}" for sign in "$&%#_"},
}
# TeX makes one sign of these; an empty group keeps them two. A formula is left alone if it can stand in BibTeX as it is.
_TEX_SPECIAL = re.compile(r"(?P<formula>\$(?:[^$\\%#{}]|\\[^$%#{}\\]|\{[^${}%#\\]*\})+\$)|-(?=-)|[?!](?=`)|'(?=')|[\\{}~^`$&%#_]")


def _tex(text: str) -> str:
    return _TEX_SPECIAL.sub(lambda sign: sign["formula"] or _TEX_SIGNS.get(sign[0]) or sign[0] + "{}", text)


def _tex_address(text: str) -> str:
    return re.sub(r"[{}\\]", lambda sign: f"%{ord(sign[0]):02X}", text)


def _address_of(paper: Paper) -> str:
    if paper.arxiv_id:
        return f"https://arxiv.org/abs/{paper.arxiv_id}"
    return f"https://doi.org/{paper.doi}" if paper.doi else paper.links.project


def ris(paper: Paper) -> str:
    """The paper as one RIS record, without a line end behind it."""
    day = paper.published
    rows = [
        ("TY", "JOUR" if paper.journal else "UNPB"),
        ("TI", paper.title),
        *(("AU", _ris_name(author.name)) for author in paper.authors),
        ("PY", f"{day.year:04}" if day else ""),
        ("DA", f"{day.year:04}/{day.month:02}/{day.day:02}" if day else ""),
        ("AB", re.sub(r"\s+", " ", paper.abstract)),
        ("JO", paper.journal),
        ("DO", paper.doi),
        ("AN", f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else ""),
        ("UR", _address_of(paper)),
        ("L1", paper.links.pdf),
        *(("KW", topic) for topic in paper.topics),
        ("N1", paper.note),
    ]
    return "\n".join((*(f"{tag}  - {value}" for tag, value in rows if value), "ER  - "))


def _ris_name(name: str) -> str:
    family, given, generation = family_given(name)
    return name if not given or "," in name else ", ".join(filter(None, (family, given, generation)))


def csl(paper: Paper, key: str = "") -> dict[str, Any]:
    """The paper as one CSL-JSON item."""
    item: dict[str, Any] = {
        "id": key or bibtex_key(paper),
        "type": "article-journal" if paper.journal else "article",
        "title": paper.title,
        "author": [_csl_name(author.name) for author in paper.authors],
        "issued": {"date-parts": [[paper.published.year, paper.published.month, paper.published.day]]}
        if paper.published
        else None,
        "container-title": paper.journal,
        "publisher": "arXiv" if paper.arxiv_id and not paper.journal else "",
        "number": f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else "",
        "DOI": paper.doi or (f"10.48550/arXiv.{paper.arxiv_id}" if paper.arxiv_id else ""),
        "URL": _address_of(paper),
        "abstract": paper.abstract,
        "keyword": ", ".join(paper.topics),
        "note": paper.note,
    }
    return {name: value for name, value in item.items() if value}


def _csl_name(name: str) -> dict[str, str]:
    family, given, generation = family_given(name)
    if not given or "," in name:
        return {"literal": name}
    return {"family": family, "given": given, **({"suffix": generation} if generation else {})}
