"""reorder: nested loops change places."""

from __future__ import annotations

from itertools import combinations

from passes.ir.arith import free_vars, prove
from passes.ir.expr import Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import For, Function, Stmt
from passes.schedule.accesses import Access, Ranges, accesses, ranges
from passes.schedule.dependence import combining, inner_loops, never_meet, steady
from passes.schedule.faults import fault
from passes.schedule.legality import checked
from passes.schedule.reductions import driving, starting_loops
from passes.schedule.tree import (
    Refusal,
    ScheduleError,
    blocks_in,
    get_loop,
    replace,
    spell,
    written,
)


def reorder(function: Function, *order: Var) -> Function:
    """The named loops, which lie on one chain without other statements, nested in this order.

        for i: for j: for k: s        reorder(k, i)
        → for k: for j: for i: s      # the places i and k held are filled in the order given

    Legal if, for every two loops that change order, no two iterations that differ in both touch the
    same element, updates of a reduction along both excepted. Raises ScheduleError otherwise, or if
    an extent depends on a loop that would come inside, or would be asked for where it may fail.
    """
    if not order:
        raise ScheduleError("reorder", "loops", "no loop is named", function)
    place = "loops " + ", ".join(spell(v) for v in order)
    refuse = Refusal("reorder", place, function, order[0])
    if len(set(order)) != len(order):
        raise refuse("every loop is to be named once")
    loops = {var: get_loop(function, var, "reorder") for var in order}
    outermost = max(loops.values(), key=lambda loop: sum(v in _chain(loop) for v in order))
    chain = _chain(outermost)
    missing = [var for var in order if var not in chain]
    if missing:
        raise refuse(f"{spell(missing[0])} is not nested without gaps in {spell(outermost.var)}")
    last = max(list(chain).index(var) for var in order)
    members = list(chain.values())[: last + 1]
    queue = iter(order)
    nested = [loops[next(queue)] if loop.var in loops else loop for loop in members]
    check_extents(refuse, members, nested, ranges(function))
    _check_order(refuse, members, nested, ranges(function))
    body: Stmt = members[-1].body
    for loop in reversed(nested):
        body = loop.replace(body=body)
    return checked(replace(function, outermost, body), refuse)


def _chain(loop: For) -> dict[Var, For]:
    """The loop and those perfectly nested in it."""
    chain = {loop.var: loop}
    while isinstance(loop.body, For):
        loop = loop.body
        chain[loop.var] = loop
    return chain


def check_extents(refuse: Refusal, before: list[For], after: list[For], known: Ranges) -> None:
    """The extents of loops nested like `before` are the same, and known, nested like `after`."""
    local = {loop.var for loop in before}
    for position, loop in enumerate(after):
        outer = {other.var for other in after[:position]}
        for var in sorted(free_vars(loop.extent) & local - outer, key=name_of):
            raise refuse(f"the extent of {spell(loop.var)} depends on {spell(var)}")
        moved = before[: position + 1] != after[: position + 1]
        if moved and not steady(loop.extent, written(before[0])):
            raise refuse(f"the extent of {spell(loop.var)} reads memory stored to inside")
        for other in before[: before.index(loop)]:
            if other.var in outer or prove(other.extent >= 1, known):
                continue
            trouble = fault(loop.extent, known)
            if trouble is not None:
                raise refuse(f"loop {spell(other.var)} may be empty, and {trouble}")


def _check_order(refuse: Refusal, before: list[For], after: list[For], known: Ranges) -> None:
    """Dependences keep their direction if none spans two loops that change order."""
    rank = {loop.var: k for k, loop in enumerate(after)}
    turned = [(u, v) for u, v in combinations(before, 2) if rank[u.var] > rank[v.var]]
    if not turned:
        return
    moved = {loop.var for pair in turned for loop in pair}
    for block in blocks_in(before[-1]):
        for var in sorted(moved & driving(block, "opaque"), key=name_of):
            raise refuse(f"loop {spell(var)} drives an opaque iterator of block '{block.label}'")
    same = next((k for k, loop in enumerate(before) if after[k] is not loop), len(before))
    inside = accesses(before[-1].body)
    seen = set()
    for k, a in enumerate(inside):
        for b in inside[k:]:
            key = a.indices, b.indices, a.block, b.block
            if a.buffer is not b.buffer or not (a.is_store or b.is_store) or key in seen:
                continue
            seen.add(key)
            spanned = _spanned(a, b, before[same:], known)
            for u, v in turned:
                if {u.var, v.var} <= spanned and not _commute(a, b, u.var, v.var, known):
                    raise refuse(
                        f"iterations that differ in both {spell(u.var)} and {spell(v.var)} may"
                        f" meet in buffer '{name_of(a.buffer)}', and change order"
                    )


def _spanned(a: Access, b: Access, loops: list[For], known: Ranges) -> set[Var]:
    """The loops in which two iterations that meet through `a` and `b` may differ."""
    stored, inner = written(loops[0]), inner_loops(loops[-1])
    left = {loop.var for loop in loops}
    while True:
        apart = {
            var for var in left if never_meet(a, b, var, (left - {var}) | inner, known, stored)
        }
        if not apart:
            return left
        left -= apart


def _commute(a: Access, b: Access, u: Var, v: Var, known: Ranges) -> bool:
    """Whether both update a reduction that runs along both loops, started where they are 0."""
    block = a.block
    if block is None or not combining(a, b):
        return False
    if {u, v} & driving(block, "spatial", "ordered", "opaque"):
        return False
    started = driving(block, "reduce") if block.init is None else starting_loops(block, known)
    return {u, v} <= started
