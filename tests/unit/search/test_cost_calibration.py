"""Rank correlation against scipy, recall by counting."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from passes.search.cost.calibration import calibrate, rank_correlation, recall


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlation_is_spearmans(levels: int) -> None:
    random = np.random.default_rng(levels)
    for count in (2, 3, 10, 100):
        a, b = random.integers(0, levels, (2, count)).astype(float)
        mine = rank_correlation(a, a + 0.5 * b)
        if mine is not None:
            assert mine == pytest.approx(spearmanr(a, a + 0.5 * b).statistic)


def test_it_is_one_for_any_rising_map_and_none_for_equal_values() -> None:
    a = np.array([3.0, 1.0, 2.0])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.ones(3)) is None


def test_recall_counts_the_quickest_that_were_scored_best() -> None:
    seconds = np.array([1.0, 2.0, 3.0, 4.0])
    assert recall(-seconds, seconds, 2) == 1
    assert recall(seconds, seconds, 2) == 0
    assert recall(np.array([4.0, 1.0, 3.0, 2.0]), seconds, 2) == 0.5
    # As good as the last of the quickest is good enough.
    assert recall(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0]), 2) == 1


def test_failures_are_slowest_and_never_recalled() -> None:
    scores, seconds = np.array([3.0, 2.0, 1.0]), np.array([math.inf, 2.0, 1.0])
    assert recall(scores, seconds, 1) == 0
    assert recall(scores, np.full(3, math.inf), 2) == 0
    assert rank_correlation(scores, -seconds) == pytest.approx(-1)


def test_a_round_is_summed_up() -> None:
    seconds = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    one = calibrate("gemm", 2, np.array([5.0, 1.0, 4.0, 3.0, 2.0]), seconds)
    assert one.data() == {
        "task": "gemm",
        "round": 2,
        "measured": 5,
        "correlation": pytest.approx(0.4),
        "recall": 0.5,
    }
    assert calibrate("gemm", 0, np.zeros(1), np.ones(1)).correlation is None


def test_scores_and_times_belong_together() -> None:
    text = (
        "round 1 of task gemm: 2 scores and 3 times; give one of each for every candidate measured"
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        calibrate("gemm", 1, np.zeros(2), np.ones(3))
