"""Text of graph functions: how it looks, that it comes back, and how wrong text is refused."""

from __future__ import annotations

import pytest

from passes.importers.storages import storage_of
from passes.ir.dtypes import F16, F32, I32
from passes.ir.expr import Dim, const, index
from passes.ir.graph.nodes import Apply, GraphFunction, Input, State, TensorType, Value, Weight
from passes.ir.graph.parse import parse_graph
from passes.ir.graph.text import print_graph
from passes.ir.graph.verify import verify
from passes.ir.node import IRError
from passes.ops import OPERATORS, apply, results
from passes.ops.define import call_loops

N, M = Dim("n", 1, 512), Dim("m", 0, 1535)
STORAGE = storage_of("Q4_1", 7, 64)

TEXT = """\
def prefill(tokens: i32[1, n], *, n: dim[1, 512], m: dim[0, 1535]):
    assume(n + m <= 1536)
    v0: f32[7, 64](storage="Q4_1 [7, 64]") = weight("blk.0.w")
    v1: f32[1, n, 64] = gather(v0, tokens, rows=0)
    v2: f32[n, 64] = reshape(v1, shape=(n, 64))
    v3: (i8[n, 64], f32[n, 2], f32[n, 2]) = quantise_blocks(v2, sums=32)
    v4: f32[n, 7] = matmul_q(v3[0], v3[1], v3[2], v0)
    v5: f32[1, 1536, 1, 7] = state("cache_k.0")
    v6: f32[1, n, 1, 7] = reshape(v4, shape=(1, n, 1, 7))
    v7: i32[1] = full(dtype=i32, shape=(1,), value=m)
    v8: f32[1, 1536, 1, 7] = call_loops("append", v5, v6, v7, donates=((0, 0),))
    update("cache_k.0", v8)
    return {"logits": v4}
"""


def prefill() -> GraphFunction:
    tokens = Input("tokens", TensorType((index(1), N), I32))
    weight = Weight("blk.0.w", TensorType((index(7), index(64)), F32, STORAGE))
    x = apply("reshape", apply("gather", weight, tokens), shape=(N, 64))
    y = apply("matmul_q", *results(apply("quantise_blocks", x)), weight)
    past = apply("full", value=M, dtype=I32, shape=(1,))
    cache = State("cache_k.0", TensorType(tuple(map(index, (1, 1536, 1, 7))), F32))
    new = apply("cache_append", cache, apply("reshape", y, shape=(1, N, 1, 7)), past)
    appended = call_loops(new, OPERATORS, "append")
    return GraphFunction(
        "prefill", (N, M), (tokens,), (("logits", y),), (("cache_k.0", appended),),
        (N + M <= 1536,),
    )  # fmt: skip


def test_text_both_ways() -> None:
    function = prefill()
    verify(function, OPERATORS)
    call = function.updates[0][1]
    assert print_graph(function) == TEXT
    functions = {"append": call.function}  # type: ignore[attr-defined]
    assert parse_graph(TEXT, {STORAGE.name: STORAGE}, functions) is function


def one(*values: Value) -> GraphFunction:
    params = (Input("a", TensorType((N,), F32)),)
    return GraphFunction("f", (N,), params, tuple((f"r{i}", v) for i, v in enumerate(values)))


def test_every_kind_of_attribute() -> None:
    a = Input("a", TensorType((N,), F32))
    attrs = {
        "i": -3, "b": True, "f": -1e-05, "inf": float("-inf"), "s": 'say "Δ"\n', "d": F16,
        "e": N * 2 + 1, "c": index(3), "t": const(True, (N <= 1).dtype), "h": const(0.5, F32),
        "empty": (), "nest": ((N,), (1, ("x", 2.0))), "n": N, "q": N <= 4,
    }  # fmt: skip
    function = one(Apply("any", (a,), tuple(attrs.items()), (a.type,)))
    assert parse_graph(print_graph(function)) is function


def test_no_dims_no_axes_several_results() -> None:
    scalar = Input("s", TensorType((), F32))
    function = GraphFunction("f", (), (scalar,), (("a", scalar), ("b c", scalar)))
    assert print_graph(function) == 'def f(s: f32[()]):\n    return {"a": s, "b c": s}\n'
    assert parse_graph(print_graph(function)) is function


def test_a_deep_graph() -> None:
    value: Value = Input("a", TensorType((N,), F32))
    for _ in range(5000):
        value = apply("neg", value)
    function = one(value)
    assert parse_graph(print_graph(function)) is function


def test_names_that_text_cannot_write() -> None:
    for name in ("v7", "class", "a b"):
        param = Input(name, TensorType((N,), F32))
        with pytest.raises(IRError) as caught:
            print_graph(GraphFunction("f", (N,), (param,), (("r", param),)))
        assert str(caught.value) == (
            f"graph 'f': '{name}' must be an identifier other than v0, v1, …"
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v0: f32[n] = neg(b)", "line 2, column 22: 'b' is not a value defined above"),
        ("v0: f32[k] = neg(a)", "line 2, column 13: 'k' is not defined here"),
        ("v0: q5[n] = neg(a)", "line 2, column 9: unknown element type 'q5'; known: f64, f32, "),
        (
            'v0: f32[n](storage="z") = weight("w")',
            "line 2, column 9: there is no storage 'z'",
        ),
        ('v0: f32[n] = call_loops("k", a)', "line 2, column 18: there is no loop function 'k'"),
        ("v0: f32[n] = neg(a, to=f99)", "line 2, column 28: 'f99' is neither a dim nor an"),
        ("a: f32[n] = neg(a)", "line 2, column 5: 'a' is bound twice"),
        ("import os", "line 2, column 5: a line is 'v0: type = op(…)', assume(…), update(…) or"),
        ("v0: f32[n] = neg(a)[0]", "line 2, column 5: a line is 'v0: type = op(…)'"),
        ("v0: f32[n] = weight(a)", "line 2, column 25: a name in double quotes is needed here"),
    ],
)
def test_wrong_lines(line: str, message: str) -> None:
    text = f'def f(a: f32[n], *, n: dim[1, 9]):\n    {line}\n    return {{"a": a}}\n'
    with pytest.raises(IRError) as caught:
        parse_graph(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(", "line 1, column 6: not a graph function: '(' was never closed"),
        ("x = 1", "line 1, column 1: a graph function is one 'def' and nothing else"),
        ("def f(a): return {}", "line 1, column 7: parameter 'a' has no type"),
        ("def f(*, n: dim[3, 1]): return {}", "line 1, column 10: dim 'n' needs a name and bounds"),
        ("def f(*, n=1): return {}", "line 1, column 1: a graph function has no decorators"),
        ("def f(a: f32[2]): a", "line 1, column 19: the last line is 'return {"),
    ],
)
def test_wrong_functions(text: str, message: str) -> None:
    with pytest.raises(IRError) as caught:
        parse_graph(text)
    assert str(caught.value).startswith(message)
