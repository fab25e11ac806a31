"""Laws of schedules: a step that succeeds keeps the meaning; a trace repeats it.

Programs and steps are drawn at random; most steps do not fit and must be refused without trace.
`pytest -m slow` does thousands of programs and prints how often each primitive was done and
refused.
"""

from __future__ import annotations

from inspect import isfunction
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from passes.ir.loop.interpret import ExecutionError
from passes.schedule import primitives
from passes.schedule.replay import Replayer, replay
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from tests.property.walks import Tally, move_about, sizes
from tests.unit.schedule.programs import ALL, assert_same_meaning
from tests.unit.schedule.random_programs import random_program

PROGRAMS = 2000  # of the long run
quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
        assert_same_meaning(function, function, sizes(function))
    except ExecutionError:
        assume(False)
    s = move_about(function, r, steps=12)
    again = Schedule(function)
    exec(s.trace.as_python(), {"s": again})
    assert again.function is s.function
    assert again.trace == s.trace


@settings(quiet, max_examples=20)
@given(seed=st.integers(0, 1 << 32))
def test_other_decisions_keep_the_meaning(seed: int) -> None:
    """Traces with other choices replay, or say why they do not; with their own, they repeat."""
    r = Random(seed)
    function = r.choice(ALL)()
    trace = move_about(function, r, steps=14).trace
    replayer = Replayer(function)
    first = replayer.replay(Trace.from_json(trace.as_json(), function))
    assert first.trace == trace
    for number, step in enumerate(trace):
        if step.sampling is None:
            continue
        try:
            other = replayer.replay(trace.decided(number, step.sampling.draw(r)))
        except ScheduleError as error:
            assert error.primitive == "replay"
            continue
        assert_same_meaning(function, other.function, sizes(function))
        assert replay(function, other.trace).function is other.function


@pytest.mark.slow
def test_thousands_of_programs(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for seed in range(PROGRAMS):
        r = Random(seed)
        function = random_program(r) if r.random() < 0.5 else r.choice(ALL)()
        try:
            assert_same_meaning(function, function, sizes(function))
        except ExecutionError:
            continue
        tally.programs += 1
        try:
            s = move_about(function, r, 16, tally)
            assert replay(function, s.trace).function is s.function
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    with capsys.disabled():
        print(f"\n{tally}")
    every = {name for name in primitives.__all__ if isfunction(getattr(primitives, name))}
    assert every <= tally.done.keys()
