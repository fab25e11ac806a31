"""What the placement primitives make of small programs, as text."""

from __future__ import annotations

from tests.unit.schedule.steps import Rewrite, Steps, program, rewrites
from tests.unit.schedule.texts import CHAIN, EPILOGUE, PRODUCT, STREAM

SUM = EPILOGUE.replace("max(t[w], f32(0.0))", "t[w] + x[w]")

FLAT = """
t = alloc(f32[n*8])
for i in range(n*8):
    with block("one"):
        v = spatial(n*8, i)
        t[v] = a[v//8, v%8]
for i in range(n):
    for k in range(8):
        with block("two"):
            v = spatial(n, i)
            w = spatial(8, k)
            a[v, w] = t[v*8 + w]*f32(2.0)
"""
PADDED = """
t = alloc(f32[(n + 3)//4*4])
for i in range((n + 3)//4):
    for k in range(4):
        with block("one"):
            v = spatial((n + 3)//4*4, i*4 + k)
            t[v] = select(v < n, x[min(v, n - 1)], f32(0.0))
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]*f32(2.0)
"""
EDGES = """
for i in range(n + 2):
    with block("pad"):
        v = spatial(n + 2, i)
        y[v] = select(1 <= v and v < n + 1, x[min(max(v - 1, 0), n - 1)], f32(0.0))
"""
WIDER = "x: f32[n], y: f32[n + 2], *, n: dim[1, 64]"
WINDOW = """
t = alloc(f32[n + 2])
for i in range(n + 2):
    with block("one"):
        v = spatial(n + 2, i)
        t[v] = x[v] + f32(1.0)
for j in range(n):
    for k in range(3):
        with block("two"):
            w = spatial(n, j)
            u = reduce(3, k)
            with init():
                y[w] = f32(0.0)
            y[w] = y[w] + t[w + u]
"""
LONGER = "x: f32[n + 2], y: f32[n], *, n: dim[1, 64]"
STENCIL = """
t = alloc(f32[n + 2])
for i in range(n + 2):
    with block("one"):
        v = spatial(n + 2, i)
        t[v] = x[v] + f32(1.0)
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w] - t[w + 2]
"""
FLIPPED = """
t = alloc(f32[n*2])
for i in range(n*2):
    with block("scale"):
        v = spatial(n*2, i)
        t[v] = w[v]*f32(3.0)
for p in range(2):
    for k in range(n):
        with block("flip"):
            q = spatial(2, p)
            u = spatial(n, k)
            y[q, u] = t[q + (n - 1 - u)*2]
"""
TAPS = "w: f32[n*2], y: f32[2, n], *, n: dim[1, 64]"
PRODUCTS = "a: f32[n, 10], b: f32[10], y: f32[n], *, n: dim[1, 64]"


def _tiles(t: Steps) -> None:
    outer, _ = t.s.split(t.i, 4)
    t.s.reverse_compute_at("two", outer)


def _roll(t: Steps) -> None:
    t.s.compute_at("one", t.j)
    t.s.rolling_buffer("one", 0)


CASES: dict[str, Rewrite] = {
    "reverse_compute_at": (program(CHAIN), _tiles, """
t3 = alloc(f32[n])
for i4 in range((n + 3)//4):
    for i5 in range(4):
        with block("one"):
            v6 = spatial(n, i4*4 + i5)
            where(i4*4 + i5 < n)
            t3[v6] = x0[v6] + f32(1.0)
    for w7 in range(4):
        with block("two"):
            w8 = spatial(n, i4*4 + w7)
            where(i4*4 + w7 < n)
            y1[w8] = t3[w8]*f32(2.0)
"""),
    "reverse_compute_at reduction": (program(EPILOGUE.replace("y[w] = max", "x[w] = max")),
        lambda t: t.s.reverse_compute_at("two", t.i), """
t3 = alloc(f32[n])
for i4 in range(n):
    for k5 in range(8):
        with block("one"):
            v6 = spatial(n, i4)
            u7 = reduce(8, k5)
            with init():
                t3[v6] = f32(0.0)
            t3[v6] = t3[v6] + a2[v6, u7]
    with block("two"):
        w8 = spatial(n, i4)
        x0[w8] = max(t3[w8], f32(0.0))
"""),
    "reverse_compute_inline": (program(CHAIN), lambda t: t.s.reverse_compute_inline("two"), """
for i3 in range(n):
    with block("one"):
        v4 = spatial(n, i3)
        y1[v4] = (x0[v4] + f32(1.0))*f32(2.0)
"""),
    "reverse_compute_inline indices": (program(FLAT, "a: f32[n, 8], *, n: dim[1, 64]"),
        lambda t: t.s.reverse_compute_inline("two"), """
for i1 in range(n*8):
    with block("one"):
        v2 = spatial(n*8, i1)
        a0[v2//8, v2%8] = a0[v2//8, v2%8]*f32(2.0)
"""),
    "reverse_compute_inline guarded": (program(PADDED),
        lambda t: t.s.reverse_compute_inline("two"), """
for i3 in range((n + 3)//4):
    for k4 in range(4):
        with block("one"):
            v5 = spatial((n + 3)//4*4, i3*4 + k4)
            where(i3*4 + k4 < n)
            y1[v5] = select(v5 < n, x0[min(v5, n - 1)], f32(0.0))*f32(2.0)
"""),
    "compute_inline indices": (program(FLAT.replace("a[v, w] =", "b[v, w] ="),
        "a: f32[n, 8], b: f32[n, 8], *, n: dim[1, 64]"),
        lambda t: t.s.compute_inline("one"), """
for i2 in range(n):
    for k3 in range(8):
        with block("two"):
            v4 = spatial(n, i2)
            w5 = spatial(8, k3)
            b1[v4, w5] = a0[v4, w5]*f32(2.0)
"""),
    "fuse_reduction_epilogue": (program(SUM),
        lambda t: t.s.fuse_reduction_epilogue("one", "two"), """
for i3 in range(n):
    for k4 in range(8):
        with block("one"):
            v5 = spatial(n, i3)
            u6 = reduce(8, k4)
            with init():
                y1[v5] = x0[v5]
            y1[v5] = y1[v5] + a2[v5, u6]
"""),
    "fuse_reduction_epilogue in place": (program(SUM.replace("+ x[w]", "+ y[w]")),
        lambda t: t.s.fuse_reduction_epilogue("one", "two"), """
for i3 in range(n):
    for k4 in range(8):
        with block("one"):
            v5 = spatial(n, i3)
            u6 = reduce(8, k4)
            y1[v5] = y1[v5] + a2[v5, u6]
"""),
    "fuse_reduction_epilogue last step": (program(EPILOGUE),
        lambda t: t.s.fuse_reduction_epilogue("one", "two"), """
for i3 in range(n):
    for k4 in range(8):
        with block("one"):
            v5 = spatial(n, i3)
            u6 = ordered(8, k4)
            if u6 == 0:
                y1[v5] = f32(0.0)
            y1[v5] = y1[v5] + a2[v5, u6]
            if u6 == 7:
                y1[v5] = max(y1[v5], f32(0.0))
"""),
    "decompose_padding": (program(EDGES, WIDER),
        lambda t: t.s.decompose_padding("pad", t.i), """
for i2 in range(n + 2):
    with block("pad_fill"):
        v3 = spatial(n + 2, i2)
        y1[v3] = f32(0.0)
for v4 in range(n):
    with block("pad"):
        v5 = spatial(n + 2, v4 + 1)
        y1[v5] = x0[v5 - 1]
"""),
    "decompose_padding tile": (program(EDGES, WIDER),
        lambda t: t.s.decompose_padding("pad", t.s.split(t.i, 4)[1]), """
for i2 in range((n + 1)//4 + 1):
    for i3 in range(4):
        with block("pad_fill"):
            v4 = spatial(n + 2, i2*4 + i3)
            where(i2*4 + i3 < n + 2)
            y1[v4] = f32(0.0)
    for v5 in range(min(i2*4 + 4, n + 1) - max(i2*4, 1)):
        with block("pad"):
            v6 = spatial(n + 2, v5 + max(i2*4, 1))
            y1[v6] = x0[v6 - 1]
"""),
    "pad_einsum": (program(PRODUCT, PRODUCTS), lambda t: t.s.pad_einsum("sum", [4, 4]), """
a_pad3 = alloc(f32[(n + 3)//4*4, 12])
b_pad4 = alloc(f32[12])
y_pad5 = alloc(f32[(n + 3)//4*4])
for i6 in range((n + 3)//4*4):
    for j7 in range(12):
        with block("sum_a_pad"):
            i9 = spatial((n + 3)//4*4, i6)
            j10 = spatial(12, j7)
            a_pad3[i9, j10] = select(i9 < n and j10 < 10, a0[min(i9, n - 1), min(j10, 9)], f32(0.0))
for i11 in range(12):
    with block("sum_b_pad"):
        i12 = spatial(12, i11)
        b_pad4[i12] = select(i12 < 10, b1[min(i12, 9)], f32(0.0))
for i13 in range((n + 3)//4*4):
    for k14 in range(12):
        with block("sum"):
            v15 = spatial((n + 3)//4*4, i13)
            u17 = reduce(12, k14)
            with init():
                y_pad5[v15] = f32(0.0)
            y_pad5[v15] = y_pad5[v15] + a_pad3[v15, u17]*b_pad4[u17]
for i18 in range(n):
    with block("sum_y"):
        i19 = spatial(n, i18)
        y2[i19] = y_pad5[i19]
"""),
    "pad_einsum nothing": (program(PRODUCT, PRODUCTS),
        lambda t: t.s.pad_einsum("sum", [1, 5]), """
for i3 in range(n):
    for k4 in range(10):
        with block("sum"):
            v5 = spatial(n, i3)
            u6 = reduce(10, k4)
            with init():
                y2[v5] = f32(0.0)
            y2[v5] = y2[v5] + a0[v5, u6]*b1[u6]
"""),
    "compute_at stencil": (program(STENCIL, LONGER), lambda t: t.s.compute_at("one", t.j), """
t2 = alloc(f32[n + 2])
for j3 in range(n):
    for v4 in range(3):
        with block("one"):
            v5 = spatial(n + 2, j3 + v4)
            t2[v5] = x0[v5] + f32(1.0)
    with block("two"):
        w6 = spatial(n, j3)
        y1[w6] = t2[w6] - t2[w6 + 2]
"""),
    "rolling_buffer": (program(WINDOW, LONGER), _roll, """
t2 = alloc(f32[3])
for j3 in range(n):
    for v4 in range(3):
        with block("one"):
            v5 = spatial(n + 2, j3 + v4)
            where(j3 < 1 or 1 < v4)
            t2[v5%3] = x0[v5] + f32(1.0)
    for k6 in range(3):
        with block("two"):
            w7 = spatial(n, j3)
            u9 = reduce(3, k6)
            with init():
                y1[w7] = f32(0.0)
            y1[w7] = y1[w7] + t2[(w7 + u9)%3]
"""),
    "rolling_buffer stencil": (program(STENCIL, LONGER), _roll, """
t2 = alloc(f32[3])
for j3 in range(n):
    for v4 in range(3):
        with block("one"):
            v5 = spatial(n + 2, j3 + v4)
            where(j3 < 1 or 1 < v4)
            t2[v5%3] = x0[v5] + f32(1.0)
    with block("two"):
        w6 = spatial(n, j3)
        y1[w6] = t2[w6%3] - t2[(w6 + 2)%3]
"""),
    "reverse_compute_inline of flipped taps": (program(FLIPPED, TAPS),
        lambda t: t.s.reverse_compute_inline("flip"), """
for i in range(n*2):
    with block("scale"):
        v = spatial(n*2, i)
        y1[v%2, n - v//2 - 1] = w0[v]*f32(3.0)
"""),
    "software_pipeline": (program(STREAM),
        lambda t: t.s.software_pipeline(t.i, [0, 1], [0, 1], [0]), """
t3 = alloc(f32[8])
for i4 in range(n, pipeline_stages="0 1", pipeline_order="0 1", pipeline_async="0"):
    for j5 in range(8):
        with block("load"):
            v6 = ordered(n, i4)
            w7 = spatial(8, j5)
            t3[w7] = a2[v6, w7]
    for j8 in range(8):
        with block("use"):
            v9 = spatial(n, i4)
            w10 = reduce(8, j8)
            with init():
                y1[v9] = f32(0.0)
            y1[v9] = y1[v9] + t3[w10]
"""),
}  # fmt: skip

test_text = rewrites(CASES)
