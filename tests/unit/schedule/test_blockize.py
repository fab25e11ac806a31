"""Blocks around loops: what they look like, and what other steps make of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Rewrite, Steps, program, rewrites
from tests.unit.schedule.texts import SUM, where

SCALED = SUM.replace("a[v, u]", "a[v, u]*x[v]")


def _tiles(t: Steps) -> None:
    i, k = t.i, t.k
    outer, inner = t.s.split(i, 4)
    step, quad = t.s.split(k, 4)
    t.s.reorder(outer, step, inner, quad)
    t.s.blockize(inner)


TILES = """
def f(x0: f32[n], y1: f32[n], a2: f32[n, 8], *, n: dim[1, 64]):
    for i3 in range((n + 3)//4):
        for k4 in range(2):
            with block("sum_o"):
                v5 = spatial((n + 3)//4, i3)
                u6 = reduce(2, k4)
                with init():
                    for i7 in range(4):
                        with block("sum_init"):
                            v8 = spatial(n, v5*4 + i7)
                            where(v5*4 + i7 < n)
                            y1[v8] = f32(0.0)
                for i9 in range(4):
                    for k10 in range(4):
                        with block("sum"):
                            v11 = spatial(n, v5*4 + i9)
                            u12 = reduce(8, u6*4 + k10)
                            where(v5*4 + i9 < n)
                            y1[v11] = y1[v11] + a2[v11, u12]*x0[v11]
"""
# The elements of a row do not fall into whole pieces: the loops outside become the iterators
OVERLAP = """
for i in range(n):
    for j in range(3):
        for k in range(2):
            with block("sum"):
                v = spatial(n, i)
                u = reduce(8, j*3 + k)
                with init():
                    y[v] = f32(0.0)
                y[v] = y[v] + a[v, u]
"""
OVERLAPPED = """
def f(x0: f32[n], y1: f32[n], a2: f32[n, 8], *, n: dim[1, 64]):
    for i3 in range(n):
        for j4 in range(3):
            with block("sum_o"):
                i5 = spatial(n, i3)
                j6 = ordered(3, j4)
                for k7 in range(2):
                    with block("sum"):
                        v8 = spatial(n, i5)
                        u9 = reduce(8, j6*3 + k7)
                        with init():
                            y1[v8] = f32(0.0)
                        y1[v8] = y1[v8] + a2[v8, u9]
"""
SEVERAL = """
t = alloc(f32[n, 8])
for i in range(n):
    for k in range(8):
        with block("square"):
            v = spatial(n, i)
            w = spatial(8, k)
            t[v, w] = a[v, w]*a[v, w]
        with block("sum"):
            r = spatial(n, i)
            u = reduce(8, k)
            with init():
                y[r] = f32(0.0)
            y[r] = y[r] + t[r, u]
"""
BOTH = """
def f(x0: f32[n], y1: f32[n], a2: f32[n, 8], *, n: dim[1, 64]):
    t3 = alloc(f32[n, 8])
    for i4 in range(n):
        with block("sum_o"):
            i5 = spatial(n, i4)
            for k6 in range(8):
                with block("square"):
                    v7 = spatial(n, i5)
                    w8 = spatial(8, k6)
                    t3[v7, w8] = a2[v7, w8]*a2[v7, w8]
                with block("sum"):
                    r9 = spatial(n, i5)
                    u10 = reduce(8, k6)
                    with init():
                        y1[r9] = f32(0.0)
                    y1[r9] = y1[r9] + t3[r9, u10]
"""
# A loop that comes back to the same sums starts them again each time: no init before it
AGAIN = SUM.replace("    for k", "    for z in range(2):\n     for k")
TRIANGLE = SUM.replace("range(8)", "range(i % 8 + 1)")
# Which elements are summed depends on what is summed already
SATURATING = where(SUM, "y[i] < f32(0.5)")
STARTED = where(SUM, "k < 1 or y[i] < f32(0.5)")
# Where an element goes depends on the ones before
PLACED = """
for i in range(n):
    for k in range(8):
        with block("place"):
            p = ordered(3, select(x[0] < f32(0.0), 0, select(x[0] < f32(0.5), 1, 2)))
            v = ordered(n, i)
            u = ordered(8, k)
            x[0] = a[v, u] + a[v, p]
"""
# Only the first element of the diagonal starts
DIAGONAL = """
for i in range(8):
    with block("sum"):
        v = spatial(8, i)
        u = reduce(8, i)
        with init():
            a[0, v] = f32(0.0)
        a[0, v] = a[0, v] + x[u % n]
"""
THROUGH_VIEW = """
for i in range(n):
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            row = view(y[v:+1])
            with init():
                row[0] = f32(0.0)
            row[0] = row[0] + a[v, u]
"""
# The loop around the inner block runs as far as an iterator of the outer one says
WEDGE = """
for i in range(8):
    for k in range(i + 1):
        for j in range(3):
            with block("count"):
                v = ordered(8, k)
                w = ordered(3, min(j, 1))
                x[0] = x[0] + a[0, (v + w) % 8]
            with block("note"):
                u = ordered(8, k)
                a[0, u] = x[0]
"""
# An iterator that would stay outside has an extent that one inside gives
GIVEN = """
for j in range(8):
    for k in range(8):
        with block("count"):
            w = ordered(8, k)
            v = ordered(w + 8, j)
            x[0] = x[0] + a[0, (v + w) % 8]
"""
# Where the inner loop is empty, nobody divides by its extent
SHARED = """
for i in range(n):
    for k in range(n // 4):
        with block("count"):
            v = ordered(8, 7 // (n // 4))
            u = ordered(n, i)
            x[u] = x[u] + x[0]*a[0, v]
"""

CASES: dict[str, Rewrite] = {
    "tiles": (program(SCALED), _tiles, TILES),
    "overlap": (program(OVERLAP), lambda t: t.s.blockize(t.k), OVERLAPPED),
    "several": (program(SEVERAL), lambda t: t.s.blockize(t.k), BOTH),
}
test_text = rewrites(CASES)

KEPT: dict[str, tuple[str, Callable[[Steps], object]]] = {
    "everything": (SCALED, lambda t: t.s.blockize(t.i)),
    "innermost": (SCALED, lambda t: t.s.blockize(t.k)),
    "twice": (SCALED, lambda t: (t.s.blockize(t.k), t.s.blockize(t.i))),
    "inside": (SCALED, lambda t: (t.s.blockize(t.i), t.s.blockize(t.k))),
    "saturating": (SATURATING, lambda t: t.s.blockize(t.k)),
    "saturating rows": (SATURATING, lambda t: t.s.blockize(t.i)),
    "started": (STARTED, lambda t: t.s.blockize(t.k)),
    "placed": (PLACED, lambda t: t.s.blockize(t.k)),
    "diagonal": (DIAGONAL, lambda t: t.s.blockize(t.i)),
    "through a view": (THROUGH_VIEW, lambda t: t.s.blockize(t.k)),
    "wedge": (WEDGE, lambda t: (t.s.blockize(t.k), t.s.blockize(t.j))),
    "inner wedge": (WEDGE, lambda t: t.s.blockize(t.j)),
    "given extent": (GIVEN, lambda t: t.s.blockize(t.k)),
    "shared": (SHARED, lambda t: t.s.blockize(t.k)),
    "again": (AGAIN, lambda t: t.s.blockize(t.z)),
    "again inside": (AGAIN, lambda t: t.s.blockize(t.k)),
    "triangle": (TRIANGLE, lambda t: t.s.blockize(t.k)),
    "whole triangle": (TRIANGLE, lambda t: t.s.blockize(t.i)),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_the_meaning_stays(name: str) -> None:
    text, step = KEPT[name]
    t = Steps(program(text))
    before = t.s.function
    step(t)
    assert t.s.function is not before
    assert_same_meaning(before, t.s.function, (1, 4, 7, 16))


def test_loops_outside_are_scheduled_on() -> None:
    """The outer block is a block like others: its loops split, reorder and run in parallel."""
    t = Steps(program(SCALED))
    before = t.s.function
    _tiles(t)
    tile, step = t.s.loops("sum_o")
    assert t.s.decompose_reduction("sum_o", step) == "sum_o_init"
    t.s.split(tile, 2)
    t.s.parallel(t.s.loops("sum_o")[0])
    assert_same_meaning(before, t.s.function, (1, 4, 7, 16))
    _, inside, lane = t.s.loops("sum")[-3:]
    t.s.reorder(lane, inside)
    t.s.vectorize(inside)
    assert_same_meaning(before, t.s.function, (1, 4, 9))
