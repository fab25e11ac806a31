"""How many rows and vectors of the result a tile holds in registers: a decision, of which a model
suggests one.

One step along the summed axes of a tile of `rows` × `vectors` takes that many multiply-adds, one
load a vector of the one factor and one broadcast load a row of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from passes.schedule.schedule import Schedule
from passes.search.defaults.choose import choose
from passes.search.defaults.target import Target

MOST_ROWS = 8
"""More rows may lie a power of two apart, and meet in too few sets of the first cache."""
_TALLEST = 14  # rows that may be tried all the same
_LATENCY = 4  # of a multiply-add: as many of them must be under way
_ONCE = 24  # cycles of a tile besides its steps
_ANOTHER_NEST = 0.002  # what each tile of another size adds: it is code, and threads meet once more


@dataclass(frozen=True)
class Tile:
    rows: int
    vectors: int


@dataclass(frozen=True)
class Work:
    """What tiles are for: extents of the result, and steps along the summed axes (None: unknown);
    how many sums are in registers at once; whether both factors are read as vectors. Where columns
    are `even`, tiles divide them and take another vector each for all rows. Tiles are of so many
    vectors at `most`, a multiple of `unit`."""

    rows: int | None
    columns: int | None
    steps: int | None
    sums: int = 1
    paired: bool = False
    even: bool = False
    most: int | None = None
    unit: int = 1


def best_tile(target: Target, work: Work) -> Tile:
    """The tile with the least modelled time for the whole result."""
    tiles = [tile for tile in _fitting(target, work) if tile.rows <= MOST_ROWS]
    return _quickest(tiles, target, work)


def chosen_tile(s: Schedule, label: str, target: Target, work: Work) -> Tile:
    """A tile of the sum `label`, decided: first the rows, then the vectors."""
    tiles = list(_fitting(target, work))
    if not tiles:
        return Tile(1, 1)
    best = best_tile(target, work)
    rows = choose(s, f"{label}: rows", sorted({tile.rows for tile in tiles}), best.rows)
    wide = [tile for tile in tiles if tile.rows == rows]
    widest = _quickest(wide, target, work).vectors
    return Tile(rows, choose(s, f"{label}: vectors", [tile.vectors for tile in wide], widest))


def _fitting(target: Target, work: Work) -> Iterator[Tile]:
    """The tiles that registers have room for, beside a step's vectors and a broadcast."""
    wide = _vectors(target, work)
    widest = target.vector_registers if work.most is None else work.most
    for height in range(1, min(_TALLEST, work.rows or _TALLEST) + 1):
        for width in range(work.unit, min(widest, wide or widest) + 1, work.unit):
            if work.even and wide is not None and wide % width:
                continue
            if height * width * work.sums + width * (1 + work.even) + 1 >= target.vector_registers:
                break
            yield Tile(height, width)


def _vectors(target: Target, work: Work) -> int | None:
    return None if work.columns is None else -(-work.columns // target.lanes)


def _quickest(tiles: list[Tile], target: Target, work: Work) -> Tile:
    """The first one with the least modelled time."""
    wide = _vectors(target, work)
    return min(tiles, key=lambda tile: _time(tile, work, wide), default=Tile(1, 1))


def _time(tile: Tile, work: Work, vectors: int | None) -> float:
    """Cycles of all tiles and of what they leave, one step along the summed axes."""
    heights = _pieces(work.rows, tile.rows)
    parts = _pieces(vectors, tile.vectors)
    once = _ONCE / (work.steps or 1024)
    whole = sum(n * m * (_step(h, w, work.paired) + once) for h, n in heights for w, m in parts)
    area = sum(h * n for h, n in heights) * sum(w * m for w, m in parts)
    return whole / area * (1 + _ANOTHER_NEST * (len(heights) * len(parts) - 1))


def _pieces(extent: int | None, size: int) -> list[tuple[int, int]]:
    """(size, how many) of the parts of an extent."""
    if extent is None:
        return [(size, 1)]
    whole, rest = divmod(extent, size)
    return [(size, whole)] + ([(rest, 1)] if rest else [])


def _step(rows: int, vectors: int, paired: bool) -> float:
    """Cycles of one step of a tile: multiply-adds one a cycle, two loads of scalars or one of a
    vector; on top of them a part of what loads from farther caches would cost."""
    work = rows * vectors
    loads = vectors + (work if paired else rows / 2)
    return max(work, loads, _LATENCY) + 0.2 * vectors + 0.01 * rows


def falling(extent: int | None, size: int) -> list[int]:
    """The size, then what is left of a constant extent; else each power of two below the size."""
    if extent is not None:
        return [size, extent % size or 1]
    return [size, *[1 << k for k in range(size.bit_length() - 1, -1, -1) if 1 << k < size]]


def widths(extent: int | None, width: int, lanes: int) -> list[int]:
    """Whole tiles, the vectors that are left, then fractions of a vector."""
    rest = lanes if extent is None else extent % width // lanes * lanes
    return [width, *([rest] if 0 < rest < width else []), *falling(None, lanes)[1:]]
