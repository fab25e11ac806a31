"""Refusals of steps after which a reduction would start elsewhere, or again."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import BACKWARDS, HALVES

RESTARTED = HALVES.replace(
    "for i in range(8):\n    for k in range(8):", "for k in range(8):\n    for i in range(8):"
)
SLANTED = """
for u in range(4):
    for v in range(4):
        with block("sum"):
            k = reduce(16, u*2 + v - 2)
            where(2 <= u*2 + v)
            with init():
                x[0] = f32(0.0)
            x[0] = x[0] + y[k]
"""
TURNED = """
for u in range(4):
    for v in range(4):
        with block("sum"):
            k = reduce(4, u)
            r = reduce(4, 3 - v)
            with init():
                x[0] = f32(0.0)
            x[0] = x[0] + a[k, r]
"""
AGAIN = """
for s in range(3):
    for u in range(4):
        with block("sum"):
            k = reduce(4, u)
            o = ordered(3, s)
            with init():
                y[0] = f32(0.0)
            y[0] = y[0] + a[o, k]
"""
SHARED = """
for p in range(3):
    for q in range(4):
        with block("sum"):
            v = ordered(4, p)
            k = reduce(8, q + p)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, k]
"""
SIXTEEN = "x: f32[n], y: f32[16], a: f32[8, 8], *, n: dim[1, 64]"

CASES: dict[str, Case] = {
    "vectorize backwards": (program(BACKWARDS), lambda t: t.s.vectorize(t.k),
        "vectorize of loop k4", "lanes may meet in y1[i3], and block 'sum' may start there in"
        " another lane than the first", "for k4 in range(8):"),
    "vectorize restarts": (program(RESTARTED, SIXTEEN), lambda t: t.s.vectorize(t.i),
        "vectorize of loop i4", "lanes may meet in y1[i4//2], and block 'sum' may start there in"
        " another lane than the first", "for i4 in range(8):"),
    "vectorize slanted": (program(SLANTED, SIXTEEN),
        lambda t: (t.s.unroll(t.v), t.s.vectorize(t.u)),
        "vectorize of loop u3", "lanes may meet in x0[0], and block 'sum' may start there in"
        " another lane than the first", "for u3 in range(4):"),
    "vectorize around a turned loop": (program(TURNED, SIXTEEN),
        lambda t: (t.s.unroll(t.v), t.s.vectorize(t.u)),
        "vectorize of loop u3", "lanes may meet in x0[0], and block 'sum' may start there in"
        " another lane than the first", "for u3 in range(4):"),
    "parallel around a block": (program(SHARED, SIXTEEN),
        lambda t: (t.s.blockize(t.q), t.s.parallel(t.p)),
        "parallel of loop p3", "it drives an ordered iterator of block 'sum'",
        "for p3 in range(3):"),
    "vectorize around a block": (program(SHARED, SIXTEEN),
        lambda t: (t.s.unroll(t.q), t.s.blockize(t.q), t.s.vectorize(t.p)),
        "vectorize of loop p3", "it drives an ordered iterator of block 'sum'",
        "for p3 in range(3):"),
    "reorder slanted": (program(SLANTED, SIXTEEN), lambda t: t.s.reorder(t.v, t.u),
        "reorder of loops v4, u3", "iterations that differ in both u3 and v4 may meet in buffer"
        " 'x0', and change order", "for v4 in range(4):"),
    "decompose_reduction slanted": (program(SLANTED, SIXTEEN),
        lambda t: t.s.decompose_reduction("sum", t.u),
        "decompose_reduction of block 'sum' at loop u3",
        "loop u3 comes back to the same elements and restarts them", 'with block("sum"):'),
    "rfactor slanted": (program(SLANTED, SIXTEEN), lambda t: t.s.rfactor("sum", t.v),
        "rfactor of block 'sum' at loop v4", "loop u3 comes back to the same elements and"
        " restarts them", 'with block("sum"):'),
    "transform_block_layout of what restarts": (program(AGAIN, SIXTEEN),
        lambda t: t.s.transform_block_layout("sum", lambda i: [i[0], i[1]]),
        "transform_block_layout of block 'sum'", "instances may meet in buffer 'y1', and change"
        " order", 'with block("sum"):'),
}  # fmt: skip

test_refusal = refusals(CASES)
