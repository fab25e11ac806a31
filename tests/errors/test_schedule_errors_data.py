"""Refusals of instructions and layouts: what a buffer or a body would have to be."""

from __future__ import annotations

import pytest

from tests.unit.schedule.steps import Case, check_refusal, program

DOTS = "w: u8[8], q: i8[8], y: i32[1]"
DOT = """
for k in range(2):
    for b in range(4):
        with block("dot"):
            u = reduce(8, k*4 + b)
            with init():
                y[0] = i32(0)
            y[0] = y[0] + cast(w[u], i32)*cast(q[7 - u], i32)
"""
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
    "tensorize unknown": (program(DOT, DOTS), lambda t: t.s.tensorize(t.b, "fma"),
        "tensorize of loop b4 by 'fma'", "there is no such intrinsic; known: dot4_u8_i8,"
        " dot4_u8_i8_words", "for b4 in range(4):"),
    "tensorize outer": (program(DOT, DOTS), lambda t: t.s.tensorize(t.k, "dot4_u8_i8"),
        "tensorize of loop k3 by 'dot4_u8_i8'", "no block stands directly inside it",
        "for k3 in range(2):"),
    "tensorize backwards": (program(DOT, DOTS), lambda t: t.s.tensorize(t.b, "dot4_u8_i8"),
        "tensorize of loop b4 by 'dot4_u8_i8'", "its body does not store acc + cast(u8) * cast(i8)"
        " of contiguous operands", "for b4 in range(4):"),
    "tensorize spread": (program(DOT.replace("k*4 + b", "b*2 + k"), DOTS),
        lambda t: t.s.tensorize(t.b, "dot4_u8_i8"),
        "tensorize of loop b4 by 'dot4_u8_i8'", "it is not the innermost part of one reduce"
        " iterator", "for b4 in range(4):"),
    "layout meets": (
        program(BUFFER), lambda t: t.s.transform_layout("t3", lambda i: (i[0], i[1] // 2)),
        "transform_layout of buffer 't3'", "two elements may meet in one place of (i-1, i-2//2)",
        "t3 = alloc(f32[n, 8])"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refusal(name: str) -> None:
    check_refusal(CASES[name])
