"""Finding papers: build the index, understand the query, rank by words and meaning."""

from pressrun.search.document import Document, Hit, IndexStatus, Results
from pressrun.search.generation import IndexBusy, IndexDamaged
from pressrun.search.highlight import highlight, words_in
from pressrun.search.index import SearchIndex
from pressrun.search.query import Filter, Query, QueryError, parse
from pressrun.search.writer import IndexWriter

__all__ = [
    "Document",
    "Filter",
    "Hit",
    "IndexBusy",
    "IndexDamaged",
    "IndexStatus",
    "IndexWriter",
    "Query",
    "QueryError",
    "Results",
    "SearchIndex",
    "highlight",
    "parse",
    "words_in",
]
