"""`levels: native` -> an explicit level: the best described one that this CPU can run, with the
CPU's further features and its cache sizes, so that nothing implicit enters a key.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.recipe.target import X86_FEATURES, TargetLevel

NATIVE = "native"
_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class HostCpu:
    """What is known of a CPU: its flags as in /proc/cpuinfo, cache sizes where known."""

    flags: frozenset[str]
    l1d_bytes: int | None = None
    l2_bytes: int | None = None


class NativeError(Exception):
    """This machine cannot be a target."""


def flags_of(cpuinfo: str) -> frozenset[str]:
    """The first CPU's flags in the text of /proc/cpuinfo."""
    found = re.search(r"^flags[ \t]*:(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def detect_host() -> HostCpu:
    """The CPU this process runs on; raises NativeError where it is no x86-64."""
    machine = platform.machine().lower()
    if machine not in ("x86_64", "amd64"):
        raise NativeError(f"`native` is known for x86-64 only, this machine is {machine}")
    flags = flags_of(_CPUINFO.read_text("utf-8", "replace")) if _CPUINFO.exists() else frozenset()
    return HostCpu(flags or _flags_of_llvm(), _cache_bytes(1), _cache_bytes(2))


def native_level(host: HostCpu, described: Iterable[TargetLevel]) -> TargetLevel:
    """The explicit level of a CPU; raises NativeError if it is below every described one."""
    levels = best_first(described)
    base = next((level for level in levels if host.flags.issuperset(level.cpu_flags)), None)
    if base is None:
        lowest = levels[-1]
        missing = ", ".join(sorted(set(lowest.cpu_flags) - host.flags))
        raise NativeError(f"this CPU is below {lowest.name}, it lacks {missing}")
    features = tuple(name for name, flag in X86_FEATURES.items() if flag in host.flags)
    changed: dict[str, Any] = {
        "name": NATIVE,
        "features": features,
        "l1d_bytes": host.l1d_bytes or base.l1d_bytes,
        "l2_bytes": host.l2_bytes or base.l2_bytes,
    }
    return TargetLevel.model_validate(base.model_dump() | changed)


def best_first(levels: Iterable[TargetLevel]) -> list[TargetLevel]:
    """Levels in the order in which a CPU should be offered them."""
    return sorted(
        levels,
        key=lambda level: (
            -level.vector_bits,
            -len(level.intrinsics),
            -len(level.features),
            level.name,
        ),
    )


def _flags_of_llvm() -> frozenset[str]:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return frozenset(flag for name, flag in X86_FEATURES.items() if features.get(name))


def _cache_bytes(level: int) -> int | None:
    """The size of cpu0's data cache of a level, None where the system does not say."""
    for index in sorted(_CACHES.glob("index[0-9]*")):
        try:
            facts = [(index / name).read_text().strip() for name in ("level", "type", "size")]
        except OSError:
            continue
        size = re.fullmatch(r"([0-9]+)K", facts[2])
        if facts[0] == str(level) and facts[1] in ("Data", "Unified") and size:
            return int(size.group(1)) * 1024
    return None
