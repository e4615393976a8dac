"""Listening and answering until interrupted."""

from __future__ import annotations

import ipaddress
import socket

import uvicorn
from starlette.types import ASGIApp

__all__ = ["DEFAULT_PORT", "is_loopback", "listen", "run"]

DEFAULT_PORT = 8019


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ValueError: somebody listens there already, or there is no such address.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as problem:
        # Python adds where it was to what the system says.
        said = (problem.strerror or str(problem)).partition(" (while")[0]
        raise ValueError(f"cannot listen on {host} port {port}: {said}; choose another with --port") from problem


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Answer requests until interrupted; answers in hand get a few seconds."""
    config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listener])
