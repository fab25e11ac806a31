"""What a processor does in a step: an iteration of the innermost loop that is neither vectorized
nor unrolled inside all others.

    for k in range(128):                        8 + 8*3 loads, 24 products and sums a step,
        for i in unrolled(8):                   24 accumulators: rows 8, columns 3
            for j in unrolled(3):
                for l in vectorized(16):
                    y[i, j*16 + l] += a[i, k]*b[k, j*16 + l]

What does not depend on an unrolled loop is done once for all its iterations; what is loaded or
stored at the same place step after step stays in a register meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.loop.nodes import Buffer
from passes.search.features.allocations import Layout
from passes.search.features.operations import Operation
from passes.search.features.rows import Access, Row
from passes.search.features.sums import Loop, Sum, spread
from passes.search.features.tape import Number, Sym, ceildiv, least, most, times


@dataclass(eq=False)
class Lanes:
    """How an access moves along the vectorized loop: by `stride` bytes (None: not evenly)."""

    access: Access
    stride: Number | None
    size: int

    @property
    def kind(self) -> str:
        """`contiguous`, `broadcast` or `strided`."""
        if self.stride == 0:
            return "broadcast"
        return "contiguous" if self.stride == self.size else "strided"


class Step:
    """The steps of a row on a target with vectors of so many bits."""

    def __init__(self, row: Row, layouts: Mapping[Buffer, Layout], vector_bits: int) -> None:
        self.row, self.layouts, self.vector_bits = row, layouts, vector_bits
        counted = [k for k, loop in enumerate(row.loops) if is_counted(loop)]
        self.last = counted[-1] if counted else -1
        self.counted = [row.loops[k] for k in counted]
        self.trips = [row.trips[k] for k in counted]
        self.vectors = [loop for loop in row.loops if loop.kind == "vectorized"]
        self.unrolled = [loop for loop in row.loops[self.last + 1 :] if loop.kind == "unrolled"]
        pairs = zip(row.loops, row.trips, strict=True)
        within = (*self.vectors, *self.unrolled)
        self.number: Number = times([trips for loop, trips in pairs if loop not in within])
        self.width = times([loop.extent for loop in self.vectors])
        self.loads = [self._lanes(access) for access in row.loads.values()]
        self.stores = [self._lanes(access) for access in row.stores]

    def instructions(self, operation: Operation, *, written: bool = False) -> Number:
        """Vector instructions of an operation in a step; `written`: in the program's code."""
        whole = self._copies(operation.loops, written)
        return whole * self._pieces(operation.loops, operation.lanes * operation.bits)

    def accesses(self, found: Iterable[Lanes], kind: str) -> Number:
        """Instructions in a step that load (store) so along lanes; memory only."""
        whole: Number = 0
        for one in found:
            if not self.is_register(one) and self._kind(one) == kind:
                whole = whole + self.of_access(one) / self._kept(one.access)
        return whole

    def of_access(self, one: Lanes, *, written: bool = False) -> Number:
        """Instructions for one access, were nothing kept from step to step."""
        copies = self._copies(one.access.loops, written)
        match self._kind(one):
            case "broadcast":
                return copies
            case "strided":
                return copies * self.width
        return copies * self._pieces(one.access.loops, one.size * 8)

    def bytes(self) -> Number:
        """Bytes that loads and stores move in a step."""
        whole: Number = 0
        for one in (*self.loads, *self.stores):
            if not self.is_register(one):
                moved = [loop.extent for loop in self.vectors if loop in one.access.loops]
                count = self._copies(one.access.loops) * times(moved)
                whole = whole + count * one.size / self._kept(one.access)
        return whole

    def tile(self) -> tuple[Number, Number]:
        """(rows, columns) of the vectors that a step stores to."""
        target = self.row.stores[0]
        axes = [i for i in target.indices if any(v in i.loops for v in self.vectors)]
        beside = frozenset[Loop]().union(*[i.loops for i in axes])
        mine = [loop for loop in self.unrolled if loop in target.loops]
        rows = times([loop.extent for loop in mine if loop not in beside])
        columns = times([loop.extent for loop in mine if loop in beside])
        size = self.stores[0].size
        return rows, columns * (self._pieces(target.loops, size * 8) if axes else 1)

    def registers(self) -> Number:
        """Vector registers that hold accumulators, vectors used more than once, and one of the
        others."""
        rows, columns = self.tile()
        stays = self.is_register(self.stores[0]) or (
            self.last >= 0 and self.row.loops[self.last] not in self.row.stores[0].loops
        )
        whole: Number = rows * columns if stays else 1
        single = 0
        for one in self.loads:
            if self.is_register(one) or one.access.buffer is self.row.stores[0].buffer:
                continue
            again = [loop for loop in self.unrolled if loop not in one.access.loops]
            if again and self._kind(one) != "broadcast":
                whole = whole + self.of_access(one)
            else:
                single = 1
        return whole + single

    def layouts_at_hand(self) -> list[Layout]:
        """The layouts of the buffers that are accessed."""
        return [self.layouts[one.access.buffer] for one in (*self.loads, *self.stores)]

    def _copies(self, loops: frozenset[Loop], written: bool = False) -> Number:
        """How often it is written out for the unrolled loops; in all of the code, or in a step."""
        among: Sequence[Loop] = self.unrolled
        if written:
            among = [loop for loop in self.row.loops if loop.kind == "unrolled"]
        return times([loop.extent for loop in among if loop in loops])

    def _pieces(self, loops: frozenset[Loop], bits: int) -> Number:
        """Vectors of the target for what all lanes have to do, each with so many bits."""
        width = times([loop.extent for loop in self.vectors if loop in loops])
        return ceildiv(width * bits, self.vector_bits)

    def _kept(self, access: Access) -> Number:
        """How many steps in a row are at the same place."""
        again: Number = 1
        for loop, trips in zip(reversed(self.counted), reversed(self.trips), strict=True):
            if loop in access.loops or loop.kind != "serial":
                break
            again = again * most(trips, 1)
        return again

    def _kind(self, one: Lanes) -> str:
        """That of the lanes; without a vectorized loop, all is contiguous."""
        return one.kind if self.vectors else "contiguous"

    def is_register(self, one: Lanes) -> bool:
        """Whether an access needs no instruction."""
        return self.layouts[one.access.buffer].in_registers

    def _lanes(self, access: Access) -> Lanes:
        layout = self.layouts[access.buffer]
        size = access.lanes * layout.buffer.dtype.bytes
        stride = stride_along(access, layout, self.vectors[-1]) if self.vectors else 0
        return Lanes(access, stride, size)


def stride_along(access: Access, layout: Layout, loop: Loop) -> Number | None:
    """Bytes from one iteration of a loop to the next; None if that is not the same each time."""
    stride: Number = 0
    for index, step in zip(access.indices, layout.strides, strict=True):
        if loop in index.loops:
            moved = step_along(index, loop)
            if moved is None:
                return None
            stride = stride + moved * step
    return stride * layout.buffer.dtype.bytes


def is_counted(loop: Loop) -> bool:
    """Whether its iterations are counted at run time."""
    return loop.kind not in ("vectorized", "unrolled")


def step_along(a: Sum, loop: Loop) -> Number | None:
    """What one more iteration of a loop adds; None if that is not the same each time. Limits of an
    index (it is clamped to a buffer) are taken to be met seldom."""
    whole: Number = 0
    for atom, multiple in a.terms.items():
        if loop not in atom.loops:
            continue
        if atom.rule == "loop":
            whole = whole + multiple
            continue
        if atom.rule in ("min", "max"):
            parts = [step_along(part, loop) for part in atom.parts if loop in part.loops]
            if len(parts) > 1 or parts[0] is None:
                return None
            whole = whole + parts[0] * multiple
            continue
        moved = spread(atom.parts[0], {loop: loop.extent}) if atom.rule in ("%", "//") else None
        if moved is None or isinstance(moved, Sym) or isinstance(atom.divisor, Sym):
            return None
        inside = step_along(atom.parts[0], loop)
        if inside is None or least(moved, atom.divisor - 1) != moved or atom.rule == "//":
            return None
        whole = whole + inside * multiple
    return whole
