"""Refusals about extents and reaches: what is not the same, or not known, where it is needed."""

from __future__ import annotations

from passes.ir.dtypes import F32, I32, INDEX
from passes.ir.expr import Const, Var, cast, index
from passes.ir.loop.nodes import Buffer, For, Function, Store
from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import CAUSAL, IDS, LENGTHS, ONE, RAGGED

MOVING_EXTENT = """
t = alloc(f32[n])
for i in range(n):
    for k in range(cast(p[0], index)):
        with block("one"):
            v = spatial(n, i)
            u = reduce(n, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + x[u]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]
        p[w] = i32(0)
"""
INNER_LOOP = (
    ONE
    + """
for z in range(1):
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            for q in range(w + 1):
                y[w] = t[q]
"""
)
TWO_SIZES = """
t = alloc(f32[n + 8])
for i in range(n + 8):
    with block("one"):
        v = spatial(n + 8, i)
        t[v] = x[0]
for z in range(1):
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            y[w] = t[w]
    for l in range(8):
        with block("three"):
            u = spatial(8, l)
            a[0, u] = t[u]
"""
PICKED = (
    ONE
    + """
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        where(j < 4)
        y[w] = t[cast(p[w], index)]
"""
)
TILED_EXTENT = """
t = alloc(f32[8])
for h in range(2):
    for i in range(4):
        for k in range(h + 1):
            with block("one"):
                v = spatial(8, h*4 + i)
                u = reduce(2, k)
                with init():
                    t[v] = f32(0.0)
                t[v] = t[v] + a[v, u]
for j in range(8):
    with block("two"):
        w = spatial(8, j)
        y[w] = t[w]
"""
GROWING_SUM = """
for r in range(2):
    with block("mark"):
        z = spatial(2, r)
        x[z] = f32(1.0)
    for k in range(r + 1):
        with block("sum"):
            v = spatial(2, r)
            u = reduce(2, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]
"""
TWO_SUMS = """
for r in range(2):
    with block("mark"):
        z = spatial(2, r)
        x[z] = f32(1.0)
    for i in range(4):
        for k in range(8):
            with block("sum"):
                v = spatial(4, i)
                o = reduce(2, r)
                u = reduce(8, k)
                with init():
                    y[v] = f32(0.0)
                y[v] = y[v] + a[v, u]*a[o, u]
"""
BOTH_KINDS = """
for f in range(8):
    for k in range(8):
        with block("sum"):
            v = spatial(4, f//2)
            o = reduce(2, f%2)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]*a[o, u]
"""
FOUR = "x: f32[4], y: f32[4], a: f32[4, 8]"
UNEVEN = """
for i in range(n):
    y[i] = x[i]
"""


def narrow() -> Function:
    """Loops that count in 32 bits."""
    i, j = Var("i", 1, I32), Var("j", 2, I32)
    y = Buffer("y", 0, (index(4),), F32)
    store = Store(y, (cast(i, INDEX),), Const(0.0, F32))
    body = For(i, Const(4, I32), For(j, Const(2, I32), store))
    return Function("f", (), (y,), (), body)


CASES: dict[str, Case] = {
    "split unguarded": (program(UNEVEN), lambda t: t.s.split(t.i, 4),
        "split of loop i3", "factor 4 may not divide its extent n, and a statement outside any"
        " block cannot be guarded", "for i3 in range(n):"),
    "split reads": (program(RAGGED, LENGTHS), lambda t: t.s.split(t.i, 4),
        "split of loop i3", "factor 4 may not divide its extent n, and the extent of loop k4"
        " reads memory at it", "for i3 in range(n):"),
    "compute_at moving": (program(MOVING_EXTENT, IDS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j8", "its loops or bindings read memory that the"
        " function stores to", "for j8"),
    "compute_at in block": (program(INNER_LOOP), lambda t: t.s.compute_at("one", t.q),
        "compute_at of block 'one' at loop q9", "the loop is inside a block", "for q9"),
    "compute_at reach": (program(INNER_LOOP), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j7", "the reach of index q9 is unknown", "for j7"),
    "compute_at sizes": (program(TWO_SIZES), lambda t: t.s.compute_at("one", t.z),
        "compute_at of block 'one' at loop z6", "readers need regions of sizes that cannot be"
        " compared", "for z6"),
    "compute_at picked": (program(PICKED, IDS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "a guarded reader's index reads memory", "for j6"),
    "compute_at tiled": (program(TILED_EXTENT, "a: f32[8, 2], y: f32[8]"),
        lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j8", "the extent of loop k5 depends on h3", "for j8"),
    "reindex causal": (program(CAUSAL), lambda t: t.s.reindex_cache_read("sum", 0, "local"),
        "reindex_cache_read of block 'sum'", "the extent of iterator u6 is not known outside its"
        " loops", 'with block("sum"):'),
    "rfactor growing": (program(GROWING_SUM), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k5", "the loop's extent r3 + 1 is not the same everywhere",
        'with block("sum"):'),
    "rfactor two": (program(TWO_SUMS, FOUR), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k6", "loop r3, which it does not have alone, drives the"
        " reduction", 'with block("sum"):'),
    "rfactor both": (program(BOTH_KINDS, FOUR), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "a loop drives a reduce iterator and another one",
        'with block("sum"):'),
    "split narrow": (narrow(), lambda t: t.s.split(t.i, 2),
        "split of loop i1", "its variable has type i32, not index", "for i1"),
    "fuse narrow": (narrow(), lambda t: t.s.fuse(t.i, t.j),
        "fuse of loops i1, j2", "a variable is not of type index", "for i1"),
}  # fmt: skip

test_refusal = refusals(CASES)
