"""Where reductions start, and what may be done with loops whose first iteration that is."""

from __future__ import annotations

import pytest

from passes.ir.loop.nodes import Function
from passes.schedule.accesses import ranges
from passes.schedule.reductions import starting_loops
from passes.schedule.tree import blocks_in
from tests.unit.codegen.running import check_lowering
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program

LOOPS = """
for a in range(8):
    for b in range(4):
        for c in range(6):
            with block("sum"):
                k = reduce(64, {k})
                r = reduce(64, {r})
                s = reduce(64, {s})
                where({k} < 64 and 0 <= {k})
                with init():
                    x[0] = f32(0.0)
                x[0] = x[0] + f32(1.0)
"""
FUSED = """
for i in range(n):
    for k in range(4):
        for l in range(8):
            with block("sum"):
                v = spatial(n, i)
                u = reduce(4, k)
                w = reduce(8, l)
                with init():
                    y[v] = f32(0.0)
                y[v] = y[v] + a[v, w]*x[u % n]
"""


def _sum(k: str, r: str = "0", s: str = "0") -> Function:
    return program(LOOPS.format(k=k, r=r, s=s), "x: f32[n], *, n: dim[1, 64]")


@pytest.mark.parametrize(
    ("bindings", "loops"),
    [
        (("a*4 + b", "c//2", "c%2"), "abc"),
        (("a*n + b", "c"), "abc"),
        (("a*6 + c//2", "b", "c%2"), "abc"),
        (("c//3//2", "c//3%2", "c%3"), "c"),
        (("a*4 + 1", "b"), "ab"),
        (("7 - a", "b + c"), "bc"),
        (("b + c - 2", "a"), "a"),
        (("c%2", "a"), "a"),
        (("max(a, b)", "c"), "c"),
        (("a*(n//2) + b",), "b"),
    ],
)
def test_loops_that_are_0_where_reductions_start(bindings: tuple[str, ...], loops: str) -> None:
    function = _sum(*bindings)
    (block,) = blocks_in(function.body)
    found = starting_loops(block, ranges(function))
    assert {var.name for var in found} == set(loops)


def test_lanes_of_loops_that_were_one() -> None:
    before = program(FUSED)
    t = Steps(before)
    whole = t.s.fuse(t.k, t.l)
    outer, lanes = t.s.split(whole, 16)
    t.s.vectorize(lanes)
    t.s.reorder(outer, t.i)
    assert_same_meaning(before, t.s.function, (1, 2, 7))
    check_lowering(t.s.function, {"n": 5})
