"""Which schedule a group of sums gets: how their vector factors are read, and by what tiles. Both
are decisions; suggested is the first way that fits:

in panels   factors that lie there from the start, as those whose contents are known can; by tiles,
            or as a stream where they are large and serve several tiles of rows, but not many
in place    factors paired with the lanes of the other one, or whose panels stay in the caches
stream      large factors that serve few rows
inner       factors that lie along the summed axis, and serve few rows
panels      all others are copied, those of small numbers for instructions that sum several
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from passes.fuse.panel import ROWS
from passes.ir.arith import simplify
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.choose import choose, choose_whether
from passes.search.defaults.contraction.dots import Dot, dot_of
from passes.search.defaults.contraction.extents import Extents, divisor, extents_of
from passes.search.defaults.contraction.inner import schedule_inner
from passes.search.defaults.contraction.nests import Axis, Nest, Nests, cut
from passes.search.defaults.contraction.panels import (
    beside,
    can_fold,
    fold_into_panels,
    into_panels,
)
from passes.search.defaults.contraction.roles import Roles
from passes.search.defaults.contraction.stream import Stream, schedule_stream
from passes.search.defaults.contraction.tile import (
    MOST_ROWS,
    Tile,
    Work,
    best_tile,
    chosen_tile,
)
from passes.search.defaults.contraction.tiles import Order, schedule_tiles
from passes.search.defaults.target import Target

_FEW_ROWS = 256
"""So many rows use an element of the vector factor often enough to pay for copying it."""
_STEPS, _FEWEST_STEPS = 64, 16  # along k that a streamed factor's block has
_NARROW = 3  # vectors that are read at a time of a row streamed past very few rows
_CHUNKS, _THREADS = 8, (2, 4, 8)
_PANEL_STEPS = 256  # along k that a block of panels has which come from memory
_STREAMS = 4  # panels side by side that are read from memory, each along one of its own
_INNER = 4  # rows and columns of a tile whose lanes run along k: as many streams from memory
_INNER_ROWS = 32
_INNER_STEPS = 8  # vectors along k, at least: their lanes are to be summed after that


def schedule_group(
    s: Schedule, nests: Nests, sums: Sequence[Roles], target: Target, constants: Collection[int]
) -> None:
    """Schedules sums of products, and the block that ends them, last of the nests; `constants` are
    the parameters, by number, that may be laid out anew."""
    group = _Group(s, nests, tuple(sums), target, extents_of(s, nests, sums[0]))
    plain = group.dot is None and all(one.in_place for one in sums)
    fits = {
        group.fold: all(can_fold(s, one, constants) for one in sums),
        group.in_panels: all(one.in_panels for one in sums),
        group.inner: group.lies_along_k,
        group.in_place: plain,
        group.stream: group.dot is None and group.can_stream,
        group.panels: True,
    }
    ways = [number for number, fitting in enumerate(fits.values()) if fitting]
    if fits[group.in_panels]:
        ways = ways[:1]  # decoded, or where other kernels want them: read as they lie
    passed_over = group.in_place if not group.stays_near else None
    best = next(n for n in ways if list(fits)[n] != passed_over)
    list(fits)[choose(s, f"{group.label}: factors", ways, best)]()


@dataclass(frozen=True)
class _Group:
    s: Schedule
    nests: Nests
    sums: tuple[Roles, ...]
    target: Target
    extents: Extents

    @cached_property
    def dot(self) -> Dot | None:
        """The instruction that does all the sums, if not multiply-adds."""
        columns = self.extents.columns
        whole = columns is not None and columns % self.target.lanes == 0 and not self.lies_along_k
        return self._dot(whole)

    def _dot(self, whole: bool) -> Dot | None:
        blocks = [get_block(self.s.function, one.label, "choice") for one in self.sums]
        pairs = zip(blocks, self.sums, strict=True)
        found = {dot_of(block, one, self.target, whole) for block, one in pairs}
        return found.pop() if len(found) == 1 else None

    @cached_property
    def work(self) -> Work:
        x, even = self.extents, self.dot is not None and self.dot.whole
        return Work(x.row, x.columns, x.steps, len(self.sums), self.sums[0].paired, even)

    @property
    def label(self) -> str:
        """What its decisions are named by."""
        return self.sums[0].label

    @cached_property
    def tile(self) -> Tile:
        return chosen_tile(self.s, self.label, self.target, self.work)

    @cached_property
    def order(self) -> Order:
        """Small factors stay in the second cache while all columns are done for some rows; of
        others a panel does while all rows are."""
        x = self.extents
        rows, columns = x.every_row, (*x.outer, x.lanes)
        small = all((one.nbytes or self.target.l2_bytes) <= self.target.l2_bytes // 2
                    for one in self.sums)  # fmt: skip
        rows_first = bool(rows) and choose_whether(self.s, f"{self.label}: rows outside", small)
        return Order((*rows, *columns) if rows_first else (*columns, *rows), x.tiled, x.lanes)

    @property
    def width(self) -> int:
        return self.tile.vectors * self.target.lanes

    # In panels

    def fold(self) -> None:
        """As many neighbours along k lie side by side as an instruction of any target sums."""
        dot = self._dot(whole=False)
        for one in self.sums:
            fold_into_panels(self.s, one, 1 if dot is None else dot.count)
        self.in_panels()

    def in_panels(self) -> None:
        """Panels are read side by side, each a stream from memory; those of packed numbers once,
        for all rows. Such are decoded for each instruction, or before, where more rows follow."""
        s, x, target = self.s, self.extents, self.target
        nests, copies = self.nests, tuple[Nest, ...]()
        panel = max(1, ROWS // target.lanes)
        order = replace(self.order, dot=self._dot(whole=False))
        work = replace(self.work, even=False, most=_STREAMS * panel)
        decoded = [one for one in self.sums if one.decoded]
        parts = any(nest.partial for nest in nests)
        if decoded or parts:
            order = replace(order, axes=(*x.outer, x.lanes), serial=x.every_row)
            work = replace(work, most=self._decoded_at_once * panel, unit=panel)
        if parts:
            work = replace(work, most=panel, sums=2)
        tile = chosen_tile(s, self.label, target, work)
        if order.dot is not None:
            staged = {one.label: one.vector for one in decoded}
            nests = tuple([replace(nest, staged=staged.get(nest.label)) for nest in nests])
        elif x.rows is None or x.rows > tile.rows:
            copies = tuple([beside(s, one, x.lanes) for one in decoded])
        if not decoded and not parts and order.dot is None and self._streams_panels(tile):
            self._stream_panels(order, tile)
        else:
            schedule_tiles(s, (*copies, *nests), len(copies), order, tile, target)

    def _streams_panels(self, tile: Tile) -> bool:
        """Whether panels come from memory, for so few tiles of rows that the first of them waits
        for it while later ones leave it idle; or for any number."""
        x = self.extents
        nbytes = sum([one.nbytes or 0 for one in self.sums])
        if nbytes <= self.target.shared_bytes or x.steps is None or not x.plain:
            return False
        if x.rows is None:
            return x.tiled is not None and x.row is None
        return tile.rows < x.rows <= _FEW_ROWS

    def _stream_panels(self, order: Order, tile: Tile) -> None:
        """Of a number of rows that is not known, whole blocks, and what is less than a tile, are
        done by tiles."""
        s, x, nests = self.s, self.extents, self.nests
        width = tile.vectors * self.target.lanes
        stream = Stream(self._block(_PANEL_STEPS), tile.rows, width, 1)
        if x.rows is not None:
            schedule_stream(s, nests, x.lanes, x.tiled, stream, self.target)
            return
        block = _FEW_ROWS // tile.rows * tile.rows
        blocks, nests = self._heads(nests, block)
        tiles, left = self._heads(nests, tile.rows)
        schedule_tiles(s, blocks, 0, order, tile, self.target)
        schedule_stream(s, tiles, x.lanes, x.tiled, stream, self.target)
        together = replace(order, axes=(*x.outer, x.lanes), serial=x.every_row)
        schedule_tiles(s, left, 0, together, tile, self.target)

    def _heads(self, nests: Nests, count: int) -> tuple[Nests, Nests]:
        """The nests for as many rows as are a multiple of `count`, and for those left."""
        row = self.extents.tiled
        assert row is not None
        rows = nests[-1].extent(self.s, row)
        return cut(self.s, nests, row, simplify(rows // count * count))

    @property
    def _decoded_at_once(self) -> int:
        """How many panels, as floats, stay in the second cache."""
        panel = ROWS * 4 * (self.extents.steps or self.target.l2_bytes)
        return max(1, min(_STREAMS, self.target.l2_bytes // 4 // panel))

    # In place

    def in_place(self) -> None:
        schedule_tiles(self.s, self.nests, 0, self.order, self.tile, self.target)

    @property
    def stays_near(self) -> bool:
        """Whether the factors can be read in place, again and again: what a tile needs of them
        stays in the second cache, all of them in the one behind."""
        return all(one.in_place and (one.paired or self._is_near(one)) for one in self.sums)

    def _is_near(self, one: Roles) -> bool:
        x, target = self.extents, self.target
        if one.nbytes is None or x.steps is None or one.nbytes > target.shared_bytes:
            return False
        often = x.rows is not None and x.rows > 2 * _FEW_ROWS and one.nbytes > target.l1d_bytes
        panel = best_tile(target, self.work).vectors * target.vector_bits // 8 * x.steps
        least = one.apart * x.steps  # a smaller cache cannot hold a line of each step
        return panel <= target.l2_bytes // 4 and least <= target.l2_bytes and not often

    # Lanes along k

    @cached_property
    def lies_along_k(self) -> bool:
        x, target = self.extents, self.target
        few = x.rows is not None and x.rows <= _INNER_ROWS
        along = all(one.inner and not one.decoded for one in self.sums)
        if not few or not along or x.last is None or x.rows is None:
            return False
        dot = self._dot(whole=False)
        step = target.lanes * (1 if dot is None else dot.count)
        fits = x.last % step == 0 and x.last // step >= _INNER_STEPS
        small = all((one.nbytes or 0) >= target.l1d_bytes for one in self.sums)
        return fits and small and x.rows * x.last * 4 <= target.l2_bytes

    def inner(self) -> None:
        x = self.extents
        tile: dict[Axis, int] = {x.lanes: _INNER}
        if x.tiled is not None:
            tile = {x.tiled: min(_INNER, x.row or _INNER), x.lanes: _INNER}
        rows = () if x.tiled is None else (x.tiled,)
        axes = (*x.outer, x.lanes, *x.others, *rows)
        schedule_inner(self.s, self.nests, axes, tile, self._dot(whole=False), self.target)

    # Copied into panels

    def panels(self) -> None:
        count = 1 if self.dot is None else self.dot.count
        copied = [one for one in self.sums if not one.paired and not self._serves_few(one)]
        panels = [into_panels(self.s, one, self.width, count) for one in copied]
        if self._pays_to_turn:
            across = [one.turned() for one in self.sums if one.across]
            panels += [into_panels(self.s, one, self.tile.rows) for one in across]
        order = replace(self.order, dot=self.dot)
        schedule_tiles(self.s, self.nests, 0, order, self.tile, self.target)
        for copy in panels:
            copy.finish(self.s, self.target)

    @property
    def _pays_to_turn(self) -> bool:
        """Whether each row of the other factor serves several panels, and many steps."""
        rows, columns = self.extents.rows, self.extents.columns
        few = rows is not None and rows <= 2 * self.tile.rows
        return not few and self.dot is None and (columns is None or columns > 2 * self.width)

    def _serves_few(self, one: Roles) -> bool:
        rows = self.extents.rows
        few = rows is not None and rows <= 2 * self.tile.rows
        return few and one.in_place and self.dot is None

    # Streamed

    @property
    def can_stream(self) -> bool:
        x = self.extents
        if x.steps is None or x.last is None or x.columns is None:
            return False
        if x.rows is None and (x.tiled is None or x.row is not None):
            return False
        few = x.rows is None or x.rows <= _FEW_ROWS
        long = x.steps // x.last * self._block(_STEPS) >= _FEWEST_STEPS
        return few and long and x.plain and all(one.in_place for one in self.sums)

    def stream(self) -> None:
        """Whole blocks of rows, if their number is not known, are done by tiles before."""
        rest = self.nests if self.extents.rows is not None else self._blocks_of_rows()
        self._stream(rest)

    def _blocks_of_rows(self) -> Nests:
        """Tiles blocks of rows with copies of the factors; gives the nests of the rows left."""
        s = self.s
        block = _FEW_ROWS // self.tile.rows * self.tile.rows
        heads, rest = self._heads(self.nests, block)
        copies = [beside(s, one, self.extents.lanes) for one in self.sums]
        order = replace(self.order, block=block)
        schedule_tiles(s, (*copies, *heads), len(copies), order, self.tile, self.target)
        return rest

    def _stream(self, nests: Nests) -> None:
        """With few steps at a time past very few rows, so that each row of the factor is read in
        long runs, else with more, so that sums stay in registers for long."""
        s, x, target = self.s, self.extents, self.target
        assert x.columns is not None
        tile = chosen_tile(s, self.label, target, replace(self.work, steps=_STEPS))
        width = tile.vectors * target.lanes
        narrow = divisor(-(-x.columns // target.lanes), _NARROW) * target.lanes
        apart = x.others if self._rows_apart(width) else ()
        many = Stream(self._block(_STEPS), tile.rows, width, _tiles(x.columns, width, 8), apart)
        tall = x.row if x.row is not None else max(1, tile.rows // 2)
        few = Stream(self._block(8), tall, narrow, _tiles(x.columns, narrow, 42), apart)
        if x.tiled is not None and x.row is None:
            heads, nests = self._heads(nests, tile.rows)
            schedule_stream(s, heads, x.lanes, x.tiled, many, target)
        chosen = many if x.rows is not None and x.rows >= MOST_ROWS else few
        schedule_stream(s, nests, x.lanes, x.tiled, chosen, target)

    def _block(self, most: int) -> int:
        """Steps along the last summed axis for a block of about so many in all."""
        x = self.extents
        assert x.steps is not None and x.last is not None
        others = x.steps // x.last
        return divisor(x.last, max(1, 2 * most // others if others > 1 else most))

    def _rows_apart(self, width: int) -> bool:
        """Whether to share rows among threads, too: columns alone are few, and reading the factor
        again for other rows is cheap."""
        x, target = self.extents, self.target
        near = all((one.nbytes or 0) <= target.shared_bytes for one in self.sums)
        few = x.columns is not None and x.columns < 2 * _CHUNKS * width
        return near and few and x.row is not None and x.row > MOST_ROWS


def _tiles(columns: int, width: int, most: int) -> int:
    """How many tiles side by side make a chunk, of at most so many: those that any number of
    threads share best, with the tiles that chunks leave."""
    count = columns // width
    most = max(1, min(most, count // _CHUNKS))

    def time(tiles: int) -> int:
        chunks, left = divmod(count, tiles)
        return sum([n * (-(-chunks // n) * tiles + -(-left // n)) for n in _THREADS])

    return min(range(most, most // 2, -1), key=time)
