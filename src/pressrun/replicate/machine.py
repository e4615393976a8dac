"""The machine and the environment that a run has: what is installed, and what it may use of the hardware."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil
from pydantic import BaseModel

CGROUPS = Path("/sys/fs/cgroup")


class Environment(BaseModel, frozen=True):
    """What a run is executed by. `packages` is every installed distribution with its version; `packages_sha256` is over them."""

    python: str
    implementation: str
    os: str
    kernel: str
    packages: dict[str, str]
    packages_sha256: str
    locale: str
    time_zone: str
    hash_seed: str


class Machine(BaseModel, frozen=True):
    """The hardware a run may use: `cores` and `memory` (bytes) are what is allowed, not what is built in."""

    cpu: str
    cores: int
    memory: int
    accelerator: str
    driver: str

    def sentence(self) -> str:
        accelerator = "no accelerator" if self.accelerator == "none" else self.accelerator
        return f"{self.cpu}, {self.cores} core{'s' if self.cores != 1 else ''}, {self.memory / 2**30:.0f} GB, {accelerator}"


def environment(variables: dict[str, str]) -> Environment:
    """The environment of a worker that is started with these environment variables."""
    packages = installed_packages()
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        os=operating_system(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages=packages,
        packages_sha256=packages_hash(packages),
        locale=variables.get("LC_ALL", ""),
        time_zone=variables.get("TZ", ""),
        hash_seed=variables.get("PYTHONHASHSEED", "random"),
    )


def installed_packages() -> dict[str, str]:
    """Version by distribution, sorted by name."""
    found = {(dist.metadata["Name"] or "").lower(): dist.version for dist in importlib.metadata.distributions()}
    return {name: found[name] for name in sorted(found) if name}


def packages_hash(packages: dict[str, str]) -> str:
    """The sha256 over `name==version` lines in order of name: equal for equal environments."""
    return hashlib.sha256("".join(f"{name}=={packages[name]}\n" for name in sorted(packages)).encode()).hexdigest()


def operating_system() -> str:
    """As the system calls itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def machine() -> Machine:
    """This machine, as far as this process may use it."""
    accelerator, driver = _accelerator()
    return Machine(cpu=_cpu_model(), cores=allowed_cores(), memory=allowed_memory(), accelerator=accelerator, driver=driver)


def allowed_cores() -> int:
    """Cores this process may use: its affinity, cut by a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(cores, int(quota)) if quota is not None else cores)


def allowed_memory() -> int:
    """Bytes of memory this process may use: what is built in, cut by a container's limit."""
    limits = [_number(CGROUPS / "memory.max"), _number(CGROUPS / "memory/memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(limit for limit in limits if limit)])


def _cpu_quota() -> float | None:
    """Cores' worth of time a container grants, by cgroup version 2 or 1; None when it sets no limit."""
    try:
        quota, period = (CGROUPS / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        quota_us, period_us = _number(CGROUPS / "cpu/cpu.cfs_quota_us"), _number(CGROUPS / "cpu/cpu.cfs_period_us")
        return quota_us / period_us if quota_us and period_us else None


def _number(path: Path) -> int | None:
    """The positive number in a file of the kernel's, None when there is none."""
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return None
    return number if number > 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerator() -> tuple[str, str]:
    """Names of the NVIDIA devices and their driver; ("none", "none") without them. Asked of the driver, so without torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none", "none"
    try:
        told = subprocess.run(  # noqa: S603
            [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "none", "none"
    devices = [line.rsplit(", ", 1) for line in told.stdout.splitlines() if ", " in line]
    return (", ".join(name for name, _ in devices), devices[0][1]) if devices else ("none", "none")
