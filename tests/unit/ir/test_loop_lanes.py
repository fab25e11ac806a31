"""Vectorized loops as the interpreter runs them: each statement in all lanes."""

from __future__ import annotations

import pytest

from passes.ir.loop.lanes import in_step
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from tests.unit.codegen.running import check_lowering, interpreted, random_arrays

BACKWARDS = """
def f(x: i32[4, 8], y: i32[4]):
    for i in range(4):
        for u in vectorized(8):
            with block("sum"):
                v = spatial(4, i)
                k = reduce(8, 7 - u)
                with init():
                    y[v] = i32(0)
                y[v] = y[v] + x[v, k]
"""
RESTARTED = """
def f(x: i32[4, 8], y: i32[4]):
    for u in vectorized(8):
        for k in unrolled(4):
            with block("sum"):
                v = spatial(8, u)
                r = reduce(4, k)
                with init():
                    y[v//2] = i32(0)
                y[v//2] = y[v//2] + x[r, v]
"""
PLAIN = """
def f(x: i32[4, 8], y: i32[8]):
    for k in range(4):
        for u in vectorized(8):
            with block("sum"):
                v = spatial(8, u)
                r = reduce(4, k)
                with init():
                    y[v] = i32(0)
                y[v] = y[v] + x[r, v]
"""
SEVERAL = """
def f(x: i32[4, 8], y: i32[8], z: i32[8]):
    for u in vectorized(8):
        for k in unrolled(4):
            if x[k, 0] < i32(3):
                with block("two"):
                    v = spatial(8, u)
                    r = ordered(4, k)
                    where(i32(0) < x[k, u])
                    y[v] = x[r, v]
                    z[v] = y[v] + z[v]
"""
WAITING = """
def f(x: i32[4, 8], y: i32[8]):
    for u in vectorized(8):
        with block("two"):
            v = spatial(8, u)
            where(i32(0) < y[u])
            y[v] = i32(0)
            y[v] = x[0, v]
"""


def _results(text: str) -> list[list[int]]:
    function = parse_function(text.strip())
    memory = interpreted(function, {}, random_arrays(function, {}))
    return [array.ravel().tolist() for array in memory]


def test_an_init_in_a_later_lane_comes_before_all_sums() -> None:
    x, y = _results(BACKWARDS)
    assert y == [sum(x[8 * i : 8 * i + 8]) for i in range(4)]


def test_lanes_that_start_one_element_start_it_together() -> None:
    x, y = _results(RESTARTED)
    assert y == [sum(x[8 * r + v] for r in range(4) for v in (2 * i, 2 * i + 1)) for i in range(4)]


@pytest.mark.parametrize("text", [BACKWARDS, RESTARTED, PLAIN, SEVERAL, WAITING])
def test_lowered_vectors_do_the_same(text: str) -> None:
    check_lowering(parse_function(text.strip()), {})


def test_what_lanes_do_apart_stays_in_one_loop() -> None:
    """So that it runs as whole-array operations."""
    for text in (PLAIN, WAITING):
        function = parse_function(text.strip())
        assert in_step(function.body) is function.body


def test_statements_of_lanes_one_after_the_other() -> None:
    function = parse_function(SEVERAL.strip())
    done = print_function(function.replace(body=in_step(function.body)))
    assert (
        done
        == """
def f(x0: i32[4, 8], y1: i32[8], z2: i32[8]):
    for k3 in unrolled(4):
        for u4 in vectorized(8):
            if x0[k3, 0] < i32(3):
                with block("two"):
                    v5 = spatial(8, u4)
                    r6 = ordered(4, k3)
                    where(i32(0) < x0[k3, u4])
                    y1[v5] = x0[r6, v5]
        for u7 in vectorized(8):
            if x0[k3, 0] < i32(3):
                with block("two_1"):
                    v8 = spatial(8, u7)
                    r9 = ordered(4, k3)
                    where(i32(0) < x0[k3, u7])
                    z2[v8] = y1[v8] + z2[v8]
""".lstrip()
    )
