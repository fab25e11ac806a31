"""Laws of the loop interpreter, over random programs."""

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir.loop import nests
from tests.property.loop_programs import loop_programs

QUICK = settings(max_examples=40, deadline=None)


@QUICK
@given(loop_programs(grid=True), st.sampled_from([1, 5, 40]))
def test_whole_array_steps_give_the_bits_of_single_ones(program, budget):
    with patch.object(nests, "_WORTH_IT", 1 << 60):
        single = program.run()
    with patch.object(nests, "_WORTH_IT", 0), patch.object(nests, "_BUDGET", budget):
        chunked = program.run()
    with patch.object(nests, "_WORTH_IT", 0):
        whole = program.run()
    for a, b, c in zip(single, chunked, whole, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


@QUICK
@given(loop_programs(grid=True))
def test_parallel_loops_of_independent_stores_have_no_race(program):
    for checked, plain in zip(program.run(check_races=True), program.run(), strict=True):
        assert checked.tobytes() == plain.tobytes()
