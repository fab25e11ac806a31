"""What kind of computation a block is, seen from those that read its results.

A *complete* block computes each element once, and it alone; a *reduction* block does so in several
instances, from an init on. Where all blocks of a nest are of these kinds and everything read is
computed before (*compact dataflow*), they may be moved to their consumers.
"""

from __future__ import annotations

from passes.ir.arith import free_vars
from passes.ir.loop.nodes import Block, Function, Load, Store, Update
from passes.ir.node import postorder
from passes.schedule.accesses import iterator_ranges
from passes.schedule.bindings import bindings_of
from passes.schedule.dependence import differ
from passes.schedule.footprints import uncovered
from passes.schedule.tree import blocks_in, get_block, loaded, path_to_block, written


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
    return _not_dominant(function, block) or _not_disjoint(block)


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
    if any(free_vars(i) & reduced for place in _places(block) for i in place.indices):
        return "a reduce iterator chooses what it stores to"
    return _not_dominant(function, block) or _not_disjoint(block)


def not_compact(function: Function) -> str | None:
    """Why the function has no compact dataflow; None if it has.

    Every block is complete or a reduction, its binding is affine and runs no instance twice, and
    what it reads of what the function computes is there before.
    """
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
    return None


def stores_apart(block: Block) -> bool:
    """Whether instances that differ in a spatial iterator store to different elements."""
    spatial = [it.var for it in block.iters if it.kind == "spatial"]
    known = iterator_ranges(block.iters)
    return all(differ(place.indices, spatial, known) for place in dict.fromkeys(_places(block)))


def _places(block: Block) -> list[Load]:
    """The elements that an instance stores to."""
    found: list[Load] = []
    for node in postorder(block):
        if isinstance(node, Store):
            found.append(Load(node.buffer, node.indices))
        elif isinstance(node, Update):
            found.extend(node.targets)
    return found


def _not_dominant(function: Function, block: Block) -> str | None:
    outputs = written(block)
    others = [b for b in blocks_in(function.body) if b is not block and written(b) & outputs]
    nested = {*blocks_in(block)}
    if any(b not in nested and block not in blocks_in(b) for b in others):
        return "another block writes its output"
    return None


def _not_disjoint(block: Block) -> str | None:
    places = dict.fromkeys(_places(block))
    if len({place.buffer for place in places}) < len(places):
        return "it stores to several elements of a buffer"
    return None if stores_apart(block) else "two instances may store to the same element"
