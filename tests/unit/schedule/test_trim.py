"""What trim leaves of loops whose ends add nothing."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.loop.interpret import interpret
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.steps import Rewrite, Steps, program, rewrites

WINDOW = """
t = alloc(f32[n + 2])
for i in range(n + 2):
    with block("pad"):
        v = spatial(n + 2, i)
        t[v] = select(1 <= v and v < n + 1, x[min(max(v - 1, 0), n - 1)], f32(0.0))
for j in range(n):
    with block("start"):
        w = spatial(n, j)
        y[w] = f32(0.0)
    for k in range(3):
        with block("sum"):
            w = spatial(n, j)
            u = reduce(3, k)
            y[w] = y[w] + t[w + u]*b[u]
"""
HEAD = "x: f32[n], y: f32[n], b: f32[3], *, n: dim[1, 64]"
MAXIMUM = WINDOW.replace("f32(0.0)", 'f32("-inf")').replace("y[w] + t[w + u]*b[u]",
                         "max(y[w], t[w + u])")  # fmt: skip
APART = """
for j in range(n):
    with block("start"):
        w = spatial(n, j)
        y[w] = f32(0.0)
    for k in range(3):
        with block("sum"):
            w = spatial(n, j)
            u = reduce(3, k)
            y[w] = y[w] + select(2 < w*2 + u*2, x[w], f32(0.0))
"""
COPIED = """
s = alloc(f32[n + 2])
t = alloc(f32[n + 2, 2])
for i in range(n + 2):
    with block("pad"):
        v = spatial(n + 2, i)
        s[v] = select(v < 1 or n < v, f32(0.0), x[min(max(v - 1, 0), n - 1)])
for i in range(n + 2):
    for z in range(2):
        with block("copy"):
            v = spatial(n + 2, i)
            q = spatial(2, z)
            t[v, q] = s[v]
for j in range(n):
    with block("start"):
        w = spatial(n, j)
        y[w] = f32(0.0)
    for k in range(3):
        for l in range(2):
            with block("sum"):
                w = spatial(n, j)
                u = reduce(3, k)
                q = reduce(2, l)
                y[w] = y[w] + t[w + u, q]*b[u]
"""
FAR = """
for j in range(n):
    for k in range(3):
        with block("sum"):
            w = spatial(n, j)
            u = reduce(3, k)
            y[w] = y[w] + select(5 <= w + u, x[w], f32(0.0))*b[u]
"""


def _trim(t: Steps) -> None:
    t.s.trim("sum", t.k)


CASES: dict[str, Rewrite] = {
    "sum": (program(WINDOW, HEAD), _trim, """
t3 = alloc(f32[n + 2])
for i4 in range(n + 2):
    with block("pad"):
        v5 = spatial(n + 2, i4)
        t3[v5] = select(1 <= v5 and v5 < n + 1, x0[min(max(v5 - 1, 0), n - 1)], f32(0.0))
for j6 in range(n):
    with block("start"):
        w7 = spatial(n, j6)
        y1[w7] = f32(0.0)
    for k8 in range(min(n - j6 + 1, 3) - max(1 - j6, 0)):
        with block("sum"):
            w9 = spatial(n, j6)
            u10 = reduce(3, k8)
            y1[w9] = y1[w9] + t3[w9 + (u10 + max(1 - w9, 0))]*b2[u10 + max(1 - w9, 0)]
"""),
    "maximum": (program(MAXIMUM, HEAD), _trim, """
t3 = alloc(f32[n + 2])
for i4 in range(n + 2):
    with block("pad"):
        v5 = spatial(n + 2, i4)
        t3[v5] = select(1 <= v5 and v5 < n + 1, x0[min(max(v5 - 1, 0), n - 1)], f32("-inf"))
for j6 in range(n):
    with block("start"):
        w7 = spatial(n, j6)
        y1[w7] = f32("-inf")
    for k8 in range(min(n - j6 + 1, 3) - max(1 - j6, 0)):
        with block("sum"):
            w9 = spatial(n, j6)
            u10 = reduce(3, k8)
            y1[w9] = max(y1[w9], t3[w9 + (u10 + max(1 - w9, 0))])
"""),
    "select in the term": (program(APART, HEAD), _trim, """
for j4 in range(n):
    with block("start"):
        w5 = spatial(n, j4)
        y1[w5] = f32(0.0)
    for k6 in range(3 - max(2 - j4, 0)):
        with block("sum"):
            w7 = spatial(n, j4)
            u8 = reduce(3, k6)
            y1[w7] = y1[w7] + select(2 < w7*2 + (u8 + max(2 - w7, 0))*2, x0[w7], f32(0.0))
"""),
    "copy of a copy": (program(COPIED, HEAD), _trim, """
s3 = alloc(f32[n + 2])
t4 = alloc(f32[n + 2, 2])
for i5 in range(n + 2):
    with block("pad"):
        v6 = spatial(n + 2, i5)
        s3[v6] = select(v6 < 1 or n < v6, f32(0.0), x0[min(max(v6 - 1, 0), n - 1)])
for i7 in range(n + 2):
    for z8 in range(2):
        with block("copy"):
            v9 = spatial(n + 2, i7)
            q10 = spatial(2, z8)
            t4[v9, q10] = s3[v9]
for j11 in range(n):
    with block("start"):
        w12 = spatial(n, j11)
        y1[w12] = f32(0.0)
    for k13 in range(min(n - j11 + 1, 3) - max(1 - j11, 0)):
        for l14 in range(2):
            with block("sum"):
                w15 = spatial(n, j11)
                u16 = reduce(3, k13)
                q17 = reduce(2, l14)
                y1[w15] = y1[w15] + t4[w15 + (u16 + max(1 - w15, 0)), q17]*b2[u16 + max(1 - w15, 0)]
"""),
}  # fmt: skip

test_text = rewrites(CASES)


def test_nothing_left_keeps_the_start() -> None:
    """Where no iteration adds anything, elements are what they were."""
    steps = Steps(program(FAR, HEAD))
    _trim(steps)
    arrays = [np.ones(5, np.float32), np.arange(5, dtype=np.float32), np.ones(3, np.float32)]
    interpret(steps.s.function, {"n": 5}, arrays)
    np.testing.assert_array_equal(arrays[1], [0, 1, 2, 3 + 1, 4 + 2])


def test_factors_that_meet_margins_alone_do_not_count() -> None:
    """The one inexact case: an infinite factor times the zeros of a margin."""
    plain, trimmed = Steps(program(WINDOW, HEAD)), Steps(program(WINDOW, HEAD))
    _trim(trimmed)
    found = []
    for steps in (plain, trimmed):
        x, y = np.ones(1, np.float32), np.zeros(1, np.float32)
        with np.errstate(invalid="ignore"):
            interpret(steps.s.function, {"n": 1}, [x, y, np.array([np.inf, 2, 3], np.float32)])
        found.append(y[0])
    assert np.isnan(found[0])
    assert found[1] == 2


def test_what_is_trimmed_is_not_trimmed_again() -> None:
    steps = Steps(program(WINDOW, HEAD))
    _trim(steps)
    with pytest.raises(ScheduleError, match="each of its iterations may change something"):
        _trim(steps)


def test_threads_may_share_rows_of_trimmed_sums() -> None:
    steps = Steps(program(WINDOW, HEAD))
    _trim(steps)
    steps.s.parallel(steps.j)
    assert steps.s.trace.steps[-1].name == "parallel"
