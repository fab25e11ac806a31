"""Steps that succeed keep the meaning of programs with tuples, views, while loops and copies."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.walks import move_about
from tests.unit.schedule.statement_programs import ALL


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=3)
@given(seed=st.integers(0, 1 << 32))
def test_steps_keep_the_meaning(make, seed: int) -> None:
    move_about(make(), Random(seed), steps=14)
