"""A language model behind the OpenAI protocol, steered a request at a time.

One process, one model, one answer after another: an edit is in the one network that all requests share, so requests wait in line.
"""

from __future__ import annotations

from .app import application
from .engine import Engine
from .vectors import Shelf, Shelved, shelf

__all__ = ["Engine", "Shelf", "Shelved", "application", "shelf"]
