"""What must hold of parallel and vectorized loops, however a program came to have them."""

from __future__ import annotations

from functools import lru_cache

from passes.ir.arith import free_vars, simplify
from passes.ir.derived import union
from passes.ir.expr import Const, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    THREAD_AXES,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    LoopKind,
    Scope,
    Update,
    While,
)
from passes.schedule.accesses import Access, Ranges, accesses, ranges
from passes.schedule.combiner import reduction_of
from passes.schedule.copying import objection_to_copies
from passes.schedule.dependence import Facts, carried, reachable
from passes.schedule.filling import iteration_private
from passes.schedule.pipelining import kept_pipelines
from passes.schedule.reductions import restarting_loop, starting_loops
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    kind_of,
    loaded,
    loops_in,
    path_to_loop,
    spell,
    statements,
    written,
)


def checked(function: Function, refuse: Refusal) -> Function:
    """The function, if its parallel and vectorized loops may be run as such, its copies and
    pipelines too.

    Every primitive that moves statements ends with it. Raises ScheduleError.
    """
    for stmt in statements(function):
        if isinstance(stmt, For) and (found := objection(function, stmt)) is not None:
            raise refuse(f"{stmt.kind} loop {spell(stmt.var)} would break: {found}")
    reason = objection_to_copies(refuse.function, function)
    if reason is not None:
        raise refuse(reason)
    return kept_pipelines(function, refuse)


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
    for block, it in _driven(loop):
        if it.kind != "spatial":
            return f"it drives {kind_of(it)} iterator of block '{block.label}'"
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
    for block, it in _driven(loop):
        if it.kind in ("ordered", "opaque"):
            return f"it drives {kind_of(it)} iterator of block '{block.label}'"
    tuples = any(isinstance(stmt, Update) for stmt in statements(loop.body))
    known = _with(loop, around)
    sums = [b for b in blocks_in(loop) if reduction_of(b) is not None and not tuples]
    whole = [block for block in sums if _starts_in_first_lane(loop, block, known)]
    clash = carried(loop, known, reductions=whole)
    if clash is None:
        return None
    where = f"lanes may meet in {_spelled(clash)}"
    home = clash.block
    if home is None or home not in sums or home in whole:
        return where
    return f"{where}, and block '{home.label}' may start there in another lane than the first"


def _driven(loop: For) -> list[tuple[Block, BlockIter]]:
    """The iterators that change with the loop, those bound to iterators of blocks around too."""
    moving, found = {loop.var}, []
    for block in blocks_in(loop):
        for it, e in zip(block.iters, block.bindings, strict=True):
            if not moving.isdisjoint(free_vars(e)):
                moving.add(it.var)
                found.append((block, it))
    return found


def _starts_in_first_lane(loop: For, block: Block, known: Ranges) -> bool:
    """Whether all that lanes of `loop` add to one element comes after its start.

    Lanes run each statement together: an init in a later lane would come too early, and one in a
    later iteration inside too late.
    """
    if block.init is None:
        return True
    stores = [a for a in accesses(loop) if a.is_store and a.block is block]
    around = [stmt for stmt, _ in stores[0].path[: stores[0].path.index((block, 0))]]
    return (
        loop.var in starting_loops(block, known)
        and not any(loop.var in free_vars(i) for store in stores for i in store.indices)
        and restarting_loop(block, loops_in(tuple(around)), stores, known) is None
    )


def _spelled(access: Access) -> str:
    at = ", ".join([print_expr(simplify(i)) for i in access.indices])
    return f"{name_of(access.buffer)}[{at or '()'}]"
