"""Values computed beforehand into a buffer of their own, from which a block then reads them.

    block b: y[i] = y[i] + w[j*2, k] * x[k]                  the value w[j*2, k] along j, k
    → for j: for k: block b_read: r[j, k] = w[j*2, k]
      block b: y[i] = y[i] + r[j, k] * x[k]

They are computed before the outermost statement around the block in which what they read does not
change, as far as the block needs them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, simplify, substitute, symbolic_max, symbolic_min
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, Var, index, maximum, minimum
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    AsyncGroup,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Seq,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import Node, Rule, rewrite
from passes.schedule.accesses import Access, Ranges, accesses, iterator_ranges, ranges
from passes.schedule.faults import divisors, fault
from passes.schedule.footprints import extreme
from passes.schedule.legality import checked, private_to
from passes.schedule.surplus import trouble_beyond
from passes.schedule.tree import (
    Refusal,
    check_unviewed,
    fresh_label,
    fresh_ordinal,
    get_block,
    iters_in,
    loaded,
    replace,
    spell,
    statements,
    written,
)


@dataclass(frozen=True)
class Axis:
    """The values have one axis of `extent` elements that `var` runs over; of these the block uses
    the ones that the expressions `used` (of the loops around it) name."""

    var: Var
    extent: Expr
    used: tuple[Expr, ...]


@dataclass(frozen=True)
class Staging:
    """`buffer[place] = value`, over the variables of the axes, and the block that then reads the
    buffer instead."""

    axes: tuple[Axis, ...]
    buffer: Buffer
    place: tuple[Expr, ...]
    value: Expr
    reader: Block


def staged(
    refuse: Refusal, function: Function, found: Sequence[Stmt], wanted: Staging, label: str
) -> tuple[Function, str]:
    """The function with the values computed for the block at the end of the path `found`, and the
    label of the new block (`label`, or with a number).

    Raises ScheduleError if what they are made of changes inside the block, or may not be there
    for elements that the block does not read itself.
    """
    check_unviewed(refuse, found)
    block = found[-1]
    name = fresh_label(function, label)
    known = {**ranges(function), **iterator_ranges(iters_in(found[:-1]))}
    reads = loaded(wanted.value)
    changing = written(block) & reads
    if changing:
        raise refuse(f"it stores to '{min(name_of(b) for b in changing)}'")
    reason = ""
    for before in _places(found, wanted.buffer):
        if written(before) & reads:
            continue
        nest = _nest(wanted, found, before, known, fresh_ordinal(function), name)
        reading = rewrite(before, lambda n: wanted.reader if n is block else None)
        made = replace(function, before, seq(nest, reading))
        made = made.replace(allocs=(*made.allocs, wanted.buffer))
        trouble = _trouble(made, wanted, name)
        if trouble is None:
            return checked(made, refuse), name
        reason = reason or f"it may need less than what would be computed, and {trouble}"
    raise refuse(reason or "what it reads changes where it could be computed beforehand")


def block_axes(refuse: Refusal, block: Block, part: Node) -> tuple[Axis, ...]:
    """One axis for each iterator of the block that `part` of its body speaks of, in order."""
    axes = []
    for it, e in zip(block.iters, block.bindings, strict=True):
        if it.var not in free_vars(part):
            continue
        if it.var.dtype != INDEX:
            raise refuse(f"iterator {spell(it.var)} has type {it.var.dtype}, not index")
        check_known(refuse, it)
        axes.append(Axis(it.var, it.extent, (e,)))
    return tuple(axes)


def check_known(refuse: Refusal, it: BlockIter) -> None:
    """Raises unless the extent of an iterator can be that of a buffer, or of a loop anywhere."""
    if free_vars(it.extent) or loaded(it.extent):
        raise refuse(f"the extent of iterator {spell(it.var)} is not known outside its loops")
    for divisor in divisors(it.extent, {}):
        text = print_expr(divisor)
        raise refuse(f"the divisor {text} of the extent of iterator {spell(it.var)} may be 0")


def accesses_below(block: Block) -> list[Access]:
    """What the block's init and body touch, in terms of what its bindings speak of."""
    return [a for a in accesses(block) if a.path]


def with_body(block: Block, rule: Rule) -> Block:
    """The block with its init and body rewritten."""
    init = None if block.init is None else rewrite(block.init, rule)
    return block.replace(body=rewrite(block.body, rule), init=init)


def _places(found: Sequence[Stmt], buffer: Buffer) -> Iterator[Stmt]:
    """The statements around a block before which a buffer may be filled for it, outermost first:
    inside all blocks, and all loops whose iterations have the buffer for themselves, but not
    among copies on their way."""
    start = 0
    for depth, stmt in enumerate(found[:-1]):
        private = isinstance(stmt, For) and private_to(stmt.kind, buffer.scope)
        if private or isinstance(stmt, Block):
            start = depth + 1
    for stmt in found[start:]:
        if not isinstance(stmt, Seq):
            yield stmt
        if isinstance(stmt, AsyncGroup):
            break


def _nest(
    wanted: Staging,
    found: Sequence[Stmt],
    before: Stmt,
    known: Ranges,
    first: int,
    label: str,
) -> Stmt:
    """Loops over what is used of the axes in the statement `before`, with the new block."""
    inner = {s.var: s.extent for s in statements(before) if isinstance(s, For)}
    spoken = _spoken(found[: found.index(before)])
    loops: list[tuple[Var, Expr]] = []
    bindings: list[Expr] = []
    for axis in wanted.axes:
        base, extent = _span(axis, inner, spoken, known)
        if isinstance(extent, Const) and extent.value == 1:
            bindings.append(base)
            continue
        var = Var(axis.var.name, first + len(loops))
        loops.append((var, extent))
        bindings.append(simplify(base + var))
    first += len(loops)
    own = {axis.var: Var(axis.var.name, first + k) for k, axis in enumerate(wanted.axes)}
    iters = tuple([BlockIter(own[axis.var], axis.extent) for axis in wanted.axes])
    place = tuple([substitute(e, own) for e in wanted.place])
    store = Store(wanted.buffer, place, substitute(wanted.value, own))
    body: Stmt = Block(label, iters, tuple(bindings), store)
    for var, extent in reversed(loops):
        body = For(var, extent, body)
    return body


def _spoken(around: Sequence[Stmt]) -> frozenset[Var]:
    """What a statement at the end of a path may speak of: loops, and iterators of a block."""
    spoken: set[Var] = set()
    for stmt in around:
        if isinstance(stmt, For):
            spoken.add(stmt.var)
        elif isinstance(stmt, Block):
            spoken = {it.var for it in stmt.iters}
    return frozenset(spoken)


def _span(
    axis: Axis, inner: Mapping[Var, Expr], spoken: frozenset[Var], known: Ranges
) -> tuple[Expr, Expr]:
    """(first, count) of the elements of an axis that are used while the loops `inner` run, in
    terms of what is `spoken` of around them: all of them if that cannot be told."""
    whole = index(0), axis.extent
    lows: list[Expr] = []
    ends: list[Expr] = []
    for e in axis.used:
        if e.dtype.lanes > 1:
            return whole
        low, high = symbolic_min(e, inner, known), symbolic_max(e, inner, known)
        if low is None or high is None or fault(low, known) or fault(high, known):
            return whole
        if loaded(low) or loaded(high) or not free_vars(low) | free_vars(high) <= spoken:
            return whole
        lows.append(low)
        ends.append(high + 1)
    base, end = extreme(lows, known, -1), extreme(ends, known, 1)
    if base is None or end is None:
        return whole
    if not prove(base >= 0, known):
        base = index(0) if prove(base <= 0, known) else maximum(base, 0)
    if not prove(end <= axis.extent, known):
        beyond = prove(end >= axis.extent, known)
        end = axis.extent if beyond else minimum(end, axis.extent)
    return simplify(base, known), simplify(end - base, known)


def _trouble(function: Function, wanted: Staging, label: str) -> str | None:
    """What is missing for the new block to compute more than the old one did; None if nothing is,
    or if it computes no more."""
    block = get_block(function, label, "staging")
    axes = [axis.var for axis in wanted.axes]
    limits = {axis.var: (index(0), axis.extent - 1) for axis in wanted.axes}
    bindings = dict(zip(axes, block.bindings, strict=True))
    return trouble_beyond(function, label, wanted.value, limits, bindings)
