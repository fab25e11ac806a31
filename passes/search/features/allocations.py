"""What a thread keeps of its private temporaries: what an iteration of the loops around their
uses touches.

    t: f32[n, 64] local, stored and read at [i, j], j < 64, inside a parallel loop i   →   [1, 64]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.loop.nodes import IN_REGISTERS, Buffer
from passes.search.features.forms import Forms
from passes.search.features.rows import Access, Row
from passes.search.features.sums import Loop, spread
from passes.search.features.tape import Number, least, most, times


@dataclass(frozen=True)
class Layout:
    """The extents of a buffer and the distance of neighbours along each axis, in elements. A
    private buffer lives inside the loops `around`."""

    buffer: Buffer
    shape: tuple[Number, ...]
    strides: tuple[Number, ...]
    around: tuple[Loop, ...] = ()

    @property
    def elements(self) -> Number:
        return times(self.shape)

    @property
    def bytes(self) -> Number:
        return self.elements * self.buffer.dtype.bytes

    @property
    def is_private(self) -> bool:
        return self.buffer.scope != "global"

    @property
    def in_registers(self) -> bool:
        return self.buffer.scope in IN_REGISTERS


def layouts_of(rows: Sequence[Row], forms: Forms) -> dict[Buffer, Layout]:
    """The layouts of all buffers that rows access."""
    uses: dict[Buffer, list[tuple[Row, Access]]] = {}
    for row in rows:
        for access in row.accesses:
            uses.setdefault(access.buffer, []).append((row, access))
    return {buffer: _layout(buffer, found, forms) for buffer, found in uses.items()}


def _layout(buffer: Buffer, uses: list[tuple[Row, Access]], forms: Forms) -> Layout:
    shape = tuple([forms.of(extent).constant for extent in buffer.shape])
    if buffer.scope == "global":
        given = buffer.strides
        strides = _row_major(shape) if given is None else [forms.of(s).constant for s in given]
        return Layout(buffer, shape, tuple(strides))
    around = _around(uses)
    found = [_extent(axis, whole, uses, len(around)) for axis, whole in enumerate(shape)]
    return Layout(buffer, tuple(found), tuple(_row_major(found)), around)


def _row_major(shape: Sequence[Number]) -> list[Number]:
    return [times(shape[axis + 1 :]) for axis in range(len(shape))]


def _around(uses: Sequence[tuple[Row, Access]]) -> tuple[Loop, ...]:
    """The loops around all uses that leave nothing in the buffer for another iteration."""
    nests = [row.nest for row, _ in uses]
    depth = 0
    for level in zip(*nests, strict=False):
        if any(loop is not level[0] for loop in level) or level[0].kind == "vectorized":
            break
        depth += 1
    first = nests[0]
    if all(len(nest) > depth for nest in nests) and len({nest[depth] for nest in nests}) > 1:
        return first[:depth]  # what comes first fills it
    # One statement: iterations that stay at an element add to it
    moving = frozenset[Loop]().union(*[access.loops for _, access in uses])
    while depth and not all(loop in moving or loop.kind == "parallel" for loop in first[:depth]):
        depth -= 1
    return first[:depth]


def _extent(axis: int, whole: Number, uses: Sequence[tuple[Row, Access]], depth: int) -> Number:
    """How far the uses reach along an axis while all but the first `depth` loops run."""
    low: Number | None = None
    high: Number = 0
    for row, access in uses:
        place = access.indices[axis]
        inside = {loop: loop.extent for loop in place.loops if loop not in row.nest[:depth]}
        reach = spread(place, inside)
        if reach is None:
            return whole
        first, last = place.constant, place.constant + reach
        low, high = (first, last) if low is None else (least(low, first), most(high, last))
    return whole if low is None else least(high - low + 1, whole)
