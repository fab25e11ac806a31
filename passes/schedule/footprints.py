"""The parts of buffers that statements touch, and whether what is read was computed before.

for j in range(4): block b: y[i*4 + j] = t[i*4 + j] + x[j]      while i stands still
reads  t[i*4 : +4], x[0 : +4]      writes  y[i*4 : +4]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from passes.ir.arith import prove, simplify
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Buffer, For, Function, Stmt
from passes.schedule.accesses import Access, Ranges, accesses, ranges
from passes.schedule.filling import covers, ends
from passes.schedule.tree import get_block, statements


@dataclass(frozen=True)
class Box:
    """A region of a buffer: the first element along each axis, and how many there are.

    It holds all that is touched; something in it may not be.
    """

    buffer: Buffer
    first: tuple[Expr, ...]
    extents: tuple[Expr, ...]


def span(i: Expr, free: Mapping[Var, Expr], known: Ranges) -> tuple[Expr, Expr] | None:
    """The least value of an index while the `free` loops (variable: extent) run, and how many
    there are up to the largest one; None where they are not known."""
    low, high = ends(i, free, known)
    if low is None or high is None:
        return None
    return low, simplify(high - low + 1, known)


def extreme(values: Sequence[Expr], known: Ranges, sign: int) -> Expr | None:
    """The one of the values that is proven the largest (with -1 the smallest), if one is."""
    for value in values:
        if all(prove((value - other) * sign >= 0, known) for other in values):
            return value
    return None


def box_of(access: Access, free: Mapping[Var, Expr], known: Ranges) -> Box | None:
    """What an access touches while the `free` loops (variable: extent) run; all others stand still.

    None where the ends of that are not known.
    """
    first: list[Expr] = []
    extents: list[Expr] = []
    for i in access.indices:
        along = span(i, free, known)
        if along is None:
            return None
        first.append(along[0])
        extents.append(along[1])
    return Box(access.buffer, tuple(first), tuple(extents))


def hull(boxes: Iterable[Box], known: Ranges) -> Box | None:
    """The least box proven to hold boxes of one buffer; None if their ends cannot be compared."""
    parts = list(boxes)
    first: list[Expr] = []
    extents: list[Expr] = []
    for axis in range(len(parts[0].first)):
        start = extreme([box.first[axis] for box in parts], known, -1)
        end = extreme([box.first[axis] + box.extents[axis] for box in parts], known, 1)
        if start is None or end is None:
            return None
        first.append(start)
        extents.append(simplify(end - start, known))
    return Box(parts[0].buffer, tuple(first), tuple(extents))


@dataclass(frozen=True)
class Footprint:
    """The boxes that a statement reads and writes, one a buffer; None where one is not known."""

    reads: Mapping[Buffer, Box | None]
    writes: Mapping[Buffer, Box | None]


@lru_cache(maxsize=1 << 10)
def footprint(function: Function, stmt: Stmt) -> Footprint:
    """What one run of a statement of the function touches, in terms of the loops around it."""
    known = ranges(function)
    inside = {s.var: known[s.var][1] + 1 for s in statements(stmt) if isinstance(s, For)}
    found = [a for a in accesses(function.body) if any(s is stmt for s, _ in a.path)]
    parts: list[dict[Buffer, Box | None]] = []
    for stores in (False, True):
        touched = [a for a in found if a.is_store == stores]
        boxes: dict[Buffer, Box | None] = {}
        for buffer in dict.fromkeys(a.buffer for a in touched):
            mine = [box_of(a, inside, known) for a in touched if a.buffer is buffer]
            complete = [box for box in mine if box is not None]
            boxes[buffer] = hull(complete, known) if len(complete) == len(mine) else None
        parts.append(boxes)
    return Footprint(*parts)


def uncovered(function: Function, label: str) -> list[Access]:
    """The reads in a block that may meet elements that the function computes, but has not yet.

    Empty if for each of them a store before it, in the same iteration of the loops around both,
    has filled all that it reads (*region cover*); an element that only the block's own instances
    store to may be what an earlier one left. Raises ScheduleError if there is no such block.
    """
    block = get_block(function, label, "region cover")
    known = ranges(function)
    whole = accesses(function.body)
    missing = []
    for load in (a for a in whole if a.block is block and not a.is_store):
        stores = [a for a in whole if a.is_store and a.buffer is load.buffer]
        own = all(s.block is block and s.indices == load.indices for s in stores)
        if stores and not own:
            missing += unfilled([load], stores, known)
    return missing


def unfilled(loads: Sequence[Access], stores: Sequence[Access], known: Ranges) -> list[Access]:
    """The loads that no store before them, in the same iteration of the loops around both, has
    filled with all that they read."""
    return [load for load in loads if not any(covers(s, load, known) for s in stores)]
