"""Whether a computation gives the same values where its consumers are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Barrier, Block, Buffer, For, Function, Seq, Stmt
from passes.schedule.accesses import Access, Ranges, accesses, precedes, ranges
from passes.schedule.dependence import inner_loops, never_meet, never_meets_later, steady
from passes.schedule.footprints import unfilled
from passes.schedule.tree import Refusal, spell, statements, written


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
    depth = parting(read, reader)
    (parent, mine), (other, theirs) = [(*a.path, (None, 0))[depth] for a in (read, reader)]
    if parent is not other or not isinstance(parent, Seq) or mine > theirs:
        raise refuse(f"it reads '{name}', which changes, and a consumer comes before it")
    fresh = not unfilled([reader], outputs, known)
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
        if position > mine or not comes_first(store, read, depth, known):
            raise refuse(f"it reads '{name}', which is stored to before its consumers have run")


def comes_first(a: Access, b: Access, depth: int, known: Ranges) -> bool:
    """Whether `a` is before `b` where they meet in one iteration of the loops above `depth`."""
    common, earlier = precedes(a, b)
    if a.block is b.block and b.path[: len(a.path)] == a.path:
        earlier = earlier or not a.is_store  # an operand of the store
    outer = {s for s, _ in a.path[:depth]}
    own = [loop for loop in common if loop not in outer]
    return earlier and all(
        never_meets_later(b, a, loop.var, inner_loops(loop), known, written(loop)) for loop in own
    )


def check_fresh(refuse: Refusal, outputs: Sequence[Access], reader: Access, known: Ranges) -> None:
    """What `reader` reads, `outputs` stored in the same iteration of the loops around both."""
    common, _ = precedes(outputs[0], reader)
    if not unfilled([reader], outputs, known):
        return
    for loop in common:
        free, stored = inner_loops(loop), written(loop)
        if not all(never_meet(out, reader, loop.var, free, known, stored) for out in outputs):
            reason = f"an earlier iteration of {spell(loop.var)} computed"
            raise refuse(f"the consumer may use what {reason}")


def check_comes_earlier(
    refuse: Refusal, both: Function, old: Block, new: Block, buffers: Collection[Buffer]
) -> None:
    """The accesses that `old` makes to `buffers` may happen where `new` makes them.

    `both` holds the two blocks, `new` in a statement before that of `old`. What other blocks do
    to those buffers must come before and after as it did: all that is around `new` but not around
    `old` before, all that is around `old` but not `new` after, and what stands between neither.
    """
    whole = accesses(both.body)
    moved = [a for a in whole if a.block is new and a.buffer in buffers]
    left = [a for a in whole if a.block is old]
    depth = parting(moved[0], left[0])
    above, first = moved[0].path[:depth], moved[0].path[depth][1]
    last = left[0].path[depth][1]
    known = ranges(both)
    for other in whole:
        if other.block in (old, new) or other.path[:depth] != above or len(other.path) == depth:
            continue  # the condition of a while around both stays where it is
        position = other.path[depth][1]
        for a in moved if first <= position <= last else ():
            if a.buffer is not other.buffer or not (a.is_store or other.is_store):
                continue
            twins = [b for b in left if b.buffer is a.buffer and b.is_store == a.is_store]
            if position == first:
                kept = comes_first(other, a, depth, known)
            else:
                kept = position == last and all(comes_first(b, other, depth, known) for b in twins)
            if not kept:
                name = name_of(a.buffer)
                raise refuse(f"it would move before another use of '{name}'")


def check_no_barrier(refuse: Refusal, path: Sequence[Stmt], other: Sequence[Stmt]) -> None:
    """Between two statements of one sequence, at the ends of these paths, no threads meet."""
    depth = next((k for k, (a, b) in enumerate(zip(path, other, strict=False)) if a is not b), 0)
    parent = path[depth - 1] if depth else None
    if isinstance(parent, Seq):
        ends = sorted([parent.stmts.index(path[depth]), parent.stmts.index(other[depth])])
        for stmt in parent.stmts[ends[0] : ends[1] + 1]:
            if any(isinstance(s, Barrier) for s in statements(stmt)):
                raise refuse("a barrier is where it would be moved past")


def parting(a: Access, b: Access) -> int:
    """Where the paths of two accesses part: the depth of the last statement around both, or the
    end of the shorter one (a loop's extent is asked outside it)."""
    pairs = enumerate(zip(a.path, b.path, strict=False))
    return next((k for k, (x, y) in pairs if x != y), min(len(a.path), len(b.path)))
