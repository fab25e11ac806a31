"""transform_layout: a buffer stored in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passes.ir.arith import prove, simplify, symbolic_max, upper_bound
from passes.ir.expr import Const, Expr, Var, index
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Buffer, Function, Load, Store
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.dependence import differ
from passes.schedule.tree import Refusal, fresh_ordinal, get_buffer

IndexMap = Callable[[Sequence[Expr]], Sequence[Expr]]


def transform_layout(function: Function, buffer: str, layout: IndexMap) -> Function:
    """Element `i` of the buffer moves to `layout(i)`; the shape becomes what that reaches.

        y[i, j] with layout (i, j) → (j//16, i, j%16)
        → y[j//16, i, j%16], shape [n, 64] → [4, n, 16]

    No two elements may meet in one place. A parameter changes for the function's callers too:
    weights are folded at build time, activations must change in producer and consumer alike.
    """
    old = get_buffer(function, buffer, "transform_layout")
    refuse = Refusal("transform_layout", f"buffer '{buffer}'", function, old)
    if old.strides is not None:
        raise refuse("it is a view with strides of its own")
    axes = [Var("i", -1 - k) for k in range(len(old.shape))]
    known = {v: (index(0), e - 1) for v, e in zip(axes, old.shape, strict=True)}
    image = tuple([simplify(e, known) for e in layout(axes)])
    text = f"({', '.join([print_expr(e) for e in image])})"
    if not differ(image, axes, known):
        raise refuse(f"two elements may meet in one place of {text}")
    extents = dict(zip(axes, old.shape, strict=True))
    shape: list[Expr] = []
    for e in image:
        top = symbolic_max(e, extents)
        high = upper_bound(e, known)
        last = top if top is not None else None if high is None else Const(high, e.dtype)
        if last is None or not prove(e >= 0, known):
            raise refuse(f"the reach of {print_expr(e)} is unknown")
        shape.append(simplify(last + 1))
    new = Buffer(old.name, fresh_ordinal(function), tuple(shape), old.dtype, old.scope)

    def move(node: Node) -> Node | None:
        if isinstance(node, Load | Store) and node.buffer is old:
            indices = tuple([simplify(e) for e in layout(node.indices)])
            if isinstance(node, Load):
                return Load(new, indices)
            return Store(new, indices, node.value)
        return None

    if any(n.dtype.lanes > 1 for n in _loads(function, old)):
        raise refuse("it is read by vectors")
    body = rewrite(function.body, move)
    params = tuple([new if b is old else b for b in function.params])
    allocs = tuple([new if b is old else b for b in function.allocs])
    return function.replace(body=body, params=params, allocs=allocs)


def _loads(function: Function, buffer: Buffer) -> list[Load]:
    return [n for n in postorder(function.body) if isinstance(n, Load) and n.buffer is buffer]
