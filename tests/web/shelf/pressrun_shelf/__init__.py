"""Replications that a third party's package brings, small enough for tests."""
