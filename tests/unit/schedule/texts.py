"""Texts of programs that several tests schedule, heads that go with them, and how they vary."""

from __future__ import annotations

import re


def where(text: str, condition: str) -> str:
    """The program whose reductions run under a condition."""
    return re.sub(r"( *)with init", rf"\1where({condition})\n\1with init", text)


def of_rows(text: str, count: str) -> str:
    """The program with so many rows in the place of n."""
    return text.replace("(n", f"({count}")


IDS = "x: f32[n], y: f32[n], p: i32[n], *, n: dim[1, 64]"
DOTS = "w: u8[8], q: i8[8], y: i32[1]"
LINES = "x: f32[n], y: f32[n], *, n: dim[1, 64]"
PLANES = "x: f32[n, 8], y: f32[n, 8], *, n: dim[1, 64]"
ROWS = "a: f32[n, 8], y: f32[n], *, n: dim[1, 64]"

# One block

FILL = """
for i in range(n):
    for j in range(8):
        with block("fill"):
            v = spatial(n, i)
            w = spatial(8, j)
            a[v, w] = x[v]
"""
SUM = """
for i in range(n):
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]
"""
COPY = FILL.replace("fill", "copy").replace("a[v, w] = x[v]", "y[v, w] = x[v, w]")
BACKWARDS = SUM.replace("reduce(8, k)", "reduce(8, 7 - k)")
TRIANGLE = """
for i in range(n):
    for k in range(i + 1):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(n, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + x[u]
"""
SQUARE = TRIANGLE.replace("i + 1", "n")
CAUSAL = TRIANGLE.replace("reduce(n, k)", "reduce(i + 1, k)")
PRODUCT = """
for i in range(n):
    for k in range(10):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(10, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]*b[u]
"""
HALVES = """
for i in range(8):
    for k in range(8):
        with block("sum"):
            v = spatial(8, i)
            u = reduce(8, k)
            with init():
                y[v//2] = f32(0.0)
            y[v//2] = y[v//2] + a[0, u]
"""
RAGGED = """
for i in range(n):
    for k in range(cast(ids[i], index)):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + x[v, u]
"""
LENGTHS = "ids: i32[n], x: f32[n, 8], y: f32[n], *, n: dim[1, 64]"
COUNTED = """
for i in range(n):
    for k in range(cast(p[0], index)):
        with block("sum"):
            v = spatial(n, i)
            u = ordered(n, k)
            p[0] = p[0] + i32(1)
"""
SHARES = """
for i in range(n):
    for k in range(12//(n - i)):
        with block("count"):
            v = spatial(n, i)
            u = ordered(12, k)
            y[v] = y[v] + x[u]
"""
DOT = """
for k in range(2):
    for b in range(4):
        with block("dot"):
            u = reduce(8, k*4 + b)
            with init():
                y[0] = i32(0)
            y[0] = y[0] + cast(w[u], i32)*cast(q[u], i32)
"""

MOST = """
@combiner(f32("-inf"), f32(0.0))
def most(p: f32, q: f32, r: f32, s: f32):
    return max(p, r), select(p < r, s, q)
"""

# A block that needs what another one makes

ONE = """
t = alloc(f32[n])
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        t[v] = x[v]
"""
TWO = (
    ONE
    + """
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]
"""
)
CHAIN = TWO.replace("x[v]", "x[v] + f32(1.0)").replace("t[w]", "t[w]*f32(2.0)")
DEEPER = TWO.replace("for j in", "for z in range(1):\n  for j in")
EPILOGUE = """
t = alloc(f32[n])
for i in range(n):
    for k in range(8):
        with block("one"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + a[v, u]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = max(t[w], f32(0.0))
"""
EARLY = """
t = alloc(f32[n])
for s in range(2):
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            where(0 < s)
            y[w] = t[w]
    for i in range(n):
        with block("one"):
            v = spatial(n, i)
            t[v] = x[v]
"""
OUTER_SUM = """
t = alloc(f32[n])
for k in range(8):
    for i in range(n):
        with block("one"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + a[v, u]
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            y[w] = t[w]
"""
STAGED = """
t = alloc(f32[n, 8])
for i in range(n):
    for k in range(8):
        with block("fill"):
            v = spatial(n, i)
            u = spatial(8, k)
            t[v, u] = x[v]
    for l in range(8):
        with block("sum"):
            w = spatial(n, i)
            p = reduce(8, l)
            with init():
                y[w] = f32(0.0)
            y[w] = y[w] + t[w, p]*a[w, p]
"""
MAYBE_EMPTY = """
for i in range(n):
    with block("before"):
        p = spatial(n, i)
        y[p] = f32(7.0)
for j in range(n):
    for k in range(n - 1):
        with block("sum"):
            v = spatial(n, j)
            u = reduce(n, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + x[u]
"""
STREAM = """
t = alloc(f32[8])
for i in range(n):
    for j in range(8):
        with block("load"):
            v = ordered(n, i)
            w = spatial(8, j)
            t[w] = a[v, w]
    for j in range(8):
        with block("use"):
            v = spatial(n, i)
            w = reduce(8, j)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + t[w]
"""
