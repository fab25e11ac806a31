"""Blocks that compute into a temporary: what their init and their conditions read."""

from __future__ import annotations

import pytest

from passes.schedule.tree import get_block, written
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.texts import MOST

STARTED = """
for i in range(n):
    for k in range(8):
        with block("both"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                x[v] = x[v]*f32(0.5)
                y[v] = x[v]
            x[v] = x[v] + a[v, u]
            y[v] = y[v] + a[v, 7 - u]
"""
FLAGGED = """
for i in range(n):
    with block("put"):
        v = spatial(n, i)
        where(f32(0.0) < a[i, 0])
        x[v] = a[v, 1]
        y[v] = a[v, 2]
"""
UPDATED = f"""{MOST}
for i in range(n):
    for k in range(8):
        with block("most"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                x[v], y[v] = most(x[v], y[v], y[v], x[v])
                y[v] = y[v] + x[v]
            x[v], y[v] = most(x[v], y[v], a[v, u], a[v, 7 - u])
"""
DIGITS = """
for f in range(n*4):
    with block("sum"):
        v = spatial(n, f//4)
        u = reduce(4, f%4)
        where(f < n*4 - 1)
        with init():
            y[v] = f32(0.0)
        y[v] = y[v] + a[v, u]
"""
RENEWED = """
for i in range(n):
    with block("new"):
        v = spatial(n, i)
        y[v] = a[v, 0]
        y[v] = y[v] + a[v, 1]
"""
TEXTS = [(STARTED, "both"), (FLAGGED, "put"), (UPDATED, "most")]


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize(("text", "label"), TEXTS)
def test_one_of_two_outputs_is_computed_apart(text: str, label: str, name: str) -> None:
    """An init reads what it has just stored where that is now, and old content where it was."""
    before = program(text)
    for step in (
        lambda s: s.cache_write(label, "local", name),
        lambda s: s.reindex_cache_write(label, "local", None, name),
    ):
        t = Steps(before)
        copy = step(t.s)
        assert [b.name for b in written(get_block(t.s.function, copy, "test"))] == [name]
        assert_same_meaning(before, t.s.function, (1, 2, 7))


def test_a_loop_over_elements_and_what_they_are_made_of() -> None:
    before = program(DIGITS)
    t = Steps(before)
    t.s.cache_write("sum", "local")
    assert_same_meaning(before, t.s.function, (1, 2, 7))


def test_what_is_stored_before_it_is_read_needs_no_old_content() -> None:
    before = program(RENEWED)
    steps = Steps(before)
    steps.s.cache_write("new", "local")
    assert get_block(steps.s.function, "new", "test").init is None
    assert_same_meaning(before, steps.s.function)
