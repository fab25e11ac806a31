"""A small model as a graph of kernels, and numpy's word for what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from passes.ir.dtypes import F32, I32, DType
from passes.ir.expr import Dim, Expr, index
from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import (
    Apply,
    CallLoops,
    GraphFunction,
    Input,
    State,
    TensorType,
    Value,
    Weight,
)
from passes.ir.loop.nodes import For, Function, Seq, Stmt, seq
from passes.ir.node import rewrite
from passes.ops import OPERATORS, apply
from passes.ops.define import define

CAPACITY, WIDTH, VOCABULARY = 16, 8, 40
N, M = Dim("n", 1, 12), Dim("m", 0, CAPACITY - 1)


def tensor(dtype: DType, *shape: Expr | int) -> TensorType:
    return TensorType(tuple([index(extent) for extent in shape]), dtype)


def parallel(function: Function) -> Function:
    """The outermost loops, which run over spatial iterators in our operators, made parallel."""

    def outermost(stmt: Stmt) -> Stmt:
        return stmt.replace(kind="parallel") if isinstance(stmt, For) else stmt

    body = function.body
    stmts = body.stmts if isinstance(body, Seq) else (body,)
    return function.replace(body=seq(*[outermost(stmt) for stmt in stmts]))


def kernels_of(graph: GraphFunction) -> GraphFunction:
    """The graph with every operator but reshape as a kernel with a parallel outer loop."""
    memo: dict[Any, Any] = {}
    named: dict[Function, Function] = {}

    def rule(node: Any) -> Any:
        if not isinstance(node, Apply) or node.op == "reshape":
            return None
        made = parallel(define(node, OPERATORS))
        if made not in named:
            named[made] = made.replace(name=f"{node.op}_{len(named)}")
        return CallLoops(named[made], node.inputs, node.types, OPERATORS[node.op].donates)

    def whole(value: Value) -> Value:
        return rewrite(value, rule, memo)

    return graph.replace(
        results=tuple([(name, whole(value)) for name, value in graph.results]),
        updates=tuple([(name, whole(value)) for name, value in graph.updates]),
    )


def small_model(name: str = "prefill", new: Expr | int = N) -> GraphFunction:
    """Embeds tokens, mixes them, remembers them in a cache, adds all that is there."""
    tokens = Input("tokens", tensor(I32, 1, new))
    table = Weight("table", tensor(F32, VOCABULARY, WIDTH))
    mix = Weight("mix.weight", tensor(F32, WIDTH, WIDTH))
    keys = State("keys", tensor(F32, 1, CAPACITY, 2, WIDTH // 2))
    past = apply("full", value=M, dtype=I32, shape=(index(1),))
    embedded = apply("gather", table, tokens)
    flat = apply("reshape", embedded, shape=(index(new), index(WIDTH)))
    mixed = apply("matmul", flat, mix)
    heads = (index(1), index(new), index(2), index(WIDTH // 2))
    longer = apply("cache_append", keys, apply("reshape", mixed, shape=heads), past)
    seen = apply("reshape", apply("reduce_sum", longer, axis=1), shape=(index(WIDTH),))
    out = apply("add", apply("neg", mixed), seen)
    dims = (N, M) if new is N else (M,)
    return GraphFunction(
        name, dims, (tokens,), (("out", out),), (("keys", longer),), (M + new <= CAPACITY,)
    )


def weights(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "table": rng.standard_normal((VOCABULARY, WIDTH), np.float32),
        "mix.weight": rng.standard_normal((WIDTH, WIDTH), np.float32) / 2,
    }


def expected(
    graph: GraphFunction, inputs: Mapping[str, Any], dims: Mapping[str, int], state: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    held = weights()
    return interpret(
        graph,
        inputs,
        dims=dims,
        operators=OPERATORS,
        weights=lambda weight: held[weight.name],
        state=state,
    )
