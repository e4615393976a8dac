"""Machine access: the Hugging Face, arXiv, OAI-PMH and Papers with Code contracts, feeds, our own API, and MCP."""
