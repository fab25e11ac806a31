"""The learned model: what it learns, when, and how far it is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf

import numpy as np
import pytest

from passes.search.cost.calibration import rank_correlation
from passes.search.cost.model import CostModel
from passes.search.cost.scorer import Chance, Measured, Prior, Scorer
from passes.search.features import columns as c
from tests.unit.search.cost_rows import Rows, measured, programs, rows_of, seconds_of, tile


def correlation(scorer: Scorer, batch: Sequence[Rows], task: str) -> float:
    times = np.array([seconds_of(rows) for rows in batch])
    found = rank_correlation(scorer.score(batch, task), -times)
    assert found is not None
    return found


def test_before_anything_is_measured_the_order_is_the_priors() -> None:
    batch = programs(30)
    np.testing.assert_array_equal(CostModel().score(batch, "a"), Prior().score(batch, "a"))
    without = CostModel(with_prior=False).score(batch, "a")
    np.testing.assert_array_equal(without, 0)


@pytest.mark.parametrize(("with_prior", "least"), [(True, 0.95), (False, 0.5)])
def test_it_learns_what_the_prior_does_not_know(with_prior: bool, least: float) -> None:
    known, unknown = programs(300), programs(100, seed=1)
    model = CostModel(with_prior=with_prior)
    assert model.update([measured("a", known)])
    learnt = correlation(model, unknown, "a")
    assert learnt > least
    assert not with_prior or learnt > correlation(Prior(), unknown, "a") + 0.02


def test_tasks_teach_each_other_whatever_their_references() -> None:
    model = CostModel()
    groups = [measured(name, programs(100, seed=k), 10.0**k) for k, name in enumerate("abc", 1)]
    model.update(groups)
    unknown = programs(100, seed=9)
    assert correlation(model, unknown, "d") > correlation(Prior(), unknown, "d") + 0.05


def test_failures_are_learnt_as_slowest() -> None:
    batch = programs(200)
    fails = np.array([c.column(rows, c.MASKED).mean() > 0.5 for rows in batch])
    times = [inf if failed else 1.0 for failed in fails]
    model = CostModel()
    model.update([Measured("a", batch, times)])

    def failing(scorer: Scorer) -> float:
        """Which share of those that are taken for the better ones fail."""
        best = np.argsort(-scorer.score(batch, "a"))[: len(fails) - sum(fails)]
        return float(np.mean(np.array(fails)[best]))

    assert failing(model) < 0.6 * failing(Prior())
    assert not CostModel().update(
        [Measured("a", batch, [inf] * 200)]
    )  # tells nothing, and is taken


def test_corrections_count_more_the_more_was_measured() -> None:
    model = CostModel()
    model.update([measured("a", programs(64)), measured("b", programs(128, seed=1))])
    batch = programs(50, seed=2)
    prior = Prior().score(batch, "a")

    def moved(task: str) -> float:
        return float(np.abs(model.score(batch, task) - prior).mean())

    # Of 192 samples 64, 128 and none are the task's own: n/(n + 8) is then 12/13, 18/19 and 6/7.
    a, b, other = (moved(task) for task in "abc")
    assert 0 < other < a < b
    # Of one store the correction itself is scaled.
    alone = [rows[:1] for rows in batch]
    start = Prior().score(alone, "a")
    shares = [(model.score(alone, task) - start) / trust
              for task, trust in (("a", 12 / 13), ("b", 18 / 19), ("c", 6 / 7))]  # fmt: skip
    np.testing.assert_allclose(shares[0], shares[1])
    np.testing.assert_allclose(shares[0], shares[2])


def test_it_trains_once_enough_has_come() -> None:
    model, batch = CostModel(), programs(200)
    assert not model.update([measured("a", batch[:7])])
    assert model.update([measured("a", batch[7:8])])
    assert not model.update([measured("a", batch[:8])])  # nothing new
    assert model.update([measured("a", batch[8:100])])
    assert not model.update([measured("a", batch[100:120])])
    assert model.update([measured("a", batch[120:130])])
    assert len(model.samples) == 130


def test_a_candidate_measured_again_has_its_last_time() -> None:
    model, rows = CostModel(), rows_of(tile())
    model.update([Measured("a", [rows], [2.0])])
    model.update([Measured("a", [rows], [3.0]), Measured("b", [rows], [5.0])])
    assert [seconds for _, seconds in model.samples.values()] == [3.0, 5.0]


def test_scores_do_not_depend_on_what_else_is_scored() -> None:
    model, batch = CostModel(), programs(60)
    model.update([measured("a", batch)])
    together = model.score(batch, "a")
    alone = [float(model.score([rows], "a")[0]) for rows in batch]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert model.score([], "a").shape == Prior().score([], "a").shape == (0,)


def test_chance_depends_on_seed_and_candidate_alone() -> None:
    batch = programs(40)
    one = Chance(1).score(batch, "a")
    np.testing.assert_array_equal(one[::-1], Chance(1).score(batch[::-1], "b"))
    assert len(set(one.tolist())) == 40
    assert abs(rank_correlation(one, Chance(2).score(batch, "a")) or 0) < 0.5
    assert not Chance(1).update([]) and not Prior().update([])


def test_refused_are_features_and_times_that_are_none() -> None:
    wrong = np.zeros((3, 2), np.float32)
    text = (
        "candidate 1 is an array of 3 x 2; features are a matrix with a row for each store, at "
        f"least one, and {len(c.COLUMNS)} columns"
    )
    for scorer in (CostModel(), Prior(), Chance(0)):
        with pytest.raises(ValueError, match=re.escape(text)):
            scorer.score([rows_of(tile()), wrong], "a")
    with pytest.raises(ValueError, match=f"candidate 0 is an array of 0 x {len(c.COLUMNS)};"):
        CostModel().update([Measured("a", [rows_of()], [1.0])])
    text = (
        "task a: 0.0 is no time relative to the reference; times are above 0, and infinite for a "
        "candidate that failed"
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        CostModel().update([Measured("a", [rows_of(tile())], [0.0])])
    text = "task a: 1 candidates and 2 times; give one time for each, infinite for one that failed"
    with pytest.raises(ValueError, match=re.escape(text)):
        CostModel().update([Measured("a", [rows_of(tile())], [1.0, 2.0])])
