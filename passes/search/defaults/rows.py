"""rows: reductions along rows, and what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from math import prod

from passes.ir.expr import Var
from passes.ir.loop.nodes import Block, For, LoopKind, Seq
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in, get_loop
from passes.search.defaults.choose import choose_whether
from passes.search.defaults.chunks import FEW, cut_into_chunks
from passes.search.defaults.lanes import reduce_in_lanes, reduction_axis, vectorize_map
from passes.search.defaults.pointwise import schedule_nest
from passes.search.defaults.private import keep_private
from passes.search.defaults.shape import (
    attempt,
    blocks,
    chain,
    constant,
    extent,
    inline_maps,
    is_map,
    is_row,
    parallel_outer,
    reduces,
    top_nests,
)
from passes.search.defaults.target import Target

# Instances of a block that are worth several threads.
_MUCH = 1 << 16


def schedule(s: Schedule, target: Target) -> Schedule | None:
    """All nests under the loops over rows that they share, their temporaries private to a row.

        for r: ss[r] += x[r, k]²     for r: y[r, k] = x[r, k] * f(ss[r])
        → for r in parallel: (lanes of ss, then ss) ; y[r, …] in vectors

    Nests that share none are scheduled each by itself. None if nothing reduces, or iterations have
    an order.
    """
    inline_maps(s)
    nests = top_nests(s.function)
    plain = all(it.kind in ("spatial", "reduce") for b in blocks(s) for it in b.iters)
    if not plain or not any(map(reduces, blocks(s))) or not all(isinstance(n, For) for n in nests):
        return None
    if len(nests) > 1:
        merged = s.at(len(s.trace))
        shared = _shared_rows(merged, [n.var for n in nests if isinstance(n, For)])
        together = not _are_few_large_rows(merged, shared, target) if shared else False
        if shared and choose_whether(merged, "rows: together", together):
            _together(merged, shared, target)
            return merged
    for nest in top_nests(s.function):
        found = blocks_in(nest)
        if len(found) != 1 and isinstance(nest, For):
            _by_rows(s, found, list(takewhile(lambda loop: is_row(s, loop), chain(nest))), target)
        elif reduces(found[0]):
            _alone(s, found[0].label, target)
        else:
            schedule_nest(s, found[0].label, target)
    return s


def _together(s: Schedule, shared: list[Var], target: Target) -> None:
    """Blocks in shared loops over rows: rows to threads, what is in a row to lanes."""
    keep_private(s, shared, target)
    _by_rows(s, blocks(s), shared, target)


def _by_rows(s: Schedule, found: Sequence[Block], shared: list[Var], target: Target) -> None:
    for block in found:
        if is_map(block):
            attempt(s, partial(vectorize_map, s, block.label, target))
        elif reduces(block):
            reduce_in_lanes(s, block.label, target)
    # Last: only then is every temporary, partial results too, made where it is used.
    parallel_outer(s, shared)


def _alone(s: Schedule, label: str, target: Target) -> None:
    """A reduction that has all loops around it alone."""
    chunks = cut_into_chunks(s, label, target)
    reduce_in_lanes(s, label, target)
    if chunks is not None:
        label = chunks  # the whole is made of few parts
        reduce_in_lanes(s, label, target)
    serial = (loop for loop in s.loops(label) if _kind(s, loop) == "serial")
    parallel_outer(s, list(takewhile(lambda loop: is_row(s, loop), serial)))


def _kind(s: Schedule, loop: Var) -> LoopKind:
    return get_loop(s.function, loop, "rows").kind


def _shared_rows(s: Schedule, level: list[Var]) -> list[Var]:
    """Merges the leading loops that all nests have, as many as drive nothing but spatial iterators
    and are not what lanes run along; gives them, outermost first."""
    shared: list[Var] = []
    found = [reduction_axis(s, b.label) for b in blocks(s) if reduces(b)]
    lanes = {axis.loop for axis in found if axis is not None}
    while level and all(is_row(s, loop) for loop in level) and not lanes & set(level):
        first, *others = level
        if not attempt(s, partial(_merge, s, first, others)):
            break
        shared.append(first)
        body = get_loop(s.function, first, "rows").body
        inside = body.stmts if isinstance(body, Seq) else (body,)
        level = [stmt.var for stmt in inside if isinstance(stmt, For)]
        if len(level) < len(inside):
            break
    return shared


def _merge(s: Schedule, first: Var, others: Sequence[Var]) -> None:
    for other in others:
        s.merge(first, other)


def _are_few_large_rows(s: Schedule, shared: Sequence[Var], target: Target) -> bool:
    """Whether sharing the rows' loops would leave much work to few threads: a long row, or some
    that do not even stay in the cache that threads share."""
    rows = [constant(extent(s, loop)) for loop in shared]
    count = prod([FEW if one is None else one for one in rows])
    much = _MUCH if count == 1 else target.shared_bytes // 4 * count
    for block in blocks(s):
        extents = [constant(it.extent) for it in block.iters]
        if prod([_MUCH if one is None else one for one in extents]) >= much:
            return count < FEW
    return False
