"""Sums of multiples of what varies: loops, quotients and remainders of such sums.

    f%(j + 1)*j*32 + i*32 + k   =   (j*32) * [f % (j + 1)] + 32 * [i] + 1 * [k]      f, i, k loops

Multiples and constants are numbers of the tape. What has no such form is an atom of its own, of
which only the loops that it depends on are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from passes.ir.loop.nodes import LoopKind
from passes.search.features.tape import Number, Sym, at_most, choose, least, most, times


@dataclass(eq=False)
class Loop:
    """A loop around a store: the most iterations it has, and how many on average. `lanes` are the
    elements of short vectors, as a loop inside all others. Of a software pipeline, `stages`
    iterations are under way at a time. A digit of another loop has that as its `origin`."""

    extent: Number
    trips: Number
    kind: LoopKind | Literal["lanes"]
    stages: int = 1
    prefetched: bool = False
    origin: Loop | None = None


Rule = Literal["loop", "//", "%", "min", "max", "?"]
Moving: TypeAlias = "Mapping[Loop, Number]"
"""Loops that run, and how far; the others stand still."""
_NONE: frozenset[Loop] = frozenset()


@dataclass(eq=False)
class Atom:
    """What varies. `rule` of its `parts`: the `loop` itself, a quotient `//` or remainder `%` by
    `divisor`, the `min` or `max` of parts, or anything (`?`)."""

    rule: Rule
    loops: frozenset[Loop]
    parts: tuple[Sum, ...] = ()
    divisor: Number = 1


@dataclass(eq=False)
class Sum:
    """A constant and multiples of atoms."""

    terms: Mapping[Atom, Number]
    constant: Number
    loops: frozenset[Loop] = field(init=False)

    def __post_init__(self) -> None:
        found = [atom.loops for atom in self.terms]
        self.loops = found[0] if len(found) == 1 else _NONE.union(*found)


def plus(a: Sum, b: Sum, factor: int = 1) -> Sum:
    """a + factor*b."""
    if not b.terms:
        return Sum(a.terms, a.constant + b.constant * factor)
    terms = dict(a.terms)
    for atom, multiple in b.terms.items():
        total = terms.pop(atom, 0) + multiple * factor
        if type(total) is Sym or total:
            terms[atom] = total
    return Sum(terms, a.constant + b.constant * factor)


def scaled(a: Sum, factor: Number) -> Sum:
    """a * factor."""
    if type(factor) is not Sym and not factor:
        return Sum({}, 0)
    return Sum({atom: m * factor for atom, m in a.terms.items()}, a.constant * factor)


def spread(a: Sum, moving: Moving) -> Number | None:
    """The largest value less the smallest one while loops run; None if that is not known."""
    whole: Number = 0
    for atom, multiple in a.terms.items():
        if atom.loops.isdisjoint(moving):
            continue
        part = _spread(atom, moving)
        if part is None:
            return None
        whole = whole + _size(multiple) * part
    return whole


def _size(multiple: Number) -> Number:
    """Its absolute value; numbers that are not known are products of extents."""
    return multiple if isinstance(multiple, Sym) else abs(multiple)


def _spread(atom: Atom, moving: Moving) -> Number | None:
    if atom.rule == "loop":
        (loop,) = atom.loops
        return moving[loop] - 1
    if atom.rule == "?":
        return None
    inside = [spread(part, moving) for part in atom.parts]
    if inside[0] is None or inside[-1] is None:
        return None
    if atom.rule == "%":
        # If it begins anew on the way, places lie further apart, but there are no more of them
        return least(inside[0], atom.divisor - 1)
    if atom.rule == "//":
        # What stands still may be anywhere between two multiples
        still = any(loop not in moving for loop in atom.parts[0].loops)
        return (inside[0] + (atom.divisor - 1 if still else 0)) // atom.divisor
    return most(inside[0], inside[-1])


def different(a: Sum, moving: Moving) -> Number:
    """How many values there may be at most, from how often the loops run."""
    return times([extent for loop, extent in moving.items() if loop in a.loops])


def ends(a: Sum) -> tuple[Number, Number] | None:
    """The smallest and the largest value, all loops running; None if they are not known."""
    low = high = a.constant
    for atom, multiple in a.terms.items():
        inside = _ends(atom)
        if inside is None:
            return None
        first, last = inside[0] * multiple, inside[1] * multiple
        if not isinstance(multiple, Sym) and multiple < 0:
            first, last = last, first
        low, high = low + first, high + last
    return low, high


def _ends(atom: Atom) -> tuple[Number, Number] | None:
    if atom.rule == "loop":
        (loop,) = atom.loops
        return 0, loop.extent - 1
    inside = [ends(part) for part in atom.parts]
    if atom.rule == "?" or inside[0] is None or inside[-1] is None:
        return None
    (low, high), (other_low, other_high) = inside[0], inside[-1]
    match atom.rule:
        case "//":
            return low // atom.divisor, high // atom.divisor
        case "%":
            same = at_most(high // atom.divisor, low // atom.divisor)
            last = choose(same, high % atom.divisor, atom.divisor - 1)
            return choose(same, low % atom.divisor, 0), last
        case "min":
            return least(low, other_low), least(high, other_high)
    return most(low, other_low), most(high, other_high)


def mean(a: Sum) -> Number | None:
    """The value in the middle, all loops running; None if it is not known."""
    whole = a.constant
    for atom, multiple in a.terms.items():
        if atom.rule in ("min", "max"):
            one, other = (mean(part) for part in atom.parts)
            if one is None or other is None:
                return None
            part: Number = (least if atom.rule == "min" else most)(one, other)
        else:
            inside = _ends(atom)
            if inside is None:
                return None
            part = (inside[0] + inside[1]) / 2
        whole = whole + part * multiple
    return whole


def is_digit(a: Sum, divisor: Number) -> bool:
    """Whether all values are seen to lie between 0 and divisor-1."""
    inside = ends(a)
    if inside is None or type(divisor) is Sym or type(inside[0]) is Sym or type(inside[1]) is Sym:
        return False
    return bool(inside[0] >= 0 and inside[1] < divisor)  # type: ignore[operator]
