"""Vectors that a later iteration of a loop reads are asked for when the loop says so."""

from __future__ import annotations

import numpy as np

from passes.codegen.emit import emit_module
from passes.codegen.lower import lower
from passes.ir.loop.parse import parse_function
from tests.unit.codegen.running import check_lowering

SUMS = """
def sums(x: f32[64, n], y: f32[n], *, n: dim[16, 64]):
    for b in range(8{noted}):
        for j in range(n//16):
            for k in range(8):
                for l in vectorized(16):
                    y[j*16 + l] = y[j*16 + l] + x[b*8 + k, j*16 + l]
"""
CALL = "call void @llvm.prefetch.p0"


def test_rows_of_the_next_iteration_are_fetched() -> None:
    text = emit_module([lower(parse_function(SUMS.format(noted=", prefetch=1")))])
    assert text.count(CALL) == 1  # of x, not of y, which changes
    assert CALL not in emit_module([lower(parse_function(SUMS.format(noted="")))])


def test_the_same_place_is_asked_for_once() -> None:
    text = SUMS.format(noted=", prefetch=2").replace("x[b*8 + k, j*16 + l]", "x[b*8, j*16 + l]")
    lines = emit_module([lower(parse_function(text))]).splitlines()
    (at,) = [number for number, line in enumerate(lines) if CALL in line]
    inner = [number for number, line in enumerate(lines) if line.startswith("loop.k")]
    assert not inner or at < inner[-1]  # before the loop in which the place is the same


def test_nothing_else_changes() -> None:
    function = parse_function(SUMS.format(noted=", prefetch=1"))
    rng = np.random.default_rng(0)
    memory = [rng.standard_normal(size).astype(np.float32) for size in (64 * 32, 32)]
    check_lowering(function, {"n": 32}, memory)
