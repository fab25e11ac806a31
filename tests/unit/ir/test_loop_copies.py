"""Asynchronous copies, interpreted: whose they are, and when they land."""

import numpy as np
import pytest

from tests.unit.ir.running import floats, run

PIPELINE = """
def pipe(x: f32[8, 4], y: f32[8, 4]):
    s = alloc(f32[2, 4], scope="shared")
    with async_group("q"):
        for j in thread.x(4):
            s[0, j] = x[0, j]
    for i in range(8):
        if i < 7:
            with async_group("q"):
                for j in thread.x(4):
                    s[(i + 1)%2, j] = x[i + 1, j]
        async_wait("q", WAIT, [s])
        BEFORE
        for j in thread.x(4):
            y[i, j] = s[i%2, j]*f32(2.0)
"""


@pytest.mark.parametrize(
    ("wait", "before", "missing"),
    [
        ("0", "pass", 0),
        ("select(i < 7, 1, 0)", "pass", 0),
        ("1", "pass", 4),  # the last row has nothing behind it
        ("2", "pass", 32),
        ("9", "pass", 32),
        ("0", "x[0, 0] = f32(7.0)", 0),
        ("1", "if i == 2:\n            x[3, 0] = f32(7.0)", 5),
    ],
)
def test_copies_land_at_the_last_moment(wait, before, missing):
    text = PIPELINE.replace("WAIT", wait).replace("BEFORE", before)
    x = floats(8, 4)
    _, y = run(text, {}, x.copy(), np.zeros((8, 4), np.float32), check_races=True)
    assert np.isnan(y).sum() == missing
    assert (np.isnan(y) | (y == 2 * x)).all()


@pytest.mark.parametrize(("pending", "missing"), [(0, 0), (1, 4), (2, 8)])
def test_iterations_of_parallel_loops_have_groups_of_their_own(pending, missing):
    text = f"""
def f(x: f32[n, 2], y: f32[n, 2], *, n: dim[1, 9]):
    s = alloc(f32[2], scope="local")
    for i in parallel(n):
        for j in range(2):
            with async_group("q"):
                s[j] = x[i, j]
        async_wait("q", {pending}, [s])
        y[i, ramp(0, 1, 2)] = s[ramp(0, 1, 2)]
"""
    x = floats(4, 2)
    for threads in (1, 2):
        y = np.zeros((4, 2), np.float32)
        run(text, {"n": 4}, x.copy(), y, threads=threads, check_races=True)
        assert np.isnan(y).sum() == missing
        assert (np.isnan(y) | (y == x)).all()


def test_a_source_that_changes_on_the_way_is_lost():
    text = """
def f(x: f32[4], y: f32[4], z: i32[1]):
    s = alloc(f32[4])
    t = alloc(i32[1])
    with async_group("q"):
        s[ramp(0, 1, 4)] = x[ramp(0, 1, 4)]
        t[0] = i32(3)
    y[0] = s[0]
    z[0] = t[0]
    x[2] = f32(9.0)
    async_wait("q", 0, [s, t])
    y[ramp(1, 1, 3)] = s[ramp(1, 1, 3)]
"""
    x = floats(4)
    x, y, z = run(text, {}, x, np.zeros(4, np.float32), np.zeros(1, np.int32))
    assert np.isnan(y).all() and z[0] == np.iinfo(np.int32).max
    _, y, _ = run(text.replace("    x[2] = f32(9.0)\n", ""), {}, x, y, z)
    assert np.isnan(y[0]) and (y[1:] == x[1:]).all()
