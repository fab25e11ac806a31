"""Each lowering pass on a small program: before → after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.flatten import flatten
from passes.codegen.lower.registers import to_registers
from passes.codegen.lower.spmd import share_work
from passes.codegen.lower.strength import MOST_MULTIPLES, reduce_strength
from passes.codegen.lower.trivial import drop_trivial_loops
from passes.codegen.lower.unroll import unroll
from passes.codegen.lower.vectorize import vectorize
from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.node import IRError
from tests.unit.codegen.running import check_lowering


def expect(step: Callable[[Function], Function], before: str, after: str) -> None:
    found = canonical(step(parse_function(before)))
    assert print_function(found) == print_function(parse_function(after))


def test_blocks_become_statements() -> None:
    before = """
def f(x: f32[n, 64], y: f32[n], *, n: dim[1, 64]):
    for io in range((n + 3)//4):
        for ii in range(4):
            for k in range(64):
                with block("sum"):
                    i = spatial(n, io*4 + ii)
                    j = reduce(64, k)
                    where(io*4 + ii < n)
                    with init():
                        y[i] = f32(0.0)
                    y[i] = y[i] + x[i, j]
"""
    after = """
def f(x: f32[n, 64], y: f32[n], *, n: dim[1, 64]):
    for io in range((n + 3)//4):
        for ii in range(4):
            for k in range(64):
                if io*4 + ii < n:
                    if k == 0:
                        y[io*4 + ii] = f32(0.0)
                    y[io*4 + ii] = y[io*4 + ii] + x[io*4 + ii, k]
"""
    expect(lower_blocks, before, after)


def test_a_predicate_that_always_holds_is_dropped() -> None:
    before = """
def f(x: f32[64], y: f32[64]):
    for io in range(4):
        for ii in range(16):
            with block("copy"):
                i = spatial(64, io*16 + ii)
                where(io*16 + ii < 64)
                y[i] = x[i]
"""
    after = """
def f(x: f32[64], y: f32[64]):
    for io in range(4):
        for ii in range(16):
            y[io*16 + ii] = x[io*16 + ii]
"""
    expect(lower_blocks, before, after)


def test_loops_of_one_iteration_disappear() -> None:
    before = """
def f(x: f32[8], y: f32[8]):
    y[7] = f32(1.0)
    for i in parallel(1):
        y[i] = x[i]
        for j in range(1 + i):
            y[j + 1] = x[i + 2]
"""
    after = """
def f(x: f32[8], y: f32[8]):
    y[7] = f32(1.0)
    y[0] = x[0]
    y[1] = x[2]
"""
    expect(drop_trivial_loops, before, after)


def test_unrolled_loops_become_statements() -> None:
    before = """
def f(x: f32[n, 4], y: f32[n, 4], *, n: dim[1, 64]):
    for i in range(n):
        for j in unrolled(2):
            for k in range(2):
                y[i, j*2 + k] = x[i, j*2 + k]
        for j in range(1):
            y[i, j] = y[i, j] + f32(1.0)
"""
    after = """
def f(x: f32[n, 4], y: f32[n, 4], *, n: dim[1, 64]):
    for i in range(n):
        for k in range(2):
            y[i, k] = x[i, k]
        for l in range(2):
            y[i, l + 2] = x[i, l + 2]
        y[i, 0] = y[i, 0] + f32(1.0)
"""
    expect(unroll, before, after.replace("for l in", "for k in").replace("l + 2", "k + 2"))


def test_buffers_become_one_dimensional() -> None:
    before = """
def f(x: f32[n, 64], w: f16[8, 4](strides=[160, 1]), y: f32[n, 4, 16], *, n: dim[1, 64]):
    for i in range(n):
        for j in range(4):
            for k in range(16):
                y[i, j, k] = x[i, j*16 + k]*cast(w[k//2, j], f32)
"""
    after = """
def f(x: f32[n*64], w: f16[1124], y: f32[n*64], *, n: dim[1, 64]):
    for i in range(n):
        for j in range(4):
            for k in range(16):
                y[i*64 + j*16 + k] = x[i*64 + j*16 + k]*cast(w[(k//2)*160 + j], f32)
"""
    expect(flatten, before, after)


def test_padded_rows_that_may_not_be_there_take_no_memory() -> None:
    rows = """
def f(x: f32[n, 3], *, n: dim[0, 64]):
    t = alloc(f32[n, 3](strides=[5, 1], pitch=[[0, 8, 5]]))
    for i in range(n):
        t[i, 2] = x[i, 0]
"""
    flat = """
def f(x: f32[n*3], *, n: dim[0, 64]):
    t = alloc(f32[max(n*5 - 2, 0)])
    for i in range(n):
        t[i*5 + 2] = x[i*3]
"""
    expect(flatten, rows, flat)
    program = parse_function(rows.replace("x[i, 0]\n", "x[i, 0]\n        x[i, 1] = t[i, 2]\n"))
    for size in (0, 1, 9):
        check_lowering(program, {"n": size})


def test_vectorized_loops_become_vectors() -> None:
    before = """
def f(x: f32[64], y: f32[64], s: f32[1], *, n: dim[1, 64]):
    for k in range(4):
        for v in vectorized(16):
            y[k*16 + v] = x[k*16 + v]*f32(2.0) + x[k]
            s[0] = s[0] + x[k*16 + v]
"""
    after = """
def f(x: f32[64], y: f32[64], s: f32[1], *, n: dim[1, 64]):
    for k in range(4):
        y[ramp(k*16, 1, 16)] = x[ramp(k*16, 1, 16)]*broadcast(f32(2.0), 16) + broadcast(x[k], 16)
        s[0] = s[0] + reduce_add(x[ramp(k*16, 1, 16)])
"""
    expect(vectorize, before, after)


def test_lanes_of_two_loops_are_one_vector() -> None:
    before = """
def f(w: u8[256], x: u8[16], y: u8[256]):
    for g in range(4):
        for r in vectorized(16):
            for j in vectorized(4):
                y[g*64 + r*4 + j] = w[g*64 + r*4 + j] + x[g*4 + j]
"""
    after = """
def f(w: u8[256], x: u8[16], y: u8[256]):
    for g in range(4):
        y[ramp(g*64, 1, 64)] = w[ramp(g*64, 1, 64)] + broadcast(x[ramp(g*4, 1, 4)], 16)
"""
    expect(vectorize, before, after)


def test_a_condition_is_tested_for_all_lanes_at_once() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in range((n + 7)//8):
        for v in vectorized(8):
            if i*8 + v < n:
                y[i*8 + v] = x[i*8 + v]
"""
    after = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in range((n + 7)//8):
        if i*8 + 7 < n:
            y[ramp(i*8, 1, 8)] = x[ramp(i*8, 1, 8)]
        else:
            y[masked(ramp(i*8, 1, 8), ramp(i*8, 1, 8) < broadcast(n, 8))] = x[
                masked(ramp(i*8, 1, 8), ramp(i*8, 1, 8) < broadcast(n, 8))]
"""
    expect(vectorize, before, after)


def test_lanes_are_interchanged_with_serial_loops() -> None:
    before = """
def f(x: f32[1024], y: f32[16]):
    for v in vectorized(16):
        for k in range(64):
            y[v] = y[v] + x[k*16 + v]
"""
    after = """
def f(x: f32[1024], y: f32[16]):
    for k in range(64):
        y[ramp(0, 1, 16)] = y[ramp(0, 1, 16)] + x[ramp(k*16, 1, 16)]
"""
    expect(vectorize, before, after)


def test_a_store_to_fewer_places_than_lanes() -> None:
    before = """
def f(x: f32[64], y: f32[16]):
    for v in vectorized(16):
        for k in vectorized(4):
            y[v] = y[v] + x[k*16 + v]
"""
    after = """
def f(x: f32[64], y: f32[16]):
    for k in range(4):
        y[ramp(0, 1, 16)] = y[ramp(0, 1, 16)] + x[ramp(k*16, 1, 16)]
"""
    expect(vectorize, before, after)


def test_small_temporaries_move_into_registers() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    t = alloc(f32[2], scope="local")
    u = alloc(f32[2], scope="local")
    for i in range(n):
        t[0] = x[i]
        t[1] = t[0]*t[0]
        u[i%2] = t[1]
        y[i] = u[i%2]
"""
    expect(to_registers, before, before.replace('local")', 'register")', 1))


def test_a_register_buffer_needs_constant_indices() -> None:
    function = parse_function("""
def f(x: f32[8], y: f32[8]):
    t = alloc(f32[8], scope="register")
    for i in range(8):
        t[i] = x[i]
        y[i] = t[i]
""")
    with pytest.raises(IRError) as caught:
        to_registers(function)
    assert str(caught.value) == (
        "register buffer 't2' is accessed by an index that is not a constant; unroll the loops "
        "around the access or give the buffer scope 'local'"
    )


def test_pieces_of_a_register_buffer_must_not_overlap() -> None:
    function = parse_function("""
def f(x: f32[16], y: f32[1]):
    t = alloc(f32[16], scope="register")
    t[ramp(0, 1, 16)] = x[ramp(0, 1, 16)]
    y[0] = t[3]
""")
    with pytest.raises(IRError) as caught:
        to_registers(function)
    assert str(caught.value) == (
        "'f': register buffer 't2' is accessed in overlapping pieces around element 3; vectorize "
        "all loops over it by the same factor"
    )


def test_work_is_shared() -> None:
    before = """
def f(x: f32[n], t: f32[1], y: f32[n], z: f32[n], *, n: dim[1, 64]):
    t[0] = x[0]
    t[0] = t[0]*t[0]
    for i in parallel(n):
        y[i] = x[i]*t[0]
    for i in parallel(n):
        z[i] = x[i]
    for i in parallel(n):
        z[i] = z[i] + y[n - 1 - i]
"""
    after = """
def f(x: f32[n], t: f32[1], y: f32[n], z: f32[n], *, n: dim[1, 64]):
    if thread_id() == 0:
        t[0] = x[0]
        t[0] = t[0]*t[0]
    barrier()
    for i in parallel(n):
        y[i] = x[i]*t[0]
    for i in parallel(n):
        z[i] = x[i]
    barrier()
    for i in parallel(n):
        z[i] = z[i] + y[n - 1 - i]
"""
    expect(share_work, before, after)


def test_private_data_does_not_cross_into_parallel_loops() -> None:
    function = parse_function("""
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    t = alloc(f32[1], scope="local")
    t[0] = x[0]
    for i in parallel(n):
        y[i] = t[0]
""")
    with pytest.raises(IRError) as caught:
        share_work(function)
    assert str(caught.value) == (
        "'f': local buffer 't2' is private to a thread but used inside and outside of a parallel "
        "loop; give it scope 'global'"
    )


def test_products_in_addresses_are_counted_along() -> None:
    before = """
def f(x: f32[n*m*16], a: u8[n*320], s: f16[n*160], y: f32[n*4], *, n: dim[1, 64], m: dim[1, 8]):
    for j in range(m):
        for i in range(n):
            y[i*2 + j] = x[i*m*16 + j] + cast(a[i*320 + j], f32)*cast(s[i*160], f32)
"""
    after = """
def f(x: f32[n*m*16], a: u8[n*320], s: f16[n*160], y: f32[n*4], *, n: dim[1, 64], m: dim[1, 8]):
    for j in range(m):
        for i, p1, p2 in multiples(range(n), m*16, 160):
            y[i*2 + j] = x[j + p1] + cast(a[p2*2 + j], f32)*cast(s[p2], f32)
"""
    expect(reduce_strength, before, after)
    check_lowering(parse_function(before), {"n": 7, "m": 3})


def test_places_of_several_lanes_are_counted_too() -> None:
    before = """
def f(x: f32[n*64], y: f32[n*64], *, n: dim[1, 64]):
    for i in parallel(n):
        y[ramp(i*64, 2, 8)] = x[ramp(i*64 + 3, 1, 8)] + x[broadcast(i*64, 8) + ramp(0, 3, 8)]
"""
    after = """
def f(x: f32[n*64], y: f32[n*64], *, n: dim[1, 64]):
    for i, p in multiples(parallel(n), 64):
        y[ramp(p, 2, 8)] = x[ramp(p + 3, 1, 8)] + x[broadcast(p, 8) + ramp(0, 3, 8)]
"""
    expect(reduce_strength, before, after)
    check_lowering(parse_function(before), {"n": 5})


def test_outer_loops_and_other_factors_stay() -> None:
    text = """
def f(x: f32[n*512], y: f32[n*64], *, n: dim[1, 64]):
    for i in range(n):
        for j in range(8):
            y[i*64 + j*2] = x[i*64 + j*i*8 + (j//2)*24]
"""
    expect(reduce_strength, text, text)


def test_a_loop_counts_few_multiples() -> None:
    reads = " + ".join([f"x[i*{step}]" for step in range(11, 11 + 2 * (MOST_MULTIPLES + 2), 2)])
    function = parse_function(f"""
def f(x: f32[n*99], y: f32[n], *, n: dim[1, 64]):
    for i in range(n):
        y[i] = {reads}
""")
    body = reduce_strength(function).body
    assert isinstance(body, For)
    assert len(body.multiples) == MOST_MULTIPLES
    check_lowering(function, {"n": 3})
