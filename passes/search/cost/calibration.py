"""How well scores agreed with what was measured afterwards, round by round."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """One round of one task: how many candidates were measured; Spearman's rank correlation of
    scores and speed (None where either is the same for all); `recall`, which share of the quickest
    quarter was also in the quarter scored best."""

    task: str
    round: int
    measured: int
    correlation: float | None
    recall: float

    def data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "task": self.task,
            "round": self.round,
            "measured": self.measured,
            "correlation": self.correlation,
            "recall": self.recall,
        }


def calibrate(task: str, round_: int, scores: Numbers, seconds: Numbers) -> Calibration:
    """Scores given before measuring against the seconds measured, infinite where that failed.

    Raises ValueError where nothing was measured, or not one time a score.
    """
    if len(scores) != len(seconds) or not len(scores):
        raise ValueError(
            f"round {round_} of task {task}: {len(scores)} scores and {len(seconds)} times; "
            "give one of each for every candidate measured"
        )
    top = -(-len(scores) // 4)
    return Calibration(
        task, round_, len(scores), rank_correlation(scores, -seconds), recall(scores, seconds, top)
    )


def rank_correlation(left: Numbers, right: Numbers) -> float | None:
    """Spearman's coefficient: Pearson's of the ranks, equal values sharing their mean rank."""
    a, b = (_ranks(one) - (len(one) - 1) / 2 for one in (left, right))
    spread = sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread else None


def recall(scores: Numbers, seconds: Numbers, top: int) -> float:
    """Which share of the `top` quickest are among the `top` scored best. Times equal to the last
    of the quickest are as good as it; those that failed are never among them."""
    quick = np.sort(seconds)[min(top, len(seconds)) - 1]
    picked = np.argsort(-scores, kind="stable")[:top]
    good = (seconds <= quick) & (seconds < inf)
    wanted = min(top, int(good.sum()))
    return float(good[picked].sum()) / wanted if wanted else 0.0


def _ranks(values: Numbers) -> Numbers:
    """From 0; equal values get the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count + 1) / 2)[group], np.float64)
