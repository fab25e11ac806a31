"""Steps next to refused ones: what they need is known where it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.ir.expr import Dim, Var, const
from passes.ir.loop.nodes import For
from passes.ir.loop.text import print_function
from passes.schedule.faults import divisors
from passes.schedule.tensorization.apply import apply
from passes.schedule.tensorization.candidates import candidates
from passes.schedule.tree import ScheduleError, statements
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.texts import STREAM

QUOTIENT = """
for i in range(m):
    with block("pick"):
        v = spatial(m, i)
        u = ordered(13, 12//m)
        y[v] = x[min(u, 11)]
"""
EVEN = """
t = alloc(f32[n*2])
for i in range(n):
    with block("even"):
        v = spatial(n*2, i*2)
        t[v] = x[v]
for o in range(1):
    for j in range(n):
        with block("use"):
            w = spatial(n, j)
            y[w] = t[w*2]
"""
TRIANGLE = """
for i in range(n):
    for j in range(i + 1):
        with block("fill"):
            v = spatial(n, i)
            w = spatial(v + 1, j)
            y[v, w] = x[w]
"""
COUNTED = """
for i in range(i32(8)):
    for k in range(3):
        with block("sum"):
            v = spatial(i32(8), i)
            u = reduce(3, k)
            with init():
                y[cast(v, index)] = f32(0.0)
            y[cast(v, index)] = y[cast(v, index)] + x[cast(v, index), u]
"""
GROUPED = """
for h in range(n):
    for g in range(2):
        for d in range(3):
            for c in range(4):
                with block("sum"):
                    row = spatial(n, h)
                    group = spatial(2, g)
                    column = spatial(3, d)
                    u = reduce(4, c)
                    with init():
                        y[row, PLACE] = f32(0.0)
                    y[row, PLACE] = y[row, PLACE] + x[row, group, u]*w[group, u, column]
"""
GATHER = """
t = alloc(f32[n])
for i in range(n):
    with block("pick"):
        v = spatial(n, i)
        t[v] = x[cast(ids[v], index)]
for o in range(n):
    with block("use"):
        w = spatial(n, o)
        y[w] = t[w]*f32(2.0)
"""


def test_the_whole_axis_is_copied_where_its_part_may_not_be_known() -> None:
    before = program(QUOTIENT, "x: i32[12], y: i32[m], *, m: dim[0, 16]")
    t = Steps(before)
    t.s.cache_read("pick", "x", "global")
    assert "range(12)" in print_function(t.s.function)
    assert_same_meaning(before, t.s.function, (0, 1, 5))


def test_more_may_be_computed_where_nothing_can_fail() -> None:
    before = program(EVEN, "x: f32[n*2], y: f32[n], *, n: dim[1, 64]")
    t = Steps(before)
    t.s.compute_at("even", t.o)
    assert_same_meaning(before, t.s.function)


def test_what_memory_says_may_be_asked_for_all_that_was_computed() -> None:
    before = program(GATHER, "x: f32[4], ids: i32[n], y: f32[n], *, n: dim[1, 64]")
    t = Steps(before)
    t.s.compute_at("pick", t.o)
    assert_same_meaning(before, t.s.function)


def test_an_iterator_that_sizes_another_one_stays() -> None:
    before = program(TRIANGLE, "x: f32[n], y: f32[n, n], *, n: dim[1, 64]")
    t = Steps(before)
    with pytest.raises(ScheduleError, match="iterator v4 is not a serial loop of its own"):
        t.s.transform_block_layout("fill", lambda i: [i[0] // 2, i[0] % 2, i[1]])
    with pytest.raises(ScheduleError, match="its extent speaks of v4, which the layout puts after"):
        t.s.transform_block_layout("fill", lambda i: [i[1], i[0]])
    t.s.transform_block_layout("fill", lambda i: [i[0], i[1]])
    assert_same_meaning(before, t.s.function)


def test_the_notes_of_a_pipeline_go_together() -> None:
    t = Steps(program(STREAM))
    t.s.software_pipeline(t.i, (0, 1), (0, 1))
    t.s.unannotate(t.i, "pipeline_order")
    (loop,) = [s for s in statements(t.s.function) if isinstance(s, For) and s.var.name == "i"]
    assert loop.annotations == ()


@pytest.mark.parametrize("place", ["group*3 + column", "column*2 + group", "group*4 + column"])
def test_groups_of_columns_that_are_padded(place: str) -> None:
    head = "x: f32[n, 2, 4], w: f32[2, 4, 3], y: f32[n, 8], *, n: dim[1, 64]"
    before = program(GROUPED.replace("PLACE", place), head)
    found = candidates(before, "sum", "fma_f32_x8", {"m": 2})
    assert len(found) > 1
    for mapping in found:
        t = Steps(before)
        apply(t.s, "sum", mapping)
        assert_same_meaning(before, t.s.function, (1, 2, 5))


@pytest.mark.parametrize(
    "step",
    [
        lambda t: t.s.cache_write("sum", "global"),
        lambda t: t.s.decompose_reduction("sum", t.k),
    ],
)
def test_new_loops_count_in_the_type_of_the_old_ones(step: Callable[[Steps], object]) -> None:
    before = program(COUNTED, "x: f32[8, 3], y: f32[8]")
    t = Steps(before)
    step(t)
    assert_same_meaning(before, t.s.function)


def test_factors_of_the_extent_of_a_loop_that_runs_are_not_zero() -> None:
    n = Dim("n", 1, 64)
    i, j = Var("i", 0), Var("j", 1)
    known = {i: (const(0), n // 8 * 4 - 1), j: (const(0), const(3))}
    assert divisors(i // (n // 8), known) == []
    assert divisors((i + j) % (n // 8), known) == []
    assert divisors(i // (n // 4), known) == [n // 4]
    assert divisors(j // (n // 8), known) == [n // 8]
