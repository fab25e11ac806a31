"""compute_at: a producer is computed where its consumer needs it."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars, linear, prove, simplify, substitute, symbolic_max
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Const, Expr, Var, both, const
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    Block,
    For,
    Function,
    If,
    Seq,
    Stmt,
    Store,
    While,
    seq,
)
from passes.schedule.accesses import Access, Ranges, accesses, iterator_ranges, loads_in, ranges
from passes.schedule.bindings import bindings_of
from passes.schedule.footprints import extreme, unfilled
from passes.schedule.legality import checked
from passes.schedule.motion import check_inputs_hold, check_no_barrier
from passes.schedule.reductions import driving
from passes.schedule.surplus import fault_below, trouble_beyond
from passes.schedule.tree import (
    Refusal,
    fresh_ordinal,
    get_block,
    get_loop,
    iters_in,
    loaded,
    loops_in,
    path_to_block,
    path_to_loop,
    replace,
    spell,
    statements,
    written,
)

Region = list[tuple[Expr, Expr]]


def compute_at(function: Function, label: str, loop: Var) -> Function:
    """Moves a block under `loop`, over the part of its output one iteration there reads.

        for i: block a: t[i] = f(i)
        for i_o: for i_i in range(4): block b: y[i_o*4 + i_i] = g(t[i_o*4 + i_i])     at i_o
        → for i_o:
              for j in range(4): block a: t[i_o*4 + j] = f(i_o*4 + j)
              for i_i in range(4): block b: …

    The block alone stores to a temporary, at its own spatial iterators; all readers are under
    `loop`, their indices linear in the loops inside it; and nothing stores to what the block reads
    before they have run. Its reduce loops come innermost, in their order. Raises ScheduleError if
    one of these does not hold, or what the block would compute beyond what it did may fail.
    """
    found = path_to_block(function, label, "compute_at")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("compute_at", f"block '{label}' at loop {spell(loop)}", function, loop)
    around = path_to_loop(function, loop, "compute_at")
    at = around[-1]
    if at in found:
        raise refuse("the block is already under the loop")
    store = _store_of(refuse, block)
    if any(isinstance(s, Block) for s in around):
        raise refuse("the loop is inside a block")
    if any(isinstance(s, If | While) and s not in around for s in found):
        raise refuse("the block runs under a condition")
    check_no_barrier(refuse, found, around)
    without = replace(function, block, None)
    below = get_loop(without, loop, "compute_at")
    readers = [a for a in accesses(below.body) if a.buffer is store.buffer]
    everywhere = [a for a in accesses(without.body) if a.buffer is store.buffer]
    if store.buffer not in function.allocs:
        raise refuse("it stores to a parameter")
    if any(a.is_store for a in everywhere):
        raise refuse("its output has other writers")
    if len(everywhere) != len(readers) or not readers:
        raise refuse("not all its readers are under the loop")
    check_inputs_hold(refuse, function, block, store.buffer)
    known = ranges(without)
    needs = _Needs(refuse, readers, below, known)
    region = [needs.along(axis) for axis in range(len(store.indices))]
    left = [one for one in loops_in(found) if one not in around]
    kept = frozenset(one.var for one in loops_in(found) if one in around)
    _check_kept(refuse, function, block, kept)
    nest = _Nest(refuse, block, store, left, known, fresh_ordinal(function))
    new = nest.over(region, needs.may_exceed())
    for it in iters_in(found[:-1]):
        if it.var in free_vars(new):
            raise refuse(f"it would still speak of iterator {spell(it.var)} of a block around it")
    trouble = fault_below(new, known)
    if trouble is not None:
        raise refuse(f"what it would run over may not be known there: {trouble}")
    stmts = below.body.stmts if isinstance(below.body, Seq) else (below.body,)
    position = next(k for k, s in enumerate(stmts) if store.buffer in loaded(s))
    body = seq(*stmts[:position], new, *stmts[position:])
    made = replace(without, below, below.replace(body=body))
    if not _were_computed(get_block(made, label, "compute_at"), block, left, ranges(made)):
        _check_surplus(refuse, made, label, found)
    return checked(made, refuse)


def _were_computed(block: Block, before: Block, loops: Sequence[For], known: Ranges) -> bool:
    """Whether all instances of the block are among those that it had before, in these loops: one
    for each of their iterations, each iterator driven by one of them at most."""
    extents = {one.var: one.extent for one in loops}
    if any(var.dtype != INDEX for var in extents):
        return False
    driving: list[Var] = []
    for new, old in zip(block.bindings, before.bindings, strict=True):
        moving = [var for var in extents if var in free_vars(old)]
        first = substitute(old, dict.fromkeys(moving, const(0)))
        last = first + sum([extents[var] - 1 for var in moving], start=const(0))
        plain = len(moving) <= 1 and simplify(old - first - sum(moving, start=const(0))) is const(0)
        if not (plain and prove(first <= new, known) and prove(new <= last, known)):
            return False
        driving += moving
    apart = len(set(driving)) == len(driving) and set(driving) == set(extents)
    return apart and not any(free_vars(e) & set(extents) for e in extents.values())


def _check_surplus(refuse: Refusal, function: Function, label: str, before: Sequence[Stmt]) -> None:
    """Elements of the region that the block, at the end of a path, did not compute before can be
    computed."""
    block = get_block(function, label, refuse.primitive)
    limits = iterator_ranges(block.iters)
    bindings = {it.var: e for it, e in zip(block.iters, block.bindings, strict=True)}
    for store in (s for s in statements(block) if isinstance(s, Store)):
        trouble = trouble_beyond(function, label, store.value, limits, bindings)
        if trouble is not None and not bindings_of(before).every:
            raise refuse(f"it would compute elements that it did not before, and {trouble}")


def _store_of(refuse: Refusal, block: Block) -> Store:
    store = block.body
    if not isinstance(store, Store) or block.predicate is not None:
        raise refuse("its body is not one unconditional store")
    axes = {it.var for it in block.iters if it.kind == "spatial"}
    if set(store.indices) != axes or len(store.indices) != len(axes):
        raise refuse("it does not store at its own spatial iterators, each once")
    own = [load for load in loads_in(store) if load.buffer is store.buffer]
    if any(load.indices != store.indices for load in own) or (own and block.init is None):
        raise refuse("it reads elements of its output that it does not compute")
    return store


def _check_kept(refuse: Refusal, function: Function, block: Block, kept: frozenset[Var]) -> None:
    """Loops around both old and new place may drive ordered iterators if each of their
    iterations computes all that is read in it."""
    if not kept & driving(block, "reduce", "ordered", "opaque"):
        return
    for var in sorted(kept & driving(block, "reduce"), key=name_of):
        raise refuse(f"loop {spell(var)}, around both, drives its reduction")
    whole = accesses(function.body)
    stores = [a for a in whole if a.block is block and a.is_store]
    reads = [a for a in whole if a.buffer is stores[0].buffer and a.block is not block]
    if unfilled(reads, stores, ranges(function)):
        raise refuse("a reader may use what an earlier step of an ordered loop computed")


class _Needs:
    """What the readers below the loop read in one iteration of it."""

    def __init__(
        self, refuse: Refusal, readers: Sequence[Access], below: For, known: Ranges
    ) -> None:
        self.refuse, self.readers, self.below, self.known = refuse, readers, below, known
        inside = [s for s in statements(below.body) if isinstance(s, For)]
        self.loops = {s.var: s.extent for s in inside}
        self.bound = {it.var for s in statements(below.body) if isinstance(s, Block)
                      for it in s.iters}  # fmt: skip

    def along(self, axis: int) -> tuple[Expr, Expr]:
        """(base, extent) of the indices read along one axis."""
        spans = [self._reach(access.indices[axis]) for access in self.readers]
        bases = list(dict.fromkeys(base for base, _ in spans))
        ends = list(dict.fromkeys(simplify(base + extent) for base, extent in spans))
        first, end = extreme(bases, self.known, -1), extreme(ends, self.known, 1)
        if first is None:
            texts = f"{print_expr(bases[0])} and {print_expr(bases[1])}"
            raise self.refuse(f"readers start at different places, {texts}")
        if end is None:
            raise self.refuse("readers need regions of sizes that cannot be compared")
        return first, simplify(end - first, self.known)

    def _reach(self, i: Expr) -> tuple[Expr, Expr]:
        form = linear(i, list(self.loops), self.known)
        if form is None:
            raise self.refuse(f"index {print_expr(i)} is not linear in the loops inside")
        coefficients, rest = form
        if any(not prove(c >= 0, self.known) for c in coefficients.values()):
            raise self.refuse(f"index {print_expr(i)} runs backwards in a loop inside")
        base = simplify(rest)
        top = symbolic_max(i - rest, self.loops, self.known)
        if top is None or free_vars(top) & ({*self.loops} | self.bound):
            raise self.refuse(f"the reach of index {print_expr(i)} is unknown")
        changing = written(self.below)
        if loaded(base) & changing:
            raise self.refuse(f"index {print_expr(i)} reads memory that the loop stores to")
        return base, simplify(top + 1)

    def may_exceed(self) -> bool:
        """Whether some of the region may not be read, and so lie outside the buffer."""
        if any(a.conditions or a.block is None for a in self.readers):
            return True
        return not all(prove(e >= 1, self.known) for a in self.readers for e in self._extents(a))

    def _extents(self, access: Access) -> list[Expr]:
        return [loop.extent for loop in access.loops]


class _Nest:
    """The block in loops of its own, its reduce loops inside the spatial ones."""

    def __init__(
        self,
        refuse: Refusal,
        block: Block,
        store: Store,
        old: list[For],
        known: Ranges,
        first: int,
    ) -> None:
        self.refuse, self.block, self.store, self.old = refuse, block, store, old
        self.known, self.first = known, first
        self.loops: list[For] = []

    def over(self, region: Region, guarded: bool) -> Stmt:
        """The nest that computes the region; guarded, only what is within the block's extents."""
        values: dict[Var, Expr] = {}
        conditions: list[Expr] = []
        extents = {it.var: it.extent for it in self.block.iters}
        for axis, (base, extent) in zip(self.store.indices, region, strict=True):
            assert isinstance(axis, Var)
            if isinstance(extent, Const) and extent.value == 1:
                values[axis] = base
            else:
                loop = self._add(For(Var(axis.name, 0), extent, Seq(())))
                values[axis] = simplify(base + loop.var)
            if guarded:
                conditions += [values[axis] >= 0, values[axis] < extents[axis]]
        if guarded and any(loaded(base) for base, _ in region):
            raise self.refuse("a guarded reader's index reads memory")
        values.update(self._reduced(values))
        own = {s.var: (Const(0, s.var.dtype), s.extent - 1) for s in self.loops}
        inside = {**self.known, **own}
        needed = [c for e in conditions if (c := simplify(e, inside)) is not TRUE]
        bindings = tuple([values[it.var] for it in self.block.iters])
        body: Stmt = self.block.replace(bindings=bindings, predicate=both(*needed))
        for loop in reversed(self.loops):
            body = loop.replace(body=body)
        return body

    def _add(self, loop: For) -> For:
        new = loop.replace(var=loop.var.replace(ordinal=self.first + len(self.loops)))
        self.loops.append(new.replace(body=Seq(())))
        return new

    def _reduced(self, values: dict[Var, Expr]) -> dict[Var, Expr]:
        """The other iterators in fresh copies of their loops, after those of the region."""
        pairs = list(zip(self.block.iters, self.block.bindings, strict=True))
        spatial, reduced = (
            driving(self.block, "spatial"),
            driving(self.block, "reduce", "ordered", "opaque"),
        )
        inside: dict[Var, Expr] = {
            e: values[it.var] for it, e in pairs if it.kind == "spatial" and isinstance(e, Var)
        }
        for loop in self.old:
            if loop.var not in reduced:
                continue
            if loop.var in spatial:
                raise self.refuse(f"loop {spell(loop.var)} drives iterators of both kinds")
            inner = {one.var for one in self.old} - set(inside)
            unknown = sorted(free_vars(loop.extent) & inner, key=name_of)
            if unknown:
                reason = f"depends on {spell(unknown[0])}"
                raise self.refuse(f"the extent of loop {spell(loop.var)} {reason}")
            extent = substitute(loop.extent, inside)
            inside[loop.var] = self._add(loop.replace(extent=extent)).var
        kept = [(it, e) for it, e in pairs if it.kind != "spatial"]
        return {it.var: substitute(e, inside) for it, e in kept}
