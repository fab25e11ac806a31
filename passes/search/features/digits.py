"""A loop that stands for several, fused, seen as those again: its digits in mixed radix.

    for f in 1568: y[f//14, f%14*8 + …]   →   for f_1 in 112: for f_0 in 14: y[f_1, f_0*8 + …]

What the inner ones of them touch may stay in a cache while the outer ones go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from passes.search.features.forms import Forms
from passes.search.features.rows import Access, Row
from passes.search.features.sums import Atom, Loop, Sum, plus, scaled
from passes.search.features.tape import Number, Sym, ceildiv, least, quotient, times

_Digit: TypeAlias = "tuple[Number, Number | None]"
"""(first, size): the loop // first, % size if there is one."""


def unfused(row: Row, forms: Forms) -> Row:
    """The row with the digits of loops in their place, as far as its indices speak of digits."""
    for loop in row.loops:
        found = [i for access in row.accesses for i in access.indices if loop in i.loops]
        bounds = _bounds(loop, found)
        if bounds is not None and len(bounds) > 1:
            row = _replaced(row, loop, bounds, forms)
    return row


def _bounds(loop: Loop, found: Sequence[Sum]) -> list[Number] | None:
    """Where digits begin, each a multiple of those before; None if something else is asked of the
    loop."""
    wanted: list[Number] = [1]
    for atom in dict.fromkeys([a for i in found for a in i.terms if loop in a.loops]):
        digit = _digit(atom, loop)
        if digit is None:
            return None
        first, size = digit
        for bound in (first, *(() if size is None else (first * size,))):
            if all(quotient(bound, other) != 1 for other in wanted):
                wanted.append(bound)
    chain: list[Number] = []
    while wanted:
        smallest = [b for b in wanted if all(quotient(other, b) is not None for other in wanted)]
        if not smallest:
            return None
        chain.append(smallest[0])
        wanted.remove(smallest[0])
    return chain


def _digit(atom: Atom, loop: Loop) -> _Digit | None:
    """The digit of a loop that an atom is."""
    if atom.rule == "loop":
        return 1, None
    if atom.rule not in ("//", "%"):
        return None
    (part,) = atom.parts
    inside = [(a, m) for a, m in part.terms.items()]
    if len(inside) != 1 or isinstance(part.constant, Sym) or part.constant:
        return None
    (within, multiple) = inside[0]
    whole = _digit(within, loop) if not isinstance(multiple, Sym) and multiple == 1 else None
    if whole is None:
        return None
    first, size = whole
    if atom.rule == "%":
        return first, atom.divisor
    if size is None:
        return first * atom.divisor, None
    rest = quotient(size, atom.divisor)
    return None if rest is None else (first * atom.divisor, rest)


def _replaced(row: Row, loop: Loop, bounds: Sequence[Number], forms: Forms) -> Row:
    at = row.loops.index(loop)
    made = []
    for number, bound in enumerate(bounds):
        if number + 1 < len(bounds):
            extent = quotient(bounds[number + 1], bound) or 1
            made.append(Loop(extent, extent, loop.kind, origin=loop))
        else:
            trips = row.trips[at] / bound
            made.append(Loop(ceildiv(loop.extent, bound), trips, loop.kind, origin=loop))
    digits = [forms.loop(digit) for digit in made]
    memo: dict[Sum, Sum] = {}

    def rewritten(i: Sum) -> Sum:
        if loop not in i.loops:
            return i
        if i not in memo:
            whole = Sum({a: m for a, m in i.terms.items() if loop not in a.loops}, i.constant)
            for atom, multiple in i.terms.items():
                if loop in atom.loops:
                    whole = plus(whole, scaled(_sum(atom, loop, bounds, digits), multiple))
            memo[i] = whole
        return memo[i]

    def moved(access: Access) -> Access:
        return replace(access, indices=tuple([rewritten(i) for i in access.indices]))

    outwards = made[::-1]
    return replace(
        row,
        loops=(*row.loops[:at], *outwards, *row.loops[at + 1 :]),
        trips=(*row.trips[:at], *[digit.trips for digit in outwards], *row.trips[at + 1 :]),
        loads={load: moved(access) for load, access in row.loads.items()},
        stores=tuple([moved(access) for access in row.stores]),
    )


def _sum(atom: Atom, loop: Loop, bounds: Sequence[Number], digits: Sequence[Sum]) -> Sum:
    """What an atom is, by digits."""
    digit = _digit(atom, loop)
    assert digit is not None
    first, size = digit
    end = None if size is None else first * size
    whole = Sum({}, 0)
    for bound, value in zip(bounds, digits, strict=True):
        step = quotient(bound, first)
        if step is not None and (end is None or quotient(bound, end) is None):
            whole = plus(whole, scaled(value, step))
    return whole


def shares(row: Row, threads: int) -> list[Number]:
    """How far the loops of a row run in one thread, which has a part of the parallel iterations,
    one after the other."""
    found = [loop.extent for loop in row.loops]
    parallel = [k for k, loop in enumerate(row.loops) if loop.kind == "parallel"]
    left = ceildiv(times([row.loops[k].extent for k in parallel]), threads)
    for k in reversed(parallel):
        whole = row.loops[k].extent
        found[k] = least(whole, left)
        left = ceildiv(left, whole)
    return found
