"""Feature rows by name, and programs whose times are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from passes.search.cost.prior import estimate
from passes.search.cost.scorer import Measured
from passes.search.features import columns as c

Rows = NDArray[np.float32]

# A tile of 6 rows and 2 vectors of a product of matrices, by one thread.
TILE: Mapping[str, float] = {
    c.STEPS: 1e5, c.ITERATIONS: 1e5, c.ENTRIES: 1e3, c.REDUCTION: 256, c.per_step("fma"): 12,
    c.ARITHMETIC: 12, c.LOADS: 2, c.BROADCASTS: 6, c.ACCUMULATORS: 12, c.REGISTERS: 15,
    c.PRESSURE: 15 / 16, c.LANES: 8, c.WIDTH: 16, c.FILLED: 1, c.TRAFFIC_L2: 1e6, c.CHUNKS: 1,
    c.CHUNKS_EACH: 1, c.BALANCE: 1,
}  # fmt: skip


def rows_of(*stores: Mapping[str, float]) -> Rows:
    """One candidate, of stores with these columns; the others are 0."""
    made = np.zeros((len(stores), len(c.COLUMNS)), np.float32)
    for row, store in zip(made, stores, strict=True):
        for name, value in store.items():
            row[c.POSITION[name]] = value if name in c.FLAGS else np.log2(1 + value)
    return made


def tile(**changes: float) -> Mapping[str, float]:
    """TILE with other values, by the names of the constants: `tile(STEPS=10)`."""
    return {**TILE, **{getattr(c, name): value for name, value in changes.items()}}


def programs(count: int, seed: int = 0) -> list[Rows]:
    """Programs of two to five stores whose steps, loads, masks and strides are random."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        stores = [
            {
                **tile(
                    STEPS=10 ** random.uniform(3, 6),
                    LOADS=float(random.integers(1, 12)),
                    ACCUMULATORS=float(random.integers(1, 14)),
                    MASKED=float(random.integers(0, 2)),
                    TRAFFIC_L2=10 ** random.uniform(4, 7),
                ),
                c.access(0, "stride"): float(random.choice([4, 64, 4096])),
            }
            for _ in range(random.integers(2, 6))
        ]
        made.append(rows_of(*stores))
    return made


def seconds_of(rows: Rows) -> float:
    """What a machine takes for which masks and large strides cost more than the prior thinks."""
    masked = c.column(rows, c.MASKED)
    strided = c.column(rows, c.access(0, "stride")) > 1000
    return float((estimate(rows) * np.exp(1.2 * masked + 0.8 * strided)).sum())


def measured(task: str, batch: list[Rows], unit: float = 1.0) -> Measured:
    return Measured(task, batch, [seconds_of(rows) / unit for rows in batch])
