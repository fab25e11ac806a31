"""compute_inline: an elementwise producer dissolves into its consumers."""

from __future__ import annotations

from passes.ir.arith import substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Block, Function, Load, Store
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.legality import checked
from passes.schedule.motion import check_inputs_hold
from passes.schedule.tree import Refusal, loaded, path_to_block, replace, statements


def compute_inline(function: Function, label: str) -> Function:
    """Every load of what the block stores becomes the stored expression; the block goes away.

        for i: block a: t[i] = exp(x[i])
        for i: block b: y[i] = t[i] + 1.0
        → for i: block b: y[i] = exp(x[i]) + 1.0

    The block is the only one to store to a temporary, at its own iterators, and nothing stores
    to what it reads before the last consumer has run.
    """
    found = path_to_block(function, label, "compute_inline")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("compute_inline", f"block '{label}'", function, label)
    store = block.body
    if not isinstance(store, Store) or block.init is not None or block.predicate is not None:
        raise refuse("its body is not one plain store")
    target = store.buffer
    if target not in function.allocs:
        raise refuse("it stores to a parameter")
    if target in loaded(block):
        raise refuse("it reads what it stores")
    writers = [s for s in statements(function) if isinstance(s, Store) and s.buffer is target]
    if len(writers) != 1:
        raise refuse("its output has other writers")
    axes = [i for i in store.indices if isinstance(i, Var)]
    if set(axes) != {it.var for it in block.iters} or len(block.iters) != len(store.indices):
        raise refuse("it does not store at its own iterators, each once")
    loads = [n for n in postorder(function.body) if isinstance(n, Load) and n.buffer is target]
    if any(load.dtype.lanes > 1 for load in loads):
        raise refuse("its output is read by vectors")
    check_inputs_hold(refuse, function, block, target)

    def inline(node: Node) -> Node | None:
        if isinstance(node, Load) and node.buffer is target:
            values: dict[Var, Expr] = dict(zip(axes, node.indices, strict=True))
            return substitute(store.value, values)
        return None

    function = replace(function, block, None)
    kept = tuple([b for b in function.allocs if b is not target])
    return checked(function.replace(body=rewrite(function.body, inline), allocs=kept), refuse)
