"""Refusals of layouts: what a buffer would have to be."""

from __future__ import annotations

import pytest

from tests.unit.schedule.steps import Case, check_refusal, program

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
        "transform_layout of buffer 't3'", "two elements may meet in one place of (i-1, i-2//2)",
        "t3 = alloc(f32[n, 8])"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refusal(name: str) -> None:
    check_refusal(CASES[name])
