"""Samplings: what is drawn fits, everything that fits can be drawn, sizes of the space."""

from __future__ import annotations

from collections import Counter
from math import prod
from random import Random

import pytest

from passes.schedule.sampling import (
    INLINE,
    ROOT,
    Categorical,
    ComputeLocation,
    PartitionedTile,
    PerfectTile,
    Question,
    Sampling,
    seeded,
)

SAMPLINGS: tuple[Sampling, ...] = (
    Categorical((3, 5, 9), (0.0, 1.0, 3.0)),
    PerfectTile(48, 3, 16),
    PerfectTile(7, 1, 7),
    PerfectTile(None, 3, 8, 100),
    PerfectTile(None, 2, 8),
    PartitionedTile(96, 4, 2, 8),
    PartitionedTile(None, 3, 1, 16, 64),
    ComputeLocation((INLINE, ROOT, 2)),
)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda s: type(s).__name__)
def test_what_is_drawn_fits(sampling: Sampling) -> None:
    random = Random(0)
    assert all(sampling.fits(sampling.draw(random)) for _ in range(200))


def test_every_tile_is_as_likely() -> None:
    random = Random(1)
    drawn = Counter(PerfectTile(12, 3, 6).draw(random) for _ in range(6000))
    ways = [
        (a, b, c)
        for a in range(1, 13) for b in range(1, 13) for c in range(1, 7) if a * b * c == 12
    ]  # fmt: skip
    assert set(drawn) == set(ways)
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_tiles_make_up_the_extent() -> None:
    random = Random(2)
    for extent in (1, 13, 64, 100, 4096):
        tile = PerfectTile(extent, 4, 64).draw(random)
        assert prod(f or 0 for f in tile) == extent
    outer, *rest = PartitionedTile(96, 4, 2, 8).draw(random)
    assert outer is not None
    assert rest[1] is not None and rest[2] is not None and rest[1] * rest[2] == 8


def test_symbolic_extents_leave_the_outermost_open() -> None:
    first, *others = PerfectTile(None, 3, 8, 20).draw(Random(3))
    assert first is None
    assert prod(f or 0 for f in others) <= 20


@pytest.mark.parametrize(
    ("sampling", "choice"),
    [
        (Categorical((3, 5), (0.5, 0.5)), 2),
        (PerfectTile(48, 2, 16), (2, 24)),
        (PerfectTile(48, 2, 16), (4, 11)),
        (PerfectTile(48, 2, 16), (3, 4, 4)),
        (PerfectTile(48, 2, 16), (None, 16)),
        (PerfectTile(None, 2, 16), (4, 4)),
        (PartitionedTile(96, 4, 2, 8), (12, 2, 2, 2)),
        (ComputeLocation((ROOT, 1)), INLINE),
    ],
)
def test_what_does_not_fit(sampling: Sampling, choice: object) -> None:
    assert not sampling.fits(choice)  # type: ignore[arg-type]


def test_a_seed_decides_always_alike() -> None:
    one, two = seeded(5), seeded(5)
    asked = [Question(sampling) for sampling in SAMPLINGS]
    assert [one(question) for question in asked] == [two(question) for question in asked]
