"""On which CPUs kernels are timed, and which ones are left for other work."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
ALL = frozenset(os.sched_getaffinity(0))
"""The CPUs that this process had when it started."""


def timing_cpus(threads: int) -> tuple[int, ...]:
    """A CPU for each thread: of different cores as long as there are some; several threads to
    one where there are more than CPUs."""
    first: list[int] = []
    others: list[int] = []
    seen: set[str] = set()
    for cpu in sorted(ALL):
        core = _core(cpu)
        (others if core in seen else first).append(cpu)
        seen.add(core)
    return tuple(islice(cycle(first + others), threads))


def spare_cpus(threads: int) -> frozenset[int]:
    """The CPUs whose work does not slow down kernels on that many threads: of other cores."""
    busy = {_core(cpu) for cpu in timing_cpus(threads)}
    return frozenset(cpu for cpu in ALL if _core(cpu) not in busy)


def _core(cpu: int) -> str:
    """What names a CPU's core."""
    try:
        return Path(_TOPOLOGY.format(cpu)).read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)
