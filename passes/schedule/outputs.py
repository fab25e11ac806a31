"""What a block must be for its instances to store again, or elsewhere, what they stored before."""

from __future__ import annotations

from passes.ir.loop.nodes import Block, Load, Store
from passes.ir.node import postorder
from passes.schedule.dataflow import stores_apart
from passes.schedule.tree import Refusal


def own_store(refuse: Refusal, block: Block) -> Store:
    """The block's one store, to a place of its own for each spatial instance.

    Raises what `refuse` makes if there is none, or if the block touches more of the buffer.
    """
    store, init = block.body, block.init
    if not isinstance(store, Store) or not isinstance(init, Store | None) or block.views:
        raise refuse("its body is not one store")
    if any(it.kind not in ("spatial", "reduce") for it in block.iters):
        raise refuse("it has iterators that are neither spatial nor reduce")
    if not stores_apart(block):
        raise refuse("two of its instances may store to one place")
    nodes = postorder(store) if init is None else postorder(store, init)
    touched = [n for n in nodes if isinstance(n, Load | Store) and n.buffer is store.buffer]
    other = init is not None and init.buffer is not store.buffer
    if other or any(n.indices != store.indices for n in touched):
        raise refuse("it touches elements of its output other than the one it stores")
    return store
