"""Whether what is read was stored just before: by the same iteration, or by one store whole.

for j in range(4): t[i*4 + j] = …      fills, while i stands still, what   … t[i*4 + k] …   reads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
)
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Const, Expr, FloorMod, Lt, Var
from passes.ir.loop.nodes import Block, Buffer, For
from passes.schedule.accesses import Access, Ranges, corners, precedes
from passes.schedule.coverage import digits
from passes.schedule.dependence import inner_loops, never_meet, steady
from passes.schedule.reductions import conjuncts, starts_first
from passes.schedule.tree import written


def iteration_private(
    loop: For,
    buffer: Buffer,
    inside: Sequence[Access],
    known: Ranges,
    outer: tuple[Var | None, ...] = (),
) -> bool:
    """Whether each iteration reads of a private buffer only what it stored itself.

    `outer` are the loops around (None for a `while`): what an earlier iteration of those stored
    is not there any more either.
    """
    mine = [a for a in inside if a.buffer is buffer]
    free, stored = inner_loops(loop), written(loop.body)
    apart_in: list[tuple[Var, frozenset[Var]]] = [(loop.var, free)]
    within = free | {loop.var}
    for var in reversed(outer):
        if var is not None:
            apart_in.append((var, within))
            within |= {var}
    stores = [a for a in mine if a.is_store]
    places = {s.indices: s for s in stores}.values()
    apart: dict[tuple[Expr, ...], bool] = {}
    for load in (a for a in mine if not a.is_store):
        if load.indices not in apart:
            apart[load.indices] = None not in outer and all(
                never_meet(load, s, var, inner, known, stored)
                for s in places
                for var, inner in apart_in
            )
        if not apart[load.indices] and not any(
            covers(s, load, known) or _fills_first(s, load, known) for s in stores
        ):
            return False
    return True


def covers(store: Access, load: Access, known: Ranges) -> bool:
    """Whether the store has filled all that the load reads: earlier in the same iteration of the
    loops around both or, by an init, in the first of those that lead to no other element."""
    _, earlier = precedes(store, load)
    return earlier and _starts(store, load, known) and runs_over(store, load, known)


def _starts(store: Access, load: Access, known: Ranges) -> bool:
    """Whether the inits that the store is part of have run where the load does."""
    for depth, block in _inits(store, load):
        loops = [s.var for s, _ in store.path[:depth] if isinstance(s, For)]
        if (block, 1) not in load.path:
            outer = {s.var for s in load.loops}
            loops = [v for v in loops if v not in outer]
        pairs = zip(block.iters, block.bindings, strict=True)
        leading = [e for it, e in pairs if it.kind != "reduce"]
        asked = [c for one in store.conditions for c in conjuncts(one)]
        if not starts_first(block, leading, loops, asked, known):
            return False
    return True


def _inits(store: Access, load: Access) -> list[tuple[int, Block]]:
    """The blocks, with their depth, of whose init the store is part and the load is not."""
    return [
        (depth, block)
        for depth, (block, part) in enumerate(store.path)
        if isinstance(block, Block) and part == 0 and (block, 0) not in load.path
    ]


def _fills_first(store: Access, load: Access, known: Ranges) -> bool:
    """Whether the first iteration of the innermost loop around both fills all that is ever read.

    where(i < 1 or 2 <= r)  t[(i + r)%3],  r < 3      fills at i = 0 what  t[(i + k)%3]  reads
    """
    common, earlier = precedes(store, load)
    if not earlier or not common or _inits(store, load):
        return False
    loop = common[-1]
    if loop.kind not in ("serial", "unrolled"):
        return False
    start = {loop.var: Const(0, loop.var.dtype)}
    parts = [simplify(substitute(c, start), known) for c in store.conditions]
    asked = tuple([c for part in parts for c in conjuncts(part) if c is not TRUE])
    indices = tuple([substitute(i, start) for i in store.indices])
    first = store._replace(indices=indices, conditions=asked)
    return runs_over(first, load, known, {loop.var: loop.extent})


def runs_over(
    one: Access, other: Access, known: Ranges, moving: Mapping[Var, Expr] | None = None
) -> bool:
    """Whether, in each iteration of the loops around both, `one` touches all that `other` does.

    Along each axis `one` runs without gaps with loops of its own from a base, unconditionally
    (but for bounds of the buffer, which every access keeps anyway).

        t[i*4 + j], i < n, j < 4     runs over     t[k], k < n*4
        t[(i + j)%4], j < 4          runs over     all of  t: [4]

    Of the loops around both, those `moving` (variable: extent) run for `other` alone.
    """
    common, _ = precedes(one, other)
    own = {s.var: s.extent for s in one.loops if s not in common}
    theirs = {s.var: s.extent for s in other.loops if s not in common}
    theirs.update(moving or {})
    changing = written((*one.path, *other.path)[0][0])
    if not all(steady(i, changing) for i in (*one.indices, *other.indices)):
        return False
    shared = {c for part in other.conditions for c in conjuncts(part) if steady(c, changing)}
    asked = {c for part in one.conditions for c in conjuncts(part)}
    if any(not _bound(c, one) for c in asked - shared):
        return False
    used = frozenset[Var]().union(*[free_vars(i) for i in one.indices]) & set(own)
    if any(free_vars(own[var]) & set(own) for var in used):
        return False
    apart = digits(one.indices, {var: own[var] for var in own if var in used}, known)
    left = set(apart.extents)
    for place, read, size in zip(apart.exprs, other.indices, one.buffer.shape, strict=True):
        if place.dtype.lanes > 1 and place is simplify(read, known):
            continue
        turning = place.b if isinstance(place, FloorMod) else None
        whole = place.a if isinstance(place, FloorMod) else place
        form = linear(whole, list(apart.extents), apart.limits)
        if form is None or not set(form[0]) <= left:
            return False
        if turning is not None and free_vars(turning):
            return False
        coefficients, base = form
        left -= set(coefficients)
        reach = _reach(coefficients, apart.extents, apart.limits)
        if reach is None or (turning is not None and not prove(reach >= turning, known)):
            return False
        if turning is not None:
            base, reach = Const(0, INDEX), turning
        low, high = ends(read, theirs, known)
        if not (low is not None and prove(low >= base, known)) and not prove(base <= 0, known):
            return False
        if not (high is not None and prove(high < base + reach, known)) and not prove(
            base + reach >= size, known
        ):
            return False
    unused = [apart.extents[v] for v in left] + [e for v, e in own.items() if v not in used]
    return not apart.spare and all(prove(extent >= 1, known) for extent in unused)


def ends(i: Expr, loops: Mapping[Var, Expr], known: Ranges) -> tuple[Expr | None, Expr | None]:
    """The least and the greatest element that an index names while `loops` (variable: extent) run,
    or one of its vector; None where it is not known."""
    found = corners(i)
    if found is None:
        return None, None
    return symbolic_min(found[0], loops, known), symbolic_max(found[1], loops, known)


def _reach(
    coefficients: Mapping[Var, Expr], extents: Mapping[Var, Expr], known: Ranges
) -> Expr | None:
    """The number of values, one after the other, that a sum of loops takes; None if it has gaps.

    i*8 + j, i < n, j < 8  ->  n*8
    """
    reach: Expr = Const(1, INDEX)
    left = dict(coefficients)
    while left:
        near = (v for v, c in left.items() if prove(c >= 1, known) and prove(c <= reach, known))
        step = next(near, None)
        if step is None or (len(coefficients) > 1 and not prove(extents[step] >= 1, known)):
            return None
        reach = simplify(reach + left.pop(step) * (extents[step] - 1), known)
    return reach


def _bound(condition: Expr, store: Access) -> bool:
    """Whether a condition says no more than that the store is inside its buffer."""
    if not isinstance(condition, Lt):
        return False
    left, right = simplify(condition.a), simplify(condition.b)
    pairs = zip(store.indices, store.buffer.shape, strict=True)
    return any(simplify(i) is left and simplify(e) is right for i, e in pairs)
