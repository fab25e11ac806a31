"""Lanes from scattered places: the runs of memory that hold them, and the shuffles between.

x[0], x[2], … x[30]     →     x[0:16] and x[15:31], whose lanes a shuffle picks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import vector
from passes.ir.arith import simplify
from passes.ir.arith.terms import terms
from passes.ir.expr import Expr, Ramp
from passes.ir.loop.nodes import Load, Stmt, Store
from passes.ir.node import postorder

MOST_WINDOWS = 8
SECTION = 16
"""Bytes of the parts of a vector in which an instruction can zip lanes."""
Bit = tuple[str, int]


class Window(NamedTuple):
    """A run of `width` elements from `start` on; `lanes`: number of a lane → its place in it."""

    start: Expr
    width: int
    lanes: dict[int, int]


def windows(places: Sequence[Expr]) -> list[Window] | None:
    """Few runs of elements that hold those at `places`; None where loading each is as cheap.

    A run begins and ends between places, so that it lies in the buffer if they do.
    """
    groups: dict[frozenset[object], dict[int, int]] = {}
    for lane, place in enumerate(places):
        parts = terms(place)
        moving = frozenset((factors, c) for factors, c in parts.items() if factors)
        groups.setdefault(moving, {})[lane] = parts.get((), 0)
    found: list[Window] = []
    for offsets in groups.values():
        low, high = min(offsets.values()), max(offsets.values())
        first = places[next(lane for lane, offset in offsets.items() if offset == low)]
        left = dict(offsets)
        while left:
            start = min(left.values())
            inside = {lane: at for lane, at in left.items() if at < start + len(places)}
            width = _power(max(inside.values()) - start + 1)
            width = min(width, len(places), high - low + 1)
            start = min(start, high + 1 - width)
            lanes = {lane: at - start for lane, at in inside.items()}
            found.append(Window(first + (start - low), width, lanes))
            left = {lane: at for lane, at in left.items() if lane not in inside}
    one = len(found) == 1
    return found if one or len(found) <= min(len(places) // 2, MOST_WINDOWS) else None


def collected(
    ssa: Ssa, found: Sequence[Window], parts: Sequence[Value], element: str, lanes: int
) -> Value:
    """The vector of `lanes` elements whose lanes lie in the windows loaded as `parts`."""
    nothing = Value("poison", 0)
    whole, done = nothing, set[int]()
    for window, part in zip(found, parts, strict=True):
        spelled = vector(element, window.width)
        if window.width == 1:
            text = f"insertelement <1 x {element}> poison, {element} {part.text}, i64 0"
            part, spelled = ssa.op(text, part.depth), f"<1 x {element}>"
        order = [window.lanes.get(lane) for lane in range(lanes)]
        if done:
            if window.width != lanes:
                same = [at if at < window.width else None for at in range(lanes)]
                part = _shuffle(ssa, spelled, part, nothing, same)
            order = [at if at is None else at + lanes for at in order]
            order = [lane if lane in done else at for lane, at in enumerate(order)]
            whole = _shuffle(ssa, vector(element, lanes), whole, part, order)
        elif order != list(range(window.width)):
            whole = _shuffle(ssa, spelled, part, nothing, order)
        else:
            whole = part
        done |= window.lanes.keys()
    return whole


def group_at(stmts: Sequence[Stmt], start: int) -> list[Store] | None:
    """The stores from `start` on that together fill a run of elements, each with every second
    (fourth, …) one of them; in the order of their first elements."""
    first = stmts[start]
    if not isinstance(first, Store) or not _is_strided(first):
        return None
    ramp = first.indices[0]
    assert isinstance(ramp, Ramp)
    offsets: dict[int, Store] = {}
    for one in stmts[start : start + ramp.stride]:
        if not isinstance(one, Store) or one.buffer is not first.buffer:
            return None
        place = one.indices[0]
        if not isinstance(place, Ramp) or place.values()[1:] != ramp.values()[1:]:
            return None
        gap = terms(simplify(place.base - ramp.base))
        if not gap.keys() <= {()}:
            return None
        offsets[gap.get((), 0)] = one
        if any(isinstance(n, Load) and n.buffer is first.buffer for n in postorder(one.value)):
            return None
    low = min(offsets)
    if sorted(offsets) != list(range(low, low + ramp.stride)):
        return None
    return [offsets[at] for at in sorted(offsets)]


def _is_strided(store: Store) -> bool:
    place = store.indices[0] if len(store.indices) == 1 else None
    if not isinstance(place, Ramp) or store.buffer.scope == "register":
        return False
    steps = place.stride in (2, 4, 8, 16) and place.stride <= place.lanes
    return steps and place.lanes & (place.lanes - 1) == 0 and store.buffer.dtype.name != "bool"


def interleaved(
    ssa: Ssa, parts: Sequence[Value], element: str, lanes: int, nbytes: int
) -> tuple[list[Value], int]:
    """The first lanes of all parts, then the second ones, and so on: as vectors in order, and how
    many lanes each has. Parts and lanes are powers of two."""
    parts = list(parts)
    while len(parts) > 1 and 2 * lanes * nbytes <= SECTION:
        order = [at for lane in range(lanes) for at in (lane, lane + lanes)]
        half, spelled = len(parts) // 2, vector(element, lanes)
        parts = [
            _shuffle(ssa, spelled, *pair, order)
            for pair in zip(parts[:half], parts[half:], strict=True)
        ]
        lanes *= 2
    _Network(ssa, vector(element, lanes), lanes, min(lanes, SECTION // nbytes)).run(parts)
    return parts, lanes


class _Network:
    """Interleaves vectors by steps that each trade a bit of a vector's number for a bit of the
    lane's. A step inside the 16-byte sections of vectors, or of whole sections, is one instruction.

    `numbers` and `places` say which bit of the original (part, lane) stands where at the moment.
    """

    def __init__(self, ssa: Ssa, spelled: str, lanes: int, section: int) -> None:
        self.ssa, self.spelled = ssa, spelled
        self.lanes, self.inside = lanes, section.bit_length() - 1

    def run(self, parts: list[Value]) -> None:
        """Brings the parts into order, in place."""
        count, wide = len(parts).bit_length() - 1, self.lanes.bit_length() - 1
        numbers = [("part", bit) for bit in range(count)]
        places = [("lane", bit) for bit in range(wide)]
        wanted = [*numbers, *places]
        for bit in range(min(count, self.inside)):
            self._zip(parts, bit, numbers.index(("part", bit)), numbers, places)
        for bit in range(self.inside, wide):
            if places[bit] != wanted[bit]:
                if wanted[bit] in places:
                    self._exchange(parts, places.index(wanted[bit]), 0, numbers, places)
                self._exchange(parts, bit, numbers.index(wanted[bit]), numbers, places)
        order = [numbers.index(name) for name in wanted[wide:]]
        before = list(parts)
        for number in range(len(parts)):
            parts[number] = before[sum((number >> k & 1) << at for k, at in enumerate(order))]

    def _zip(
        self, parts: list[Value], low: int, number: int, numbers: list[Bit], places: list[Bit]
    ) -> None:
        """Granules of 2**low lanes of two vectors in turn, section by section."""
        top = self.inside - 1
        below = (1 << low) - 1
        outside = ~((1 << self.inside) - 1)

        def source(lane: int, half: int) -> int:
            place = lane & outside | lane & below | (lane >> 1) & ~below & ((1 << top) - 1)
            return place | half << top | (lane >> low & 1) * self.lanes

        self._pairs(parts, number, source)
        places.insert(low, numbers[number])
        numbers[number] = places.pop(self.inside)

    def _exchange(
        self, parts: list[Value], bit: int, number: int, numbers: list[Bit], places: list[Bit]
    ) -> None:
        """Lanes of two vectors change places where a bit of the lane is not that of the vector."""

        def source(lane: int, half: int) -> int:
            one = lane >> bit & 1
            return (lane & ~(1 << bit) | half << bit) | one * self.lanes

        self._pairs(parts, number, source)
        places[bit], numbers[number] = numbers[number], places[bit]

    def _pairs(self, parts: list[Value], number: int, source: Callable[[int, int], int]) -> None:
        for first in range(len(parts)):
            if not first >> number & 1:
                second = first | 1 << number
                x, y = parts[first], parts[second]
                for half, at in enumerate((first, second)):
                    order = [source(lane, half) for lane in range(self.lanes)]
                    parts[at] = _shuffle(self.ssa, self.spelled, x, y, order)


def _shuffle(ssa: Ssa, spelled: str, a: Value, b: Value, order: Sequence[int | None]) -> Value:
    mask = ", ".join("i32 poison" if at is None else f"i32 {at}" for at in order)
    text = f"shufflevector {spelled} {a.text}, {spelled} {b.text}, <{len(order)} x i32> <{mask}>"
    return ssa.op(text, depth_of(a, b))


def _power(count: int) -> int:
    """The power of two from `count` on."""
    return 1 << (count - 1).bit_length()
