"""What a search asks: which candidates first? And the orders that learn nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from passes.search.cost.prior import estimate
from passes.search.cost.ranking import starts_of, summed
from passes.search.features.columns import COLUMNS

Rows = NDArray[np.float32]
"""The features of one candidate: `[stores, F]`, columns as passes.search.features names them."""
Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Candidates of one task that were measured: `task` is what tells it from others (workload and
    machine), `seconds` are those for each candidate relative to the task's reference (the default
    schedule, timed in turns with it), infinite for one that failed."""

    task: str
    rows: Sequence[Rows]
    seconds: Sequence[float]


class Scorer(Protocol):
    """Ranks candidates of one task; scores of different tasks do not compare."""

    def update(self, groups: Sequence[Measured]) -> bool:
        """Takes in what was measured; whether scores are others now."""
        ...

    def score(self, batch: Sequence[Rows], task: str) -> Scores:
        """One number for each candidate of a task, higher for those expected to be quicker."""
        ...


class Prior:
    """Ranks by the analytical estimate alone."""

    def update(self, groups: Sequence[Measured]) -> bool:
        return False

    def score(self, batch: Sequence[Rows], task: str) -> Scores:
        check(batch)
        if not batch:
            return np.zeros(0)
        times, _ = summed(np.log(estimate(np.concatenate(batch))), starts_of(batch))
        return -times


class Chance:
    """Ranks by lot: a candidate's number follows from the seed and its features."""

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(8, "little", signed=True)

    def update(self, groups: Sequence[Measured]) -> bool:
        return False

    def score(self, batch: Sequence[Rows], task: str) -> Scores:
        check(batch)
        return np.array([self._lot(rows) for rows in batch], np.float64)

    def _lot(self, rows: Rows) -> float:
        drawn = hashlib.blake2b(rows.astype("<f4").tobytes(), digest_size=8, key=self._key)
        return int.from_bytes(drawn.digest(), "little") / 2**64


def check(batch: Sequence[Rows]) -> None:
    """Raises ValueError unless every candidate is a matrix of features."""
    for number, rows in enumerate(batch):
        if rows.ndim != 2 or rows.shape[1] != len(COLUMNS) or not len(rows):
            shape = " x ".join(map(str, rows.shape))
            raise ValueError(
                f"candidate {number} is an array of {shape}; features are a matrix with a row for "
                f"each store, at least one, and {len(COLUMNS)} columns"
            )
