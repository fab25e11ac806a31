"""Splits whose iterations beyond the extent divide by something: never by zero."""

from __future__ import annotations

import pytest

from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.texts import SHARES

FUSED = """
for i in range(n*m):
    with block("copy"):
        v = spatial(n, i//m)
        w = spatial(m, i % m)
        a[v, w] = x[(v + w) % 12]
"""
TRIANGLE = """
for i in range(n):
    for f in range((i + 1)*m):
        with block("copy"):
            v = spatial(n, i)
            u = ordered(n, f//m)
            w = spatial(m, f % m)
            a[v, w] = a[v, w] + x[(u + w) % 12]
"""
HEAD = "x: f32[12], y: f32[n], a: f32[n, m], *, n: dim[1, 64], m: dim[1, 64]"


@pytest.mark.parametrize("text", [SHARES.replace("n - i", "n + 3 - i"), FUSED, TRIANGLE])
def test_split(text: str) -> None:
    before = program(text, HEAD)
    steps = Steps(before)
    steps.s.split(steps.i, 4)
    assert steps.s.function is not before
    assert_same_meaning(before, steps.s.function, (1, 4, 5, 7))
