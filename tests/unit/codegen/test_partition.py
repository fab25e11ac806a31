"""Loops cut where conditions change, and branches moved out of loops."""

from __future__ import annotations

import pytest

from passes.codegen.lower.invariants import place_invariants
from passes.codegen.lower.partition import LARGEST, partition
from passes.codegen.lower.strips import cut_strips
from passes.ir.loop.nodes import For, If
from passes.ir.loop.parse import parse_function
from passes.ir.node import postorder
from tests.unit.codegen.running import check_lowering
from tests.unit.codegen.test_lower_passes import expect


def test_the_main_part_has_no_condition() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in range((n + 3)//4):
        for j in unrolled(4):
            if i*4 + j < n:
                y[i*4 + j] = x[i*4 + j]
"""
    after = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in range(n//4):
        for j in unrolled(4):
            y[i*4 + j] = x[i*4 + j]
    if n//4 < (n + 3)//4:
        for j in unrolled(4):
            if n//4*4 + j < n:
                y[n//4*4 + j] = x[n//4*4 + j]
"""
    expect(partition, before, after)


def test_padding_is_cut_off_on_both_sides() -> None:
    before = """
def f(x: f32[n], y: f32[n + 5], *, n: dim[1, 64]):
    for i in range(n + 5):
        if 2 <= i and i < n + 2:
            y[i] = x[i - 2]
        else:
            y[i] = f32(0.0)
"""
    after = """
def f(x: f32[n], y: f32[n + 5], *, n: dim[1, 64]):
    for i in range(2):
        y[i] = f32(0.0)
    for i in range(n):
        y[i + 2] = x[i]
    for i in range(3):
        y[i + n + 2] = f32(0.0)
"""
    expect(partition, before, after)


def test_the_start_of_a_reduction_is_peeled_off() -> None:
    before = """
def f(x: f32[n, 8], y: f32[n], *, n: dim[1, 64]):
    for i in range(n):
        for k in range(2):
            for q in range(4):
                if k*4 + q == 0:
                    y[i] = f32(0.0)
                y[i] = y[i] + x[i, k*4 + q]
"""
    after = """
def f(x: f32[n, 8], y: f32[n], *, n: dim[1, 64]):
    for i in range(n):
        y[i] = f32(0.0)
        y[i] = y[i] + x[i, 0]
        for q in range(3):
            y[i] = y[i] + x[i, q + 1]
        for q in range(4):
            y[i] = y[i] + x[i, q + 4]
"""
    expect(partition, before, after)


def test_iterations_at_the_same_time_choose_their_part() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in parallel((n + 3)//4):
        for k in range(8):
            for j in vectorized(4):
                if i*4 + j < n:
                    y[i*4 + j] = y[i*4 + j] + x[i*4 + j]
"""
    after = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in parallel((n + 3)//4):
        if i < n//4:
            for k in range(8):
                for j in vectorized(4):
                    y[i*4 + j] = y[i*4 + j] + x[i*4 + j]
        else:
            for k in range(8):
                for j in vectorized(4):
                    if i*4 + j < n:
                        y[i*4 + j] = y[i*4 + j] + x[i*4 + j]
"""
    expect(partition, before, after)


def test_points_are_kept_inside_the_loop() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64], m: dim[0, 64]):
    for i in range(n):
        if i < m - 2:
            y[i] = x[i]
"""
    after = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64], m: dim[0, 64]):
    for i in range(max(min(m - 2, n), 0)):
        y[i] = x[i]
"""
    expect(partition, before, after)


@pytest.mark.parametrize(
    "loop",
    [
        "for i in range(n):\n        if cast(k[i], index) < i:",
        "for i in range(n):\n        if i < cast(k[0], index):",
        "for i in range(n):\n        if i*i < n:",
        "for i in range(n):\n        if i*m < n:",
        "for i in range(n):\n        if 3 < m:",
        "for i in vectorized(8):\n        if i < m:",
        "for i in range(n):\n        if i < n:",
        "for i in parallel(n):\n        if i < m:",
    ],
)
def test_what_stays_whole(loop: str) -> None:
    """No point is known before the loop runs, or there is nothing to settle."""
    function = parse_function(f"""
def f(k: i32[n], x: f32[n], *, n: dim[8, 64], m: dim[1, 64]):
    {loop}
            x[i] = x[i] + f32(1.0)
            k[i] = i32(1)
""")
    assert sum(isinstance(node, For) for node in postorder(partition(function))) == 1


def test_large_bodies_are_not_copied() -> None:
    text = """
def f(x: f32[n], *, n: dim[8, 64], m: dim[1, 64]):
    for i in range(n):
        for j in unrolled({}):
            if i + j < m:
                x[i] = x[i] + f32(1.0)
"""
    few, many = (parse_function(text.format(count)) for count in (LARGEST // 4, LARGEST))
    assert partition(many) is many
    assert partition(few) is not few


def test_vectorized_loops_of_any_extent_run_in_strips() -> None:
    before = """
def f(x: f32[n], k: i16[n], y: f32[n], *, n: dim[0, 64]):
    for i in vectorized(n):
        y[i] = x[i] + cast(k[i], f32)
        for j in vectorized(n):
            x[i] = f32(0.0)
"""
    after = """
def f(x: f32[n], k: i16[n], y: f32[n], *, n: dim[0, 64]):
    for i in range((n + 7)//8):
        for i in vectorized(8):
            if i3*8 + i4 < n:
                y[i3*8 + i4] = x[i3*8 + i4] + cast(k[i3*8 + i4], f32)
                for j in vectorized(n):
                    x[i3*8 + i4] = f32(0.0)
"""
    expect(
        cut_strips,
        before,
        after.replace("for i in range", "for i3 in range").replace("for i in v", "for i4 in v"),
    )


PROGRAMS = {
    "lanes without number": """
def f(x: f32[n], y: f32[n], s: f32[2], *, n: dim[1, 64], m: dim[1, 64]):
    s[0] = f32(0.0)
    s[1] = f32(0.0)
    for i in vectorized(n):
        y[i] = x[i]*f32(2.0)
        s[0] = s[0] + x[i]
        for k in range(3):
            y[i] = y[i] + x[k%n]
    for i in vectorized(n - m):
        s[1] = max(s[1], x[i + m])
""",
    "conditions of every kind": """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    for i in range(n):
        if m - 3 < i and i < m + 2:
            y[i] = x[i]
        if i*3 <= m*2 and not m - i < 4:
            y[i] = y[i] + f32(1.0)
        else:
            y[i] = y[i] - f32(1.0)
        if n - i < 3 or i == 0:
            y[i] = y[i]*f32(2.0)
    for i in range(n):
        if i < m:
            x[i] = x[i] + f32(3.0)
        if i < n - m:
            x[i] = x[i]*f32(5.0)
        if 5 - m <= i:
            x[i] = x[i]*f32(7.0)
""",
    "tiles in two directions": """
def f(x: f32[n, m], y: f32[n, m], *, n: dim[1, 64], m: dim[1, 64]):
    for i in parallel((n + 3)//4):
        for j in range((m + 7)//8):
            for r in unrolled(4):
                for v in vectorized(8):
                    if i*4 + r < n and j*8 + v < m:
                        y[i*4 + r, j*8 + v] = x[i*4 + r, j*8 + v]
                for k in range(3):
                    for v in vectorized(8):
                        if i*4 + r < n and j*8 + v < m:
                            y[i*4 + r, j*8 + v] = y[i*4 + r, j*8 + v] + x[i*4 + r, j*8 + v]
""",
    "a triangle": """
def f(x: f32[n, n], y: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    for i in range(n):
        for j in range(n):
            if j <= i:
                if j == 0:
                    y[i] = f32(0.0)
                y[i] = y[i] + x[i, j]
        for j in range(i):
            if j < m:
                y[i] = y[i]*f32(0.5)
""",
    "typed counters and changing extents": """
def f(x: f32[n], k: i32[1], *, n: dim[1, 64], m: dim[1, 64]):
    k[0] = i32(4)
    for i in range(cast(k[0], index)):
        if i < m:
            k[0] = k[0] + i32(1)
        if i == 0:
            k[0] = k[0] + i32(2)
        x[0] = x[0] + cast(k[0], f32)
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_means_the_same(name: str) -> None:
    function = parse_function(PROGRAMS[name])
    for n in (1, 4, 9):
        for m in (1, 4, 7, 20):
            check_lowering(function, {"n": n, "m": m})


def test_branches_move_out_and_together() -> None:
    before = """
def f(x: f32[64], y: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    for i in range(n):
        if m < n:
            y[i] = f32(0.0)
        else:
            y[i] = f32(1.0)
        for k in range(64):
            if m < n:
                y[i] = y[i] + x[k]
        if m < n and i < 4:
            if i < 4:
                y[i] = y[i]*f32(2.0)
"""
    after = """
def f(x: f32[64], y: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    for i in range(n):
        if m < n:
            y[i] = f32(0.0)
            for k in range(64):
                y[i] = y[i] + x[k]
        else:
            y[i] = f32(1.0)
        if m < n and i < 4:
            y[i] = y[i]*f32(2.0)
"""
    expect(place_invariants, before, after)


def test_loops_around_nothing_but_empty_ones_do_not_run() -> None:
    before = """
def f(x: f32[64], y: f32[n + 8], *, n: dim[1, 64]):
    for k in range(64):
        for j in range(2):
            for i in range(n//8):
                y[i] = y[i] + x[k]
            for i in range(n%8):
                y[i + 8] = y[i + 8] + x[k]
"""
    after = """
def f(x: f32[64], y: f32[n + 8], *, n: dim[1, 64]):
    if 0 < n//8 or 0 < n%8:
        for k in range(64):
            for j in range(2):
                for i in range(n//8):
                    y[i] = y[i] + x[k]
                for i in range(n%8):
                    y[i + 8] = y[i + 8] + x[k]
"""
    expect(place_invariants, before, after)


@pytest.mark.parametrize("cond", ["f32(0.0) < x[0]", "n//m < 5", "k < 4"])
def test_branches_stay_where_their_condition_may_change_or_fail(cond: str) -> None:
    function = parse_function(f"""
def f(x: f32[64], *, n: dim[1, 64], m: dim[0, 64]):
    for k in range(64):
        if {cond}:
            x[k] = x[k] + f32(1.0)
""")
    done = place_invariants(function)
    assert isinstance(done.body, For) and isinstance(done.body.body, If)
