"""A factor of a tile moved from one of its parts to another.

(16, 1, 4)  →  (4, 4, 4)
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from passes.schedule.sampling import Choice, PartitionedTile, PerfectTile, Sampling, Tile


@dataclass(frozen=True)
class TileSize:
    """Of a tile whose outermost part is what the others leave, the others are halved or doubled."""

    name: str = "tile size"

    def takes(self, site: str, sampling: Sampling) -> bool:
        return isinstance(sampling, PerfectTile | PartitionedTile) and sampling.parts > 1

    def other(self, sampling: Sampling, choice: Choice, random: Random) -> Choice | None:
        assert isinstance(choice, tuple)
        moved = _moved(choice) if choice[0] is not None else _scaled(choice)
        fitting = [tile for tile in moved if sampling.fits(tile)]
        return random.choice(fitting) if fitting else None


def _moved(tile: Tile) -> list[Tile]:
    """All tiles with a divisor of one part moved to another."""
    found: list[Tile] = []
    for source, whole in enumerate(tile):
        for factor in range(2, (whole or 1) + 1):
            if (whole or 1) % factor:
                continue
            for target in range(len(tile)):
                if target != source:
                    found.append(_with(tile, {source: 1 / factor, target: factor}))
    return found


def _scaled(tile: Tile) -> list[Tile]:
    return [
        _with(tile, {part: scale})
        for part, size in enumerate(tile)
        for scale in (0.5, 2)
        if size is not None and (scale > 1 or size % 2 == 0)
    ]


def _with(tile: Tile, scales: dict[int, float]) -> Tile:
    return tuple(
        [None if f is None else round(f * scales.get(part, 1)) for part, f in enumerate(tile)]
    )
