"""What the verifier of graph functions refuses, and how it says so."""

from __future__ import annotations

import pytest

from passes.ir.dtypes import F32, I32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import (
    Apply,
    CallLoops,
    GraphFunction,
    Input,
    State,
    TensorType,
    Value,
)
from passes.ir.graph.verify import verify
from passes.ir.node import IRError
from passes.ops import OPERATORS, apply
from passes.ops.define import define

N, M = Dim("n", 1, 9), Dim("m", 0, 9)
LINE = TensorType((N,), F32)
A = Input("a", LINE)


def wrong(function: GraphFunction) -> str:
    with pytest.raises(IRError) as caught:
        verify(function, OPERATORS)
    return str(caught.value)


def f(value: Value, **changes: object) -> GraphFunction:
    return GraphFunction("f", (N,), (A,), (("r", value),)).replace(**changes)


def test_sound_functions_pass() -> None:
    verify(f(apply("neg", A)), OPERATORS)
    call = apply("neg", A)
    verify(f(CallLoops(define(call, OPERATORS), (A,), call.types)), OPERATORS)


def test_names() -> None:
    assert wrong(f(A, params=(A, A))) == "graph 'f' has two parameters called 'a'"
    assert wrong(f(A, dims=(N, N))) == "graph 'f' has two dims called 'n'"
    assert wrong(f(A, results=(("r", A), ("r", A)))) == "graph 'f' has two results called 'r'"
    named = Input("n", LINE)
    assert wrong(f(named, params=(named,))) == "graph 'f': 'n' is a dim and a parameter"
    assert wrong(f(Input("b", LINE))) == "graph 'f', b: is not a parameter of the function"
    far = Input("a", TensorType((M,), F32))
    assert wrong(f(far, params=(far,))) == (
        "graph 'f': dim m: dim[0, 9] is not declared by the function"
    )


def test_types() -> None:
    assert wrong(f(Apply("neg", (A,), (), (TensorType((index(3),), F32),)))) == (
        "graph 'f', v0: has type f32[3], but neg gives f32[n]"
    )
    assert wrong(f(Apply("nag", (A,), (), (LINE,)))) == "graph 'f', v0: unknown operator 'nag'"
    assert wrong(f(Apply("reduce_sum", (A,), (("axis", 0),), (TensorType((), F32),)))) == (
        "graph 'f', v0: attributes of reduce_sum must be complete and sorted by name"
    )
    several = apply("quantise_blocks", Input("x", TensorType((N, index(32)), F32)))
    function = f(several, params=several.inputs)
    assert wrong(function) == "graph 'f': 'r' is a call with several results"


def test_states() -> None:
    state = State("s", LINE)
    verify(f(state, updates=(("s", apply("neg", state)),)), OPERATORS)
    total = apply("reduce_sum", state, axis=0)
    assert wrong(f(state, updates=(("s", total),))) == (
        "graph 'f' updates state 's', f32[n], with f32[()]"
    )
    other = apply("add", state, apply("cast", State("s", TensorType((N,), I32)), dtype=F32))
    assert wrong(f(other)) == "graph 'f' reads state 's' with two types"


def test_loop_calls() -> None:
    call = apply("neg", A)
    function = define(call, OPERATORS)
    assert wrong(f(CallLoops(function, (A, A), call.types))) == (
        "graph 'f', v0: 'neg' has 2 params, the call needs 3"
    )
    wide = TensorType((N, index(2)), F32)
    assert wrong(f(CallLoops(function, (A,), (wide,)))) == (
        "graph 'f', v0: 'neg': param out1 does not have the shape and element type of result 0"
    )
    assert wrong(f(CallLoops(function, (A,), (wide,), ((0, 0),)))) == (
        "graph 'f', v0: result 0 takes the memory of a value of another type"
    )
