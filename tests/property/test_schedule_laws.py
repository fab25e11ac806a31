"""Laws of schedules: a step that succeeds keeps the meaning; a trace repeats it.

Programs and steps are drawn at random; most steps do not fit and must be refused without trace.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from passes.ir.loop.interpret import ExecutionError
from passes.ir.loop.nodes import Function
from passes.schedule.schedule import Schedule, replay
from passes.schedule.tree import ScheduleError, blocks_in
from tests.unit.schedule.moves import random_move, random_program
from tests.unit.schedule.programs import ALL, assert_same_meaning

SIZES = (1, 5)
quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def move_about(function: Function, r: Random, steps: int) -> Schedule:
    s = Schedule(function)
    for _ in range(steps):
        if not blocks_in(s.function.body):
            break
        before, count = s.function, len(s.trace)
        try:
            random_move(r, s)
        except ScheduleError:
            assert s.function is before
            assert len(s.trace) == count
            continue
        assert_same_meaning(function, s.function, SIZES)
    return s


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
@settings(quiet, max_examples=4)
@given(seed=st.integers(0, 1 << 32))
def test_steps_keep_the_meaning(make, seed: int) -> None:
    s = move_about(make(), Random(seed), steps=14)
    assert replay(make(), s.trace).function is s.function


@settings(quiet, max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_steps_keep_the_meaning_of_random_programs(seed: int) -> None:
    r = Random(seed)
    function = random_program(r)
    try:
        assert_same_meaning(function, function, SIZES)
    except ExecutionError:
        assume(False)
    s = move_about(function, r, steps=12)
    again = Schedule(function)
    exec(s.trace.as_python(), {"s": again})
    assert again.function is s.function
