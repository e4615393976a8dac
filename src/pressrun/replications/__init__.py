"""One module a paper: its claim cards and its experiment."""
