"""Papers in the database: lists, pages, imports, exports and their place in the search index."""
