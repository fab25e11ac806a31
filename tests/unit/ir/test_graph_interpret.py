"""The graph interpreter: dims, assumptions, inputs, state; and the order of a sequenced graph."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.dtypes import F32, I32
from passes.ir.expr import Dim, index
from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import GraphFunction, Input, Operation, State, TensorType, Weight
from passes.ir.graph.sequence import sequence
from passes.ir.node import IRError
from passes.ir.quantised import Operand
from passes.ops import OPERATORS, apply
from passes.ops.define import call_loops

N, M = Dim("n", 1, 4), Dim("m", 0, 7)
CACHE = State("c", TensorType(tuple(map(index, (1, 8, 1, 2))), F32))
NEW = Input("new", TensorType((index(1), N, index(1), index(2)), F32))
PAST = apply("full", value=M, dtype=I32, shape=(1,))
APPENDED = apply("cache_append", CACHE, NEW, PAST)


def function(*results: tuple[str, Operation | State], update: object = APPENDED) -> GraphFunction:
    updates = (("c", update),)
    return GraphFunction("f", (N, M), (NEW,), results, updates, (N + M <= 8,))  # type: ignore


def no_weights(weight: Weight) -> Operand:
    raise AssertionError(weight)


def run(f: GraphFunction, new: np.ndarray, m: int, **more: object) -> tuple[dict, dict]:
    dims = {"n": new.shape[1], "m": m}
    return interpret(
        f,
        {"new": new},
        dims=dims,
        operators=OPERATORS,
        weights=no_weights,
        **more,  # type: ignore
    )


def test_state_is_functional() -> None:
    f = function(("old", CACHE), ("sum", apply("reduce_sum", APPENDED, axis=1)))
    first = np.ones((1, 2, 1, 2), np.float32)
    results, state = run(f, first, 0)
    assert results["old"].sum() == 0 and results["sum"].tolist() == [[[2.0, 2.0]]]
    again, after = run(f, 2 * first, 2, state=state)
    assert state["c"].sum() == 4 and after["c"][0, :, 0, 0].tolist() == [1, 1, 2, 2, 0, 0, 0, 0]
    assert again["old"].sum() == 4


def test_loop_functions_update_a_copy() -> None:
    f = function(("old", CACHE), update=call_loops(APPENDED, OPERATORS))
    state = {"c": np.zeros((1, 8, 1, 2), np.float32)}
    results, after = run(f, np.ones((1, 3, 1, 2), np.float32), 1, state=state)
    assert state["c"].sum() == 0 and results["old"].sum() == 0
    assert after["c"][0, :, 0, 1].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]


def wrong(f: GraphFunction, new: np.ndarray, m: int, **more: object) -> str:
    with pytest.raises(IRError) as caught:
        run(f, new, m, **more)
    return str(caught.value)


def test_what_is_refused() -> None:
    f, new = function(), np.ones((1, 3, 1, 2), np.float32)
    assert wrong(f, new, 8) == "graph 'f': m = 8 is outside 0..7"
    assert wrong(f, new, 6) == "graph 'f' assumes n + m <= 8; given n = 3, m = 6"
    assert wrong(f, new[..., :1], 0) == (
        "graph 'f': input 'new' is float32 [1, 3, 1, 1], not f32[1, n, 1, 2]: [1, 3, 1, 2]"
    )
    assert wrong(f, new.astype(np.float64), 0) == (
        "graph 'f': input 'new' is float64 [1, 3, 1, 2], not f32[1, n, 1, 2]: [1, 3, 1, 2]"
    )
    assert wrong(f, new, 0, state={"c": np.zeros(3, np.float32)}) == (
        "graph 'f': state 'c' is float32 [3], not f32[1, 8, 1, 2]: [1, 8, 1, 2]"
    )
    with pytest.raises(IRError, match="graph 'f' needs a value of dim 'm'"):
        interpret(f, {"new": new}, dims={"n": 3}, operators=OPERATORS, weights=no_weights)
    with pytest.raises(IRError, match="graph 'f': input 'new' is missing"):
        interpret(f, {}, dims={"n": 3, "m": 0}, operators=OPERATORS, weights=no_weights)


def test_readers_come_before_the_writer() -> None:
    before = apply("reduce_sum", CACHE, axis=1)
    done = sequence(function(("x", before)), OPERATORS)
    assert done.copies == ()
    assert done.calls.index(before) < done.calls.index(APPENDED)


def test_a_reader_that_needs_the_writer_costs_a_copy() -> None:
    both = apply("add", CACHE, APPENDED)
    done = sequence(function(("x", both)), OPERATORS)
    assert done.copies == ((APPENDED, 0),)
    assert done.calls == (PAST, APPENDED, both)


def test_who_asks_for_the_old_content_costs_a_copy() -> None:
    assert sequence(function(("old", CACHE)), OPERATORS).copies == ((APPENDED, 0),)
    kept = function(("x", apply("neg", APPENDED)), update=CACHE)
    assert sequence(kept, OPERATORS).copies == ((APPENDED, 0),)


def test_an_input_is_never_overwritten() -> None:
    given = Input("g", CACHE.type)
    appended = apply("cache_append", given, NEW, PAST)
    f = GraphFunction("f", (N, M), (NEW, given), (("x", appended),))
    assert sequence(f, OPERATORS).copies == ((appended, 0),)


def test_appends_in_a_row_stay_in_place() -> None:
    twice = apply("cache_append", APPENDED, NEW, apply("add", PAST, PAST))
    done = sequence(function(update=twice), OPERATORS)
    assert done.copies == () and done.calls.index(APPENDED) < done.calls.index(twice)
