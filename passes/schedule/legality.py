"""What must hold of parallel and vectorized loops, however a program came to have them."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
)
from passes.ir.expr import Const, Expr, Lt, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Buffer, For, Function
from passes.schedule.accesses import Access, Ranges, accesses, precedes, ranges
from passes.schedule.dependence import carried, inner_loops, never_meet
from passes.schedule.tree import Refusal, blocks_in, spell, statements, written


def checked(function: Function, refuse: Refusal) -> Function:
    """The function, if its parallel and vectorized loops may be run as such.

    Every primitive that moves statements ends with it. Raises ScheduleError.
    """
    unchanged = {s for s in statements(refuse.function) if isinstance(s, For)}
    for stmt in statements(function):
        if not isinstance(stmt, For) or stmt.kind not in ("parallel", "vectorized"):
            continue
        if stmt.kind == "vectorized" and stmt in unchanged:
            continue
        found = objection(function, stmt)
        if found is not None:
            raise refuse(f"{stmt.kind} loop {spell(stmt.var)} would break: {found}")
    return function


def objection(function: Function, loop: For) -> str | None:
    """Why a loop of `function` may not be of the kind it is; None if it may."""
    known = ranges(function)
    if loop.kind == "parallel":
        return _against_threads(function, loop, known)
    if loop.kind == "vectorized":
        return _against_lanes(loop, known)
    return None


def _against_threads(function: Function, loop: For, known: Ranges) -> str | None:
    for block in blocks_in(loop):
        for it, e in zip(block.iters, block.bindings, strict=True):
            if it.kind != "spatial" and loop.var in free_vars(e):
                return f"it drives a {it.kind} iterator of block '{block.label}'"
    whole = accesses(function.body)
    private = {b for b in function.allocs if b.scope != "global"}
    inside = accesses(loop.body)
    counts = {b: sum(a.buffer is b for a in whole) for b in private}
    for buffer in sorted(private & {a.buffer for a in inside}, key=lambda b: b.ordinal):
        if counts[buffer] != sum(a.buffer is buffer for a in inside):
            return f"thread-private buffer '{name_of(buffer)}' is used outside the loop too"
        if not _iteration_private(loop, buffer, inside, known):
            return f"an iteration reads what another one left in '{name_of(buffer)}'"
    clash = carried(loop, known, private=private)
    if clash is not None:
        return f"iterations may meet in {_spelled(clash)}"
    return None


def _against_lanes(loop: For, known: Ranges) -> str | None:
    if not isinstance(loop.extent, Const):
        return f"its extent {print_expr(loop.extent)} is not a constant"
    for stmt in statements(loop.body):
        if isinstance(stmt, For) and stmt.kind not in ("vectorized", "unrolled"):
            return f"loop {spell(stmt.var)} inside it is {stmt.kind}"
    for block in blocks_in(loop):
        for it, e in zip(block.iters, block.bindings, strict=True):
            if it.kind == "ordered" and loop.var in free_vars(e):
                return f"it drives an ordered iterator of block '{block.label}'"
    clash = carried(loop, known, reductions=True)
    if clash is not None:
        return f"lanes may meet in {_spelled(clash)}"
    return None


def _spelled(access: Access) -> str:
    at = ", ".join([print_expr(simplify(i)) for i in access.indices])
    return f"{name_of(access.buffer)}[{at or '()'}]"


def _iteration_private(loop: For, buffer: Buffer, inside: Sequence[Access], known: Ranges) -> bool:
    """Whether each iteration reads of a private buffer only what it stored itself."""
    mine = [a for a in inside if a.buffer is buffer]
    free, stored = inner_loops(loop), written(loop.body)
    stores = [a for a in mine if a.is_store]
    places = {s.indices: s for s in stores}.values()
    apart: dict[tuple[Expr, ...], bool] = {}
    for load in (a for a in mine if not a.is_store):
        if load.indices not in apart:
            apart[load.indices] = all(
                never_meet(load, s, loop.var, free, known, stored) for s in places
            )
        if not apart[load.indices] and not any(covers(s, load, known) for s in stores):
            return False
    return True


def covers(store: Access, load: Access, known: Ranges) -> bool:
    """Whether the store, earlier in the same iteration, has filled all that the load reads.

    Along each axis the store runs with one loop of its own from a base, unconditionally (but for
    bounds of the buffer, which every access keeps anyway).
    """
    common, earlier = precedes(store, load)
    own = {s.var: s.extent for s in store.loops if s not in common}
    theirs = {s.var: s.extent for s in load.loops if s not in common}
    if store.block is not None and store.block is load.block:
        return earlier and store.indices == load.indices and _starts_inside(store, common)
    if not earlier:
        return False
    if any(not _bound(c, store) for c in store.conditions):
        return False
    used: set[Var] = set()
    for place, read in zip(store.indices, load.indices, strict=True):
        form = linear(place, list(own), known)
        if form is None or len(form[0]) > 1 or used & set(form[0]):
            return False
        coefficients, base = form
        last = base
        for var, coefficient in coefficients.items():
            used.add(var)
            if not prove(coefficient.equal(1)) or free_vars(own[var]) & set(own):
                return False
            last = base + own[var] - 1
        low, high = symbolic_min(read, theirs, known), symbolic_max(read, theirs, known)
        if low is None or high is None:
            return False
        if not prove(low >= base, known) or not prove(high <= last, known):
            return False
    return all(prove(extent >= 1, known) for var, extent in own.items() if var not in used)


def _bound(condition: Expr, store: Access) -> bool:
    """Whether a condition says no more than that the store is inside its buffer."""
    if not isinstance(condition, Lt):
        return False
    left, right = simplify(condition.a), simplify(condition.b)
    pairs = zip(store.indices, store.buffer.shape, strict=True)
    return any(simplify(i) is left and simplify(e) is right for i, e in pairs)


def _starts_inside(store: Access, common: list[For]) -> bool:
    """Whether an init, run where all reduce iterators are 0, comes first among `common`."""
    block = store.block
    assert block is not None
    first: dict[Var, Expr] = {s.var: Const(0, s.var.dtype) for s in common}
    reduced = [e for it, e in zip(block.iters, block.bindings, strict=True) if it.kind == "reduce"]
    return all(prove(substitute(e, first).equal(0)) for e in reduced)
