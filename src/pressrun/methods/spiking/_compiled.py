"""How the loops of this room are compiled. Imports numba, so only modules that are loaded where it is installed import this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

__all__ = ["compiled"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:  # noqa: ANN401 (those of numba)
    """The function, compiled at its first call and free of the interpreter's lock; kept on disk for later processes where it may be."""
    found: Callable[P, R]
    try:
        found = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # neither beside the module nor in the user's cache
        found = numba.njit(nogil=True, **options)(function)
    return found
