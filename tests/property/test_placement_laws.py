"""Laws of steps that move computations between producers and consumers, over random chains."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.codegen.lower.pipeline import pipeline
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in
from tests.unit.schedule.chains import random_chain, random_step, random_tiles
from tests.unit.schedule.programs import assert_same_meaning

quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(quiet, max_examples=40)
@given(seed=st.integers(0, 1 << 32))
def test_steps_keep_the_meaning_of_chains(seed: int) -> None:
    r = Random(seed)
    function = random_chain(r)
    s = Schedule(function)
    random_tiles(r, s)
    for _ in range(8):
        before = s.function
        if not blocks_in(before.body):
            break
        try:
            random_step(r, s)
        except ScheduleError:
            assert s.function is before
            continue
        assert_same_meaning(function, s.function, (1, 5))
        carried_out = pipeline(s.function)
        if carried_out is not s.function:
            assert_same_meaning(function, carried_out, (1, 2, 5))
