"""How much of a buffer a store touches while the inner loops around it run, for each loop.

    y[i*8 + j], i < 4, j < 8      all loops: 32 elements, 2 lines      j alone: 8 elements, 1 line

A place is taken to be touched if it lies in the box around the indices, and to be one of as many
as the loops can tell apart. Of a buffer that has lines, those are counted from the start of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.loop.nodes import Buffer
from passes.search.features.allocations import Layout
from passes.search.features.digits import shares
from passes.search.features.rows import Access, Row, runs_of
from passes.search.features.sums import Loop, Sum, different, spread
from passes.search.features.tape import Number, ceildiv, least, most, times

LINE = 64
"""Bytes of a cache line."""


@dataclass(frozen=True)
class Region:
    """Different elements, and the cache lines that they lie in."""

    elements: Number
    lines: Number


@dataclass(eq=False)
class Touched:
    """A buffer that a store accesses. `own[d]` is what a thread touches of it while the loops from
    number `d` inwards run (its share of the parallel one), `whole[d]` what all threads do."""

    layout: Layout
    accesses: tuple[Access, ...]
    own: tuple[Region, ...]
    whole: tuple[Region, ...]

    @property
    def bytes_each(self) -> int:
        """Bytes accessed by one instance."""
        return sum([a.lanes for a in self.accesses]) * self.layout.buffer.dtype.bytes

    @property
    def is_read(self) -> bool:
        return not all(access.is_store for access in self.accesses)

    @property
    def is_written(self) -> bool:
        return any(access.is_store for access in self.accesses)


def touched_by(row: Row, layouts: Mapping[Buffer, Layout], threads: int) -> list[Touched]:
    """The buffers that a row accesses, in the order in which it speaks of them."""
    buffers: dict[Buffer, list[Access]] = {}
    for access in row.accesses:
        buffers.setdefault(access.buffer, []).append(access)
    extents = [loop.extent for loop in row.loops]
    share = shares(row, threads)
    runs = None
    if row.trips != tuple(extents) or row.filled != 1:
        runs = [runs_of(row, depth) for depth in range(len(extents) + 1)]
    found = []
    for buffer, accesses in buffers.items():
        layout = layouts[buffer]
        groups = _groups(accesses)
        own = _regions(groups, layout, row.loops, share)
        whole = own
        if share != extents and not layout.is_private:
            whole = _regions(groups, layout, row.loops, extents)
        if runs is not None:
            lanes = sum([access.lanes for access in accesses])
            own, whole = (_run(r, runs, lanes) for r in (own, whole))
        found.append(Touched(layout, tuple(accesses), own, whole))
    return found


def _run(regions: Sequence[Region], runs: Sequence[Number], lanes: int) -> tuple[Region, ...]:
    """Regions of no more elements than instances access that conditions let run."""
    pairs = zip(regions, runs, strict=True)
    return tuple(
        [Region(least(r.elements, n * lanes), least(r.lines, n * lanes)) for r, n in pairs]
    )


def _groups(accesses: Sequence[Access]) -> list[list[Access]]:
    """Accesses whose indices differ by constants, together."""
    groups: dict[object, list[Access]] = {}
    for access in accesses:
        key = tuple([tuple(i.terms.items()) for i in access.indices])
        groups.setdefault(key, []).append(access)
    return list(groups.values())


def _regions(
    groups: Sequence[Sequence[Access]],
    layout: Layout,
    loops: Sequence[Loop],
    extents: Sequence[Number],
) -> tuple[Region, ...]:
    """The regions of the accesses together, for each number of loops that stand still."""
    parts = [_of_group(group, layout, loops, extents) for group in groups]
    if len(parts) == 1:
        return tuple(parts[0])
    most_lines = ceildiv(layout.bytes, LINE)
    return tuple(
        [
            Region(
                least(sum([r.elements for r in level], start=0), layout.elements),
                least(sum([r.lines for r in level], start=0), most_lines),
            )
            for level in zip(*parts, strict=True)
        ]
    )


def _of_group(
    group: Sequence[Access], layout: Layout, loops: Sequence[Loop], extents: Sequence[Number]
) -> list[Region]:
    axes = [
        _along(
            group[0].indices[axis],
            [access.indices[axis].constant for access in group],
            whole,
            loops,
            extents,
        )
        for axis, whole in enumerate(layout.shape)
    ]
    nbytes = layout.buffer.dtype.bytes
    found: list[Region] = []
    before: list[tuple[Number, Number]] | None = None
    for depth in range(len(loops) + 1):
        level = [along[depth] for along in axes]
        found.append(found[-1] if level == before else _region(level, layout, nbytes))
        before = level
    return found


def _region(level: Sequence[tuple[Number, Number]], layout: Layout, nbytes: int) -> Region:
    elements = times([count for _, count in level])
    if layout.in_registers:
        return Region(elements, 0)
    lines: Number = 1
    reach: Number = 1
    for (span, count), stride in zip(reversed(level), reversed(layout.strides), strict=True):
        reach = reach + (span - 1) * stride
        lines = least(lines * count, ceildiv(reach * nbytes, LINE))
    return Region(elements, lines)


def _along(
    place: Sum,
    constants: Sequence[Number],
    whole: Number,
    loops: Sequence[Loop],
    extents: Sequence[Number],
) -> list[tuple[Number, Number]]:
    """(reach, places) along an axis, for each number of loops that stand still."""
    moving = {loop: loop.extent for loop in place.loops if loop.kind == "lanes"}
    offset: Number = 0
    copies = len(set(constants))
    if copies > 1:
        low = high = constants[0]
        for constant in constants[1:]:
            low, high = least(low, constant), most(high, constant)
        offset = high - low
    found = [_reach(place, moving, offset, copies, whole)]
    for loop, extent in zip(reversed(loops), reversed(extents), strict=True):
        if loop in place.loops:
            moving[loop] = extent
            found.append(_reach(place, moving, offset, copies, whole))
        else:
            found.append(found[-1])
    return found[::-1]


def _reach(
    place: Sum, moving: Mapping[Loop, Number], offset: Number, copies: int, whole: Number
) -> tuple[Number, Number]:
    far = spread(place, moving)
    span = whole if far is None else least(far + offset + 1, whole)
    return span, least(different(place, moving) * copies, span)
