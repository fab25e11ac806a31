"""What each primitive makes of a small program, as text."""

from __future__ import annotations

import pytest

from passes.ir.expr import index
from passes.ir.loop.canonical import canonical
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from tests.unit.schedule.steps import Rewrite, Steps, program, rewrites, written_out
from tests.unit.schedule.texts import CHAIN, COPY, LINES, PLANES, ROWS, SUM

SUMS = program(SUM, ROWS)
TWO = program(CHAIN, LINES)
SQUARE = program(COPY, PLANES)
DOT = written_out("""
    def f(w0: u8[8, 16], x1: i8[n, 16], y2: i32[n, 8], *, n: dim[1, 64]):
        for r3 in range(n):
            for j4 in range(8):
                for k5 in range(16):
                    with block("dot"):
                        v6 = spatial(n, r3)
                        w7 = spatial(8, j4)
                        u9 = reduce(16, k5)
                        with init():
                            y2[v6, w7] = i32(0)
                        y2[v6, w7] = y2[v6, w7] + cast(w0[w7, u9], i32)*cast(x1[v6, u9], i32)
""")


def _vectors(t: Steps) -> None:
    _, inner = t.s.split(t.j, 4)
    t.s.vectorize(inner)
    t.s.parallel(t.i)


def _instruction(t: Steps) -> None:
    _, inner = t.s.split(t.k, 4)
    t.s.tensorize(inner, "dot4_u8_i8")


def _tile_at(t: Steps) -> None:
    outer, _ = t.s.split(t.j, 4)
    t.s.compute_at("one", outer)


CASES: dict[str, Rewrite] = {
    "fuse": (SQUARE, lambda t: t.s.fuse(t.i, t.j), """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            for i_j2 in range(n*8):
                with block("copy"):
                    v3 = spatial(n, i_j2//8)
                    w4 = spatial(8, i_j2%8)
                    y1[v3, w4] = x0[v3, w4]
        """),
    "kinds": (SQUARE, _vectors, """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            for i2 in parallel(n):
                for j3 in range(2):
                    for j4 in vectorized(4):
                        with block("copy"):
                            v5 = spatial(n, i2)
                            w6 = spatial(8, j3*4 + j4)
                            y1[v5, w6] = x0[v5, w6]
        """),
    "merge": (TWO, lambda t: t.s.merge(t.i, t.j), """
        def f(x0: f32[n], y1: f32[n], *, n: dim[1, 64]):
            t2 = alloc(f32[n])
            for i3 in range(n):
                with block("one"):
                    v4 = spatial(n, i3)
                    t2[v4] = x0[v4] + f32(1.0)
                with block("two"):
                    w5 = spatial(n, i3)
                    y1[w5] = t2[w5]*f32(2.0)
        """),
    "reorder": (SUMS, lambda t: t.s.reorder(t.k, t.i), """
        def f(a0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
            for k2 in range(8):
                for i3 in range(n):
                    with block("sum"):
                        v4 = spatial(n, i3)
                        u5 = reduce(8, k2)
                        with init():
                            y1[v4] = f32(0.0)
                        y1[v4] = y1[v4] + a0[v4, u5]
        """),
    "cache_write": (SUMS, lambda t: t.s.cache_write("sum", "local"), """
        def f(a0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
            y_c2 = alloc(f32[n], scope="local")
            for i3 in range(n):
                for k4 in range(8):
                    with block("sum"):
                        v5 = spatial(n, i3)
                        u6 = reduce(8, k4)
                        with init():
                            y_c2[v5] = f32(0.0)
                        y_c2[v5] = y_c2[v5] + a0[v5, u6]
            for i7 in range(n):
                with block("sum_write"):
                    v8 = spatial(n, i7)
                    y1[v8] = y_c2[v8]
        """),
    "set_scope": (TWO, lambda t: t.s.set_scope("t2", "register"),
        print_function(TWO).replace("t2 = alloc(f32[n])", 't2 = alloc(f32[n], scope="register")')),
    "compute_at": (TWO, _tile_at, """
        def f(x0: f32[n], y1: f32[n], *, n: dim[1, 64]):
            t2 = alloc(f32[n])
            for j3 in range((n + 3)//4):
                for v4 in range(4):
                    with block("one"):
                        v5 = spatial(n, j3*4 + v4)
                        where(j3*4 + v4 < n)
                        t2[v5] = x0[v5] + f32(1.0)
                for j6 in range(4):
                    with block("two"):
                        w7 = spatial(n, j3*4 + j6)
                        where(j3*4 + j6 < n)
                        y1[w7] = t2[w7]*f32(2.0)
        """),
    "compute_inline": (TWO, lambda t: t.s.compute_inline("one"), """
        def f(x0: f32[n], y1: f32[n], *, n: dim[1, 64]):
            for j2 in range(n):
                with block("two"):
                    w3 = spatial(n, j2)
                    y1[w3] = (x0[w3] + f32(1.0))*f32(2.0)
        """),
    "decompose_reduction": (SUMS, lambda t: t.s.decompose_reduction("sum", t.k), """
        def f(a0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
            for i2 in range(n):
                with block("sum_init"):
                    v3 = spatial(n, i2)
                    y1[v3] = f32(0.0)
                for k4 in range(8):
                    with block("sum"):
                        v5 = spatial(n, i2)
                        u6 = reduce(8, k4)
                        y1[v5] = y1[v5] + a0[v5, u6]
        """),
    "rfactor": (SUMS, lambda t: t.s.rfactor("sum", t.s.split(t.k, 2)[1]), """
        def f(a0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
            y_rf2 = alloc(f32[n, 2])
            for i3 in range(n):
                for k4 in range(4):
                    for k5 in range(2):
                        with block("sum_rf"):
                            v6 = spatial(n, i3)
                            k7 = reduce(4, k4)
                            k8 = spatial(2, k5)
                            with init():
                                y_rf2[v6, k8] = f32(0.0)
                            y_rf2[v6, k8] = y_rf2[v6, k8] + a0[v6, k7*2 + k8]
            for i9 in range(n):
                for k10 in range(2):
                    with block("sum"):
                        v11 = spatial(n, i9)
                        k12 = reduce(2, k10)
                        with init():
                            y1[v11] = f32(0.0)
                        y1[v11] = y1[v11] + y_rf2[v11, k12]
        """),
    "loop_partition": (TWO, lambda t: t.s.loop_partition([t.i, t.j], t.s.expr("n//4*4")), """
        def f(x0: f32[n], y1: f32[n], *, n: dim[1, 64]):
            t2 = alloc(f32[n])
            t3 = alloc(f32[n])
            for i4 in range(n//4*4):
                with block("one"):
                    v5 = spatial(n, i4)
                    t2[v5] = x0[v5] + f32(1.0)
            for j6 in range(n//4*4):
                with block("two"):
                    w7 = spatial(n, j6)
                    y1[w7] = t2[w7]*f32(2.0)
            for i8 in range(n%4):
                with block("one_tail"):
                    v9 = spatial(n, n//4*4 + i8)
                    t3[v9] = x0[v9] + f32(1.0)
            for j10 in range(n%4):
                with block("two_tail"):
                    w11 = spatial(n, n//4*4 + j10)
                    y1[w11] = t3[w11]*f32(2.0)
        """),
    "transform_layout": (SQUARE,
        lambda t: (t.s.cache_write("copy", "global"),
                   t.s.transform_layout("y_c", lambda i: (i[1] // 4, i[0], i[1] % 4))), """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            y_c2 = alloc(f32[2, n, 4])
            for i3 in range(n):
                for j4 in range(8):
                    with block("copy"):
                        v5 = spatial(n, i3)
                        w6 = spatial(8, j4)
                        y_c2[w6//4, v5, w6%4] = x0[v5, w6]
            for i7 in range(n):
                for j8 in range(8):
                    with block("copy_write"):
                        v9 = spatial(n, i7)
                        w10 = spatial(8, j8)
                        y1[v9, w10] = y_c2[w10//4, v9, w10%4]
        """),
    "tensorize": (DOT, _instruction, """
        def f(w0: u8[8, 16], x1: i8[n, 16], y2: i32[n, 8], *, n: dim[1, 64]):
            for r3 in range(n):
                for j4 in range(8):
                    for k5 in range(4):
                        with block("dot"):
                            v6 = spatial(n, r3)
                            w7 = spatial(8, j4)
                            u9 = reduce(4, k5)
                            with init():
                                y2[v6, w7] = i32(0)
                            y2[v6, w7] = dot4(y2[v6, w7], reinterpret(w0[w7, ramp(u9*4, 1, 4)], \
u32), reinterpret(x1[v6, ramp(u9*4, 1, 4)], i32))
        """),
    "reindex_cache_read": (DOT, lambda t: t.s.reindex_cache_read("dot", 0, "global"), """
        def f(w0: u8[8, 16], x1: i8[n, 16], y2: i32[n, 8], *, n: dim[1, 64]):
            y_r3 = alloc(u8[8, 16])
            for w4 in range(8):
                for u5 in range(16):
                    with block("dot_read"):
                        w6 = spatial(8, w4)
                        u7 = spatial(16, u5)
                        y_r3[w6, u7] = w0[w6, u7]
            for r8 in range(n):
                for j9 in range(8):
                    for k10 in range(16):
                        with block("dot"):
                            v11 = spatial(n, r8)
                            w12 = spatial(8, j9)
                            u13 = reduce(16, k10)
                            with init():
                                y2[v11, w12] = i32(0)
                            y2[v11, w12] = y2[v11, w12] + \
cast(y_r3[w12, u13], i32)*cast(x1[v11, u13], i32)
        """),
}  # fmt: skip

test_text = rewrites(CASES)


def test_unrolled_loops_stay_loops() -> None:
    t = Steps(SQUARE)
    t.s.unroll(t.j)
    assert "for j3 in unrolled(8):" in print_function(t.s.function)


def test_labels_of_a_second_partition_are_new() -> None:
    t = Steps(TWO)
    for _ in range(2):
        t.s.loop_partition([t.i, t.j], index(1) if t.s.trace.steps else t.s.expr("n//2 + 1"))
    text = print_function(t.s.function)
    assert '"one_tail"' in text
    assert '"one_tail_1"' in text


@pytest.mark.parametrize("value", [3, -1, True, 0.5, "text"])
def test_notes_are_read_back(value: int | float | str) -> None:
    t = Steps(SUMS)
    t.s.annotate("sum", "a", value)
    assert parse_function(print_function(t.s.function)) is canonical(t.s.function)
