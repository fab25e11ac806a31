"""What must hold of parallel and vectorized loops, however a program came to have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
)
from passes.ir.derived import union
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Const, Expr, FloorMod, Lt, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    THREAD_AXES,
    Buffer,
    For,
    Function,
    LoopKind,
    Scope,
    Update,
    While,
)
from passes.schedule.accesses import Access, Ranges, accesses, precedes, ranges
from passes.schedule.copying import objection_to_copies
from passes.schedule.coverage import digits
from passes.schedule.dependence import Facts, carried, inner_loops, never_meet, reachable
from passes.schedule.reductions import conjuncts
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    loaded,
    loops_in,
    path_to_loop,
    spell,
    statements,
    written,
)


def checked(function: Function, refuse: Refusal) -> Function:
    """The function, if its parallel and vectorized loops may be run as such, its copies too.

    Every primitive that moves statements ends with it. Raises ScheduleError.
    """
    for stmt in statements(function):
        if isinstance(stmt, For) and (found := objection(function, stmt)) is not None:
            raise refuse(f"{stmt.kind} loop {spell(stmt.var)} would break: {found}")
    reason = objection_to_copies(refuse.function, function)
    if reason is not None:
        raise refuse(reason)
    return function


def objection(function: Function, loop: For) -> str | None:
    """Why a loop of `function` may not be of the kind it is; None if it may.

    The answer is kept for the loop and all else that it depends on, so a step that leaves them
    alone costs nothing here.
    """
    if loop.kind == "vectorized":
        return _against_lanes(loop, _around(function, loop))
    if loop.kind not in CONCURRENT:
        return None
    for inner in (s for s in statements(loop.body) if isinstance(s, For)):
        if not may_nest(loop.kind, inner.kind):
            return f"loop {spell(inner.var)} inside it is {inner.kind}"
    used = loaded(loop.body) | written(loop.body)
    private = used.intersection([b for b in function.allocs if private_to(loop.kind, b.scope)])
    if not private:
        return _against_threads(loop, _around(function, loop), private, private, ())
    path = path_to_loop(function, loop.var, "objection")[:-1]
    outer: tuple[Var | None, ...] = tuple([s.var for s in loops_in(path)])
    if any(isinstance(s, While) for s in path):
        outer = (None, *outer)
    shared = private & _used_outside(function, loop)
    around = _around(function, loop, *[v for v in outer if v is not None])
    return _against_threads(loop, around, private, shared, outer)


def _around(function: Function, loop: For, *others: Var) -> Facts:
    """The ranges of the loops around that matter inside, and of `others`, in program order."""
    if not free_vars(loop) and not others:
        return ()
    known = ranges(function)
    needed = reachable([loop, *others], known)
    return tuple([(v, *known[v]) for v in known if v in needed])


def _used_outside(function: Function, loop: For) -> frozenset[Buffer]:
    """The buffers that the function touches outside the loop."""
    path = path_to_loop(function, loop.var, "objection")
    beside = [part for stmt in path[:-1] for part in stmt.children if part not in path]
    beside.append(loop.extent)
    return union([buffers(part) for part in beside for buffers in (loaded, written)])


def _with(loop: For, around: Facts) -> Ranges:
    return {**{v: (low, high) for v, low, high in around}, **ranges(loop)}


def may_nest(outer: LoopKind, inner: LoopKind) -> bool:
    """Whether a loop of one kind may hold one of another, as far as threads are concerned.

    Axes of blocks are outside those of threads, each once; the threads of a CPU have neither.
    """
    if outer not in CONCURRENT or inner not in CONCURRENT:
        return True
    if "parallel" in (outer, inner):
        return outer == inner
    return outer != inner and not (outer in THREAD_AXES and inner in BLOCK_AXES)


def private_to(kind: LoopKind, scope: Scope) -> bool:
    """Whether each iteration of a loop of that kind has the buffers of that scope for itself.

    Loops bound to threads share what their block, or their warp, has together.
    """
    if kind in THREAD_AXES:
        return scope in ("local", "register")
    return kind in CONCURRENT and scope != "global"


@lru_cache(maxsize=1 << 10)
def _against_threads(
    loop: For,
    around: Facts,
    private: frozenset[Buffer],
    shared: frozenset[Buffer],
    outer: tuple[Var | None, ...],
) -> str | None:
    for block in blocks_in(loop):
        for it, e in zip(block.iters, block.bindings, strict=True):
            if it.kind != "spatial" and loop.var in free_vars(e):
                kind = f"an {it.kind}" if it.kind in ("ordered", "opaque") else f"a {it.kind}"
                return f"it drives {kind} iterator of block '{block.label}'"
    known = _with(loop, around)
    inside = accesses(loop.body)
    for buffer in sorted(private, key=lambda b: b.ordinal):
        if buffer in shared:
            return f"thread-private buffer '{name_of(buffer)}' is used outside the loop too"
        if not iteration_private(loop, buffer, inside, known, outer):
            return f"an iteration reads what another one left in '{name_of(buffer)}'"
    clash = carried(loop, known, private=private)
    if clash is not None:
        return f"iterations may meet in {_spelled(clash)}"
    return None


@lru_cache(maxsize=1 << 10)
def _against_lanes(loop: For, around: Facts) -> str | None:
    if not isinstance(loop.extent, Const):
        return f"its extent {print_expr(loop.extent)} is not a constant"
    for stmt in statements(loop.body):
        if isinstance(stmt, For) and stmt.kind not in ("vectorized", "unrolled"):
            return f"loop {spell(stmt.var)} inside it is {stmt.kind}"
        if isinstance(stmt, While):
            return "a while loop inside it runs differently in each lane"
    for block in blocks_in(loop):
        for it, e in zip(block.iters, block.bindings, strict=True):
            if it.kind in ("ordered", "opaque") and loop.var in free_vars(e):
                return f"it drives an {it.kind} iterator of block '{block.label}'"
    tuples = any(isinstance(stmt, Update) for stmt in statements(loop.body))
    clash = carried(loop, _with(loop, around), reductions=not tuples)
    if clash is not None:
        return f"lanes may meet in {_spelled(clash)}"
    return None


def _spelled(access: Access) -> str:
    at = ", ".join([print_expr(simplify(i)) for i in access.indices])
    return f"{name_of(access.buffer)}[{at or '()'}]"


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
    """Whether the store, earlier in the same iteration, has filled all that the load reads."""
    common, earlier = precedes(store, load)
    if store.block is not None and (store.block, 0) in store.path and store.block is load.block:
        return earlier and store.indices == load.indices and _starts_inside(store, common)
    return earlier and runs_over(store, load, known)


def _fills_first(store: Access, load: Access, known: Ranges) -> bool:
    """Whether the first iteration of the innermost loop around both fills all that is ever read.

    where(i < 1 or 2 <= r)  t[(i + r)%3],  r < 3      fills at i = 0 what  t[(i + k)%3]  reads
    """
    common, earlier = precedes(store, load)
    if not earlier or not common or common[-1].kind not in ("serial", "unrolled"):
        return False
    loop = common[-1]
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
    shared = {c for part in other.conditions for c in conjuncts(part) if not loaded(c)}
    asked = {c for part in one.conditions for c in conjuncts(part)}
    if any(not _bound(c, one) for c in asked - shared):
        return False
    used = frozenset[Var]().union(*[free_vars(i) for i in one.indices]) & set(own)
    if any(free_vars(own[var]) & set(own) for var in used):
        return False
    apart = digits(one.indices, {var: own[var] for var in own if var in used}, known)
    left = set(apart.extents)
    for place, read, size in zip(apart.exprs, other.indices, one.buffer.shape, strict=True):
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
        low, high = symbolic_min(read, theirs, known), symbolic_max(read, theirs, known)
        if not (low is not None and prove(low >= base, known)) and not prove(base <= 0, known):
            return False
        if not (high is not None and prove(high < base + reach, known)) and not prove(
            base + reach >= size, known
        ):
            return False
    unused = [apart.extents[v] for v in left] + [e for v, e in own.items() if v not in used]
    return not apart.spare and all(prove(extent >= 1, known) for extent in unused)


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


def _starts_inside(store: Access, common: list[For]) -> bool:
    """Whether an init, run where all reduce iterators are 0, comes first among `common`."""
    block = store.block
    assert block is not None
    first: dict[Var, Expr] = {s.var: Const(0, s.var.dtype) for s in common}
    reduced = [e for it, e in zip(block.iters, block.bindings, strict=True) if it.kind == "reduce"]
    return all(prove(substitute(e, first).equal(0)) for e in reduced)
