"""loop_partition: a loop, or a group of loops side by side, cut in two at a point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from passes.ir.arith import dims_of, free_vars, linear, prove, simplify, substitute
from passes.ir.expr import Expr, Var, index
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Buffer, For, Function, Seq, Stmt, seq
from passes.ir.node import Node
from passes.schedule.accesses import accesses, ranges
from passes.schedule.dependence import conflict_between, steady
from passes.schedule.legality import checked
from passes.schedule.renaming import renamed
from passes.schedule.tree import (
    Refusal,
    ScheduleError,
    blocks_in,
    fresh_label,
    fresh_ordinal,
    get_loop,
    kind_of,
    loaded,
    spell,
    written,
)


def loop_partition(
    function: Function, loops: Sequence[Var], point: Expr | int
) -> tuple[Function, tuple[tuple[Var, ...], tuple[Var, ...]]]:
    """Cuts top-level loops over the same range at `point`; gives both groups of loops.

        for i in range(n): block a: t[i] = …          point n//8*8
        for i in range(n): block b: y[i] = … t[i] …
        → for i in range(n//8*8): a     for i in range(n//8*8): b
          for i in range(n - n//8*8): a_tail on t_tail …     for i …: b_tail

    Temporaries that only these loops use get a copy for the second part, whose blocks have labels
    ending in `_tail` (`_tail_1` and so on where those are taken); every one of their accesses must
    be at the loop's own position, or all at the same distance from it. The second part of each loop
    runs after the first parts of the others, so neither may need anything of the other. Raises
    ScheduleError if one does, or `point` may lie outside the range.
    """
    if not loops:
        raise ScheduleError("loop_partition", "loops", "no loop is named", function)
    point = index(point)
    place = "loops " + ", ".join(spell(v) for v in loops)
    refuse = Refusal("loop_partition", place, function, loops[0])
    if len(set(loops)) != len(loops):
        raise refuse("every loop is to be named once")
    top = function.body.stmts if isinstance(function.body, Seq) else (function.body,)
    found = [get_loop(function, var, "loop_partition") for var in loops]
    group = [loop for loop in top if isinstance(loop, For) and loop.var in loops]
    if len(group) != len(loops):
        missing = next(var for loop, var in zip(found, loops, strict=True) if loop not in top)
        raise refuse(f"{spell(missing)} is not at the top level")
    _check_point(refuse, function, group, point)
    _check_order(refuse, function, top, group)
    shared = _cut_buffers(refuse, function, top, group)
    first = fresh_ordinal(function)
    copies: dict[Node, Node] = {b: b.replace(ordinal=first + k) for k, b in enumerate(shared)}
    first += len(shared)
    suffix = _suffix(function, group)
    heads: dict[Stmt, Stmt] = {loop: loop.replace(extent=simplify(point)) for loop in group}
    tails: dict[Var, For] = {}
    for loop in group:
        copy, first = renamed(loop, first, suffix, copies)
        assert isinstance(copy, For)
        body = substitute(copy.body, {copy.var: simplify(point + copy.var)})
        tails[loop.var] = copy.replace(extent=simplify(loop.extent - point), body=body)
    last = max(top.index(loop) for loop in group)
    parts = [heads.get(stmt, stmt) for stmt in top]
    body_stmts = [*parts[: last + 1], *tails.values(), *parts[last + 1 :]]
    allocs = (*function.allocs, *[b for b in copies.values() if isinstance(b, Buffer)])
    new = function.replace(body=seq(*body_stmts), allocs=allocs)
    return checked(new, refuse), (tuple(loops), tuple(tails[var].var for var in loops))


def _suffix(function: Function, group: Sequence[For]) -> str:
    """`_tail`, or the first `_tail_1`, `_tail_2` … that makes new labels of all blocks."""
    labels = [block.label for loop in group for block in blocks_in(loop)]
    suffix = "_tail"
    for label in labels:
        suffix = fresh_label(function, label + suffix).removeprefix(label)
    return suffix


def _check_point(refuse: Refusal, function: Function, group: Sequence[For], point: Expr) -> None:
    extent = group[0].extent
    for loop in group[1:]:
        if not prove(loop.extent.equal(extent)):
            texts = f"{print_expr(extent)} and {print_expr(loop.extent)}"
            raise refuse(f"their extents {texts} may differ")
    if not dims_of(point) <= {*function.dims}:
        raise refuse(f"the point {print_expr(point)} speaks of dims that the function has not")
    if free_vars(point) or not all(steady(e, written(function)) for e in (point, extent)):
        raise refuse(f"the point {print_expr(point)} or the extent is not known at the start")
    if not prove(point >= 0) or not prove(point <= extent):
        raise refuse(f"{print_expr(point)} may lie outside 0 … {print_expr(extent)}")


def _check_order(
    refuse: Refusal, function: Function, top: Sequence[Stmt], group: Sequence[For]
) -> None:
    """The second part of a loop may run after all that stands between it and the last loop."""
    known = ranges(function)
    for one, two in combinations(group, 2):
        clash = conflict_between(one, two, known)
        if clash is not None:
            pair = f"{spell(one.var)} and {spell(two.var)}"
            raise refuse(f"different iterations of {pair} meet in buffer '{name_of(clash)}'")
    for loop in group:
        for other in top[top.index(loop) : top.index(group[-1])]:
            meet = written(loop) & (loaded(other) | written(other))
            meet |= loaded(loop) & written(other)
            if other not in group and meet:
                name = sorted(name_of(b) for b in meet)[0]
                raise refuse(f"a statement after {spell(loop.var)} uses buffer '{name}' too")


def _cut_buffers(
    refuse: Refusal, function: Function, top: Sequence[Stmt], group: Sequence[For]
) -> list[Buffer]:
    """The temporaries that the group fills, each part its own. Raises if a part needs another."""
    variables = {loop.var for loop in group}
    found = [a for loop in group for a in accesses(loop)]
    others = [a for stmt in top if stmt not in group for a in accesses(stmt)]
    outside = {a.buffer for a in others}
    for loop in group:
        for block in blocks_in(loop):
            for it, e in zip(block.iters, block.bindings, strict=True):
                if it.kind != "spatial" and loop.var in free_vars(e):
                    raise refuse(f"{spell(loop.var)} drives {kind_of(it)} iterator of "
                                 f"block '{block.label}'")  # fmt: skip
    shared = []
    for buffer in function.allocs:
        mine = [a for a in found if a.buffer is buffer]
        if buffer in outside or not any(a.is_store for a in mine):
            continue
        offsets = [{_offset(access.indices[k], variables) for access in mine}
                   for k in range(len(buffer.shape))]  # fmt: skip
        if not any(len(o) == 1 and None not in o for o in offsets):
            raise refuse(f"temporary '{name_of(buffer)}' is not cut by the loops")
        shared.append(buffer)
    return shared


def _offset(i: Expr, variables: set[Var]) -> Expr | None:
    """What is added to the one loop variable that an index follows; None for other indices."""
    form = linear(i, variables)
    if form is None or len(form[0]) != 1 or free_vars(form[1]):
        return None
    (step,) = form[0].values()
    return form[1] if prove(step.equal(1)) else None
