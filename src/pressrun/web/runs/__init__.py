"""Runs on the site: who may start one, how it is watched, what came of it, and the ledger of all verdicts."""
