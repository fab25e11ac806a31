"""transform_layout: a buffer stored in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passes.ir.arith import simplify
from passes.ir.expr import Expr
from passes.ir.loop.nodes import Buffer, Function, Load, Store
from passes.ir.node import Node, rewrite
from passes.schedule.tree import fresh_ordinal, get_buffer

IndexMap = Callable[[Sequence[Expr]], Sequence[Expr]]


def transform_layout(function: Function, buffer: str, layout: IndexMap) -> Function:
    """Element `i` of the buffer moves to `layout(i)`; the shape becomes the image of the shape.

        y[i, j] with layout (i, j) → (j//16, i, j%16)
        → y[j//16, i, j%16], shape [n, 64] → [4, n, 16]

    The caller keeps every axis whose image is a quotient a multiple of the divisor. A parameter
    changes for the function's callers too: weights are folded at build time, activations must
    change in producer and consumer alike.
    """
    old = get_buffer(function, buffer, "transform_layout")
    ends = [simplify(e + 1) for e in _image([e - 1 for e in old.shape], layout)]
    new = Buffer(old.name, fresh_ordinal(function), tuple(ends), old.dtype, old.scope)

    def move(node: Node) -> Node | None:
        if isinstance(node, Load | Store) and node.buffer is old:
            indices = tuple(_image(node.indices, layout))
            if isinstance(node, Load):
                return Load(new, indices)
            return Store(new, indices, node.value)
        return None

    body = rewrite(function.body, move)
    params = tuple([new if b is old else b for b in function.params])
    allocs = tuple([new if b is old else b for b in function.allocs])
    return function.replace(body=body, params=params, allocs=allocs)


def _image(indices: Sequence[Expr], layout: IndexMap) -> list[Expr]:
    return [simplify(e) for e in layout(indices)]
