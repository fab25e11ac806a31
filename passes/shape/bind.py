"""bind: dims of a graph function replaced by narrower dims or numbers."""

from __future__ import annotations

from collections.abc import Mapping

from passes.ir.arith import prove, simplify
from passes.ir.expr import Dim, Expr
from passes.ir.graph.nodes import Apply, Attr, GraphFunction, TensorType
from passes.ir.graph.operator import Operators, apply
from passes.ir.loop.nodes import Function
from passes.ir.node import Node, rewrite


def bind(
    function: GraphFunction, values: Mapping[Dim, Expr], operators: Operators
) -> GraphFunction:
    """Exact: the function with dims replaced wherever they occur.

    f(…, *, n: dim[1, 8192], c: dim[1, 8192]): assume(n <= c); …f32[c]…
    → f(…, *, n: dim[1, 512]): …f32[1536]…          for n → dim[1, 512], c → 1536

    Types are deduced anew by the operators, and what the new bounds prove is no longer assumed.
    """

    def rule(node: Node) -> Node | None:
        match node:
            case Dim():
                return values.get(node)
            case TensorType():
                return node.replace(shape=tuple([simplify(extent) for extent in node.shape]))
            case Apply():
                attrs = {name: _simplified(attr) for name, attr in node.attrs}
                return apply(operators[node.op], node.inputs, attrs)
            case Function():
                return node.replace(dims=_dims(node.dims))
            case GraphFunction():
                kept = [e for e in node.assumptions if not prove(e)]
                return node.replace(dims=_dims(node.dims), assumptions=tuple(kept))
        return None

    return rewrite(function, rule)


def _dims(dims: tuple[Expr, ...]) -> tuple[Dim, ...]:
    """A dim that became a number is no dim of the function any more."""
    return tuple(dict.fromkeys([dim for dim in dims if isinstance(dim, Dim)]))


def _simplified(attr: Attr) -> Attr:
    if isinstance(attr, Expr):
        return simplify(attr)
    return tuple([_simplified(item) for item in attr]) if isinstance(attr, tuple) else attr
