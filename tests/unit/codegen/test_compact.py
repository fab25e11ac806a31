"""Private temporaries shrink to what one iteration touches, as far as no other one needs it."""

from __future__ import annotations

import pytest

from passes.codegen.lower.compact import compact
from passes.ir.loop.parse import parse_function
from passes.ir.node import IRError
from tests.unit.codegen.running import check_lowering
from tests.unit.codegen.test_lower_passes import expect


def test_temporaries_shrink_to_one_iteration() -> None:
    before = """
def f(x: f32[n, 64], y: f32[n, 64], *, n: dim[1, 64]):
    t = alloc(f32[n, 64], scope="local")
    for i in parallel(n):
        for jo in range(4):
            for j in range(16):
                t[i, jo*16 + j] = x[i, jo*16 + j]
            for j in range(16):
                y[i, jo*16 + j] = t[i, jo*16 + j]
"""
    after = """
def f(x: f32[n, 64], y: f32[n, 64], *, n: dim[1, 64]):
    t = alloc(f32[1, 16], scope="local")
    for i in parallel(n):
        for jo in range(4):
            for j in range(16):
                t[0, j] = x[i, jo*16 + j]
            for j in range(16):
                y[i, jo*16 + j] = t[0, j]
"""
    expect(compact, before, after)


def test_a_tile_as_large_as_the_whole_shrinks_too() -> None:
    before = """
def f(x: f32[n], y: f32[n], *, n: dim[1, 8]):
    t = alloc(f32[n], scope="register")
    for io in range(n//8):
        for i in unrolled(8):
            t[io*8 + i] = x[io*8 + i]
        for i in unrolled(8):
            y[io*8 + i] = t[io*8 + i]
"""
    after = before.replace("alloc(f32[n]", "alloc(f32[8]").replace("t[io*8 + i]", "t[i]")
    expect(compact, before, after)


def test_what_is_carried_between_iterations_is_kept() -> None:
    text = """
def f(x: f32[8, 4], y: f32[8, 4]):
    t = alloc(f32[4], scope="local")
    for k in range(8):
        for j in range(4):
            if k == 0:
                t[j] = f32(0.0)
            t[j] = t[j] + x[k, j]
            y[k, j] = t[j]
"""
    expect(compact, text, text)


def test_what_each_iteration_writes_anew_shrinks() -> None:
    before = """
def f(x: f32[8, 16], y: f32[8, 16]):
    t = alloc(f32[16], scope="local")
    for k in range(8):
        for jo in range(4):
            for j in range(4):
                t[jo*4 + j] = x[k, jo*4 + j]
            for j in range(4):
                y[k, jo*4 + j] = t[jo*4 + 3 - j]
"""
    after = before.replace("alloc(f32[16]", "alloc(f32[4]").replace("t[jo*4 + ", "t[")
    expect(compact, before, after)


def test_a_neighbour_of_the_iteration_before_is_kept() -> None:
    text = """
def f(x: f32[8], y: f32[8]):
    t = alloc(f32[9], scope="local")
    t[0] = f32(0.0)
    for k in range(8):
        t[k + 1] = x[k]
        y[k] = t[k] + t[k + 1]
"""
    expect(compact, text, text)


def test_a_size_that_is_not_constant_becomes_its_bound() -> None:
    before = """
def f(at: i32[n], y: f32[n], *, n: dim[1, 64]):
    t = alloc(f32[n], scope="local")
    for i in range(n):
        t[cast(at[i], index)] = f32(1.0)
    for i in range(n):
        y[i] = t[i]
"""
    expect(compact, before, before.replace("alloc(f32[n]", "alloc(f32[64]"))


def test_a_private_buffer_must_fit_on_the_stack() -> None:
    function = parse_function("""
def f(x: f32[n], y: f32[n], *, n: dim[1, 1000000]):
    t = alloc(f32[n], scope="local")
    for i in range(n):
        t[i] = x[i]
    for i in range(n):
        y[i] = t[n - 1 - i]
""")
    with pytest.raises(IRError) as caught:
        compact(function)
    assert str(caught.value) == (
        "'f': local buffer 't2' would take 4000000 bytes of a thread's stack, more than 1048576; "
        "tile the loops around its uses, or give it scope 'global'"
    )


KEPT_BY_OTHERS = {
    "a loop that may not run": """
def f(x: i32[4], y: i32[2, 4]):
    t = alloc(i32[4], scope="local")
    for r in range(2):
        for i in range(4):
            for k in range(1 - r):
                t[i] = x[i]
            y[r, i] = t[i]
""",
    "a while loop that may not run": """
def f(x: i32[4], y: i32[2, 4], c: i32[1]):
    t = alloc(i32[4, 2], scope="local")
    for r in range(2):
        for i in range(4):
            for j in range(2):
                c[0] = cast(r, i32)
                while c[0] < i32(1):
                    t[i, j] = x[i] + cast(j, i32)
                    c[0] = c[0] + i32(1)
            y[r, i] = t[i, 0] + t[i, 1]
""",
}


@pytest.mark.parametrize("name", KEPT_BY_OTHERS)
def test_what_may_not_be_written_anew_is_kept(name: str) -> None:
    check_lowering(parse_function(KEPT_BY_OTHERS[name]))
