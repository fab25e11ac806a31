"""Laws of steps on reductions that start anywhere: the meaning stays, lowered too."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from passes.ir.loop.interpret import ExecutionError
from passes.ir.node import IRError
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from tests.unit.codegen.running import check_lowering
from tests.unit.schedule.odd_sums import odd_step, random_sum
from tests.unit.schedule.programs import assert_same_meaning


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    max_examples=60,
)
@given(seed=st.integers(0, 1 << 32))
def test_steps_keep_the_meaning_of_odd_sums(seed: int) -> None:
    r = Random(seed)
    try:
        function = random_sum(r)
        assert_same_meaning(function, function)
    except (IRError, ExecutionError):
        assume(False)
    s = Schedule(function)
    for _ in range(8):
        before = s.function
        try:
            odd_step(r, s)
        except ScheduleError:
            assert s.function is before
            continue
        assert_same_meaning(function, s.function)
    check_lowering(s.function, {})
