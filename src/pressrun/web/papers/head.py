"""What machines read in the head of a paper's page: Highwire tags for reference managers, JSON-LD for search engines."""

from __future__ import annotations

from typing import Any

from pressrun.catalog.names import family_given
from pressrun.web.papers.models import Paper

__all__ = ["description", "highwire", "json_ld"]


def highwire(paper: Paper, url: str) -> list[tuple[str, str]]:
    """The citation_* tags, (name, content), in order. One author a tag, none left out; no PDF address, as we host none."""
    tags = [("citation_title", _line(paper.title))]
    tags += [("citation_author", last_name_first(name)) for name in paper.author_names]
    if paper.published:
        day = f"{paper.published:%Y/%m/%d}"
        tags += [("citation_date", day), ("citation_publication_date", day)]
    tags += [
        ("citation_journal_title", _line(paper.journal)),
        ("citation_doi", paper.doi),
        ("citation_arxiv_id", paper.arxiv_id or ""),
        ("citation_abstract", paper.abstract),
        ("citation_keywords", "; ".join(topic.name for topic in paper.filed_under)),
        ("citation_public_url", url),
    ]
    return [(name, content) for name, content in tags if content]


def last_name_first(name: str) -> str:
    """ "Family, Given", with the generation where there is one: "King, Martin Luther, Jr."."""
    if "," in name:
        return _line(name)
    return ", ".join(part for part in family_given(name) if part) if name.split() else name


def json_ld(paper: Paper, url: str) -> dict[str, Any]:
    """The paper as a schema.org ScholarlyArticle; only what is known."""
    facts: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "ScholarlyArticle",
        "@id": url,
        "url": url,
        "headline": _line(paper.title),
        "author": [_person(author) for author in paper.authors],
        "datePublished": paper.published.isoformat() if paper.published else "",
        "abstract": paper.abstract,
        "description": paper.summary,
        "keywords": [topic.name for topic in paper.filed_under],
        "identifier": [address for address in (paper.arxiv_url, paper.doi_url) if address],
        "sameAs": [address for address in (paper.arxiv_url, paper.doi_url) if address],
        "isPartOf": {"@type": "Periodical", "name": paper.journal} if paper.journal else None,
        "sourceOrganization": {"@type": "Organization", "name": paper.organisation.name} if paper.organisation else None,
    }
    return {name: value for name, value in facts.items() if value}


def _person(author: dict[str, str]) -> dict[str, Any]:
    person: dict[str, Any] = {"@type": "Person", "name": author["name"]}
    if affiliation := author.get("affiliation"):
        person["affiliation"] = {"@type": "Organization", "name": affiliation}
    if orcid := author.get("orcid"):
        person["sameAs"] = orcid if orcid.startswith("https://") else f"https://orcid.org/{orcid}"
    return person


def description(paper: Paper) -> str:
    """One line for previews: the beginning of the summary or abstract, at most 300 characters."""
    text = _line(paper.summary or paper.abstract)
    return text if len(text) <= 300 else text[:299].rsplit(" ", 1)[0] + "…"


def _line(text: str) -> str:
    return " ".join(text.split())
