"""Refusals of layouts: elements that may meet, places that nobody knows."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals

BUFFER = """
t = alloc(f32[n, 8])
for i in range(n):
    for j in range(8):
        with block("fill"):
            v = spatial(n, i)
            u = spatial(8, j)
            t[v, u] = x[v]
for l in range(n):
    with block("use"):
        w = spatial(n, l)
        y[w] = t[w, 0]
"""

CASES: dict[str, Case] = {
    "layout meets": (
        program(BUFFER), lambda t: t.s.transform_layout("t3", lambda i: (i[0], i[1] // 2)),
        "transform_layout of buffer 't3'", "two elements may meet in one place of (i0, i1//2)",
        "t3 = alloc(f32[n, 8])"),
    "layout meets rows": (
        program(BUFFER),
        lambda t: t.s.transform_layout("t3", lambda i: (i[0] % 2, i[1] * 2 + i[0])),
        "transform_layout of buffer 't3'", "two elements may meet in one place of"
        " (i0%2, i1*2 + i0)", "t3 = alloc(f32[n, 8])"),
    "swizzle by itself": (
        program(BUFFER), lambda t: t.s.transform_layout("t3", lambda i: (i[0], i[1] ^ i[1] // 2)),
        "transform_layout of buffer 't3'", "two elements may meet in one place of"
        " (i0, i1 ^ i1//2)", "t3 = alloc(f32[n, 8])"),
    "swizzle below": (
        program(BUFFER), lambda t: t.s.transform_layout("t3", lambda i: (i[0], i[1] ^ i[0] - 1)),
        "transform_layout of buffer 't3'", "the reach of i1 ^ i0 - 1 is unknown",
        "t3 = alloc(f32[n, 8])"),
}  # fmt: skip

test_refusal = refusals(CASES)
