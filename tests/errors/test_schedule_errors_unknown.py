"""Refusals of steps that would run something where it did not run, or was not known, before."""

from __future__ import annotations

from passes.ir.expr import Dim
from passes.ir.loop.nodes import For
from passes.schedule.tree import statements
from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import SUM

# The loop in the middle stays there, but j is outside it then
MIDDLE = program("""
for i in range(2):
    for k in range(cast(m[0], index)):
        for j in range(2):
            with block("clear"):
                v = ordered(2, i)
                w = ordered(2, j)
                u = ordered(4, k)
                m[v*2 + w] = i32(0)
                y[v, w, u] = i32(1)
""", "m: i32[8], y: i32[2, 2, 4]")  # fmt: skip
EVEN = """
t = alloc(f32[8])
for i in range(4):
    with block("even"):
        v = spatial(8, i*2)
        t[v] = VALUE
for o in range(1):
    for j in range(4):
        with block("use"):
            w = spatial(4, j)
            y[w] = t[w*2]
"""
EVEN_HEAD = "x: f32[8], y: f32[4], ids: i32[8]"
EVEN_FIRST = EVEN.replace("t = alloc(f32[8])", """
r = alloc(f32[8])
t = alloc(f32[8])
for q in range(4):
    with block("first"):
        v = spatial(8, q*2)
        r[v] = x[v]
""")  # fmt: skip
HALVES = program("""
t = alloc(f32[8])
for b in range(2):
    with block("half"):
        h = spatial(2, b)
        for i in range(4):
            for k in range(3):
                with block("sum"):
                    v = spatial(8, h*4 + i)
                    u = reduce(6, h*3 + k)
                    with init():
                        t[v] = f32(0.0)
                    t[v] = t[v] + x[u]
for o in range(2):
    for j in range(4):
        with block("use"):
            w = spatial(8, o*4 + j)
            y[w] = t[w]
""", "x: f32[8], y: f32[8]")  # fmt: skip
# Without iterations of i nobody divides by m
SHARES = program("""
for i in range(m):
    for k in range(12//m):
        with block("share"):
            v = spatial(m, i)
            u = spatial(12//m, k)
            y[v, u] = x[min(u//2, 11)]
""", "x: f32[12], y: f32[m, 12], *, m: dim[0, 16]")  # fmt: skip
PARTS = """
t = alloc(f32[16, 12])
for o in range(16):
    for q in range(12):
        with block("all"):
            w = spatial(16, o)
            u = spatial(12, q)
            t[w, u] = x[u]
for i in range(m):
    for k in range(12//m):
        with block("some"):
            v = spatial(m, i)
            u = spatial(12, k)
            y[v, u] = t[v, u]
"""
PARTS_HEAD = "x: f32[12], y: f32[m, 12], *, m: dim[0, 16]"
# ids has no element for the rows that fill the last tile
ROWS = """
t = alloc(f32[n])
for i in range(n):
    for k in range(cast(ids[i], index)):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(9, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + x[v]
for o in range((n + 3)//4):
    for q in range(4):
        with block("tile"):
            w = spatial(n, o*4 + q)
            where(o*4 + q < n)
            y[w] = t[w]
"""
TILES = """
t = alloc(f32[n])
for o in range((n + 3)//4):
    for q in range(4):
        with block("tile"):
            w = spatial(n, o*4 + q)
            where(o*4 + q < n)
            t[w] = x[w]
for i in range(n):
    for k in range(cast(ids[i], index)):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(9, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + t[v]
"""
ROWS_HEAD = "x: f32[n], y: f32[n], ids: i32[n], *, n: dim[1, 64]"
THREADS = """
for i in parallel(n):
    for k in range(i + 1):
        with block("sum"):
            v = spatial(n, i)
            u = ordered(n, k)
            y[v] = y[v] + x[u]
"""
THREADS_HEAD = "x: f32[n], y: f32[n], *, n: dim[1, 64]"
CHOSEN = program("""
t = alloc(f32[8])
for i in range(8):
    for k in range(3):
        with block("sum"):
            v = spatial(8, i)
            u = reduce(3, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + a[v, u]
for j in range(4):
    with block("chosen"):
        w = spatial(8, j)
        where(ids[j] < i32(3))
        y[w] = max(t[w], f32(0.0))
""", "a: f32[8, 3], y: f32[8], ids: i32[4]")  # fmt: skip
BORDER = program("""
for i in range(m):
    for k in range(12):
        with block("pad"):
            v = spatial(m, i)
            u = spatial(12, k)
            y[v, u] = select(1 <= u and u < 12//m, x[u], f32(0.0))
""", "x: f32[12], y: f32[m, 12], *, m: dim[0, 16]")  # fmt: skip
NEVER = program("""
for r in range(m):
    for i in range(n):
        for k in range(10):
            with block("sum"):
                v = spatial(n, i)
                u = reduce(10, k)
                y[v] = y[v] + b[u]
""", "b: f32[10], y: f32[n], *, n: dim[1, 64], m: dim[0, 1]")  # fmt: skip
DIVISOR = "the divisor m of what it would still evaluate may be 0"


OTHER = Dim("q", 1, 8)
(MIDDLE_EXTENT,) = [
    s.extent for s in statements(MIDDLE) if isinstance(s, For) and s.var.name == "k"
]


def _even(value: str, reason: str) -> Case:
    text = EVEN_FIRST if "r[" in value else EVEN
    return (
        program(text.replace("VALUE", value), EVEN_HEAD),
        lambda t: t.s.compute_at("even", t.o),
        f"compute_at of block 'even' at loop o{9 if text is EVEN_FIRST else 6}",
        f"it would compute elements that it did not before, and {reason}",
        "for o",
    )


CASES: dict[str, Case] = {
    "extent in the middle": (MIDDLE, lambda t: t.s.reorder(t.j, t.i), "reorder of loops j4, i2",
        "the extent of k3 reads memory stored to inside", "for j4"),
    "division between": _even("x[10//(1 - v%2)%8]", "the divisor 1 - v5%2 may be 0"),
    "place between": _even("x[cast(ids[v], index)]", "'x0' may not reach so far"),
    "nothing between": _even("r[v]", "'r3' may not be all computed"),
    "iterator around": (HALVES, lambda t: t.s.compute_at("sum", t.o),
        "compute_at of block 'sum' at loop o10",
        "it would still speak of iterator h4 of a block around it", "for o10"),
    "region nobody asks for": (program(PARTS, PARTS_HEAD),
        lambda t: t.s.compute_at("all", t.s.add_unit_loop(t.i)),
        "compute_at of block 'all' at loop u11",
        f"what it would run over may not be known there: {DIVISOR}", "for u11"),
    "length of a row": (program(ROWS, ROWS_HEAD), lambda t: t.s.compute_at("sum", t.o),
        "compute_at of block 'sum' at loop o8",
        "what it would run over may not be known there: 'ids2' may not reach as far as what it"
        " would still evaluate", "for o8"),
    "length of a row left": (program(TILES, ROWS_HEAD),
        lambda t: t.s.reverse_compute_at("sum", t.o),
        "reverse_compute_at of block 'sum' at loop o4",
        "a loop of its own may run where it did not, and 'ids2' may not reach as far as what it"
        " would still evaluate", "for o4"),
    "order of the loops": (SHARES,
        lambda t: t.s.transform_block_layout("share", lambda i: [i[1], i[0]]),
        "transform_block_layout of block 'share'", f"loop i2 may be empty, and {DIVISOR}",
        'with block("share"):'),
    "shape of a copy": (SHARES, lambda t: t.s.reindex("share", "x", "read"),
        "reindex of block 'share', buffer 'x', read",
        "the divisor m of the extent of iterator u5 may be 0", 'with block("share"):'),
    "shape of a result": (SHARES, lambda t: t.s.reindex_cache_write("share", "global"),
        "reindex_cache_write of block 'share'",
        "the divisor m of the extent of iterator u5 may be 0", 'with block("share"):'),
    "shape of indices": (SHARES, lambda t: t.s.cache_index("share", "x", "global"),
        "cache_index of block 'share', buffer 'x'",
        "the divisor m of the extent of iterator u5 may be 0", 'with block("share"):'),
    "loops that are left": (program(PARTS, PARTS_HEAD),
        lambda t: t.s.reverse_compute_at("some", t.o),
        "reverse_compute_at of block 'some' at loop o3",
        f"a loop of its own may run where it did not, and {DIVISOR}", "for o3"),
    "instances asked for": (program(PARTS, PARTS_HEAD),
        lambda t: t.s.reverse_compute_inline("some"), "reverse_compute_inline of block 'some'",
        "what says which instances there are would be asked wherever block 'all' runs: " + DIVISOR,
        'with block("some"):'),
    "choice asked for": (CHOSEN, lambda t: t.s.fuse_reduction_epilogue("sum", "chosen"),
        "fuse_reduction_epilogue of block 'chosen' into block 'sum'",
        "what says which instances there are would be asked wherever block 'sum' runs: 'ids2' may"
        " not reach as far as what it would still evaluate", 'with block("chosen"):'),
    "border": (BORDER, lambda t: t.s.decompose_padding("pad", t.i),
        "decompose_padding of block 'pad' at loop i2",
        f"what is not padding may not be known before the loops: {DIVISOR}",
        'with block("pad"):'),
    "loop that may be empty": (NEVER, lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4",
        "loop r2 may be empty, or depends on another one", 'with block("sum"):'),
    "parts of another length in each thread": (program(THREADS, THREADS_HEAD),
        lambda t: t.s.split(t.k, (2, None, 2)), "split of loop k3",
        "the extent i2//4 + 1 of a part depends on a loop whose iterations run at once, and"
        " block 'sum' has an order along them", "for k3"),
    "factor of another dim": (program(SUM), lambda t: t.s.split(t.i, OTHER),
        "split of loop i3", "factor q speaks of dims that the function has not", "for i3"),
    "point of another dim": (program(SUM), lambda t: t.s.loop_partition([t.i], OTHER),
        "loop_partition of loops i3", "the point q speaks of dims that the function has not",
        "for i3"),
    "layout of another dim": (program(SUM),
        lambda t: t.s.transform_layout("y", lambda i: [i[0]//OTHER, i[0] % OTHER]),
        "transform_layout of buffer 'y'",
        "the layout leads to i0//q, which says more than indices and dims", "def f("),
    "layout that looks up": (program(EVEN.replace("VALUE", "x[v]"), EVEN_HEAD),
        lambda t: t.s.transform_layout("t", lambda i: [i[0] + MIDDLE_EXTENT]),
        "transform_layout of buffer 't'",
        "the layout leads to i0 + cast(m0[0], index), which says more than indices and dims",
        "t3 = alloc(f32[8])"),
    "notes of a pipeline": (program(SUM),
        lambda t: t.s.annotate(t.i, "pipeline_stages", "1 0"), "annotate of loop i3",
        "'pipeline_stages' is part of a software pipeline, which software_pipeline notes",
        "for i3"),
}  # fmt: skip
test_refusal = refusals(CASES)
