"""tensorize: a part of a program that does what an instruction does becomes that instruction."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from passes.ir.arith import Interval, bounds, free_vars, prove, simplify, substitute
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.accesses import Ranges, iterator_ranges, ranges
from passes.schedule.intrinsics import INTRINSICS, TensorIntrinsic
from passes.schedule.legality import checked
from passes.schedule.pattern import Match, Mismatch, match
from passes.schedule.primitives.blockize import block_around
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    fresh_label,
    fresh_ordinal,
    iters_in,
    path_to_block,
    path_to_loop,
    replace,
    spell,
    statements,
    written,
)


def tensorize(function: Function, target: Var | str, intrinsic: str) -> Function:
    """Replaces all that is under a loop, or in a block, by an entry of the table of intrinsics.

        for b in range(4): block s: k = reduce(32, g*4 + b); t[] += i32(w[k]) * i32(x[k])      at b
        → block s: k = reduce(8, g)
              t[] = dot4(t[], reinterpret(w[ramp(k*4, 1, 4)], u32), reinterpret(…, i32))

    A loop is made a block first, as by `blockize`, which keeps the label of the block under it.
    What is replaced must be what the intrinsic describes, for some place of its parameters in the
    program's buffers and some values of its dims (see `pattern`). Raises ScheduleError, telling
    what differs, otherwise.
    """
    chosen = INTRINSICS.get(intrinsic)
    if isinstance(target, str):
        found = path_to_block(function, target, "tensorize")
        refuse = Refusal("tensorize", f"block '{target}' by '{intrinsic}'", function, target)
    else:
        found = path_to_loop(function, target, "tensorize")
        refuse = Refusal("tensorize", f"loop {spell(target)} by '{intrinsic}'", function, target)
    if chosen is None:
        near = ", ".join(sorted(get_close_matches(intrinsic, INTRINSICS, n=4, cutoff=0.3)))
        raise refuse(f"there is no such intrinsic{'; like it: ' if near else ''}{near}")
    at = found[-1]
    inside = blocks_in(at)
    name = inside[-1].label if inside else ""
    block = at if isinstance(at, Block) else block_around(refuse, found, name)
    known = {**ranges(function), **iterator_ranges(iters_in((*found[:-1], block))), **ranges(block)}
    try:
        place = match(chosen.description, block.body, known)
    except Mismatch as error:
        raise refuse(str(error)) from None
    _check(refuse, function, chosen, place, known)
    made, allocs = _implemented(function, chosen, place, block)
    if any(free_vars(e) for b in allocs for e in b.shape):
        raise refuse("a temporary of the implementation would have a size for each instance")
    whole = replace(function, at, block.replace(body=made))
    return checked(whole.replace(allocs=(*function.allocs, *allocs)), refuse)


def _check(
    refuse: Refusal, function: Function, chosen: TensorIntrinsic, place: Match, known: Ranges
) -> None:
    """What the description does not say: conditions on dims and values, and that results lie
    apart from operands."""
    for condition in chosen.where:
        given = simplify(substitute(condition, place.dims), known)
        if not prove(given, known):
            raise refuse(f"{print_expr(condition)} is not known to hold: {print_expr(given)}")
    results = written(chosen.description)
    buffers = [region.buffer for region in place.regions.values()]
    for param, region in place.regions.items():
        name = name_of(region.buffer)
        if param in results and buffers.count(region.buffer) > 1:
            raise refuse(f"'{name}', which it stores to, is another operand too")
        low, high = chosen.within.get(param.name, (None, None))
        if low is not None and high is not None and not _within(function, region.buffer, low, high):
            raise refuse(f"elements of '{name}' are not known to be within {low}..{high}")


def _within(function: Function, buffer: Buffer, low: int, high: int) -> bool:
    """Whether everything that the function stores to a temporary lies within these bounds."""
    if buffer not in function.allocs:
        return False
    for stmt in statements(function):
        if isinstance(stmt, For | If | Block | Seq) or buffer not in written(stmt):
            continue
        found = bounds(stmt.value) if isinstance(stmt, Store) else Interval(None, None)
        if found.lo is None or found.hi is None or found.lo < low or found.hi > high:
            return False
    return True


def _implemented(
    function: Function, chosen: TensorIntrinsic, place: Match, block: Block
) -> tuple[Stmt, list[Buffer]]:
    """The implementation on the program's buffers, and its temporaries."""
    program = chosen.implementation
    ordinal = fresh_ordinal(function.replace(body=seq(function.body, block)))
    names: dict[Any, Expr] = dict(place.dims)
    for node in postorder(program.body):
        if isinstance(node, For | BlockIter):
            names[node.var] = Var(node.var.name, ordinal, node.var.dtype)
            ordinal += 1
    own: dict[Buffer, Buffer] = {}
    for buffer in program.allocs:
        shape = tuple([substitute(e, place.dims) for e in buffer.shape])
        own[buffer] = buffer.replace(ordinal=ordinal, shape=shape)
        ordinal += 1
    labels = {b.label: fresh_label(function, b.label) for b in blocks_in(program.body)}

    def placed(node: Node) -> Node | None:
        if isinstance(node, Load | Store):
            region = place.regions.get(node.buffer)
            if region is None:
                return node.replace(buffer=own[node.buffer])
            return node.replace(buffer=region.buffer, indices=region.at(node.indices))
        return node.replace(label=labels[node.label]) if isinstance(node, Block) else None

    return substitute(rewrite(program.body, placed), names), list(own.values())
