"""Bytes that cross from one level of memory to the next, and what comes back before it is lost.

A cache holds what the innermost loops touch that fit into it: the next loop outside them finds
there, again, what it does not move. All other data comes in anew for each iteration further out.

    for i, for j: y[i, j] += a[i, k]*b[k, j], for k     if j, k fit: b comes once, a once, y once
                                                        if k fits:   b comes once for each i

(Least recently used lines leave first; conflicts of sets are counted apart.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from passes.search.defaults.target import Target
from passes.search.features.digits import shares
from passes.search.features.footprints import LINE, Region, Touched
from passes.search.features.rows import Row
from passes.search.features.steps import stride_along
from passes.search.features.sums import Loop
from passes.search.features.tape import (
    Number,
    Sym,
    at_most,
    ceildiv,
    choose,
    common,
    least,
    most,
    times,
)

# First level caches are indexed by the place in a page, so that this is bytes of one way
_WAY = 4096
Regions = Callable[[Touched], Sequence[Region]]


class Nest:
    """What a row touches at each level of its loops, with all its buffers. `first` is the level
    inside all parallel loops."""

    def __init__(self, row: Row, touched: Sequence[Touched], target: Target, threads: int) -> None:
        self.row, self.target = row, target
        self.touched = [t for t in touched if not t.layout.in_registers]
        levels = range(len(row.loops) + 1)
        self.outer = [times(row.trips[:depth]) for depth in levels]
        parallel = [k for k, loop in enumerate(row.loops) if loop.kind == "parallel"]
        self.first = parallel[-1] + 1 if parallel else 0
        pairs = zip(row.loops, shares(row, threads), strict=True)
        parts = [1 if share is loop.extent else loop.extent / share for loop, share in pairs]
        self.begun = [self.outer[depth] * times(parts[depth:]) for depth in levels]
        self.workers = least(times([row.loops[k].extent for k in parallel]), threads)
        self.own = [self._bytes(lambda t: t.own, depth) for depth in levels]
        self.whole = [self._bytes(lambda t: t.whole, depth) for depth in levels]

    def _bytes(self, regions: Regions, depth: int) -> Number:
        whole: Number = 0
        for touched in self.touched:
            whole = whole + regions(touched)[depth].lines * LINE
        return whole

    def private_traffic(self, capacity: int) -> dict[Touched, Number]:
        """Bytes of each buffer that all threads bring into a cache of their own."""
        fits = [at_most(size, capacity) for size in self.own]
        found = {}
        for t in self.touched:
            brought = [t.own[d].lines * LINE * self.begun[d] for d in self._outside()]
            found[t] = self._traffic(fits, brought)
        return found

    def shared_traffic(self, capacity: int) -> dict[Touched, Number]:
        """Bytes of each buffer that come into a cache that all threads share."""
        sizes = [
            own * self.workers if depth >= self.first else whole
            for depth, (own, whole) in enumerate(zip(self.own, self.whole, strict=True))
        ]
        fits = [at_most(size, capacity) for size in sizes]
        found = {}
        for t in self.touched:
            brought = [t.whole[d].lines * LINE * self.outer[d] for d in self._outside()]
            found[t] = self._traffic(fits, brought)
        return found

    def _outside(self) -> range:
        return range(max(1, len(self.row.loops)))

    def _traffic(self, fits: Sequence[Number], brought: Sequence[Number]) -> Number:
        """What comes in from just outside the outermost level that fits."""
        found = brought[-1]
        for depth in range(len(brought) - 1, -1, -1):
            found = choose(fits[depth], brought[max(0, depth - 1)], found)
        return found


@dataclass(frozen=True)
class Reuse:
    """When an element is accessed again: after so many `steps` (iterations inside), with so many
    `bytes` touched in between, and how often. `by_loop`: the same statement does so."""

    by_loop: bool
    steps: Number
    bytes: Number
    times: Number


def loop_reuse(nest: Nest, touched: Touched) -> Reuse | None:
    """The innermost loop that does not move a buffer, if there is one."""
    loops = nest.row.loops
    moving = frozenset[Loop]().union(*[access.loops for access in touched.accesses])
    for depth in range(len(loops) - 1, -1, -1):
        if loops[depth] not in moving:
            inside = times(nest.row.trips[depth + 1 :])
            return Reuse(True, inside, nest.own[depth + 1], nest.row.trips[depth])
    return None


def serial_reuse(nest: Nest, others: Sequence[Nest]) -> Reuse | None:
    """By the statement, of `others` that access a buffer, that has most loops around it and this
    one."""
    mine = nest.row.nest
    found: tuple[int, Nest] | None = None
    for other in others:
        if other is not nest:
            depth = _common(mine, other.row.nest)
            if found is None or depth > found[0]:
                found = depth, other
    if found is None:
        return None
    depth, other = found
    at, to = _level(nest.row, mine[:depth]), _level(other.row, mine[:depth])
    steps = times(nest.row.trips[at:])
    return Reuse(False, steps, nest.own[at] + other.own[to], 1)


def _common(a: Sequence[Loop], b: Sequence[Loop]) -> int:
    """How many loops are around both."""
    depth = 0
    for one, other in zip(a, b, strict=False):
        if one is not other:
            break
        depth += 1
    return depth


def _level(row: Row, around: Sequence[Loop]) -> int:
    """The number of the first loop of a row that is not among those around."""
    return sum([(loop.origin or loop) in around for loop in row.loops])


def conflicts(nest: Nest, touched: Touched) -> Number:
    """How many rows of a tile meet in a set of the first level cache: the rows that a loop inside
    the parallel one goes through, of the loop where they are most."""
    access, layout = touched.accesses[0], touched.layout
    found: Number = 1
    for loop in nest.row.loops[nest.first :]:
        stride = stride_along(access, layout, loop)
        if stride is None or (isinstance(stride, int) and not stride):
            continue
        distance = stride if isinstance(stride, Sym) else abs(stride)
        apart = ceildiv(loop.extent, _WAY // common(distance, _WAY))
        found = most(found, choose(at_most(LINE, distance), apart, 1))
    return found
