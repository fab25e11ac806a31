"""Which loop of a block runs in the lanes of vectors, and how it is cut for them.

Neighbours in memory go to neighbouring lanes: along a spatial axis each lane computes an element
of its own, along a reduced one each lane gathers partial results, combined at the end. A loop
that vectors do not divide gets a tail, which runs under a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from passes.ir.arith import free_vars, linear, upper_bound
from passes.ir.expr import Call, Const, Expr, Var
from passes.ir.loop.nodes import Block, Load, Scope, Update
from passes.ir.node import postorder
from passes.schedule.combiner import reduction_of
from passes.schedule.schedule import Schedule
from passes.schedule.tree import Refusal, blocks_in, get_block, get_loop, written
from passes.search.defaults.choose import choose
from passes.search.defaults.shape import (
    attempt,
    constant,
    driven,
    extent,
    own_loops,
    vector_factor,
)
from passes.search.defaults.target import Target

# Vectors of one row written out: enough to hide latency, few enough to keep code small.
_UNROLLED = 8
# Vectors of partial results: a sum waits for its last one, several sums wait together.
_STREAMS = 4
# Bytes of the elements that CPUs with masks at all can load and store under a mask.
_WORDS = (4, 8)


@dataclass(frozen=True)
class Axis:
    """A loop whose iterations are neighbours in memory, and the kind of iterator it drives."""

    loop: Var
    kind: Literal["spatial", "reduce"]


def reduction_axis(s: Schedule, label: str) -> Axis | None:
    """The loop of a reduction that goes to lanes: a spatial one rather than a reduced one; None
    if there is no loop whose iterations are neighbours in all that is loaded."""
    block = get_block(s.function, label, "lanes")
    reduction = reduction_of(block)
    if reduction is None:
        return None
    loads = [n for n in postorder(*reduction.values) if isinstance(n, Load)]
    loops = dict(zip(block.bindings, block.iters, strict=True))
    own = own_loops(s, label)
    for kind in ("spatial", "reduce"):
        for loop in reversed(own):
            it = loops.get(loop)
            if it is None or it.kind != kind:
                continue
            targets = reduction.targets if kind == "spatial" else ()
            if all(_steps_by_one(t, it.var) for t in targets) and _neighbours(loads, it.var):
                return Axis(loop, "spatial" if kind == "spatial" else "reduce")
    return None


def vectorize_map(s: Schedule, label: str, target: Target) -> None:
    """The innermost loop of a map in vectors."""
    loops = own_loops(s, label)
    if loops:
        vectorize_axis(s, loops[-1], target)


def vectorize_axis(s: Schedule, loop: Var, target: Target, *, unroll: bool = True) -> Var | None:
    """Cuts a loop into vectors; gives the loop over them, None where one vector is all.

    for j in range(40)  → for j_o in unrolled(3): for j_i in vectorized(16)     # 8 of the last
    for j in range(n)   → for j_o in range(ceildiv(n, 16)): for j_i in vectorized(16)
    """
    count = constant(extent(s, loop))
    if count == 1:
        return None
    width = _width(count, target.lanes)
    if width == count:
        s.vectorize(loop)
        return None
    label = blocks_in(get_loop(s.function, loop, "lanes"))[0].label
    outer, inner = s.split(loop, width)
    s.vectorize(inner)
    if not unroll or count is None:
        return outer
    vectors = -(-count // width)
    at_once = [n for n in range(1, min(vectors, 2 * _UNROLLED) + 1) if vectors % n == 0]
    best = vectors if vectors <= _UNROLLED else 1
    chosen = choose(s, f"{label}: unroll", at_once, best)
    if chosen == vectors:
        s.unroll(outer)
    elif chosen > 1:
        outer, inner = s.split(outer, chosen)
        s.unroll(inner)
    return outer


def reduce_in_lanes(s: Schedule, label: str, target: Target) -> None:
    """Lanes along neighbours in memory, if the block takes that form; else along what it sums."""
    axis = reduction_axis(s, label)
    if (
        axis is None
        or axis.kind != "spatial"
        or not attempt(s, partial(vectorize_columns, s, label, axis.loop, target))
    ):
        attempt(s, partial(vectorize_reduction, s, label, target))


def vectorize_reduction(s: Schedule, label: str, target: Target) -> None:
    """Vectors of partial results along the innermost reduce loop, combined at the end.

    Lanes of tuples are combined one by one, for there is no instruction that does. Reassociates.
    """
    along = driven(s, label, "reduce")
    if not along:
        return
    count = constant(extent(s, along[-1]))
    most = count if count is not None else upper_bound(extent(s, along[-1]))
    best = _partials(get_block(s.function, label, "lanes"), count, most, target)
    several = [target.lanes * n for n in (1, 2, 4, 8)] if best >= target.lanes else []
    fitting = [n for n in several if count is not None and count % n == 0 and n < count]
    factor = choose(s, f"{label}: lanes", sorted({best, *fitting}), best)
    if factor == 1:
        return
    if factor == count and len(along) == 1:
        s.vectorize(along[-1])
        return
    axis = reduction_axis(s, label)
    neighbours = axis is not None and axis.loop is along[-1]
    scope = _scope(s, label, count, factor, neighbours)
    tuples = isinstance(get_block(s.function, label, "lanes").body, Update)
    _, lanes = s.split(along[-1], factor)
    partial = s.rfactor(label, lanes, "local" if tuples else scope)
    rows = zip(driven(s, partial, "spatial"), driven(s, label, "spatial"), strict=False)
    for mine, other in list(rows):
        s.merge(mine, other)
    steps, kept = driven(s, partial, "reduce"), driven(s, partial, "spatial")
    s.reorder(*steps, *kept)
    copies = _written_back(s, partial, scope) if tuples else []
    ends = [s.decompose_reduction(partial, steps[0]), partial, *copies]
    if get_block(s.function, label, "rows").init is not None:
        s.decompose_reduction(label, own_loops(s, label)[-1])
    for one in ends:
        s.vectorize(own_loops(s, one)[-1])
    if not tuples:
        s.vectorize(own_loops(s, label)[-1])
    elif factor > target.lanes:
        vectorize_reduction(s, label, target)


def _written_back(s: Schedule, label: str, scope: Scope) -> list[str]:
    """Copies, in order, of all that a block stores, which it then computes in temporaries of that
    scope."""
    targets = sorted(written(get_block(s.function, label, "lanes")), key=lambda b: b.ordinal)
    copies = [s.cache_write(label, scope, f"{b.name}{b.ordinal}") for b in targets]
    return copies[::-1]


def vectorize_columns(s: Schedule, label: str, column: Var, target: Target) -> Var | None:
    """Vectors of results along a spatial loop, in registers while they are reduced; gives the
    loop over vectors, None where one vector is all. ScheduleError for loops that are not along an
    axis of what is stored.

        for i: for j: for k: y[i, j] += x[i, k, j]
        → for i: for j_o: acc = 0; for k: acc += x[i, k, j_o*16 + lanes]; y[i, j_o*16 + lanes] = acc
    """
    count = constant(extent(s, column))
    width = _width(count, target.lanes)
    alone = _has_axis_alone(get_block(s.function, label, "lanes"), column)
    copies = _written_back(s, label, _scope(s, label, count, width, alone))
    kept = [loop for loop in own_loops(s, label) if loop not in driven(s, label, "reduce")]
    outer = [loop for loop in kept if loop is not column]
    place = kept.index(column)
    s.reorder(*outer, *driven(s, label, "reduce"), column)
    copied = []
    for copy in copies:
        others = driven(s, copy, "spatial")
        if len(others) != len(kept):
            refuse = Refusal("vectorize_columns", f"block '{label}'", s.function)
            raise refuse("some of its loops are not along an axis of what it stores")
        copied.append(others.pop(place))
        s.reorder(*others, copied[-1])
        for mine, other in zip(outer, others, strict=True):
            s.merge(mine, other)
    over: Var | None = None
    if width != count:
        over, column = s.split(column, width)
        cut = [s.split(loop, width) for loop in copied]
        s.reorder(over, *driven(s, label, "reduce"), column)
        for beside, _ in cut:
            s.merge(over, beside)
        copied = [lanes for _, lanes in cut]
    steps = driven(s, label, "reduce")
    if steps:
        init = s.decompose_reduction(label, steps[0])
        s.vectorize(own_loops(s, init)[-1])
    for loop in (column, *copied):
        s.vectorize(loop)
    return over


def _has_axis_alone(block: Block, loop: Var) -> bool:
    """Whether an axis of the reduction's target is stepped by this loop and no other: surplus
    lanes then lie beside all that is stored."""
    reduction = reduction_of(block)
    loops = dict(zip(block.bindings, block.iters, strict=True))
    return reduction is not None and reduction.indices[-1] is loops[loop].var


def _scope(s: Schedule, label: str, count: int | None, width: int, maskable: bool) -> Scope:
    """Where partial results stand: in registers, unless there is no whole vector of them, or a
    tail whose lanes cannot be masked but have to run one by one."""
    block = get_block(s.function, label, "lanes")
    words = all(n.dtype.bytes in _WORDS for n in postorder(block.body) if isinstance(n, Load))
    exact = count is not None and count % width == 0 and block.predicate is None
    whole = count is None or count >= width
    return "register" if exact or (words and maskable and whole) else "local"


def _width(count: int | None, lanes: int) -> int:
    """Lanes of the vectors of a loop: all there are, unless fewer hold the whole of it."""
    if count is None or count >= lanes:
        return lanes
    return 1 << (count - 1).bit_length() if count & (count - 1) else count


def _partials(block: Block, count: int | None, most: int | None, target: Target) -> int:
    """How many partial results: lanes of one vector, or of several where there is work for them
    and their terms are cheap."""
    lanes = target.lanes
    if most is not None and most < lanes:
        return vector_factor(count, lanes) if count is not None else 1
    costly = any(isinstance(n, Call) and n.name != "abs" for n in postorder(block.body))
    wide = lanes * (1 if costly else _STREAMS)
    if count is None:
        return wide if most is None or most >= 2 * wide else lanes
    if count % wide == 0 and count > wide:
        return wide
    return lanes if count >= lanes else 1


def _neighbours(loads: list[Load], it: Var) -> bool:
    """Whether neighbouring values of an iterator load neighbours, or one and the same element."""
    moved = [load for load in loads if it in free_vars(load)]
    return bool(moved) and all(_steps_by_one(load, it) for load in moved)


def _steps_by_one(load: Load, it: Var) -> bool:
    *outer, last = load.indices or (None,)
    if last is None or any(it in free_vars(i) for i in outer if isinstance(i, Expr)):
        return False
    parts = linear(last, (it,))
    step = None if parts is None else parts[0].get(it)
    return isinstance(step, Const) and step.value == 1
