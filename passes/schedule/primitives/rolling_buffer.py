"""rolling_buffer: what sliding windows share is computed once, in a buffer of one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, linear, prove, simplify
from passes.ir.expr import Expr, Or, both
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, Buffer, For, Function, Load, Store
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.accesses import Access, Ranges, accesses, ranges
from passes.schedule.coverage import in_iterators, runs
from passes.schedule.footprints import span, unfilled
from passes.schedule.legality import checked
from passes.schedule.outputs import own_store
from passes.schedule.reductions import driving
from passes.schedule.tree import (
    Refusal,
    get_block,
    loaded,
    replace,
    spell,
    written,
)


def rolling_buffer(function: Function, label: str, axis: int) -> Function:
    """Keeps along one axis only the elements that the iteration at hand reads; computes the new.

        for i: for r in range(3): block a: t[i + r] = f(i + r)
               for k in range(3): block b: y[i] = y[i] + t[i + k]            axis 0
        → for i: for r in range(3): block a: where(i < 1 or i + 1 < i + r)
                                             t[(i + r)%3] = f(i + r)
                 for k in range(3): block b: y[i] = y[i] + t[(i + k)%3]

    The innermost loop around the block and all readers that moves the window along the axis is the
    one that rolls: in its first iteration the whole window is computed, later what the one before
    did not have. It is serial and moves nothing else; the block alone stores to the temporary, at
    places of its own, what does not change while the loop runs; and each reader reads what the
    block stored just before. Raises ScheduleError otherwise.
    """
    block = get_block(function, label, "rolling_buffer")
    refuse = Refusal("rolling_buffer", f"block '{label}', axis {axis}", function, label)
    old = _output(refuse, function, block, axis)
    whole = [a for a in accesses(function.body) if a.buffer is old]
    readers = [a for a in whole if a.block is not block]
    known = ranges(function)
    stores = [a for a in whole if a.block is block and a.is_store]
    if unfilled(readers, stores, known):
        raise refuse("a reader may use what another iteration computed")
    window = _window(refuse, stores[-1], readers, axis, known)
    _check_rolls(refuse, block, window, stores[-1], axis, known)
    new = old.resized((*old.shape[:axis], window.size, *old.shape[axis + 1 :]))
    first_new = simplify(window.low + window.size - window.step)
    fresh = Or(window.loop.var < 1, simplify(stores[-1].indices[axis] >= first_new, known))
    guarded = block.replace(predicate=both(block.predicate, fresh))

    def fold(node: Node) -> Node | None:
        if isinstance(node, Load | Store) and node.buffer is old:
            at = (*node.indices[:axis], node.indices[axis] % window.size, *node.indices[axis + 1 :])
            return node.replace(buffer=new, indices=at)
        return None

    body = rewrite(replace(function, block, guarded).body, fold)
    allocs = tuple([new if b is old else b for b in function.allocs])
    return checked(function.replace(body=body, allocs=allocs), refuse)


def _output(refuse: Refusal, function: Function, block: Block, axis: int) -> Buffer:
    """The temporary that the block alone stores to, each spatial instance to its own place."""
    old = own_store(refuse, block).buffer
    if not 0 <= axis < len(old.shape):
        raise refuse(f"its output has {len(old.shape)} axes")
    if old not in function.allocs:
        raise refuse("it stores to a parameter")
    whole = [a for a in accesses(function.body) if a.buffer is old]
    if any(a.is_store and a.block is not block for a in whole):
        raise refuse("its output has other writers")
    loads = [n for n in postorder(function.body) if isinstance(n, Load) and n.buffer is old]
    if any(n.dtype.lanes > 1 for n in loads):
        raise refuse("its output is read by vectors")
    return old


@dataclass(frozen=True)
class _Window:
    """In an iteration of `loop`, low … low + size - 1, and `step` further in the next."""

    loop: For
    low: Expr
    size: Expr
    step: Expr


def _window(
    refuse: Refusal, store: Access, readers: Sequence[Access], axis: int, known: Ranges
) -> _Window:
    around = [one for one in store.loops if all(one in reader.loops for reader in readers)]
    inner = {one.var: one.extent for one in store.loops}
    found: _Window | None = None
    for loop in around:
        del inner[loop.var]
        reach = span(store.indices[axis], inner, known)
        form = None if reach is None else linear(reach[0], [loop.var], known)
        if reach is not None and form is not None and loop.var in form[0]:
            found = _Window(loop, *reach, form[0][loop.var])
    if found is None or not readers:
        raise refuse("no loop around the block and all readers moves what it stores there")
    moving = free_vars(found.size) | free_vars(found.step)
    if moving or not prove(found.step >= 1) or not prove(found.step < found.size):
        steps = f"{print_expr(found.size)} elements, {print_expr(found.step)} apart"
        raise refuse(f"the windows of loop {spell(found.loop.var)}, {steps}, may not overlap")
    return found


def _check_rolls(
    refuse: Refusal, block: Block, window: _Window, store: Access, axis: int, known: Ranges
) -> None:
    """Each iteration but the first finds the start of its window as the one before left it."""
    loop = window.loop
    name = spell(loop.var)
    if loop.kind not in ("serial", "unrolled"):
        raise refuse(f"loop {name} is {loop.kind}")
    inside = list(store.loops[store.loops.index(loop) + 1 :])
    along = {one.var: one.extent for one in inside if one.var in free_vars(store.indices[axis])}
    if runs([store.indices[axis]], along, known) is None:
        raise refuse(f"an iteration of loop {name} may not store to all of its window")
    others = [i for k, i in enumerate(store.indices) if k != axis]
    if any(loop.var in free_vars(e) for e in (*others, *[one.extent for one in inside])):
        raise refuse(f"loop {name} moves or sizes other loops or axes too")
    if driving(block, "reduce") - {one.var for one in inside}:
        raise refuse("a loop around the windows drives its reduction")
    if in_iterators(block, frozenset([loop.var, *[one.var for one in inside]])) is None:
        raise refuse("its predicate says more than bounds of its iterators")
    changing = sorted(name_of(b) for b in written(loop) & loaded(block) - {store.buffer})
    if changing:
        raise refuse(f"it reads '{changing[0]}', which loop {name} stores to")
