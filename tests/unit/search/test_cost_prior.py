"""The analytical estimate: what must make a program slower, or quicker."""

from __future__ import annotations

import numpy as np
import pytest

from passes.search.cost.prior import estimate
from passes.search.features import columns as c
from tests.unit.search.cost_rows import programs, rows_of, tile


def seconds(**changes: float) -> float:
    return float(estimate(rows_of(tile(**changes)))[0])


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("STEPS", 1e4, 1e5),
        ("ENTRIES", 10, 1e5),
        ("ACCUMULATORS", 12, 1),
        ("LOADS", 2, 30),
        ("GATHERS", 0, 16),
        ("STORES", 0, 16),
        ("PRESSURE", 15 / 16, 2),
        ("LANES", 8, 16),
        ("TRAFFIC_L2", 1e6, 1e8),
        ("TRAFFIC_SHARED", 1e4, 1e8),
        ("TRAFFIC_MEMORY", 1e4, 1e8),
    ],
)
def test_more_of_it_takes_longer(name: str, less: float, more: float) -> None:
    assert seconds(**{name: less}) < seconds(**{name: more})


def test_arithmetic_that_is_dear_costs_more() -> None:
    step = {kind: {**tile(), c.per_step(kind): 24.0} for kind in ("add", "div", "exp", "call")}
    add, div, exp, call = (float(estimate(rows_of(one))[0]) for one in step.values())
    assert add < div < exp < call


def test_threads_share_work_as_evenly_as_it_is_cut() -> None:
    alone = seconds()
    even = seconds(CHUNKS=8, CHUNKS_EACH=2, BALANCE=1, REGIONS=1)
    uneven = seconds(CHUNKS=5, CHUNKS_EACH=2, BALANCE=5 / 8, REGIONS=1)
    assert even < uneven < alone
    assert seconds(CHUNKS=8, CHUNKS_EACH=2, BALANCE=1, REGIONS=1e3) > alone
    # Memory is shared by all.
    far = {"TRAFFIC_MEMORY": 1e9}
    shared = seconds(CHUNKS=8, CHUNKS_EACH=2, BALANCE=1, REGIONS=1, **far)
    assert shared > 0.9 * seconds(**far)


def test_it_is_above_zero_and_finite_for_anything() -> None:
    anything = np.concatenate([*programs(20), np.zeros((1, len(c.COLUMNS)), np.float32)])
    made = estimate(anything)
    assert made.shape == (len(anything),)
    assert np.all((made > 0) & np.isfinite(made))
