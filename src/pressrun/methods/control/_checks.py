"""Checks of parameters that several parts of the room share."""

from __future__ import annotations

__all__ = ["require_not_negative", "require_positive"]


def require_positive(parameters: object, *names: str) -> None:
    for name in names:
        value = getattr(parameters, name)
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} of {type(parameters).__name__} must be positive and finite, got {value}")


def require_not_negative(parameters: object, *names: str) -> None:
    for name in names:
        value = getattr(parameters, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} of {type(parameters).__name__} must not be negative, got {value}")
