"""Which accesses never meet: strides that step over each other, parts of one buffer."""

from __future__ import annotations

import pytest

from passes.schedule.accesses import accesses, ranges
from passes.schedule.dependence import disjoint, inner_loops
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program

PHASES = """
for p in range(3):
    for q in range(n):
        with block("phase"):
            u = spatial(3, p)
            v = spatial(n, q)
            z[v*{stride} + u] = x[v]
"""
PARTS = """
for i in range(4):
    with block("low"):
        v = spatial(8, i)
        t[v] = x[0]
for j in range(4):
    with block("high"):
        w = spatial(8, j + {start})
        t[w] = x[0]
"""
HEAD = "x: f32[n], z: f32[n*4 + 8], t: f32[8], *, n: dim[1, 64]"


@pytest.mark.parametrize("stride", [3, 4])
def test_phases_of_a_stride_are_parallel(stride: int) -> None:
    steps = Steps(program(PHASES.format(stride=stride), HEAD))
    before = steps.s.function
    steps.s.parallel(steps.p)
    assert_same_meaning(before, steps.s.function)


def test_phases_wider_than_the_stride_meet() -> None:
    steps = Steps(program(PHASES.format(stride=2), HEAD))
    with pytest.raises(ScheduleError, match="iterations may meet in z1"):
        steps.s.parallel(steps.p)


@pytest.mark.parametrize(("start", "apart"), [(4, True), (3, False)])
def test_parts_of_a_buffer(start: int, apart: bool) -> None:
    function = program(PARTS.format(start=start), HEAD)
    one, two = [a for a in accesses(function.body) if a.is_store]
    loops = inner_loops(one.loops[0]) | {one.loops[0].var, two.loops[0].var}
    assert disjoint(one, two, loops, ranges(function), frozenset()) == apart
