"""Where an installation keeps its data: one directory, never the checkout."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import platformdirs


def home() -> Path:
    """The data directory: PRESSRUN_HOME, else the platform's own place. Made on first use, readable by its owner only."""
    path = Path(os.environ.get("PRESSRUN_HOME") or platformdirs.user_data_dir("pressrun", appauthor=False)).expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def secret_key() -> str:
    """The installation's own key, made once. Two servers starting together agree on one."""
    if key := os.environ.get("PRESSRUN_SECRET_KEY"):
        return key
    path = home() / "secret-key"
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # fails when another process was first, and then theirs counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()
