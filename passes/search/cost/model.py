"""The learned cost model: trees that correct the prior, store by store, by what was measured.

The logarithm of a store's seconds is the prior's plus what LightGBM's trees add; a candidate takes
the sum of its stores; the trees learn from the ranking of candidates within each task. So before
anything is measured the order is the prior's, and what one task teaches holds for stores like its
own in any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.search.cost.prior import estimate
from passes.search.cost.ranking import Objective, pairs_of, starts_of, summed
from passes.search.cost.scorer import Measured, Rows, Scores, check

_ROUNDS = 60
_PARAMETERS = {
    "learning_rate": 0.15,
    "num_leaves": 15,
    "min_data_in_leaf": 8,
    "min_sum_hessian_in_leaf": 1e-3,
    "lambda_l2": 1.0,
    "feature_fraction": 0.3,
    "max_bin": 63,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_KEPT = 4096  # samples that are learnt from: the newest
_FIRST = 8  # samples that must have come to train, and
_MORE = 0.2  # so many for each that there is
_SURE = 8.0  # samples at which corrections count half
_ELSEWHERE = 0.25  # what a sample of another task counts


class CostModel:
    """Ranks by the prior corrected by trees; `with_prior=False`: by trees alone, and all are equal
    until something was measured.

    Corrections count n / (n + 8), where n is how many candidates of the task were measured; those
    of other tasks count as a quarter.
    """

    def __init__(self, seed: int = 0, *, with_prior: bool = True) -> None:
        self.seed = seed
        self.with_prior = with_prior
        self.samples: dict[tuple[str, str], tuple[Rows, float]] = {}
        self.fresh = 0
        """How many of the samples came after the trees were trained."""
        self.trees = ""
        """LightGBM's text of the booster; empty before the first training."""
        self._booster: Any = None

    def update(self, groups: Sequence[Measured]) -> bool:
        """Takes in what was measured, anew if it was before, and trains when enough has come;
        whether scores are others now.

        Raises ValueError where features are no matrix of them, or a time is not above 0.
        """
        for group in groups:
            check(group.rows)
            _check_times(group)
        for group in groups:
            for rows, seconds in zip(group.rows, group.seconds, strict=True):
                key = (group.task, _digest(rows))
                self.fresh += key not in self.samples
                self.samples.pop(key, None)
                self.samples[key] = (rows.astype(np.float32), float(seconds))
        while len(self.samples) > _KEPT:
            del self.samples[next(iter(self.samples))]
        if self.fresh < max(_FIRST, _MORE * len(self.samples)):
            return False
        self.fresh = 0
        return self._train()

    def score(self, batch: Sequence[Rows], task: str) -> Scores:
        """Minus the logarithm of the seconds expected, up to a constant of the task."""
        check(batch)
        if not batch or not (self.trees or self.with_prior):
            return np.zeros(len(batch))
        rows = np.concatenate(batch)
        stores = self._start(rows)
        if self.trees:
            booster = self._booster = self._booster or _loaded(self.trees)
            stores = stores + self._trust(task) * booster.predict(
                rows, raw_score=True, num_threads=1
            )
        times, _ = summed(stores, starts_of(batch))
        return -times

    def _start(self, rows: Rows) -> NDArray[np.float64]:
        return np.log(estimate(rows)) if self.with_prior else np.zeros(len(rows))

    def _trust(self, task: str) -> float:
        """What share of the corrections counts."""
        own = sum(name == task for name, _ in self.samples)
        known = own + _ELSEWHERE * (len(self.samples) - own)
        return known / (known + _SURE)

    def _train(self) -> bool:
        """Whether the samples told anything."""
        import lightgbm

        batch = [rows for rows, _ in self.samples.values()]
        seconds = np.array([time for _, time in self.samples.values()])
        tasks: dict[str, list[int]] = {}
        for number, (task, _) in enumerate(self.samples):
            tasks.setdefault(task, []).append(number)
        pairs = pairs_of([np.array(group, np.intp) for group in tasks.values()], seconds)
        if not len(pairs.left):
            return False
        objective = Objective(starts_of(batch), pairs)
        rows = np.concatenate(batch)
        parameters = {
            **_PARAMETERS, "seed": self.seed, "objective": lambda told, _: objective(told)
        }  # fmt: skip
        data = lightgbm.Dataset(rows, np.zeros(len(rows)), init_score=self._start(rows))
        booster = lightgbm.train(parameters, data, _ROUNDS)
        self.trees = booster.model_to_string()
        self._booster = booster
        return True


def _loaded(trees: str) -> Any:
    """Raises lightgbm's LightGBMError for text that is none of a booster."""
    import lightgbm

    return lightgbm.Booster(model_str=trees)


def _digest(rows: Rows) -> str:
    return hashlib.blake2b(rows.astype("<f4").tobytes(), digest_size=16).hexdigest()


def _check_times(group: Measured) -> None:
    if len(group.rows) != len(group.seconds):
        raise ValueError(
            f"task {group.task}: {len(group.rows)} candidates and {len(group.seconds)} times; "
            "give one time for each, infinite for one that failed"
        )
    wrong = [seconds for seconds in group.seconds if not seconds > 0]
    if wrong:
        raise ValueError(
            f"task {group.task}: {wrong[0]} is no time relative to the reference; times are above "
            "0, and infinite for a candidate that failed"
        )
