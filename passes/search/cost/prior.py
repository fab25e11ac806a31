"""Seconds that a program takes, estimated from its feature rows: before anything is measured, and
what the learned model corrects.

Of each store what its steps cost a core (ports, latency of sums, loads and stores, spills, loops),
or what its bytes cost at the cache levels, whichever is more (Williams et al., Roofline, 2009),
divided among threads as evenly as its parallel loop is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passes.search.features import columns as c

Seconds = NDArray[np.float64]

_CYCLE = 1 / 3e9
_WIDE = 8  # lanes of the vectors of which two can be computed with in a cycle; of wider ones, one
_COSTS = {  # cycles of a port, of one vector
    "fma": 1, "mul": 1, "add": 1, "max": 1, "div": 8, "exp": 12, "call": 40, "int": 0.3,
    "compare": 0.5, "convert": 1, "tensor": 1,
}  # fmt: skip
_LATENCY = 4  # of a multiply-add
_LOADED = 2  # vectors a cycle
_LOAD_SHOWS = 0.1  # cycles of a load that something else does not hide
_ISSUED = 5  # instructions a cycle
_TURN = 0.2  # cycles of going on to the next step
_ENTRY = 3  # cycles of entering a loop
# Bytes a cycle: to a core, and from memory to all cores.
_L2, _SHARED, _MEMORY = 30, 32, 6
_MEETING = 2e-6  # seconds of starting and ending a parallel loop
_LEAST = 1e-9  # seconds


def estimate(rows: NDArray[np.float32]) -> Seconds:
    """Seconds of each store: `[stores, F] → [stores]`, all above 0; a program takes their sum."""
    near = c.column(rows, c.TRAFFIC_L2) / _L2 + c.column(rows, c.TRAFFIC_SHARED) / _SHARED
    far = c.column(rows, c.TRAFFIC_MEMORY) / _MEMORY
    chunks, each = c.column(rows, c.CHUNKS), c.column(rows, c.CHUNKS_EACH)
    alone = chunks <= 1
    share = np.where(alone, 1, each / np.maximum(chunks, 1))
    cycles: Seconds = np.maximum(np.maximum(_steps(rows), near) * share, far)
    meetings = np.where(alone, 0, c.column(rows, c.REGIONS))
    return cycles * _CYCLE + meetings * _MEETING + _LEAST


def _steps(rows: NDArray[np.float32]) -> Seconds:
    """Cycles of one core for all steps of each store."""

    def get(name: str) -> Seconds:
        return c.column(rows, name)

    done = {kind: get(c.per_step(kind)) for kind in c.OPERATIONS}
    ports = np.where(get(c.LANES) > _WIDE, 1, 2)
    arithmetic = sum((done[kind] * cost for kind, cost in _COSTS.items()), np.zeros(len(rows)))
    sums = done["fma"] + done["tensor"] + done["add"] + done["max"]
    chained = np.where(get(c.REDUCTION) > 1, sums / np.maximum(get(c.ACCUMULATORS), 1), 0)
    # Registers too many are stored and loaded again.
    spilled = np.maximum(0, get(c.REGISTERS) * (1 - 1 / np.maximum(get(c.PRESSURE), 1)))
    loads = get(c.LOADS) + get(c.BROADCASTS) + get(c.GATHERS) + spilled
    stores = get(c.STORES) + spilled
    issued = get(c.ARITHMETIC) + loads + stores
    step = np.maximum.reduce(
        [arithmetic / ports, chained * _LATENCY, loads / _LOADED, stores, issued / _ISSUED]
    )
    cycles: Seconds = get(c.STEPS) * (step + loads * _LOAD_SHOWS / _LOADED + _TURN)
    return cycles + get(c.ENTRIES) * _ENTRY
