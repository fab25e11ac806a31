"""loop_partition: a loop, or a group of loops side by side, cut in two at a point."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import prove, simplify, substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Buffer, For, Function, Seq, Stmt, seq
from passes.ir.node import Node, rewrite
from passes.schedule.accesses import accesses
from passes.schedule.tree import (
    ScheduleError,
    blocks_in,
    fresh_ordinal,
    get_loop,
    renamed,
    spell,
    statements,
)


def loop_partition(
    function: Function, loops: Sequence[Var], point: Expr
) -> tuple[Function, tuple[tuple[Var, ...], tuple[Var, ...]]]:
    """Cuts top-level loops over the same range at `point`; gives both groups of loops.

        for i in range(n): block a: t[i] = …          point n//8*8
        for i in range(n): block b: y[i] = … t[i] …
        → for i in range(n//8*8): a     for i in range(n//8*8): b
          for i in range(n - n//8*8): a_tail on t_tail …     for i …: b_tail

    Temporaries between the loops get a copy for the second part, whose blocks have labels ending
    in `_tail`; every one of their accesses must be at the loop's own position, so that neither
    part needs anything of the other.
    """
    place = "loops " + ", ".join(spell(v) for v in loops)
    group = [get_loop(function, var, "loop_partition") for var in loops]
    top = function.body.stmts if isinstance(function.body, Seq) else (function.body,)
    if any(loop not in top for loop in group):
        raise ScheduleError("loop_partition", place, "not all are at the top level", function)
    extent = group[0].extent
    if any(not prove(loop.extent.equal(extent)) for loop in group[1:]):
        raise ScheduleError("loop_partition", place, "their extents differ", function)
    if not prove(point >= 0) or not prove(point <= extent):
        reason = f"{point!r} may lie outside 0 … {extent!r}"
        raise ScheduleError("loop_partition", place, reason, function)
    shared = _separable(function, group, place)
    first = fresh_ordinal(function)
    copies: dict[Node, Node] = {}
    for buffer in shared:
        copies[buffer] = buffer.replace(ordinal=first)
        first += 1
    heads, tails = [], []
    for loop in group:
        heads.append(loop.replace(extent=simplify(point)))
        copy, first = renamed(loop, first, "_tail")
        assert isinstance(copy, For)
        copy = rewrite(copy, copies.get)
        body = substitute(copy.body, {copy.var: simplify(point + copy.var)})
        tails.append(copy.replace(extent=simplify(extent - point), body=body))
    body_stmts: list[Stmt] = []
    last = max(top.index(loop) for loop in group)
    for position, stmt in enumerate(top):
        body_stmts.append(heads[group.index(stmt)] if stmt in group else stmt)  # type: ignore[arg-type]
        if position == last:
            body_stmts.extend(tails)
    allocs = (*function.allocs, *[b for b in copies.values() if isinstance(b, Buffer)])
    function = function.replace(body=seq(*body_stmts), allocs=allocs)
    return function, (tuple(loops), tuple(loop.var for loop in tails))


def _separable(function: Function, group: list[For], place: str) -> list[Buffer]:
    """The temporaries that only the group uses. Raises unless iterations are independent."""
    variables = {loop.var for loop in group}
    for loop in group:
        for block in blocks_in(loop):
            pairs = zip(block.iters, block.bindings, strict=True)
            if any(it.kind != "spatial" for it, e in pairs if e is loop.var):
                reason = f"block '{block.label}' reduces along {spell(loop.var)}"
                raise ScheduleError("loop_partition", place, reason, function)
    found = [a for loop in group for a in accesses(loop)]
    inside = {id(s) for loop in group for s in statements(loop)}
    outside = {
        a.buffer
        for s in statements(function)
        if id(s) not in inside
        for a in accesses(s)
        if not any(id(t) in inside for t in statements(s))
    }
    shared = []
    for buffer in function.allocs:
        mine = [a for a in found if a.buffer is buffer]
        if not mine or not any(a.is_store for a in mine):
            continue
        axes = set(range(len(buffer.shape)))
        for access in mine:
            axes &= {k for k, i in enumerate(access.indices) if i in variables}
        if not axes or buffer in outside:
            reason = f"temporary '{buffer.name}{buffer.ordinal}' is not cut by the loops"
            raise ScheduleError("loop_partition", place, reason, function)
        shared.append(buffer)
    return shared
