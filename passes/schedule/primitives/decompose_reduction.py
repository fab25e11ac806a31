"""decompose_reduction: initialisation becomes a block of its own."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.expr import TRUE, Const, Expr, Var, both
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, For, Function, If, Stmt, While, seq
from passes.schedule.accesses import Access, Ranges, accesses, precedes, ranges
from passes.schedule.dependence import disjoint, inner_loops, never_meet, steady
from passes.schedule.faults import fault
from passes.schedule.legality import checked
from passes.schedule.reductions import conjuncts, driving, restarting_loop, starts_through_views
from passes.schedule.tree import (
    Refusal,
    exchanged,
    fresh_label,
    fresh_ordinal,
    loaded,
    loops_in,
    path_to_block,
    replace,
    spell,
    written,
)


def decompose_reduction(function: Function, label: str, loop: Var) -> tuple[Function, str]:
    """Moves the init of a reduction before `loop`; gives the function and the init's label.

        for k: for i: block c: init y[i] = 0; y[i] = y[i] + x[i, k]       at k
        → for i: block c_init: y[i] = 0
          for k: for i: block c: y[i] = y[i] + x[i, k]

    No loop outside `loop` drives a reduce iterator, each reduction starts once inside it, and
    nothing there needs the elements before it does. Where the reduction may be empty, the init has
    the condition that it is not. Raises ScheduleError if one of these does not hold.
    """
    found = path_to_block(function, label, "decompose_reduction")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    refuse = Refusal("decompose_reduction", place, function, label)
    loops = loops_in(found)
    at = next((one for one in loops if one.var is loop), None)
    if block.init is None:
        raise refuse("it has no init")
    if starts_through_views(block):
        raise refuse("its init speaks of its views")
    if at is None:
        raise refuse("the loop is not around it")
    position = loops.index(at)
    reduced = driving(block, "reduce")
    for outer in loops[:position]:
        if outer.var in reduced:
            raise refuse(f"loop {spell(outer.var)} outside it drives the reduction")
    for var in sorted(reduced - {one.var for one in loops}, key=name_of):
        raise refuse(f"iterator {spell(var)} of a block around it drives the reduction")
    if any(isinstance(s, If | While | Block) for s in found[found.index(at) : -1]):
        raise refuse("a condition or a block stands between the loop and it")
    known = ranges(function)
    _check_moves(refuse, at, loops[position:], block, known)
    needed = driving(block, "spatial", "ordered")
    copied = [one for one in loops[position:] if one.var in needed]
    inside = {one.var for one in loops[position:]} - {one.var for one in copied}
    for one in copied:
        for var in sorted(free_vars(one.extent) & inside, key=name_of):
            raise refuse(f"the extent of loop {spell(one.var)} depends on {spell(var)}")
    conditions = _conditions(refuse, block, loops[position:], copied, known)
    name = fresh_label(function, f"{label}_init")
    init = _init_nest(name, block, copied, conditions, fresh_ordinal(function))
    bare = exchanged(at, block, block.replace(init=None))
    return checked(replace(function, at, seq(init, bare)), refuse), name


def _check_moves(
    refuse: Refusal,
    at: For,
    loops: Sequence[For],
    block: Block,
    known: Ranges,
) -> None:
    """The init may run before all else inside `at`."""
    assert block.init is not None
    inside = accesses(at.body)
    mine = [a for a in inside if _is_part(a, block)]
    starts = [a for a in mine if a.is_store and (block, 0) in a.path]
    targets = written(block.init)
    places = {a.indices for a in starts}
    again = restarting_loop(block, loops, starts, known)
    if again is not None:
        raise refuse(f"loop {spell(again.var)} comes back to the same elements and restarts them")
    apart = [one for one in loops if one.var not in driving(block, "reduce")]
    for access in (a for a in mine if a.buffer in targets and a.indices not in places):
        if not all(_meets_only_inside(s, access, apart, at, known) for s in starts):
            raise refuse("it touches elements of its output other than the one it starts")
    changing = written(at.body)
    late = loaded(block.init) & (changing - targets)
    what = f"the init reads '{min(name_of(b) for b in late)}'" if late else ""
    if not all(steady(one.extent, changing) for one in loops):
        what = what or "an extent reads memory"
    if not all(steady(e, changing) for e in (*block.bindings, *conjuncts(block.predicate))):
        what = what or "its predicate or a binding reads memory"
    if what:
        raise refuse(f"{what}, which is stored to inside the loop")
    for other in inside:
        if other not in mine and other.buffer in targets:
            for start in (s for s in starts if s.buffer is other.buffer):
                if not _comes_first(start, other, at, known):
                    name = name_of(other.buffer)
                    raise refuse(f"something else in the loop may use '{name}' before it starts")


def _is_part(access: Access, block: Block) -> bool:
    """Whether the block, or one inside it, makes the access."""
    return any(stmt is block for stmt, _ in access.path)


def _meets_only_inside(
    start: Access, other: Access, loops: Sequence[For], at: For, known: Ranges
) -> bool:
    """Whether `other` touches what `start` does in the same iteration of the loops only."""
    stored = written(at.body)
    return start.buffer is not other.buffer or all(
        never_meet(start, other, one.var, inner_loops(one), known, stored) for one in loops
    )


def _comes_first(start: Access, other: Access, at: For, known: Ranges) -> bool:
    """Whether `start` comes before `other` wherever they meet inside `at`."""
    common, earlier = precedes(start, other)
    stored = written(at.body)
    if disjoint(start, other, inner_loops(at) | {at.var}, known, stored):
        return True
    return earlier and all(
        never_meet(start, other, one.var, inner_loops(one), known, stored) for one in (at, *common)
    )


def _conditions(
    refuse: Refusal, block: Block, loops: Sequence[For], copied: Sequence[For], known: Ranges
) -> list[Expr]:
    """Where the reduction starts at all: the loops that the init leaves are not empty, all reduce
    iterators are 0 where those begin, and the predicate holds there."""
    start: dict[Var, Expr] = {s.var: Const(0, s.var.dtype) for s in loops if s not in copied}
    empty: For | None = None
    found: list[Expr] = []

    def check(e: Expr) -> None:
        trouble = None if empty is None else fault(e, known)
        if empty is not None and trouble is not None:
            raise refuse(f"loop {spell(empty.var)} may be empty, and {trouble}")

    for one in loops:
        extent = substitute(one.extent, start)
        check(extent)
        if one not in copied and not prove(one.extent >= 1, known):
            found.append(simplify(Const(0, extent.dtype) < extent, known))
            empty = empty or one
    pairs = zip(block.iters, block.bindings, strict=True)
    inside = [e.equal(0) for it, e in pairs if it.kind == "reduce"]
    for condition in (*inside, *conjuncts(block.predicate)):
        found.append(simplify(substitute(condition, start), known))
        check(found[-1])
    return [c for c in found if c is not TRUE]


def _init_nest(
    label: str,
    block: Block,
    copied: Sequence[For],
    conditions: Sequence[Expr],
    first: int,
) -> Stmt:
    """The init over fresh copies of the loops that drive its iterators."""
    assert block.init is not None
    pairs = zip(block.iters, block.bindings, strict=True)
    kept = [(it, e) for it, e in pairs if it.kind != "reduce"]
    fresh = {one.var: one.var.replace(ordinal=first + k) for k, one in enumerate(copied)}
    first += len(copied)
    inner = {it.var: it.var.replace(ordinal=first + k) for k, (it, _) in enumerate(kept)}
    asked = both(*[substitute(c, fresh) for c in conditions])
    iters = tuple(
        [it.replace(var=inner[it.var], extent=substitute(it.extent, inner)) for it, _ in kept]
    )
    bindings = tuple([substitute(e, fresh) for _, e in kept])
    body: Stmt = Block(label, iters, bindings, substitute(block.init, inner), None, asked)
    for one in reversed(copied):
        body = For(fresh[one.var], substitute(one.extent, fresh), body, one.kind, one.annotations)
    return body
