"""Reductions that may be empty: what they leave alone, steps leave alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.ir.loop.text import print_function
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.texts import LENGTHS, MAYBE_EMPTY, RAGGED, SQUARE, TRIANGLE

HEAD = "x: f32[n], y: f32[n], a: f32[n, 8], *, n: dim[0, 64]"
BELOW = TRIANGLE.replace("i + 1", "i")
GUARDED = """
for i in range(n):
    with block("sum_init"):
        v = spatial(n, i)
        where(0 < i)
        y[v] = f32(0.0)
    for k in range(i):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(n, k)
            y[v] = y[v] + x[u]
"""
# The elements that are summed into are not there if nothing is
COLUMNS = """
for i in range(n):
    for j in range(8):
        with block("sum"):
            v = spatial(8, j)
            u = reduce(n, i)
            with init():
                a[0, v] = f32(0.0)
            a[0, v] = a[0, v] + x[u]
"""
# Neither loop has iterations where n is small, nor have both as one
BORDER = """
for i in range(n - 4):
    for k in range(n - 5):
        with block("sum"):
            v = spatial(n - 4, i)
            u = reduce(n - 5, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + x[u]
"""
# Only where both loops are 0 the sum starts: elsewhere it adds to what is there
DIAGONAL = """
for i in range(8):
    for k in range(8):
        with block("sum"):
            v = spatial(8, i)
            u = reduce(15, i + k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u % 8]
"""

CASES: dict[str, tuple[str, str, Callable[[Steps], object]]] = {
    "triangle": (BELOW, HEAD, lambda t: t.s.decompose_reduction("sum", t.k)),
    "whole triangle": (BELOW, HEAD, lambda t: t.s.decompose_reduction("sum", t.i)),
    "tiled triangle": (BELOW, HEAD,
        lambda t: (t.s.split(t.i, 4), t.s.split(t.k, 4), t.s.decompose_reduction("sum", t.k))),
    "columns": (COLUMNS, HEAD, lambda t: t.s.decompose_reduction("sum", t.i)),
    "other writers": (MAYBE_EMPTY, HEAD, lambda t: t.s.decompose_reduction("sum", t.k)),
    "ragged": (RAGGED, LENGTHS, lambda t: t.s.decompose_reduction("sum", t.i)),
    "padded sum": (SQUARE, HEAD, lambda t: t.s.pad_einsum("sum", (1, 4))),
    "fused": (BORDER, HEAD, lambda t: t.s.fuse(t.i, t.k)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_meaning(name: str) -> None:
    text, head, step = CASES[name]
    before = program(text, head)
    steps = Steps(before)
    step(steps)
    assert steps.s.function is not before
    assert_same_meaning(before, steps.s.function, (0, 1, 2, 7) if head is HEAD else (1, 2, 7))


def test_the_start_has_the_condition_that_the_loop_runs() -> None:
    steps = Steps(program(BELOW, HEAD))
    steps.s.decompose_reduction("sum", steps.k)
    assert print_function(steps.s.function) == print_function(program(GUARDED, HEAD))


def test_a_loop_that_drives_both_kinds() -> None:
    before = program(DIAGONAL, "y: f32[8], a: f32[8, 8]")
    steps = Steps(before)
    steps.s.decompose_reduction("sum", steps.i)
    assert_same_meaning(before, steps.s.function)
