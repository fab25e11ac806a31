"""Index arithmetic in 32 bits."""

from __future__ import annotations

import pytest

from passes.codegen.lower.facts import Facts
from passes.codegen.lower.narrow import narrow
from passes.ir.dtypes import I32
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.ir.node import postorder
from tests.unit.codegen.programs import PROGRAMS
from tests.unit.codegen.running import check_lowering
from tests.unit.codegen.test_lower_passes import expect

SHORT = Facts(index_bits=32)


def narrowed(function: Function) -> Function:
    return narrow(function, SHORT)


def test_vectors_are_narrowed_everywhere() -> None:
    before = """
def f(x: f32[n], y: f32[n], z: f32[n], *, n: dim[16, 64]):
    for i in range(n//16):
        y[masked(ramp(i*16, 1, 16), ramp(i*16, 1, 16) < broadcast(n, 16))] = cast(
            ramp(i*16, 2, 16)//broadcast(3, 16), f32x16)
        z[ramp(i*16, 1, 16)] = select(
            broadcast(i, 16) == ramp(0, 1, 16), x[ramp(i*16, 1, 16)], x[ramp(0, 1, 16)])
        z[i] = cast(i, f32)
"""
    after = """
def f(x: f32[n], y: f32[n], z: f32[n], *, n: dim[16, 64]):
    for i in range(n//16):
        y[masked(
            ramp(i*16, 1, 16), ramp(i32(0), 1, 16) < broadcast(cast(n - i*16, i32), 16)
        )] = cast(ramp(cast(i*16, i32), 2, 16)//broadcast(i32(3), 16), f32x16)
        z[ramp(i*16, 1, 16)] = select(
            ramp(i32(0), -1, 16) == broadcast(cast(i*-1, i32), 16),
            x[ramp(i*16, 1, 16)], x[ramp(0, 1, 16)])
        z[i] = cast(i, f32)
"""
    expect(narrow, before, after)


def test_limits_of_unknown_size_are_cut_off() -> None:
    before = """
def f(k: i64[1], y: bool[16]):
    y[ramp(0, 1, 16)] = ramp(0, 1, 16) <= broadcast(cast(k[0], index), 16)
"""
    after = """
def f(k: i64[1], y: bool[16]):
    y[ramp(0, 1, 16)] = ramp(i32(0), 1, 16) <= broadcast(
        cast(min(max(cast(k[0], index), -1), 16), i32), 16)
"""
    expect(narrow, before, after)


def test_scalars_are_narrowed_for_targets_with_short_registers() -> None:
    before = """
def f(x: f32[n*n], p: i32[n], y: f32[n], *, n: dim[1, 4096]):
    for i in range(n):
        for j in range(n):
            if i + j < n:
                y[i] = y[i] + x[i*n + j]*cast(j, f32) + x[cast(p[i], index)]
"""
    after = """
def f(x: f32[n*n], p: i32[n], y: f32[n], *, n: dim[1, 4096]):
    for i in range(cast(n, i32)):
        for j in range(cast(n, i32)):
            if i + j < cast(n, i32):
                y[cast(i, index)] = y[cast(i, index)] + x[
                    cast(i*cast(n, i32) + j, index)]*cast(j, f32) + x[
                    cast(p[cast(i, index)], index)]
"""
    expect(narrowed, before, after)


def test_what_may_not_fit_stays() -> None:
    text = """
def f(x: f32[n*n], y: f32[n], *, n: dim[1, 1000000]):
    for i in range(n):
        y[i] = x[i*n] + cast(i*n, f32)
"""
    done = narrowed(parse_function(text))
    assert isinstance(done.body, For) and done.body.var.dtype == I32
    assert "i*n" not in str(done), "index arithmetic on the variable's 64-bit form"
    vectors = """
def f(y: f32[16], *, n: dim[0, 4294967296]):
    y[ramp(0, 1, 16)] = cast(ramp(n, 1, 16), f32x16)
"""
    function = parse_function(vectors)
    assert narrow(function) is function


def test_products_of_lanes_may_not_fit() -> None:
    text = """
def f(y: f32[16], z: bool[16], *, n: dim[0, 2000000000]):
    for i in vectorized(16):
        y[i] = cast(i%4*n, f32)
        z[i] = (i//3)*n < 3000000000
"""
    check_lowering(parse_function(text), {"n": 1 << 30})
    steps = """
def f(y: bool[16], *, n: dim[0, 20000000000]):
    for i in vectorized(16):
        y[i] = i*1000000000 < n
"""
    check_lowering(parse_function(steps), {"n": 10**10})
    short = """
def f(y: f32[16], *, n: dim[0, 65536]):
    y[ramp(0, 1, 16)] = cast(ramp(0, 1, 16)%broadcast(4, 16)*broadcast(n, 16), f32x16)
"""
    narrowed_lanes = """
def f(y: f32[16], *, n: dim[0, 65536]):
    y[ramp(0, 1, 16)] = cast(
        ramp(i32(0), 1, 16)%broadcast(i32(4), 16)*broadcast(cast(n, i32), 16), f32x16)
"""
    expect(narrow, short, narrowed_lanes)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_means_the_same(name: str) -> None:
    text, sizes = PROGRAMS[name]
    done = check_lowering(parse_function(text), sizes[0], facts=SHORT)
    loops = [node for node in postorder(done) if isinstance(node, For) and node.kind == "serial"]
    assert all(loop.var.dtype == I32 for loop in loops)
