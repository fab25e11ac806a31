"""What is done to schedules after all rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from passes.ir.loop.nodes import For
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from passes.search.defaults.shape import blocks
from passes.search.space.postprocess import postprocessed
from passes.search.space.postprocess.layout import layout
from passes.search.space.postprocess.rewrite_reductions import rewrite_reductions
from passes.search.space.postprocess.unbound_blocks import unbound_blocks
from passes.search.space.postprocess.verify_limits import verify_limits
from passes.search.space.rule import Context
from tests.unit.codegen.running import assert_same, interpreted, random_arrays
from tests.unit.search.test_contraction import AVX512, product

CONTEXT = Context(AVX512, threads=2)


def test_inits_leave_their_loops() -> None:
    s = rewrite_reductions(Schedule(product(4, 16, 8)), CONTEXT)
    assert all(block.init is None for block in blocks(s))


def test_large_nests_run_in_parallel() -> None:
    for size, kinds in ((64, {"parallel", "serial"}), (4, {"serial"})):
        s = unbound_blocks(Schedule(product(size, size, size)), CONTEXT)
        assert {n.kind for n in postorder(s.function) if isinstance(n, For)} == kinds


def test_all_together_mean_the_same() -> None:
    function = product(8, 16, 200)
    s = postprocessed(Schedule(function), CONTEXT)
    given = random_arrays(function, {})
    assert_same(interpreted(function, {}, given), interpreted(s.function, {}, given), "after")


def test_only_constants_change_their_layout() -> None:
    s = Schedule(product(4, 16, 8))
    s.transform_layout("b1", lambda i: (i[1], i[0]))
    assert layout(s, Context(AVX512, frozenset([1]))) is s
    with pytest.raises(ScheduleError, match=r"layout of parameter 'b1'.*it is no constant"):
        layout(s, CONTEXT)


def test_too_much_code() -> None:
    s = Schedule(product(32, 32, 32))
    for loop in s.loops("product"):
        s.unroll(loop)
    with pytest.raises(ScheduleError, match="32768 stores would be written out, of at most 8192"):
        verify_limits(s, CONTEXT)


def test_too_many_registers() -> None:
    s = Schedule(product(32, 16, 32))
    copy = s.cache_write("product", "register")
    i, j, k = s.loops("product")
    s.reorder(k, i, j)
    init = s.decompose_reduction("product", k)
    for label in (init, "product", copy):
        *_, i, j = s.loops(label)
        s.unroll(i)
        s.vectorize(j)
    few = Context(replace(AVX512, vector_registers=16))
    with pytest.raises(ScheduleError, match="it holds 32 vectors in 16 registers"):
        verify_limits(s, few)
