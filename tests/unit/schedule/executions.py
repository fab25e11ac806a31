"""Programs run by hand: every instance of every access, in order, at given sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from passes.ir.arith import dims_of
from passes.ir.expr import Dim, Expr, Var
from passes.ir.loop.nodes import Block, Buffer, For, Function, If, Seq, Stmt, Store
from passes.schedule.accesses import loads_in
from tests.toys.index_math import value

Point = dict[Var | Dim, int]


class Unknown(Exception):
    """Something depends on what is in memory."""


@dataclass(frozen=True)
class Touch:
    """One element loaded or stored, by which instance of which block."""

    buffer: Buffer
    place: tuple[int, ...]
    is_store: bool
    block: Block | None
    loops: tuple[tuple[Var, int], ...]


def touches(function: Function, dims: dict[Dim, int]) -> Iterator[Touch]:
    """What running the function touches, one after the other; a block's init once a reduction.

    Raises Unknown if indices or conditions read memory.
    """
    yield from _stmt(function.body, dict(dims), {}, None, ())


def at(e: Expr, point: Point) -> int:
    if loads_in(e):
        raise Unknown
    return int(value(e, point))


def _reads(
    e: Expr, point: Point, block: Block | None, loops: tuple[tuple[Var, int], ...]
) -> Iterator[Touch]:
    for load in loads_in(e):
        place = tuple([at(i, point) for i in load.indices])
        yield Touch(load.buffer, place, False, block, loops)


def _stmt(
    stmt: Stmt,
    point: Point,
    started: dict[object, bool],
    block: Block | None,
    loops: tuple[tuple[Var, int], ...],
) -> Iterator[Touch]:
    match stmt:
        case Seq(stmts):
            for one in stmts:
                yield from _stmt(one, point, started, block, loops)
        case For(var, extent, body):
            for number in range(at(extent, point)):
                here = (*loops, (var, number))
                yield from _stmt(body, {**point, var: number}, started, block, here)
        case If(cond, then, other):
            chosen = then if at(cond, point) else other
            if chosen is not None:
                yield from _stmt(chosen, point, started, block, loops)
        case Block():
            if stmt.predicate is not None and not at(stmt.predicate, point):
                return
            pairs = zip(stmt.iters, stmt.bindings, strict=True)
            inside = {**point, **{it.var: at(e, point) for it, e in pairs}}
            first = all(inside[it.var] == 0 for it in stmt.iters if it.kind == "reduce")
            if stmt.init is not None and first:
                yield from _stmt(stmt.init, inside, started, stmt, loops)
            yield from _stmt(stmt.body, inside, started, stmt, loops)
        case Store(buffer, indices, stored):
            for e in (*indices, stored):
                yield from _reads(e, point, block, loops)
            yield Touch(buffer, tuple([at(i, point) for i in indices]), True, block, loops)
        case _:
            raise Unknown


def points(loops: list[tuple[Var, Expr]], outside: Point) -> Iterator[Point]:
    """All values of nested loops, whose extents may speak of outer ones."""
    if not loops:
        yield outside
        return
    (var, extent), *inner = loops
    for number in range(at(extent, outside)):
        yield from points(inner, {**outside, var: number})


def sizes(function: Function, most: int) -> Iterator[dict[Dim, int]]:
    """Values of the dims up to `most`."""
    dims = sorted(dims_of(function), key=lambda d: d.name)
    spans = [range(d.lo, min(d.hi, most) + 1) for d in dims]
    for numbers in product(*spans):
        yield dict(zip(dims, numbers, strict=True))
