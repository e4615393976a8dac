"""One paper as a file: Markdown to read, BibTeX, RIS and CSL-JSON to cite."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from pressrun import catalog
from pressrun.catalog import exports
from pressrun.web.api.answers import absolute, find_paper, guarded, one_line
from pressrun.web.papers.models import Paper

__all__ = ["markdown"]


def markdown(paper: Paper, address: str) -> str:
    """The paper as Markdown: title, facts, text, links. `address` is that of its page."""
    facts = [
        ("Authors", ", ".join(paper.author_names) or (f"{paper.author_count} authors" if paper.author_count else "")),
        ("Organisation", paper.organisation.name if paper.organisation else ""),
        ("Published", paper.published.isoformat() if paper.published else ""),
        ("Listed", paper.listed.isoformat() if paper.listed else ""),
        ("Journal", paper.journal),
        ("Topics", ", ".join(topic.name for topic in paper.filed_under)),
        ("arXiv", paper.arxiv_url),
        ("DOI", paper.doi_url),
        ("PDF", paper.best_pdf_url),
        ("Code", paper.code_url),
        ("Project", paper.project_url),
        ("Page", address),
        ("Note", paper.note),
    ]
    parts = [f"# {one_line(paper.title)}", "\n".join(f"- {name}: {one_line(text)}" for name, text in facts if text)]
    if paper.withdrawn:
        parts.append("**This paper was withdrawn.**")
    if paper.abstract:
        parts.append(f"## Abstract\n\n{paper.abstract.strip()}")
    if paper.summary:
        parts.append(f"## Summary\n\n{paper.summary.strip()}")
    return "\n\n".join(parts) + "\n"


@require_safe
def as_markdown(request: HttpRequest, paper_id: str) -> HttpResponse:
    paper = find_paper(paper_id)
    text = markdown(paper, absolute(request, reverse("paper", args=[paper.public_id])))
    return HttpResponse(text, content_type="text/markdown; charset=utf-8")


@require_safe
def as_bibtex(request: HttpRequest, paper_id: str) -> HttpResponse:
    return _file(find_paper(paper_id), "bib", "application/x-bibtex; charset=utf-8", exports.bibtex)


@require_safe
def as_ris(request: HttpRequest, paper_id: str) -> HttpResponse:
    return _file(find_paper(paper_id), "ris", "application/x-research-info-systems; charset=utf-8", exports.ris)


@require_safe
def as_csl(request: HttpRequest, paper_id: str) -> HttpResponse:
    return _file(find_paper(paper_id), "csl.json", "application/vnd.citationstyles.csl+json", _csl_text)


def _csl_text(paper: catalog.Paper) -> str:
    return json.dumps([exports.csl(paper)], ensure_ascii=False, indent=1) + "\n"


def _file(paper: Paper, extension: str, content_type: str, write: Callable[[catalog.Paper], str]) -> HttpResponse:
    response = HttpResponse(write(paper.to_record()), content_type=content_type)
    # A name without slashes, which an id may have.
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", paper.public_id)
    response["Content-Disposition"] = f'inline; filename="{stem}.{extension}"'
    return response


urlpatterns = guarded(
    [
        path("papers/<path:paper_id>.md", as_markdown, name="paper-md"),
        path("papers/<path:paper_id>.bib", as_bibtex, name="paper-bib"),
        path("papers/<path:paper_id>.ris", as_ris, name="paper-ris"),
        path("papers/<path:paper_id>.csl.json", as_csl, name="paper-csl"),
    ]
)
