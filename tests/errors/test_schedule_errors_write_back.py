"""Refusals to copy out of a temporary what the block may have kept back, or computed from it."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals

COUNTED = """
for i in range(n):
    for j in range(cast(p[i], index)):
        with block("count"):
            v = spatial(n, i)
            w = ordered(9, j)
            p[v] = p[v] - i32(1)
            y[v, w] = p[v]
"""
FLAGGED = """
for i in range(n):
    with block("put"):
        v = spatial(n, i)
        where(i32(0) < p[i])
        y[v, 1] = i32(7)
        p[v] = i32(0)
"""
ITSELF = """
for i in range(n):
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            where(y[n - 1 - i, 0] < i32(3))
            with init():
                y[v, 0] = i32(0)
            y[v, 0] = y[v, 0] + i32(1)
"""
MOVING = """
for i in range(n):
    for j in range(9):
        with block("put"):
            v = ordered(n, cast(min(max(p[0], i32(0)), cast(n - 1, i32)), index))
            w = ordered(n, i)
            r = spatial(9, j)
            y[v, r] = i32(7)
            p[0] = p[0] + i32(1)
"""
BEFORE = """
for i in range(n):
    for k in range(9):
        with block("sum"):
            v = ordered(n, i)
            u = reduce(9, k)
            with init():
                p[v] = p[max(v - 1, 0)]
            p[v] = p[v] + y[v, u]
"""
NEVER = """
for i in range(2):
    for k in range(8):
        with block("sum"):
            v = ordered(n, i)
            u = reduce(9, i + k)
            with init():
                p[v] = i32(0)
            p[v] = p[v] + y[v, u]
"""
ODD = """
for i in range(n):
    for k in range(4):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(9, (k*2 + i)%2)
            p[v] = p[v] + y[v, u]
"""
PARTLY = """
for i in range(n):
    with block("sum"):
        v = spatial(n, i)
        u = reduce(2, i%2)
        p[v] = p[v] + y[v, u]
"""
LEFT_OUT = """
for f in range(4):
    with block("sum"):
        v = spatial(2, f//2)
        u = reduce(2, f%2)
        where(1 <= f)
        with init():
            x[v] = f32(0.0)
        x[v] = x[v] + y[v, u]
"""
TWO = "x: f32[2], y: f32[2, 2]"
HEAD = "y: i32[n, 9], p: i32[n], *, n: dim[1, 64]"

CASES: dict[str, Case] = {
    "cache_write counted": (program(COUNTED, HEAD),
        lambda t: t.s.cache_write("count", "local", "y"),
        "cache_write of block 'count'",
        "the extent of loop j3, cast(p1[i2], index), reads memory that it stores to",
        'with block("count"):'),
    "cache_write flagged": (program(FLAGGED, HEAD), lambda t: t.s.cache_write("put", "local", "y"),
        "cache_write of block 'put'",
        "its predicate i32(0) < p1[i2] reads memory that it stores to", 'with block("put"):'),
    "reindex_cache_write flagged": (program(FLAGGED, HEAD),
        lambda t: t.s.reindex_cache_write("put", "local", None, "y"),
        "reindex_cache_write of block 'put'",
        "its predicate i32(0) < p1[i2] reads memory that it stores to", 'with block("put"):'),
    "reindex flagged": (program(FLAGGED, HEAD), lambda t: t.s.reindex("put", "y", "write"),
        "reindex of block 'put', buffer 'y', write",
        "its predicate i32(0) < p1[i2] reads memory that it stores to", 'with block("put"):'),
    "cache_write its own flag": (program(ITSELF, HEAD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'",
        "its predicate y0[n - 1 - i2, 0] < i32(3) reads memory that it stores to",
        'with block("sum"):'),
    "cache_write moving": (program(MOVING, HEAD), lambda t: t.s.cache_write("put", "local", "y"),
        "cache_write of block 'put'", "the binding of iterator v4,"
        " cast(min(max(p1[0], i32(0)), cast(n - 1, i32)), index), reads memory that it stores to",
        'with block("put"):'),
    "cache_write from before": (program(BEFORE, HEAD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'",
        "its init reads elements of its output other than the one it stores",
        'with block("sum"):'),
    "cache_write never": (program(NEVER, HEAD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its sum may not start with its loops",
        'with block("sum"):'),
    "cache_write odd": (program(ODD, HEAD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its sum may not start with its loops",
        'with block("sum"):'),
    "cache_write partly": (program(PARTLY, HEAD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its sum may not start with its loops",
        'with block("sum"):'),
    "cache_write without the first": (program(LEFT_OUT, TWO),
        lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its sum may not start with its loops",
        'with block("sum"):'),
}  # fmt: skip

test_refusal = refusals(CASES)
