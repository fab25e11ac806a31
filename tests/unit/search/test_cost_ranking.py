"""The ranking loss against its definition and finite differences."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from passes.search.cost.ranking import SHARPNESS, Numbers, Objective, pairs_of, starts_of, summed

SIZES = (2, 1, 3, 2, 1)


def _objective(seconds: Numbers, groups: list[list[int]]) -> Objective:
    batch = [np.zeros((size, 1), np.float32) for size in SIZES]
    return Objective(starts_of(batch), pairs_of([np.array(g, np.intp) for g in groups], seconds))


def _loss(objective: Objective, stores: Numbers) -> float:
    times, _ = summed(stores, objective.starts)
    pairs = objective.pairs
    said = 1 / (1 + np.exp(-SHARPNESS * (times[pairs.right] - times[pairs.left])))
    wanted = pairs.wanted
    each = -wanted * np.log(said) - (1 - wanted) * np.log(1 - said)
    return float((pairs.weight * each).sum())


def test_a_candidates_time_is_the_sum_over_its_stores() -> None:
    stores = np.log(np.array([1.0, 3.0, 5.0, 1.0, 2.0, 1.0]))
    times, shares = summed(stores, np.array([0, 2, 3]))
    np.testing.assert_allclose(np.exp(times), [4, 5, 4])
    np.testing.assert_allclose(shares, [0.25, 0.75, 1, 0.25, 0.5, 0.25])


def test_the_slope_is_that_of_the_loss() -> None:
    random = np.random.default_rng(0)
    seconds = np.array([1.0, 1.3, inf, 0.7, 2.0])
    objective = _objective(seconds, [[0, 1, 2], [3, 4]])
    stores = random.normal(0, 0.1, sum(SIZES))
    slope, curve = objective(stores)
    for place in range(len(stores)):
        step = np.zeros(len(stores))
        step[place] = 1e-6
        difference = _loss(objective, stores + step) - _loss(objective, stores - step)
        assert slope[place] == pytest.approx(difference / 2e-6, rel=1e-4, abs=1e-7)
    assert np.all(curve >= 0)


def test_measured_times_are_where_the_loss_is_least() -> None:
    seconds = np.array([1.0, 1.3, 0.9, 0.7, 2.0])
    objective = _objective(seconds, [[0, 1, 2], [3, 4]])
    stores = np.repeat(np.log(seconds / SIZES), SIZES)
    slope, _ = objective(stores)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_pairs_are_within_groups_and_tell_something() -> None:
    seconds = np.array([1.0, inf, inf, 0.7, 1.4, 9.0])
    groups = [np.array(group, np.intp) for group in ([0, 1, 2], [3, 4], [5])]
    pairs = pairs_of(groups, seconds)
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == [
        (0, 1), (0, 2), (3, 4),
    ]  # fmt: skip
    np.testing.assert_array_equal(pairs.wanted[:2], 1)  # surely quicker than what failed
    assert 0.99 < pairs.wanted[2] < 1
    assert len(pairs_of([np.arange(3)], np.full(3, inf)).left) == 0


def test_each_candidate_of_many_has_as_many_partners() -> None:
    pairs = pairs_of([np.arange(1000)], np.ones(1000))
    count = np.bincount(np.concatenate([pairs.left, pairs.right]))
    assert set(count.tolist()) == {32}
    assert pairs.weight.sum() == pytest.approx(500)
    assert not np.any(pairs.left == pairs.right)
