"""The parent of a worker: it takes away what the worker may not have, and dies and lets die at the right moment.

Started as a file, before anything heavy is loaded. It reads one line, the job, from its standard input; limits itself;
forks the worker; and waits. When its input closes, whoever ordered the job is gone, and it kills the whole process group.
When the worker ends, it ends in the same way, by the same code or signal. So nothing can hold a worker's end back: not a
long call into C, not the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
HARD_CPU_GRACE = 5  # seconds between the signal that names the CPU limit and the one that cannot be caught


def main() -> None:
    line = _read_line(0)
    job = json.loads(line)
    os.umask(0o077)
    limit_resources(job["cpu_seconds"], job["output_bytes"])
    prefer_to_be_killed()
    network = cut_network()
    guard = os.getpid()
    worker = os.fork()
    if worker == 0:
        die_with(guard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from pressrun.replicate.worker import work

        os._exit(work(line, network))  # at once, whatever threads it may still have; output is unbuffered
    threading.Thread(target=_kill_group_at_end_of_input, daemon=True).start()
    _, status = os.waitpid(worker, 0)
    end_like(status)


def limit_resources(cpu_seconds: float | None, output_bytes: int | None) -> None:
    """No core files; SIGXCPU at the CPU limit; no file beyond the output limit. Lower limits that are set already stay."""
    _lower(resource.RLIMIT_CORE, 0, 0)
    if cpu_seconds is not None:
        seconds = max(1, round(cpu_seconds))
        _lower(resource.RLIMIT_CPU, seconds, seconds + HARD_CPU_GRACE)
    if output_bytes is not None:
        _lower(resource.RLIMIT_FSIZE, output_bytes, output_bytes)


def _lower(which: int, soft: int, hard: int) -> None:
    _, allowed = resource.getrlimit(which)
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(which, (soft, hard))


def prefer_to_be_killed() -> None:
    """If the machine runs out of memory, the kernel takes the worker and not the site."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return


def cut_network() -> str:
    """Leave the network for an empty one with a loopback of its own. Returns "cut", or "open" with the reason."""
    if not sys.platform.startswith("linux"):
        return f"open: {sys.platform} has no network namespaces"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return f"open: the kernel does not allow it ({os.strerror(ctypes.get_errno())})"
        _keep_identity(user, group)
    _raise_loopback()
    return "cut"


def _keep_identity(user: int, group: int) -> None:
    """In the new user namespace be who we were, so that files keep their owner and names resolve."""
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return


def _raise_loopback() -> None:
    """Libraries that talk to their own children over localhost keep working."""
    import fcntl
    import socket
    import struct

    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 0x1
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
            flags = struct.unpack("16sh", fcntl.ioctl(lo, siocgifflags, struct.pack("16sh", b"lo", 0)))[1]
            fcntl.ioctl(lo, siocsifflags, struct.pack("16sh", b"lo", flags | iff_up))
    except OSError:
        return


def die_with(parent: int) -> None:
    """Be killed when the parent dies; at once if it is dead already."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end_like(status: int) -> None:
    """End as the worker did."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _kill_group_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(descriptor, 65536)
        if not piece:
            sys.exit("the guard was given no job")
        line += piece
    return line


if __name__ == "__main__":
    main()
