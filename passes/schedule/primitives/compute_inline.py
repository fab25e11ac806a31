"""compute_inline: an elementwise producer dissolves into its consumers."""

from __future__ import annotations

from passes.ir.arith import substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Function, Load, Store
from passes.ir.node import Node, rewrite
from passes.schedule.tree import (
    ScheduleError,
    get_block,
    loaded,
    replace,
    statements,
)


def compute_inline(function: Function, label: str) -> Function:
    """Every load of what the block stores becomes the stored expression; the block goes away.

        for i: block a: t[i] = exp(x[i])
        for i: block b: y[i] = t[i] + 1.0
        → for i: block b: y[i] = exp(x[i]) + 1.0
    """
    block = get_block(function, label, "compute_inline")
    place = f"block '{label}'"
    store = block.body
    if not isinstance(store, Store) or block.init is not None or block.predicate is not None:
        reason = "its body is not one plain store"
        raise ScheduleError("compute_inline", place, reason, function)
    target = store.buffer
    if target not in function.allocs:
        raise ScheduleError("compute_inline", place, "it stores to a parameter", function)
    if target in loaded(block):
        raise ScheduleError("compute_inline", place, "it reads what it stores", function)
    writers = [s for s in statements(function) if isinstance(s, Store) and s.buffer is target]
    if len(writers) != 1:
        raise ScheduleError("compute_inline", place, "its output has other writers", function)
    axes = {it.var: it for it in block.iters}
    if set(store.indices) != set(axes) or len(store.indices) != len(axes):
        reason = "it does not store at its own iterators"
        raise ScheduleError("compute_inline", place, reason, function)

    def inline(node: Node) -> Node | None:
        if isinstance(node, Load) and node.buffer is target:
            values: dict[Var, Expr] = dict(zip(store.indices, node.indices, strict=True))  # type: ignore[arg-type]
            return substitute(store.value, values)
        return None

    function = replace(function, block, None)
    kept = tuple([b for b in function.allocs if b is not target])
    return function.replace(body=rewrite(function.body, inline), allocs=kept)
