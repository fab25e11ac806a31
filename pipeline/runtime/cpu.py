"""What this machine offers: its instruction-set features and the CPUs this process may use."""

from __future__ import annotations

import os
import platform
from math import ceil
from pathlib import Path

from .errors import PackageError

CPUINFO = Path("/proc/cpuinfo")
_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def architecture() -> str:
    """The machine's architecture in the manifest's words: `x86_64`, `aarch64`."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The features that the kernel reports for the first CPU.

    Raises PackageError where the system has no such report.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PackageError(
            f"{cpuinfo}: cannot read which features this CPU has ({error.strerror}); "
            "packages for CPUs run on Linux"
        ) from None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    raise PackageError(f"{cpuinfo}: no line 'flags' or 'Features'; cannot tell this CPU's features")


def usable_cpus() -> int:
    """How many threads can truly run at once: the affinity mask, cut by a container's CPU quota.

    Kernels meet at spinning barriers, so more threads than CPUs would make each other wait.
    """
    count = len(os.sched_getaffinity(0))
    quota = _quota()
    return count if quota is None else max(1, min(count, ceil(quota)))


def _quota() -> float | None:
    try:
        limit, period = _CGROUP_V2.read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us, period_us = (int(path.read_text(encoding="ascii")) for path in _CGROUP_V1)
        return None if limit_us <= 0 else limit_us / period_us
    except (OSError, ValueError, ZeroDivisionError):
        return None
