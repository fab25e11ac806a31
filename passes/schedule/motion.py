"""Whether a computation gives the same values where its consumers are."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, For, Function, Seq
from passes.schedule.accesses import Access, Ranges, accesses, precedes, ranges
from passes.schedule.dependence import inner_loops, never_meet, steady
from passes.schedule.legality import covers
from passes.schedule.tree import Refusal, spell, written


def check_inputs_hold(refuse: Refusal, function: Function, block: Block, target: Buffer) -> None:
    """What `block` reads to compute `target` is the same whenever `target` is read.

    Nothing may store to it from the computation on until the last consumer has run; stores
    nested with the computation may, if they come first wherever both touch an element.
    """
    whole = accesses(function.body)
    mine = [a for a in whole if a.block is block]
    changing = written(function.body) - {target}
    inputs = [a for a in mine if not a.is_store and a.buffer in changing]
    outputs = [a for a in mine if a.is_store]
    around = mine[0].loops if mine else []
    if not all(steady(e, changing) for e in (*block.bindings, *[one.extent for one in around])):
        raise refuse("its loops or bindings read memory that the function stores to")
    known = ranges(function)
    for reader in whole:
        if reader.buffer is target and not reader.is_store and reader.block is not block:
            for read in inputs:
                stores = [w for w in whole if w.is_store and w.buffer is read.buffer]
                _check(refuse, read, reader, outputs, stores, known)


def _check(
    refuse: Refusal,
    read: Access,
    reader: Access,
    outputs: Sequence[Access],
    stores: Sequence[Access],
    known: Ranges,
) -> None:
    name = name_of(read.buffer)
    depth = next(k for k, (a, b) in enumerate(zip(read.path, reader.path, strict=False)) if a != b)
    (parent, mine), (other, theirs) = read.path[depth], reader.path[depth]
    if parent is not other or not isinstance(parent, Seq) or mine > theirs:
        raise refuse(f"it reads '{name}', which changes, and a consumer comes before it")
    fresh = any(covers(out, reader, known) for out in outputs)
    for loop in (s for s, _ in read.path[:depth] if isinstance(s, For)):
        if fresh or not any(loop in w.loops for w in stores):
            continue
        free, stored = inner_loops(loop), written(loop)
        if not all(never_meet(out, reader, loop.var, free, known, stored) for out in outputs):
            reason = f"a consumer may use what an earlier iteration of {spell(loop.var)} computed"
            raise refuse(f"it reads '{name}', which changes there, and {reason}")
    for store in stores:
        inside = store.path[:depth] == read.path[:depth] and len(store.path) > depth
        position = store.path[depth][1] if inside and store.path[depth][0] is parent else -1
        if not mine <= position <= theirs:
            continue
        if position > mine or not _comes_first(store, read, depth, known):
            raise refuse(f"it reads '{name}', which is stored to before its consumers have run")


def _comes_first(store: Access, read: Access, depth: int, known: Ranges) -> bool:
    """Whether all stores to an element come before the reads of it, in loops below `depth`."""
    common, earlier = precedes(store, read)
    outer = {s for s, _ in read.path[:depth]}
    own = [loop for loop in common if loop not in outer]
    return earlier and all(
        never_meet(store, read, loop.var, inner_loops(loop), known, written(loop)) for loop in own
    )
