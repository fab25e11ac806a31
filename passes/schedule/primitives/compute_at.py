"""compute_at: a producer is computed where its consumer needs it."""

from __future__ import annotations

from passes.ir.arith import free_vars, linear, prove, simplify, substitute, symbolic_max
from passes.ir.expr import Const, Expr, Var, both
from passes.ir.loop.nodes import Block, Buffer, For, Function, Seq, Stmt, Store, seq
from passes.schedule.accesses import Access, accesses
from passes.schedule.tree import (
    ScheduleError,
    fresh_ordinal,
    get_loop,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    path_to_loop,
    replace,
    spell,
    statements,
    written,
)


def compute_at(function: Function, label: str, loop: Var) -> Function:
    """Moves a block under `loop`, over the part of its output one iteration there reads.

        for i: block a: t[i] = f(i)
        for i_o: for i_i in range(4): block b: y[i_o*4 + i_i] = g(t[i_o*4 + i_i])     at i_o
        → for i_o:
              for j in range(4): block a: t[i_o*4 + j] = f(i_o*4 + j)
              for i_i in range(4): block b: …

    The block stores at its own spatial iterators, all readers are under `loop`, and their
    indices are linear in the loops inside it. Its reduce loops come innermost, in their order.
    """
    found = path_to_block(function, label, "compute_at")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    at = get_loop(function, loop, "compute_at")
    if at in found:
        raise ScheduleError("compute_at", place, "the block is already under the loop", function)
    if not isinstance(block.body, Store) or block.predicate is not None:
        reason = "its body is not one unconditional store"
        raise ScheduleError("compute_at", place, reason, function)
    store = block.body
    axes = {it.var: it for it in block.iters if it.kind == "spatial"}
    if set(store.indices) - set(axes) or len(set(store.indices)) != len(axes):
        reason = "it does not store at its own spatial iterators"
        raise ScheduleError("compute_at", place, reason, function)
    without = replace(function, block, None)
    below = get_loop(without, loop, "compute_at")
    readers = [a for a in accesses(below.body) if a.buffer is store.buffer and not a.is_store]
    everywhere = [a for a in accesses(without.body) if a.buffer is store.buffer]
    if store.buffer not in function.allocs or len(everywhere) != len(readers) or not readers:
        raise ScheduleError("compute_at", place, "not all its readers are under the loop", function)
    ranges = {s.var: s.extent for s in statements(below.body) if isinstance(s, For)}
    guarded = any(a.block is None or a.block.predicate is not None for a in readers)
    region = [
        _needed(function, place, readers, axis, ranges) for axis in range(len(store.indices))
    ]
    nest = _nest(block, store, region, guarded, loops_in(own_nest(found)), fresh_ordinal(function))
    stmts = below.body.stmts if isinstance(below.body, Seq) else (below.body,)
    position = next(k for k, s in enumerate(stmts) if store.buffer in loaded(s))
    late = {b for s in stmts[position:] for b in written(s)} & (loaded(block) - {store.buffer})
    if late:
        name = sorted(f"{b.name}{b.ordinal}" for b in late)[0]
        reason = f"it reads '{name}', which is written too late there"
        raise ScheduleError("compute_at", place, reason, function)
    around = {one.var for one in loops_in(found)}
    _check_visible(without, loop, around, block, store.buffer, place)
    return replace(
        without, below, below.replace(body=seq(*stmts[:position], nest, *stmts[position:]))
    )


def _needed(
    function: Function, place: str, readers: list[Access], axis: int, ranges: dict[Var, Expr]
) -> tuple[Expr, Expr]:
    """(base, extent) of the indices read along one axis by one iteration of the loop."""
    base: Expr | None = None
    extents = []
    for access in readers:
        i = access.indices[axis]
        form = linear(i, list(ranges))
        if form is None:
            reason = f"index {i!r} is not linear in the loops inside"
            raise ScheduleError("compute_at", place, reason, function)
        coefficients, rest = form
        if any(not prove(c >= 0) for c in coefficients.values()):
            reason = f"index {i!r} runs backwards in a loop inside"
            raise ScheduleError("compute_at", place, reason, function)
        rest = simplify(rest)
        if base is not None and base is not rest:
            reason = f"readers start at different places, {base!r} and {rest!r}"
            raise ScheduleError("compute_at", place, reason, function)
        base = rest
        top = symbolic_max(i - rest, ranges)
        if top is None:
            reason = f"the reach of index {i!r} is unknown"
            raise ScheduleError("compute_at", place, reason, function)
        extents.append(simplify(top + 1))
    assert base is not None
    widest = extents[0]
    for extent in extents[1:]:
        if prove(extent >= widest):
            widest = extent
        elif not prove(extent <= widest):
            reason = "readers need regions of sizes that cannot be compared"
            raise ScheduleError("compute_at", place, reason, function)
    return base, widest


def _nest(
    block: Block,
    store: Store,
    region: list[tuple[Expr, Expr]],
    guarded: bool,
    old_loops: list[For],
    first: int,
) -> Stmt:
    """The block over `region`, in fresh loops, its reduce loops inside the spatial ones.

    Unguarded readers read every element of the region, so all of it is in bounds; guarded ones
    may not, and then the block is guarded by its own extents.
    """
    values: dict[Var, Expr] = {}
    loops: list[For] = []
    conditions: list[Expr | None] = []
    extents = {it.var: it.extent for it in block.iters}
    for axis, (base, extent) in zip(store.indices, region, strict=True):
        assert isinstance(axis, Var)
        if isinstance(extent, Const) and extent.value == 1:
            values[axis] = base
        else:
            loops.append(For(Var(axis.name, first + len(loops)), extent, Seq(())))
            values[axis] = simplify(base + loops[-1].var)
        if guarded:
            conditions.append(simplify(values[axis] < extents[axis]))
    pairs = zip(block.iters, block.bindings, strict=True)
    reduced = {it.var: e for it, e in pairs if it.var not in values}
    used = frozenset[Var]().union(*[free_vars(e) for e in reduced.values()])
    inside: dict[Var, Expr] = {}
    for loop in old_loops:
        if loop.var in used:
            inside[loop.var] = fresh = Var(loop.var.name, first + len(loops))
            loops.append(loop.replace(var=fresh, body=Seq(())))
    values.update({var: substitute(e, inside) for var, e in reduced.items()})
    bindings = tuple([values[it.var] for it in block.iters])
    body: Stmt = block.replace(bindings=bindings, predicate=both(*conditions))
    for loop in reversed(loops):
        body = loop.replace(body=body)
    return body


def _check_visible(
    function: Function, loop: Var, left: set[Var], block: Block, target: Buffer, place: str
) -> None:
    """What the block reads must not be written by a loop that it newly enters."""
    for outer in loops_in(path_to_loop(function, loop, "compute_at")):
        mine = written(outer) & (loaded(block) - {target})
        if mine and outer.var not in left:
            name = sorted(f"{b.name}{b.ordinal}" for b in mine)[0]
            reason = f"it reads '{name}', which loop {spell(outer.var)} is still writing"
            raise ScheduleError("compute_at", place, reason, function)
