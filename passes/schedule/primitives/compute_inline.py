"""compute_inline: an elementwise producer dissolves into its consumers."""

from __future__ import annotations

from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.loop.nodes import Function, Load, Store, View
from passes.ir.node import Node
from passes.schedule.accesses import accesses, iterator_ranges
from passes.schedule.inverse import inverse
from passes.schedule.legality import checked
from passes.schedule.motion import check_inputs_hold
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    exchange,
    get_block,
    iters_in,
    loaded,
    mentions,
    replace,
)


def compute_inline(function: Function, label: str) -> Function:
    """Every load of what the block stores becomes the stored expression; the block goes away.

        for i: block a: t[i] = exp(x[i])
        for i: block b: y[i] = t[i] + 1.0
        → for i: block b: y[i] = exp(x[i]) + 1.0

    The block is the only one to store to a temporary, at indices from which the iterators that it
    uses follow, and nothing stores to what it reads before the last consumer has run. Raises
    ScheduleError otherwise.
    """
    block = get_block(function, label, "compute_inline")
    refuse = Refusal("compute_inline", f"block '{label}'", function, label)
    store = block.body
    if not isinstance(store, Store) or block.init is not None or block.views:
        raise refuse("its body is not one plain store")
    if any(it.kind == "opaque" for it in block.iters):
        raise refuse("it has opaque iterators")
    target = store.buffer
    if target not in function.allocs:
        raise refuse("it stores to a parameter")
    if target in loaded(block):
        raise refuse("it reads what it stores")
    stores = [a for a in accesses(function.body) if a.buffer is target and a.is_store]
    if any(a.block is not block for a in stores):
        raise refuse("its output has other writers")
    nodes = mentions(function.body, target)
    if any(isinstance(n, View) and n.source.buffer is target for n in nodes):
        raise refuse("its output is read through a view")
    loads = [n for n in nodes if isinstance(n, Load) and n.buffer is target]
    if any(load.dtype.lanes > 1 for load in loads):
        raise refuse("its output is read by vectors")
    check_inputs_hold(refuse, function, block, target)
    extents = {it.var: it.extent for it in block.iters if it.var in free_vars(store)}
    known = iterator_ranges(iters_in(blocks_in(function.body)))
    if inverse(store.indices, extents, store.indices, {}) is None:
        raise refuse("its iterators do not follow from the element it stores")

    def inline(node: Node) -> Node | None:
        if isinstance(node, Load) and node.buffer is target:
            # Only what was stored is read: the conditions of the inverse hold.
            turned = inverse(store.indices, extents, node.indices, {})
            return (
                None if turned is None else simplify(substitute(store.value, turned.values), known)
            )
        return None

    function = replace(function, block, None)
    kept = tuple([b for b in function.allocs if b is not target])
    body = exchange(function.body, target, inline)
    return checked(function.replace(body=body, allocs=kept), refuse)
