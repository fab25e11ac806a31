"""Refusals of blocks by what is in them: loops and blocks, vectors, strides, memory they ask."""

from __future__ import annotations

from passes.ir.dtypes import F32, I32, INDEX
from passes.ir.expr import Const, Var, cast, index
from passes.ir.loop.nodes import Block, BlockIter, Buffer, For, Function, Load, Store
from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import SUM, where

NESTED = """
for i in range(n):
    with block("outer"):
        v = reduce(n, i)
        for k in range(8):
            with block("sum"):
                u = reduce(n*8, v*8 + k)
                with init():
                    y[0] = f32(0.0)
                y[0] = y[0] + a[u//8, u%8]
"""
INNER = """
for i in range(n):
    with block("rows"):
        v = spatial(n, i)
        for j in range(8):
            y[v] = a[v, j]
"""
ASKING = where(SUM, "y[i] < f32(3.0)")
STRIDED = """
t = alloc(f32[n, 8](strides=[16, 1]))
for i in range(n):
    with block("fill"):
        v = spatial(n, i)
        t[v, 0] = x[v]
"""
SPREAD = """
t = alloc(f32[32](distribution=distribution({"j": 32}, {"lane": [[1], [2], [4], [8], [16]]})), \
scope="warp")
for i in range(32):
    with block("fill"):
        v = spatial(32, i)
        t[v] = f32(1.0)
"""
TRIANGLE = """
for i in range(n):
    for j in range(i + 1):
        with block("fill"):
            v = spatial(n, i)
            w = spatial(v + 1, j)
            a[v, w] = x[w]
"""
VECTORS = """
t = alloc(f32[n + 8])
for j in range(n):
    for r in range(8):
        with block("one"):
            v = spatial(n + 8, j + r)
            t[v] = x[v//2]
    with block("two"):
        w = spatial(n, j)
        a[w, ramp(0, 1, 8)] = t[ramp(w, 1, 8)]
"""


def narrow() -> Function:
    """A block whose iterator counts in 32 bits."""
    i, v = Var("i", 2, I32), Var("v", 3, I32)
    x, y = Buffer("x", 0, (index(4),), F32), Buffer("y", 1, (index(4),), F32)
    at = (cast(v, INDEX),)
    iters = (BlockIter(v, Const(4, I32), "spatial"),)
    block = Block("copy", iters, (i,), Store(y, at, Load(x, at)), None, None)
    return Function("f", (), (x, y), (), For(i, Const(4, I32), block))


CASES: dict[str, Case] = {
    "decompose inner block": (program(NESTED), lambda t: t.s.decompose_reduction("sum", t.k),
        "decompose_reduction of block 'sum' at loop k5", "iterator v4 of a block around it drives"
        " the reduction", 'with block("sum"):'),
    "loop inside the block": (program(INNER), lambda t: t.s.reverse_compute_at("rows", t.j),
        "reverse_compute_at of block 'rows' at loop j5", "the block and the loop are one inside the"
        " other", "for j5"),
    "rfactor asking": (program(ASKING), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "its predicate y1[i3] < f32(3.0) reads memory that it"
        " stores to", 'with block("sum"):'),
    "align strides": (program(STRIDED), lambda t: t.s.storage_align("t3", 0, 8, 1),
        "storage_align of buffer 't3'", "it is a view with strides of its own", "t3 = alloc("),
    "layout distributed": (program(SPREAD), lambda t: t.s.transform_layout("t3", lambda i: i),
        "transform_layout of buffer 't3'", "its elements are distributed", "t3 = alloc("),
    "reindex inner loop": (program(INNER), lambda t: t.s.reindex("rows", "a2", "read"),
        "reindex of block 'rows', buffer 'a2', read", "a2[v4, j5] speaks of a loop inside"
        " the block",
        'with block("rows"):'),
    "reindex triangle": (program(TRIANGLE), lambda t: t.s.reindex("fill", "a2", "write"),
        "reindex of block 'fill', buffer 'a2', write", "the extent of iterator w6 is not known"
        " outside its loops",
        'with block("fill"):'),
    "rolling vectors": (program(VECTORS), lambda t: t.s.rolling_buffer("one", 0),
        "rolling_buffer of block 'one', axis 0", "its output is read by vectors",
        'with block("one"):'),
    "reindex vectors": (program(VECTORS), lambda t: t.s.reindex("two", "t3", "read"),
        "reindex of block 'two', buffer 't3', read", "t3[ramp(w7, 1, 8)] is a vector",
        'with block("two"):'),
    "reindex narrow": (narrow(), lambda t: t.s.reindex("copy", "x0", "read"),
        "reindex of block 'copy', buffer 'x0', read", "iterator v3 has type i32, not index",
        'with block("copy"):'),
}  # fmt: skip

test_refusal = refusals(CASES)
