"""Refusals that only odd programs meet: conditions, diagonals, sums that others share."""

from __future__ import annotations

from passes.ir.expr import index
from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import (
    COUNTED,
    DEEPER,
    DOT,
    DOTS,
    EARLY,
    FILL,
    IDS,
    MAYBE_EMPTY,
    OUTER_SUM,
    SUM,
    TWO,
    of_rows,
)

CONDITION = """
t = alloc(f32[n])
for i in range(n):
    if i < 4:
        with block("one"):
            v = spatial(n, i)
            t[v] = x[v]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        where(j < 4)
        y[w] = t[w]
"""
DIAGONAL = """
t = alloc(f32[n, n])
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        t[v, v] = x[v]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w, w]
"""
GUARDED = """
t = alloc(f32[n])
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        where(i < 4)
        t[v] = x[v]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        where(j < 4)
        y[w] = t[w]
"""
OFFSETS = """
t = alloc(f32[n + 1])
for i in range(n + 1):
    with block("one"):
        v = spatial(n + 1, i)
        t[v] = x[v // 2]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w] + t[min(3, n)]
"""
FOLDED = DEEPER.replace("t[w]", "t[w//2]")
SCATTERED = DEEPER.replace(
    "y[w] = t[w]", "p[w] = p[w] + i32(1)\n        y[w] = t[cast(p[0], index)]"
)
SELF = TWO.replace("spatial(n, i)", "ordered(n, i)").replace(
    "x[v]", "select(v < 1, x[v], t[max(v - 1, 0)])"
)
BEFORE = (
    EARLY
    + """
    for l in range(n):
        with block("three"):
            u = spatial(n, l)
            x[u] = x[u] + f32(1.0)
"""
)
TILES = """
t = alloc(f32[8])
for i in range(2):
    for k in range(4):
        with block("one"):
            v = spatial(8, i*4 + k)
            t[v] = x[0]
    for j in range(8):
        with block("two"):
            w = spatial(8, j)
            where(j < i*4 + 4)
            y[w] = t[w]
    with block("three"):
        o = ordered(2, i)
        x[0] = x[0] + f32(1.0)
"""
STEPS = """
t = alloc(f32[n])
for s in range(2):
    for i in range(n//2):
        with block("one"):
            v = spatial(n, s*(n//2) + i)
            o = ordered(2, s)
            t[v] = x[v] + a[v, o]
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            where(j < (s + 1)*(n//2))
            y[w] = t[w]
"""
MIXED = """
t = alloc(f32[4])
for i in range(32):
    with block("one"):
        v = spatial(4, i//8)
        u = reduce(8, i%8)
        with init():
            t[v] = f32(0.0)
        t[v] = t[v] + a[0, u]
for j in range(4):
    with block("two"):
        w = spatial(4, j)
        y[w] = t[w]
"""
MIXED_HEAD = "y: f32[4], a: f32[4, 8]"
OWN_EXTENT = """
for k in range(8):
    for i in range(k + 1):
        with block("sum"):
            v = spatial(8, i)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]
"""
SIDEWAYS = SUM.replace("a[v, u]", "a[v, u]*y[max(v - 1, 0)]")
UNDER_IF = SUM.replace("    for k", "    if i < 4:\n     for k")
OUTSIDE_SUM = """
for k in range(8):
    with block("mark"):
        z = spatial(8, k)
        x[z] = f32(1.0)
    for i in range(n):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            y[v] = y[v] + a[v, u]
"""
TWO_INITS = SUM.replace("= f32(0.0)", "= f32(0.0)\n                y[0] = f32(0.0)")
SUMS = SUM.replace("y[v] + a[v, u]", "fma(a[v, u], x[v], fma(a[v, 7 - u], x[v], y[v]))")
COUNTING = SUM.replace("a[v, u]", "cast(u, f32)*a[v, u]")
BOUND = """
for i in range(n):
    with block("pick"):
        v = spatial(n, cast(p[i], index))
        y[v] = x[v]
"""
CHOSEN = """
for i in range(n):
    if p[i] < i32(4):
        with block("pick"):
            v = spatial(n, i)
            y[v] = x[v]
"""
CARRIED = """
t = alloc(f32[1], scope="local")
for i in range(n):
    with block("keep"):
        w = spatial(n, i)
        y[w] = select(i < 1, f32(0.0), t[0])
    with block("next"):
        t[0] = x[0]
"""
VIEW = """
for i in range(4):
    with block("pick"):
        v = spatial(4, i)
        y[v] = a[v, 0]
"""
VIEW_HEAD = "a: f32[4, 2](strides=[1, 4]), y: f32[4]"
QUADS = """
t = alloc(u8[8])
for i in range(8):
    with block("fill"):
        v = spatial(8, i)
        t[v] = w[v]
""" + DOT.replace("w[u]", "t[u]").lstrip()
ONE, LAST = 'with block("one"):', 'with block("sum"):'

CASES: dict[str, Case] = {
    "compute_at condition": (program(CONDITION), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "the block runs under a condition", "for j6"),
    "compute_at diagonal": (program(DIAGONAL), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "it does not store at its own spatial iterators,"
        " each once", "for j6"),
    "compute_inline diagonal": (program(DIAGONAL), lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "its iterators do not follow from the element it stores",
        ONE),
    "compute_at guarded": (program(GUARDED), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "its body is not one unconditional store",
        "for j6"),
    "compute_at bases": (program(OFFSETS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "readers start at different places, j6 and"
        " min(n, 3)", "for j6"),
    "compute_at folded": (program(FOLDED), lambda t: t.s.compute_at("one", t.z),
        "compute_at of block 'one' at loop z6", "index j7//2 is not linear in the loops inside",
        "for z6"),
    "compute_at scattered": (program(SCATTERED, IDS),
        lambda t: t.s.compute_at("one", t.z),
        "compute_at of block 'one' at loop z6", "index cast(p2[0], index) reads memory that the"
        " loop stores to", "for z6"),
    "compute_at self": (program(SELF.replace("ordered", "spatial")),
        lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "it reads elements of its output that it does not"
        " compute", "for j6"),
    "compute_inline self": (program(SELF), lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "it reads what it stores", ONE),
    "compute_inline before": (program(BEFORE), lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "it reads 'x0', which changes, and a consumer comes"
        " before it", ONE),
    "compute_inline tiles": (program(TILES, "x: f32[1], y: f32[8]"),
        lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "it reads 'x0', which changes there, and a consumer may"
        " use what an earlier iteration of i3 computed", ONE),
    "compute_at outer sum": (program(OUTER_SUM), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j8", "loop k4, around both, drives its reduction",
        "for j8"),
    "compute_at steps": (program(STEPS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j8", "a reader may use what an earlier step of an"
        " ordered loop computed", "for j8"),
    "compute_at mixed": (program(MIXED, MIXED_HEAD), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "loop i3 drives iterators of both kinds",
        "for j6"),
    "rfactor mixed": (program(MIXED, MIXED_HEAD), lambda t: t.s.rfactor("one", t.i),
        "rfactor of block 'one' at loop i3", "the loop does not drive a reduce iterator, and"
        " nothing else", ONE),
    "decompose extent": (program(OWN_EXTENT), lambda t: t.s.decompose_reduction("sum", t.k),
        "decompose_reduction of block 'sum' at loop k3", "the extent of loop i4 depends on k3",
        LAST),
    "cache_write extent": (program(OWN_EXTENT), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "the extent of loop i4 depends on the reduction", LAST),
    "rfactor extent": (program(OWN_EXTENT), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k3", "the extent of loop i4 depends on the reduction",
        LAST),
    "decompose sideways": (program(SIDEWAYS), lambda t: t.s.decompose_reduction("sum", t.i),
        "decompose_reduction of block 'sum' at loop i3", "it touches elements of its output other"
        " than the one it starts", LAST),
    "decompose condition": (program(UNDER_IF), lambda t: t.s.decompose_reduction("sum", t.i),
        "decompose_reduction of block 'sum' at loop i3", "a condition or a block stands between"
        " the loop and it", LAST),
    "cache_write outside": (program(OUTSIDE_SUM), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "loop k3, which it does not have alone, drives its sum",
        LAST),
    "cache_write inits": (program(TWO_INITS),
        lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its init does not store to the same place", LAST),
    "fuse counted": (program(COUNTED, IDS),
        lambda t: t.s.fuse(t.i, t.k),
        "fuse of loops i3, k4", "the inner extent reads memory that the function stores to",
        "for i3"),
    "reorder counted": (program(COUNTED, IDS),
        lambda t: t.s.reorder(t.k, t.i),
        "reorder of loops k4, i3", "the extent of k4 reads memory stored to inside", "for k4"),
    "reindex terms": (program(SUMS), lambda t: t.s.reindex_cache_read("sum", 0, "local"),
        "reindex_cache_read of block 'sum'", "factor 0 is a sum of terms, which the block has not"
        " in one piece", LAST),
    "reindex counting": (program(COUNTING), lambda t: t.s.reindex_cache_read("sum", 0, "local"),
        "reindex_cache_read of block 'sum'", "the factor u6 reads no memory", LAST),
    "split binding": (program(BOUND, IDS), lambda t: t.s.split(t.i, 4),
        "split of loop i3", "factor 4 may not divide its extent n, and a binding or predicate of"
        " block 'pick' reads memory at it", "for i3"),
    "split condition": (program(CHOSEN, IDS),
        lambda t: t.s.split(t.i, 4),
        "split of loop i3", "factor 4 may not divide its extent n, and a condition reads memory at"
        " it", "for i3"),
    "parallel carried": (program(CARRIED), lambda t: t.s.parallel(t.i),
        "parallel of loop i4", "an iteration reads what another one left in 't3'", "for i4"),
    "parallel in lanes": (program(of_rows(FILL, "4"), "x: f32[4], a: f32[4, 8]"), lambda t: (
        t.s.vectorize(t.j), t.s.vectorize(t.i), t.s.parallel(t.j)),
        "parallel of loop j3", "it is inside vectorized loop i2", "for j3"),
    "partition extents": (
        program(MAYBE_EMPTY.replace("for j in range(n):", "for j in range(n - 1):")),
        lambda t: t.s.loop_partition([t.i, t.j], index(0)),
        "loop_partition of loops i3, j5", "their extents n and n - 1 may differ", "for i3"),
    "partition point": (program(SUM), lambda t: t.s.loop_partition([t.i], t.k),
        "loop_partition of loops i3", "the point k4 or the extent is not known at the start",
        "for i3"),
    "layout view": (program(VIEW, VIEW_HEAD), lambda t: t.s.transform_layout("a0", lambda i: i),
        "transform_layout of buffer 'a0'", "it is a view with strides of its own", "def f("),
    "layout reach": (program(VIEW.replace("a[v, 0]", "a[v]"), "a: f32[4], y: f32[4]"),
        lambda t: t.s.transform_layout("a0", lambda i: (i[0] - 1,)),
        "transform_layout of buffer 'a0'", "the reach of i0 - 1 is unknown", "def f("),
    "layout vectors": (program(QUADS, DOTS), lambda t: (
        t.s.tensorize(t.b, "dot4_u8_i8"),
        t.s.transform_layout("t3", lambda i: (i[0] // 4, i[0] % 4))),
        "transform_layout of buffer 't3'", "it is accessed by vectors", "t3 = alloc("),
    "inline vectors": (program(QUADS, DOTS), lambda t: (
        t.s.tensorize(t.b, "dot4_u8_i8"), t.s.compute_inline("fill")),
        "compute_inline of block 'fill'", "its output is read by vectors", 'with block("fill"):'),
    "no such name": (program(SUM), lambda t: t.s.loop("q7"),
        "loop of 'q7'", "there is no such loop", ""),
}  # fmt: skip

test_refusal = refusals(CASES)
