"""What kind of computation a block is, seen from those that read its results.

A *complete* block computes each element once, and it alone; a *reduction* block does so in several
instances, from an init on. Where all blocks of a nest are of these kinds and everything read is
computed before (*compact dataflow*), they may be moved to their consumers.
"""

from __future__ import annotations

from collections import defaultdict

from passes.ir.arith import free_vars
from passes.ir.expr import Expr
from passes.ir.loop.nodes import Block, Buffer, Function
from passes.schedule.accesses import Access, accesses, iterator_ranges, ranges
from passes.schedule.bindings import bindings_of
from passes.schedule.dependence import differ
from passes.schedule.footprints import uncovered, unfilled
from passes.schedule.tree import blocks_in, get_block, loaded, path_to_block, written

Places = list[tuple[Expr, ...]]


def not_complete(function: Function, label: str) -> str | None:
    """Why a block is no complete block; None if it is one.

    All its iterators are spatial, nothing else writes its outputs, it reads none of them, and no
    two instances store to the same element. Raises ScheduleError if there is no such block.
    """
    block = get_block(function, label, "dataflow")
    if any(it.kind != "spatial" for it in block.iters):
        return "an iterator is not spatial"
    if written(block) & loaded(block):
        return "it reads what it writes"
    return _not_alone(function, block)


def not_reduction(function: Function, label: str) -> str | None:
    """Why a block is no reduction block; None if it is one.

    It has an init, its iterators are spatial or reduce, no reduce iterator chooses what it stores
    to, and nothing else writes its outputs. Raises ScheduleError if there is no such block.
    """
    block = get_block(function, label, "dataflow")
    if block.init is None:
        return "it has no init"
    if any(it.kind not in ("spatial", "reduce") for it in block.iters):
        return "an iterator is neither spatial nor reduce"
    reduced = {it.var for it in block.iters if it.kind == "reduce"}
    places = [i for found in _places(block).values() for place in found for i in place]
    if any(free_vars(i) & reduced for i in places):
        return "a reduce iterator chooses what it stores to"
    return _not_alone(function, block)


def not_compact(function: Function) -> str | None:
    """Why the function has no compact dataflow; None if it has.

    Every store is in a block, every block is complete or a reduction, its binding is affine and
    runs no instance twice, and what is read of what the function computes is there before.
    """
    whole = accesses(function.body)
    if any(a.is_store and a.block is None for a in whole):
        return "it stores outside blocks"
    for block in blocks_in(function.body):
        label = block.label
        reason = not_complete(function, label) and not_reduction(function, label)
        bindings = bindings_of(path_to_block(function, label, "dataflow"))
        if reason is None and not bindings.affine:
            reason = "its binding is not affine"
        if reason is None and not bindings.once:
            reason = "an instance may run twice"
        if reason is None and uncovered(function, label):
            reason = "it may read what is not computed yet"
        if reason is not None:
            return f"block '{label}': {reason}"
    stores = [a for a in whole if a.is_store]
    for read in (a for a in whole if a.block is None):
        made = [a for a in stores if a.buffer is read.buffer]
        if made and unfilled([read], made, ranges(function)):
            return "a loop or condition may read what is not computed yet"
    return None


def stores_apart(block: Block) -> bool:
    """Whether instances that differ in a spatial iterator store to different elements, whatever
    its other iterators are and the loops inside it. Never known of a block with views."""
    spatial = [it.var for it in block.iters if it.kind == "spatial"]
    inner = {**ranges(block.body), **({} if block.init is None else ranges(block.init))}
    known = {**iterator_ranges(block.iters), **inner}
    free = frozenset([*inner, *[it.var for it in block.iters if it.kind != "spatial"]])
    found = _places(block).values()
    return not block.views and all(differ(_shared(one), spatial, known, free) for one in found)


def _shared(places: Places) -> tuple[Expr, ...]:
    """The indices that several places have in common."""
    return tuple([along[0] for along in zip(*places, strict=True) if len(set(along)) == 1])


def _places(block: Block) -> dict[Buffer, Places]:
    """The elements of each buffer that an instance stores to, in terms of its iterators."""
    found: dict[Buffer, Places] = defaultdict(list)
    for part in (block.body,) if block.init is None else (block.init, block.body):
        for access in accesses(part):
            if access.is_store:
                found[access.buffer].append(access.indices)
    return found


def _not_alone(function: Function, block: Block) -> str | None:
    outputs = written(block)

    def elsewhere(a: Access) -> bool:
        return a.is_store and a.buffer in outputs and not any(s is block for s, _ in a.path)

    other = next((a for a in accesses(function.body) if elsewhere(a)), None)
    if other is not None:
        writer = "a statement outside blocks" if other.block is None else "another block"
        return f"{writer} writes its output"
    return None if stores_apart(block) else "two instances may store to the same element"
