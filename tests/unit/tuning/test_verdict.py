"""What is tolerated of a result, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.dtypes import BF16, F32, I8, I32
from passes.ir.expr import Const, cast
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from pipeline.tuning.inputs import random_contents, ranges_of
from pipeline.tuning.kernel import memory_of
from pipeline.tuning.verdict import Tolerance, fault_of, summed_terms, tolerance_of
from tests.unit.tuning.programs import N, gathered, product

PLAIN, CODES = Tolerance(1e-5, False), Tolerance(0.03, True)


def columns() -> Function:
    """y[j] = sum of x[:, j], over n rows."""
    b = LoopBuilder("columns", dims=(N,))
    x, y = b.param("x", (N, 8), F32), b.param("y", (8,), F32)
    b.reduce(y, (N,), lambda j, i: load(x, i, j))
    return b.function()


def codes() -> Function:
    b = LoopBuilder("codes")
    x, y = b.param("x", (8,), F32), b.param("y", (8,), I8)
    b.map(y, lambda i: cast(load(x, i) * Const(10.0, F32), I8))
    return b.function()


def halved() -> Function:
    b = LoopBuilder("halved")
    x, y = b.param("x", (8,), F32), b.param("y", (8,), F32)
    b.map(y, lambda i: cast(cast(load(x, i), BF16), F32))
    return b.function()


def test_terms_and_tolerances() -> None:
    assert summed_terms(product(), {}) == 24
    assert summed_terms(columns(), {"n": 49}) == 49
    assert summed_terms(codes(), {}) == 1
    assert tolerance_of(columns(), {"n": 49}) == Tolerance(64 * 2**-24 * 7, False)
    assert tolerance_of(codes(), {}) == Tolerance(64 * 2**-24 + 0.03, True)
    assert tolerance_of(halved(), {}) == Tolerance(64 * 2**-24 + 4 * 2**-8, False)


def test_sums_in_another_order_pass_and_missing_terms_do_not() -> None:
    rng = np.random.default_rng(0)
    for terms in (10, 1000, 100_000):
        x = rng.standard_normal((terms, 50)).astype(np.float32)
        wanted = np.add.accumulate(x)[-1]
        tolerance = Tolerance(64 * 2**-24 * terms**0.5, False)
        assert fault_of(x.sum(0), wanted, tolerance) is None
        assert fault_of(x[::-1].sum(0), wanted, tolerance) is None
        assert fault_of(x[1:].sum(0), wanted, tolerance) is not None


def test_what_is_no_number() -> None:
    wanted = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    assert fault_of(wanted.copy(), wanted, PLAIN) is None
    for number, other in ((0, np.nan), (1, 1.0), (2, -np.inf), (3, np.nan), (0, np.inf)):
        found = wanted.copy()
        found[number] = other
        told = fault_of(found, wanted, PLAIN)
        assert told is not None and told.startswith(
            f"1 of 4 elements differ, the first at {number}"
        )


def test_integers() -> None:
    wanted = np.array([1, 2, -128], np.int8)
    near = np.array([2, 1, -127], np.int8)
    assert fault_of(wanted, wanted, PLAIN) is None
    assert fault_of(near, wanted, PLAIN) == (
        "3 of 3 elements differ, the first at 0: 2 instead of 1"
    )
    assert fault_of(near, wanted, CODES) is None
    assert fault_of(np.array([1, 2, 127], np.int8), wanted, CODES) is not None
    assert fault_of(near.astype(np.int32), wanted.astype(np.int32), CODES) is not None


def test_inputs_stay_where_they_lead() -> None:
    function = gathered()
    ranges = ranges_of(function)
    memory = memory_of(function, {})
    (number,) = [k for k, one in enumerate(memory) if one.dtype == I32]
    assert ranges[number] == (0, 49)
    ids = random_contents(memory, ranges, 0, "normal")[number]
    assert ids.min() >= 0 and 25 < ids.max() <= 49
    positive = random_contents(memory, ranges, 0, "positive")
    for one, content in zip(memory, positive, strict=True):
        if one.dtype == F32:
            assert content.min() >= 0.5 and content.max() <= 1.5


@pytest.mark.parametrize("n", [1, 7])
def test_memory_of_parameters(n: int) -> None:
    x, w, bias, y = memory_of(product(N), {"n": n})
    assert (x.shape, x.count, x.loaded, x.stored) == ((n, 24), n * 24, True, False)
    assert (w.count, bias.count) == (480, 20)
    assert (y.shape, y.loaded, y.stored) == ((n, 20), False, True)
