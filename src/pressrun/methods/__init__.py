"""Reusable implementations, grouped by mechanism."""
