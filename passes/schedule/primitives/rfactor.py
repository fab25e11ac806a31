"""rfactor: a reduction becomes independent partial reductions and a final one."""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, Var, both
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Scope,
    Stmt,
    Store,
    seq,
)
from passes.schedule.accesses import Ranges, accesses, ranges
from passes.schedule.combiner import Reduction, reduction_of
from passes.schedule.dependence import steady
from passes.schedule.legality import checked
from passes.schedule.reductions import conjuncts, driving, ends_for_good, restarting_loop
from passes.schedule.tree import (
    Refusal,
    exchanged,
    fresh_label,
    fresh_ordinal,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
    written,
)


def rfactor(
    function: Function, label: str, loop: Var, scope: Scope = "global"
) -> tuple[Function, str]:
    """Splits a reduction along one of its reduce loops; gives the label of the partial block.

        for k_o: for k_i in range(16): block s: t[] = t[] + x[k_o*16 + k_i]       at k_i
        → for k_o: for k_i in range(16): block s_rf: r[k_i] = r[k_i] + x[k_o*16 + k_i]
          for k_i in range(16): block s: t[] = t[] + r[k_i]

    A reduction of tuples has a partial buffer for each of its targets. Where a predicate leaves out
    the end of a tile, lanes that have no instance are left out of the result. The loops that drive
    the reduction hold nothing else. Reassociates: exact for integers and for max and min. Raises
    ScheduleError if one of these does not hold, or a loop that the result does not have may be
    empty.
    """
    found = path_to_block(function, label, "rfactor")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    refuse = Refusal("rfactor", place, function, label)
    nest = own_nest(found)
    loops = loops_in(nest)
    at = next((one for one in loops if one.var is loop), None)
    reduction = reduction_of(block)
    if at is None:
        raise refuse("the loop is not around it alone")
    if reduction is None:
        raise refuse("it does not combine its own element with a new value by +, max or min")
    _check(refuse, function, block, at, loops)
    _check_views(refuse, block, reduction)
    _check_predicate(refuse, block, loops, ranges(function))
    first = fresh_ordinal(function)
    partials = []
    for number, target in enumerate(reduction.targets):
        old, shape = target.buffer, (*target.buffer.shape, at.extent)
        partials.append(Buffer(f"{old.name}_rf", first + number, shape, old.dtype, scope))
    parts = _Parts(block, at, loops, reduction, tuple(partials), ranges(function))
    name = fresh_label(function, f"{label}_rf")
    lanes, first = parts.lanes(name, first + len(partials))
    final = parts.final(first)
    inner = exchanged(nest[0], block, lanes)
    function = replace(function, nest[0], seq(inner, final))
    return checked(function.replace(allocs=(*function.allocs, *partials)), refuse), name


def _check(
    refuse: Refusal,
    function: Function,
    block: Block,
    at: For,
    loops: list[For],
) -> None:
    kept, reduced = driving(block, "spatial", "ordered"), driving(block, "reduce")
    if driving(block, "opaque"):
        raise refuse("it has opaque iterators")
    if at.var in kept or at.var not in reduced:
        raise refuse("the loop does not drive a reduce iterator, and nothing else")
    if at.var.dtype != INDEX:
        raise refuse(f"the loop's variable has type {at.var.dtype}, not index")
    known = ranges(function)
    around = [one for one in loops if one.var in kept]
    own = {one.var for one in loops}
    for var in sorted(reduced - own, key=name_of):
        raise refuse(f"loop {spell(var)}, which it does not have alone, drives the reduction")
    for one in loops:
        strangers = free_vars(one.extent) & own
        if one.var in kept and not strangers <= {o.var for o in around}:
            raise refuse(f"the extent of loop {spell(one.var)} depends on the reduction")
        if one.var not in kept and (strangers or not prove(one.extent >= 1, known)):
            raise refuse(f"loop {spell(one.var)} may be empty, or depends on another one")
    if free_vars(at.extent) or not steady(at.extent, {*function.params, *function.allocs}):
        raise refuse(f"the loop's extent {print_expr(at.extent)} is not the same everywhere")
    if driving(block, "reduce") & kept:
        raise refuse("a loop drives a reduce iterator and another one")
    stores = [a for a in accesses(function.body) if a.is_store and a.block is block]
    again = restarting_loop(block, loops, stores, known)
    if again is not None:
        raise refuse(f"loop {spell(again.var)} comes back to the same elements and restarts them")


def _check_views(refuse: Refusal, block: Block, reduction: Reduction) -> None:
    """The result can do without the block's views."""
    named = {view.buffer for view in block.views}
    read = frozenset[Buffer]() if block.init is None else loaded(block.init)
    for buffer in sorted(named & (reduction.buffers | read), key=name_of):
        raise refuse(f"its output or its init speaks of view '{name_of(buffer)}'")


def _check_predicate(refuse: Refusal, block: Block, loops: list[For], known: Ranges) -> None:
    """A lane with any instance has the one that starts it: where all reduce loops are 0."""
    stored, reduced = written(loops[0]), driving(block, "reduce")
    for condition in conjuncts(block.predicate):
        text = print_expr(condition)
        if not steady(condition, stored):
            raise refuse(f"its predicate {text} reads memory that it stores to")
        inside = free_vars(condition) & reduced
        if inside and not ends_for_good(condition, inside, known):
            raise refuse(f"its predicate {text} may hold after it did not")


@dataclass(frozen=True)
class _Parts:
    """The two blocks that the reduction becomes; `partials` have one more axis, the loop's."""

    block: Block
    at: For
    loops: list[For]
    reduction: Reduction
    partials: tuple[Buffer, ...]
    known: Ranges

    @property
    def pairs(self) -> list[tuple[BlockIter, Expr]]:
        return list(zip(self.block.iters, self.block.bindings, strict=True))

    def lanes(self, label: str, first: int) -> tuple[Block, int]:
        """The partial block: reduce iterators driven by the loop are rebuilt around its lane.

        Gives the next free ordinal too.
        """
        loop, reduction = self.at.var, self.reduction
        lane = Var(loop.name, first)
        first += 1
        values: dict[Var, Expr] = {}
        iters, bindings = [], []
        for it, e in self.pairs:
            if loop not in free_vars(e):
                iters.append(it)
                bindings.append(e)
                continue
            others = [one for one in self.loops if one.var in free_vars(e) - {loop}]
            fresh = {one.var: one.var.replace(ordinal=first + k) for k, one in enumerate(others)}
            first += len(others)
            values[it.var] = substitute(e, {**fresh, loop: lane})
            for one in others:
                iters.append(BlockIter(fresh[one.var], one.extent, "reduce"))
                bindings.append(one.var)
        place = (*reduction.indices, lane)
        pairs = zip(self.partials, reduction.identity, strict=True)
        starts = [Store(partial, place, identity) for partial, identity in pairs]
        new = tuple([substitute(value, values) for value in reduction.values])
        views = [view.replace(source=substitute(view.source, values)) for view in self.block.views]
        block = Block(
            label,
            (*iters, BlockIter(lane, self.at.extent)),
            (*bindings, loop),
            reduction.update(tuple([Load(partial, place) for partial in self.partials]), new),
            seq(*starts),
            self.block.predicate,
            views=tuple(views),
        )
        return block, first

    def final(self, first: int) -> Stmt:
        """The loops of the result again, then the lanes; it starts as the old block did."""
        kept = [(it, e) for it, e in self.pairs if it.kind != "reduce"]
        asked = self._started()
        spoken = [e for _, e in kept] if asked is None else [*[e for _, e in kept], asked]
        needed = frozenset[Var]().union(*[free_vars(e) for e in spoken]) - {self.at.var}
        around = [one for one in self.loops if one.var in needed]
        again = {one.var: one.var.replace(ordinal=first + k) for k, one in enumerate(around)}
        first += len(around)
        own = {it.var: it.var.replace(ordinal=first + k) for k, (it, _) in enumerate(kept)}
        first += len(kept)
        outer, inner = Var(self.at.var.name, first), Var(self.at.var.name, first + 1)
        reduction = self.reduction
        place = tuple([substitute(i, own) for i in reduction.indices])
        targets = tuple([Load(target.buffer, place) for target in reduction.targets])
        lanes = tuple([Load(partial, (*place, inner)) for partial in self.partials])
        iters = [it.replace(var=own[it.var], extent=substitute(it.extent, own)) for it, _ in kept]
        body: Stmt = Block(
            self.block.label,
            (*iters, BlockIter(inner, self.at.extent, "reduce")),
            (*[substitute(e, again) for _, e in kept], outer),
            reduction.update(targets, lanes),
            None if self.block.init is None else substitute(self.block.init, own),
            None if asked is None else substitute(asked, {**again, self.at.var: outer}),
        )
        body = For(outer, self.at.extent, body)
        for one in reversed(around):
            body = For(again[one.var], substitute(one.extent, again), body)
        return body

    def _started(self) -> Expr | None:
        """The predicate where all reduce loops but the lanes' are 0: which lanes have a part."""
        others = driving(self.block, "reduce") - {self.at.var}
        start: dict[Var, Expr] = {var: Const(0, var.dtype) for var in others}
        conditions = [substitute(c, start) for c in conjuncts(self.block.predicate)]
        return both(*[c for c in conditions if not prove(c, self.known)])
