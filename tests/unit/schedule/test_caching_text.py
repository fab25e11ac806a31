"""What the primitives that stage, rearrange and cut make of small programs, as text."""

from __future__ import annotations

from passes.ir.loop.text import print_function
from tests.unit.schedule.steps import Rewrite, Steps, program, rewrites, written_out
from tests.unit.schedule.texts import CHAIN, COPY, LINES, PLANES, ROWS, SUM

SUMS, TWO = program(SUM, ROWS), program(CHAIN, LINES)
SQUARE = program(COPY, PLANES)
GATHER = written_out("""
    def f(x0: f32[4, 8], ids1: i32[n], y2: f32[n, 8], *, n: dim[1, 64]):
        for i3 in range(n):
            for j4 in range(8):
                with block("pick"):
                    v5 = spatial(n, i3)
                    w6 = spatial(8, j4)
                    y2[v5, w6] = x0[cast(ids1[v5//3], index), w6]
""")
FOLDED = written_out("""
    def f(x0: f32[n, 2, 4], y1: f32[n, 8], *, n: dim[1, 64]):
        for i2 in range(n):
            for h3 in range(2):
                for d4 in range(4):
                    with block("fold"):
                        v5 = spatial(n, i2)
                        w6 = spatial(2, h3)
                        u7 = spatial(4, d4)
                        y1[v5, w6*4 + u7] = x0[v5, w6, u7]
""")
VIEWED = written_out("""
    def f(x0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
        t2 = alloc(f32[n, 8])
        for i3 in range(n):
            for j4 in range(8):
                with block("fill"):
                    v5 = spatial(n, i3)
                    w6 = spatial(8, j4)
                    t2[v5, w6] = x0[v5, w6]
            with block("use"):
                u7 = spatial(n, i3)
                s8 = view(t2[u7, 0:+8])
                r9 = view(s8[2:+4])
                y1[u7] = s8[0] + r9[1]
""")


def _notes(t: Steps) -> None:
    t.s.annotate(t.j, "grain", 3)
    t.s.annotate(t.j, "grain", 4)
    t.s.annotate("two", "kind", "copy")
    t.s.annotate("one", "kind", "sum")
    t.s.unannotate("one", "kind")


def _aligned(t: Steps) -> None:
    t.s.cache_read("copy", "x0", "local")
    t.s.storage_align("x_c", 0, 16, 4)
    t.s.storage_align("x_c", 0, 16, 9)


# What the first block stays
FIRST = """
t2 = alloc(f32[n])
for i3 in range(n):
    with block("one"):
        v4 = spatial(n, i3)
        t2[v4] = x0[v4] + f32(1.0)
"""
READ = """
a_c2 = alloc(f32[n, 8])
for v3 in range(n):
    for u4 in range(8):
        with block("sum_read"):
            v5 = spatial(n, v3)
            u6 = spatial(8, u4)
            a_c2[v5, u6] = a0[v5, u6]
for i7 in range(n):
    for k8 in range(8):
        with block("sum"):
            v9 = spatial(n, i7)
            u10 = reduce(8, k8)
            with init():
                y1[v9] = f32(0.0)
            y1[v9] = y1[v9] + a_c2[v9, u10]
"""
READ_BACKWARDS = READ.replace("a_c", "a_r").replace("a0[v5, u6]", "a0[v5, 7 - u6]")
PICKED = """
x_r3 = alloc(f32[n, 8])
for v4 in range(n):
    for w5 in range(8):
        with block("pick_read"):
            v6 = spatial(n, v4)
            w7 = spatial(8, w5)
            x_r3[v6, w7] = x0[cast(ids1[v6//3], index), w7]
for i9 in range(n):
    for j10 in range(8):
        with block("pick"):
            v11 = spatial(n, i9)
            w12 = spatial(8, j10)
            y2[v11, w12] = x_r3[v11, w12]
"""
PICKED_TURNED = (
    PICKED.replace("f32[n, 8])", 'f32[8, n], scope="local")')
    .replace("r3[v6, w7]", "r3[w7, v6]")
    .replace("r3[v11, w12]", "r3[w12, v11]")
)
UNFOLDED = """
y_w2 = alloc(f32[n, 2, 4])
for i3 in range(n):
    for h4 in range(2):
        for d5 in range(4):
            with block("fold"):
                v6 = spatial(n, i3)
                w7 = spatial(2, h4)
                u9 = spatial(4, d5)
                y_w2[v6, w7, u9] = x0[v6, w7, u9]
for i10 in range(n):
    for h11 in range(2):
        for d12 in range(4):
            with block("fold_write"):
                v13 = spatial(n, i10)
                w14 = spatial(2, h11)
                u15 = spatial(4, d12)
                y1[v13, w14*4 + u15] = y_w2[v13, w14, u15]
"""
UNFOLDED_TURNED = (
    UNFOLDED.replace("f32[n, 2, 4])", 'f32[2, n, 4], scope="local")')
    .replace("w2[v6, w7,", "w2[w7, v6,")
    .replace("w2[v13, w14,", "w2[w14, v13,")
)
PADDED = """
t2 = alloc(f32[(n + 3)//4, 4])
for p3 in range((n + 3)//4 - n//4):
    for p4 in range(4):
        with block("t_pad"):
            p5 = spatial((n + 3)//4, p3 + n//4)
            p6 = spatial(4, p4)
            where(n < p3*4 + n//4*4 + p4 + 1)
            t2[p5, p6] = f32(0.0)
for i7 in range(n):
    with block("one"):
        v8 = spatial(n, i7)
        t2[v8//4, v8%4] = x0[v8] + f32(1.0)
for j9 in range(n):
    with block("two"):
        w10 = spatial(n, j9)
        y1[w10] = t2[w10//4, w10%4]*f32(2.0)
"""
PADDED_BACKWARDS = PADDED.replace("[v8//4, v8%4]", "[(n - v8 + 3)//4 - 1, (n - v8 + 3)%4]").replace(
    "[w10//4, w10%4]", "[(n - w10 + 3)//4 - 1, (n - w10 + 3)%4]"
)


CASES: dict[str, Rewrite] = {
    "split": (TWO, lambda t: t.s.split(t.j, 4), FIRST + """
for j5 in range((n + 3)//4):
    for j6 in range(4):
        with block("two"):
            w7 = spatial(n, j5*4 + j6)
            where(j5*4 + j6 < n)
            y1[w7] = t2[w7]*f32(2.0)
"""),
    "split in parts": (SQUARE, lambda t: t.s.split(t.j, (2, None, 2)), """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            for i2 in range(n):
                for j3 in range(2):
                    for j4 in range(2):
                        for j5 in range(2):
                            with block("copy"):
                                v6 = spatial(n, i2)
                                w7 = spatial(8, j3*4 + j4*2 + j5)
                                y1[v6, w7] = x0[v6, w7]
        """),
    "split by a dim": (TWO, lambda t: t.s.split(t.j, t.s.expr("n//2 + 1")), FIRST + """
for j5 in range((n - 1)//(n//2 + 1) + 1):
    for j6 in range(n//2 + 1):
        with block("two"):
            w7 = spatial(n, j5*(n//2) + j5 + j6)
            where(j5*(n//2) + j5 + j6 < n)
            y1[w7] = t2[w7]*f32(2.0)
"""),
    "split to reach": (TWO, lambda t: t.s.split(t.j, (8, 8)), FIRST + """
for j5 in range(8):
    for j6 in range(8):
        with block("two"):
            w7 = spatial(n, j5*8 + j6)
            where(j5*8 + j6 < n)
            y1[w7] = t2[w7]*f32(2.0)
"""),
    "add_unit_loop": (TWO, lambda t: t.s.add_unit_loop("two"), FIRST + """
for j5 in range(n):
    for u6 in range(1):
        with block("two"):
            w7 = spatial(n, j5)
            y1[w7] = t2[w7]*f32(2.0)
"""),
    "annotate": (TWO, _notes, FIRST + """
for j5 in range(n, grain=4):
    with block("two", kind="copy"):
        w6 = spatial(n, j5)
        y1[w6] = t2[w6]*f32(2.0)
"""),
    "bind": (SQUARE, lambda t: (t.s.bind(t.i, "block.x"), t.s.bind(t.j, "thread.x")), """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            for i2 in block.x(n):
                for j3 in thread.x(8):
                    with block("copy"):
                        v4 = spatial(n, i2)
                        w5 = spatial(8, j3)
                        y1[v4, w5] = x0[v4, w5]
        """),
    "cache_read": (SUMS, lambda t: t.s.cache_read("sum", "a0", "global"), READ),
    "cache_index": (GATHER, lambda t: t.s.cache_index("pick", "x0", "global"), """
        def f(x0: f32[4, 8], ids1: i32[n], y2: f32[n, 8], *, n: dim[1, 64]):
            x_i3 = alloc(i32[n])
            for v4 in range(n):
                with block("pick_index"):
                    v5 = spatial(n, v4)
                    x_i3[v5] = ids1[v5//3]
            for i6 in range(n):
                for j7 in range(8):
                    with block("pick"):
                        v8 = spatial(n, i6)
                        w9 = spatial(8, j7)
                        y2[v8, w9] = x0[cast(x_i3[v8], index), w9]
        """),
    "reindex read": (GATHER, lambda t: t.s.reindex("pick", "x0", "read"), PICKED),
    "reindex write": (FOLDED, lambda t: t.s.reindex("fold", "y1", "write"), UNFOLDED),
    "reindex_cache_read": (GATHER,
        lambda t: t.s.reindex_cache_read("pick", "x0", "local", lambda i: (i[1], i[0])),
        PICKED_TURNED),
    "reindex_cache_write": (FOLDED,
        lambda t: t.s.reindex_cache_write("fold", "local", lambda i: (i[1], i[0], i[2])),
        UNFOLDED_TURNED),
    "storage_align": (SQUARE, _aligned, """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            x_c2 = alloc(f32[n, 8](strides=[9, 1], pitch=[[0, 16, 9]]), scope="local")
            for v3 in range(n):
                for w4 in range(8):
                    with block("copy_read"):
                        v5 = spatial(n, v3)
                        w6 = spatial(8, w4)
                        x_c2[v5, w6] = x0[v5, w6]
            for i7 in range(n):
                for j8 in range(8):
                    with block("copy"):
                        v9 = spatial(n, i7)
                        w10 = spatial(8, j8)
                        y1[v9, w10] = x_c2[v9, w10]
        """),
    "transform_block_layout": (SQUARE,
        lambda t: t.s.transform_block_layout("copy", lambda i: (i[1] // 4, i[0], i[1] % 4)), """
        def f(x0: f32[n, 8], y1: f32[n, 8], *, n: dim[1, 64]):
            for w2 in range(2):
                for v3 in range(n):
                    for w4 in range(4):
                        with block("copy"):
                            w5 = spatial(2, w2)
                            v6 = spatial(n, v3)
                            w7 = spatial(4, w4)
                            y1[v6, w5*4 + w7] = x0[v6, w5*4 + w7]
        """),
    "transform_block_layout padded": (TWO,
        lambda t: t.s.transform_block_layout("two", lambda i: (i[0] // 4, i[0] % 4)), FIRST + """
for w5 in range((n + 3)//4):
    for w6 in range(4):
        with block("two"):
            w7 = spatial((n + 3)//4, w5)
            w8 = spatial(4, w6)
            where(w5*4 + w6 < n)
            y1[w7*4 + w8] = t2[w7*4 + w8]*f32(2.0)
"""),
    "set_scope of views": (VIEWED,
        lambda t: (t.s.set_scope("t", "local"), t.s.parallel(t.i)),
        print_function(VIEWED).replace("alloc(f32[n, 8])", 'alloc(f32[n, 8], scope="local")')
        .replace("i3 in range", "i3 in parallel")),
    "transform_block_layout backwards": (TWO,
        lambda t: t.s.transform_block_layout("two", lambda i: (t.s.expr("n - 1") - i[0],)),
        FIRST + """
for w5 in range(n):
    with block("two"):
        w6 = spatial(n, w5)
        y1[n - w6 - 1] = t2[n - w6 - 1]*f32(2.0)
"""),
    "transform_block_layout of a sum, backwards": (SUMS,
        lambda t: t.s.transform_block_layout("sum", lambda i: (i[0], (7 - i[1])//3, (7 - i[1])%3)),
        """
        def f(a0: f32[n, 8], y1: f32[n], *, n: dim[1, 64]):
            for v2 in range(n):
                for u3 in range(3):
                    for u4 in range(3):
                        with block("sum"):
                            v5 = spatial(n, v2)
                            u6 = reduce(3, u3)
                            u7 = reduce(3, u4)
                            where(u3*3 + u4 < 8)
                            with init():
                                y1[v5] = f32(0.0)
                            y1[v5] = y1[v5] + a0[v5, 7 - u6*3 - u7]
        """),
    "reindex of flipped weights": (
        program(SUM.replace("a[v, u]", "a[v, 7 - u]"), ROWS),
        lambda t: t.s.reindex("sum", "a", "read"), READ_BACKWARDS),
    "transform_layout padded, backwards": (TWO,
        lambda t: t.s.transform_layout("t2", lambda i: (
            (t.s.expr("n - 1") - i[0])//4, (t.s.expr("n - 1") - i[0])%4), 0.0), PADDED_BACKWARDS),
    "transform_layout padded": (TWO,
        lambda t: t.s.transform_layout("t2", lambda i: (i[0] // 4, i[0] % 4), 0.0), PADDED),
}  # fmt: skip

test_text = rewrites(CASES)
