"""Multiples of loop variables: their text, their meaning, and what they may be."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import const
from passes.ir.loop.interpret import interpret
from passes.ir.loop.multiples import spelled_out
from passes.ir.loop.nodes import For
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.loop.verify import verify
from passes.ir.node import IRError
from passes.schedule.schedule import Schedule

COLUMNS = """\
def columns(x0: f32[n*8], y1: f32[8], *, n: dim[1, 64]):
    for k2, p3, q4 in multiples(parallel(8, prefetch=2), n, 1):
        y1[q4] = x0[p3]
"""
PLAIN = """\
def columns(x0: f32[n*8], y1: f32[8], *, n: dim[1, 64]):
    for k2 in parallel(8, prefetch=2):
        y1[k2] = x0[k2*n]
"""


def test_text_reads_back() -> None:
    function = parse_function(COLUMNS)
    verify(function)
    assert print_function(function) == COLUMNS
    assert parse_function(print_function(function)) is function


def test_a_multiple_is_the_variable_times_its_step() -> None:
    x, y = np.arange(24, dtype=np.float32), np.zeros(8, np.float32)
    interpret(parse_function(COLUMNS), {"n": 3}, [x, y], threads=3, check_races=True)
    np.testing.assert_array_equal(y, x[::3])


def test_spelled_out_they_are_products() -> None:
    function = parse_function(COLUMNS)
    plain = function.replace(body=spelled_out(function.body))
    assert print_function(plain) == PLAIN
    assert print_function(Schedule(function).function) == PLAIN


def test_the_loop_binds_them() -> None:
    loop = parse_function(COLUMNS).body
    assert isinstance(loop, For)
    assert not free_vars(loop)
    with pytest.raises(IRError, match="cannot substitute a value for p3: the statement binds it"):
        substitute(loop, {loop.multiples[0].var: const(0)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "    for j2 in range(4):\n"
            "        for k3, p4 in multiples(range(2), j2):\n"
            "            y[p4] = x[k3]\n",
            "function 'f': j2 is the step of a multiple; it speaks of dims only\n"
            "1 | def f(x0: f32[8], y1: f32[8]):\n"
            "2 |     for j2 in range(4):\n"
            "3 |         for k3, p4 in multiples(range(2), j2):\n"
            "  |                                           ^^\n"
            "4 |             y1[p4] = x0[k3]",
        ),
        (
            "    for k2, p3 in multiples(parallel(8), 0):\n        y[0] = x[p3]\n",
            "function 'f': y1[0] is stored to by all iterations of parallel loop k2; make the loop"
            " serial, or store to a place for each iteration\n"
            "1 | def f(x0: f32[8], y1: f32[8]):\n"
            "2 |     for k2, p3 in multiples(parallel(8), 0):\n"
            "3 |         y1[0] = x0[p3]\n"
            "  |         ^^^^^",
        ),
    ],
)
def test_what_they_may_be(text: str, message: str) -> None:
    function = parse_function(f"def f(x: f32[8], y: f32[8]):\n{text}")
    with pytest.raises(IRError) as error:
        verify(function)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("for k, p in multiples(range(2, 3), 4)", "a loop has one extent, as in range(16)"),
        ("for k, x[0] in multiples(range(2), 4)", "a multiple of a loop's variable is a name"),
        ("for k, k in multiples(range(2), 4)", "'k' already has a meaning here"),
        ("for k, p, q in multiples(range(2), 4)", "not a statement of the loop IR"),
    ],
)
def test_text_that_is_none(head: str, message: str) -> None:
    with pytest.raises(IRError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse_function(f"def f(x: f32[8], y: f32[8]):\n    {head}:\n        y[k] = x[k]\n")
