"""reverse_compute_at: a consumer uses what its producer made as soon as that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
)
from passes.ir.expr import TRUE, Const, Expr, Lt, Var, both
from passes.ir.loop.nodes import Block, For, Function, Load, Seq, Stmt, seq
from passes.ir.node import postorder
from passes.schedule.accesses import Ranges, accesses, iterator_ranges, ranges
from passes.schedule.coverage import in_iterators, runs
from passes.schedule.dependence import steady
from passes.schedule.faults import fault
from passes.schedule.footprints import span
from passes.schedule.legality import checked
from passes.schedule.motion import check_comes_earlier, check_no_barrier
from passes.schedule.outputs import own_store
from passes.schedule.tree import (
    Refusal,
    fresh_label,
    fresh_ordinal,
    loops_in,
    path_to_block,
    path_to_loop,
    replace,
    spell,
    statements,
    written,
)


def reverse_compute_at(function: Function, label: str, loop: Var) -> Function:
    """Moves a block to the end of `loop`, which computes what it reads, iteration by iteration.

        for i_o: for i_i in range(4): block a: t[i_o*4 + i_i] = f(i_o*4 + i_i)     at i_o
        for i: block b: y[i] = g(t[i])
        → for i_o:
              for i_i in range(4): block a: …
              for j in range(4): block b: y[i_o*4 + j] = g(t[i_o*4 + j])

    An iterator that alone (times a stride, plus what other iterators add) indexes an axis of a
    buffer stored to under `loop` runs over what one iteration there stores of it; the others keep
    their loops. Together the iterations must run each instance of the block once. The block stores
    once, each spatial instance to a place of its own, and nothing between its old and new place may
    use what it changes, or change what it uses. Raises ScheduleError otherwise.
    """
    found = path_to_block(function, label, "reverse_compute_at")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("reverse_compute_at", f"block '{label}' at loop {spell(loop)}", function, loop)
    around = path_to_loop(function, loop, "reverse_compute_at")
    at = around[-1]
    assert isinstance(at, For)
    if at in found or block in around:
        raise refuse("the block and the loop are one inside the other")
    depth = _parting(refuse, found, around)
    check_no_barrier(refuse, found, around)
    own_store(refuse, block)
    inside, left = loops_in(around[depth:]), loops_in(found[depth:])
    changing = written(function)
    fixed = [*block.bindings, *[one.extent for one in left]]
    if not all(steady(e, changing) for e in (*fixed, block.predicate or TRUE)):
        raise refuse("its loops, bindings or predicate read memory that the function stores to")
    known = ranges(function)
    tiles = _Made(refuse, block, at, [one.var for one in inside], known).tiles()
    named = block.replace(label=fresh_label(function, label))  # for as long as both are there
    new, nest = _Nest(refuse, named, tiles, inside, left, known).starting(fresh_ordinal(function))
    whole = replace(function, at, at.replace(body=seq(at.body, nest)))
    touched = {a.buffer for a in accesses(function.body) if a.block is block}
    check_comes_earlier(refuse, whole, block, new, touched & changing)
    moved = replace(replace(whole, block, None), new, new.replace(label=label))
    return checked(moved, refuse)


def _parting(refuse: Refusal, found: Sequence[Stmt], around: Sequence[Stmt]) -> int:
    """Where the paths to the block and to the loop part; there are only loops from there on."""
    pairs = enumerate(zip(found, around, strict=False))
    depth = next(k for k, (a, b) in pairs if a is not b)  # neither is inside the other
    parent = found[depth - 1]
    if not isinstance(parent, Seq):
        raise refuse("the loop and the block are in different branches")
    if parent.stmts.index(found[depth]) < parent.stmts.index(around[depth]):
        raise refuse("the loop comes after the block")
    for stmts, what in ((found[depth:-1], "block"), (around[depth:], "loop")):
        if any(not isinstance(s, For | Seq) for s in stmts):
            raise refuse(f"the {what} is under a condition or inside a block")
    return depth


@dataclass(frozen=True)
class _Made:
    """What one iteration of the loop `at`, innermost of `inside`, makes for the block."""

    refuse: Refusal
    block: Block
    at: For
    inside: Sequence[Var]
    known: Ranges

    def tiles(self) -> dict[Var, tuple[Expr, Expr]]:
        """(base, extent) of the iterators along which it makes a part of what is read."""
        stores = [a for a in accesses(self.at.body) if a.is_store]
        loads = [n for n in postorder(self.block.body) if isinstance(n, Load)]
        loads = [n for n in loads if any(a.buffer is n.buffer for a in stores)]
        if not loads:
            raise self.refuse("the loop stores to nothing that the block reads")
        tiles: dict[Var, tuple[Expr, Expr]] = {}
        order = sorted(self.block.iters, key=lambda it: it.kind != "spatial")
        for load in loads:
            mine = [a for a in stores if a.buffer is load.buffer]
            for axis, i in enumerate(load.indices):
                region = self._region([a.indices[axis] for a in mine])
                tried = [it.var for it in order if it.var not in tiles]
                for v in tried if region is not None else ():
                    tile = None if region is None else self._tile(i, v, *region)
                    if tile is not None:
                        tiles[v] = tile
                        break
        return {it.var: tiles[it.var] for it in self.block.iters if it.var in tiles}

    def _region(self, indices: Sequence[Expr]) -> tuple[Expr, Expr] | None:
        """(base, extent) of what an iteration stores along an axis, if that moves with it."""
        below = {s.var: s.extent for s in statements(self.at.body) if isinstance(s, For)}
        spans = {span(i, below, self.known) for i in indices}
        region = spans.pop()
        if spans or region is None or not free_vars(region[0]) & set(self.inside):
            return None
        return region

    def _tile(self, i: Expr, v: Var, base: Expr, extent: Expr) -> tuple[Expr, Expr] | None:
        """The values of `v` for which index `i` reaches the end of the region, but no further."""
        limits = iterator_ranges(self.block.iters)
        form = linear(i, [v], limits)
        step = None if form is None else form[0].get(v)
        if form is None or not isinstance(step, Const) or int(step.value) < 1:
            return None
        others = {it.var: it.extent for it in self.block.iters if it.var is not v}
        top = symbolic_max(form[1], others, limits)
        whole = all(prove((e % step).equal(0), self.known) for e in (base, extent))
        if top is None or free_vars(top) or not whole:
            return None
        return simplify(base // step - top // step, self.known), simplify(extent // step)


@dataclass(frozen=True)
class _Nest:
    """The block in new loops, its iterators of `tiles` running over (base, extent) only.

    They take the place of the loops in `left`, under the loops `inside`.
    """

    refuse: Refusal
    block: Block
    tiles: Mapping[Var, tuple[Expr, Expr]]
    inside: Sequence[For]
    left: Sequence[For]
    known: Ranges

    def starting(self, first: int) -> tuple[Block, Stmt]:
        """The block and the nest around it, new variables having ordinals from `first` on."""
        pairs = list(zip(self.block.iters, self.block.bindings, strict=True))
        driving = frozenset[Var]().union(*[free_vars(e) for it, e in pairs if it.var in self.tiles])
        dropped = {one.var: one.extent for one in self.left if one.var in driving}
        asked = in_iterators(self.block, frozenset(dropped))
        if asked is None:
            raise self.refuse("its predicate says more than bounds of its iterators")
        loops: list[For] = []
        values: dict[Var, Expr] = {}
        for v, (base, extent) in self.tiles.items():
            values[v] = base
            if not prove(extent.equal(1), self.known):
                loops.append(For(v.replace(ordinal=first + len(loops)), extent, Seq(())))
                values[v] = simplify(base + loops[-1].var, self.known)
        bounds = self._bounds(values, loops, dropped, asked)
        renamed: dict[Var, Expr] = {
            e: values[it.var] for it, e in pairs if isinstance(e, Var) and e in dropped
        }
        for one in (one for one in self.left if one.var not in dropped):
            extent = substitute(one.extent, renamed)
            if free_vars(extent) & set(dropped):
                raise self.refuse(f"the extent of loop {spell(one.var)} depends on one it leaves")
            var = one.var.replace(ordinal=first + len(loops))
            loops.append(one.replace(var=var, extent=extent))
            renamed[one.var] = var
        values.update({it.var: substitute(e, renamed) for it, e in pairs if it.var not in values})
        limits = {**self.known, **_ranges(loops)}
        placed = [
            [simplify(substitute(c, {**renamed, **values}), limits) for c in conditions]
            for conditions in (asked, bounds)
        ]
        old, new = ([c for c in conditions if c is not TRUE] for conditions in placed)
        trouble = fault(both(*old, *new) or TRUE, limits) if new else None
        if trouble is not None:
            raise self.refuse(f"its predicate would be asked beyond its bounds, and {trouble}")
        for e in (*[one.extent for one in loops], *[values[v] for v in self.tiles]):
            trouble = fault(e, limits)
            if trouble is not None:
                raise self.refuse(f"a loop of its own may run where it did not, and {trouble}")
        needed = dict.fromkeys([*old, *new])
        bindings = tuple([values[it.var] for it, _ in pairs])
        block = self.block.replace(bindings=bindings, predicate=both(*needed))
        nest: Stmt = block
        for one in reversed(loops):
            nest = one.replace(body=nest)
        return block, nest

    def _bounds(
        self,
        values: Mapping[Var, Expr],
        loops: Sequence[For],
        dropped: Mapping[Var, Expr],
        asked: Sequence[Expr],
    ) -> list[Expr]:
        """What else the iterators of the tiles are to obey, for each instance to run once."""
        iters = {it.var: it for it in self.block.iters}
        bindings = dict(zip(iters, self.block.bindings, strict=True))
        old = runs([bindings[v] for v in values], dropped, self.known)
        if any(iters[v].kind == "reduce" for v in values):
            every = {one.var: one.extent for one in self.left}
            old = old if runs(list(bindings.values()), every, self.known) is not None else None
        if old is None:
            raise self.refuse("its own loops may not run each of its instances once")
        every = {one.var: one.extent for one in (*self.inside, *loops)}
        new = runs(list(values.values()), every, self.known)
        if new is None:
            raise self.refuse("the loop may not run each of the block's instances once")
        conditions: list[Expr] = []
        for v, was, now in zip(values, old, new, strict=True):
            tops = [c.b for c in asked if isinstance(c, Lt) and c.a is v and not free_vars(c.b)]
            reached = any(prove(now.end >= top, self.known) for top in (was.end, *tops))
            if not reached or not prove(now.first <= was.first, self.known):
                raise self.refuse("the loop may not run each of the block's instances once")
            if iters[v].kind == "reduce" and not prove(now.first.equal(0), self.known):
                raise self.refuse(f"its reduce iterator {spell(v)} would not start at 0")
            conditions.append(v >= was.first)
            if not any(prove(top <= was.end, self.known) for top in tops):
                conditions.append(v < was.end)
        return conditions


def _ranges(loops: Sequence[For]) -> Ranges:
    return {one.var: (Const(0, one.var.dtype), one.extent - 1) for one in loops}
