"""What a paper is, and where papers come from."""

from pressrun.catalog.errors import FetchError, SourceError
from pressrun.catalog.fetch import Fetcher
from pressrun.catalog.json_form import paper_from_json, paper_to_json
from pressrun.catalog.paper import Author, Extra, Links, Paper, Rejected, arxiv_id_in, doi_in, merge, normal_title, same_paper
from pressrun.catalog.sources import Reader, open_source

__all__ = [
    "Author",
    "Extra",
    "FetchError",
    "Fetcher",
    "Links",
    "Paper",
    "Reader",
    "Rejected",
    "SourceError",
    "arxiv_id_in",
    "doi_in",
    "merge",
    "normal_title",
    "open_source",
    "paper_from_json",
    "paper_to_json",
    "same_paper",
]
