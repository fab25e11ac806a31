"""Vectorized loops whose iterations differ in what they run: tails, padding, conditions on data."""

from __future__ import annotations

import pytest

from passes.codegen.emit import emit_module
from passes.codegen.lower import lower
from passes.codegen.lower.facts import Facts
from passes.codegen.lower.flatten import flatten
from passes.codegen.lower.vectorize import vectorize
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.node import postorder
from tests.unit.codegen.running import check_lowering
from tests.unit.codegen.test_lower_passes import expect

EVERY_TYPE = Facts(512, (1, 2, 4, 8))

PROGRAMS: dict[str, tuple[str, Facts, list[int]]] = {
    "words": (
        """
def f(x: f32[n], a: f64[n], b: i32[n], c: i64[n], y: f32[n], u: f64[n], v: i32[n], w: i64[n],
      *, n: dim[0, 64]):
    for i in parallel((n + 7)//8):
        for j in vectorized(8):
            if i*8 + j < n:
                y[i*8 + j] = x[i*8 + j]*f32(2.0) + cast(b[i*8 + j], f32)
                u[i*8 + j] = a[i*8 + j] + f64(1.0)
                v[i*8 + j] = b[i*8 + j]*i32(3)
                w[i*8 + j] = c[i*8 + j] - cast(b[i*8 + j], i64)
""",
        Facts(),
        [0, 1, 8, 13, 64],
    ),
    "narrow types": (
        """
def f(x: f16[n], a: bf16[n], b: i8[n], c: u16[n], d: bool[n], y: f16[n], u: bf16[n], v: i8[n],
      w: u16[n], z: bool[n], *, n: dim[0, 64]):
    for i in range((n + 15)//16):
        for j in vectorized(16):
            if i*16 + j < n:
                y[i*16 + j] = x[i*16 + j] + f16(0.5)
                u[i*16 + j] = max(a[i*16 + j], bf16(0.0))
                v[i*16 + j] = b[i*16 + j] + i8(1)
                w[i*16 + j] = select(d[i*16 + j], c[i*16 + j], u16(7))
                z[i*16 + j] = not d[i*16 + j]
""",
        EVERY_TYPE,
        [0, 5, 33],
    ),
    "reductions": (
        """
def f(x: f32[n], k: i32[n], s: f32[3], t: i32[3], *, n: dim[1, 64]):
    for v in range(3):
        s[v] = x[0]
        t[v] = k[0]
    for i in range((n + 15)//16):
        for j in vectorized(16):
            if i*16 + j < n:
                s[0] = s[0] + x[i*16 + j]*x[i*16 + j]
                s[1] = max(s[1], x[i*16 + j])
                s[2] = min(x[i*16 + j], s[2])
                t[0] = t[0] + k[i*16 + j]
                t[1] = max(t[1], k[i*16 + j])
                t[2] = min(t[2], k[i*16 + j])
""",
        Facts(),
        [1, 16, 21],
    ),
    "padding on both sides": (
        """
def f(x: f32[n], y: f32[n + 5], *, n: dim[1, 64]):
    for i in range((n + 12)//8):
        for j in vectorized(8):
            if i*8 + j < n + 5:
                if 2 <= i*8 + j and i*8 + j < n + 2:
                    y[i*8 + j] = x[i*8 + j - 2]
                else:
                    y[i*8 + j] = f32(-1.0)
""",
        Facts(),
        [1, 2, 6, 19],
    ),
    "conditions on data": (
        """
def f(x: f32[32], a: f32[32], y: f32[32], z: f32[32]):
    for i in range(2):
        for j in vectorized(16):
            if x[i*16 + j] < a[i*16 + j]:
                y[i*16 + j] = x[i*16 + j]
                if y[i*16 + j] < f32(0.0):
                    y[i*16 + j] = f32(0.0) - y[i*16 + j]
            else:
                y[i*16 + j] = a[i*16 + j]
            if z[i*16 + j] < f32(0.0):
                z[i*16 + j] = z[i*16 + j] + f32(8.0)
""",
        Facts(),
        [],
    ),
    "a tile with columns to spare": (
        """
def f(a: f32[m, 12], b: f32[12, n], y: f32[m, n], *, m: dim[1, 32], n: dim[1, 64]):
    t = alloc(f32[m, n], scope="register")
    for r in range(m):
        for p in range((n + 15)//16):
            for j in vectorized(16):
                if p*16 + j < n:
                    t[r, p*16 + j] = f32(0.0)
            for k in range(12):
                for j in vectorized(16):
                    if p*16 + j < n:
                        t[r, p*16 + j] = fma(a[r, k], b[k, p*16 + j], t[r, p*16 + j])
            for j in vectorized(16):
                if p*16 + j < n:
                    y[r, p*16 + j] = max(t[r, p*16 + j], f32(0.0))
""",
        Facts(),
        [1, 16, 21],
    ),
    "lanes that have no mask": (
        """
def f(x: f32[2*n], k: i32[n], y: f32[n], z: f32[2*n], w: i32[n], *, n: dim[1, 64]):
    for i in range((n + 7)//8):
        for j in vectorized(8):
            if i*8 + j < n:
                y[i*8 + j] = x[i*16 + j*2]
        for j in vectorized(8):
            if i*8 + j < n:
                z[i*16 + j*2] = y[i*8 + j]
                z[i*16 + j*2 + 1] = y[n - 1 - i*8 - j]
        for j in vectorized(8):
            if i*8 + j < n:
                w[i*8 + j] = k[i*8 + j]//(k[i*8 + j]*k[i*8 + j] + i32(1))
""",
        Facts(),
        [1, 8, 11],
    ),
    "lanes in a table": (
        """
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in range((n + 15)//16):
        for j in vectorized(4):
            for k in vectorized(4):
                if i*16 + j*4 + k < n:
                    y[i*16 + j*4 + k] = x[i*16 + j*4 + k]
                if i*16 + j*4 + k < n - 3:
                    y[i*16 + j*4 + k] = x[k] + x[i*16 + j*4 + k]
""",
        Facts(),
        [4, 16, 23],
    ),
    "loops inside": (
        """
def f(x: f32[5, n], y: f32[n], *, n: dim[1, 64]):
    for i in range((n + 7)//8):
        for j in vectorized(8):
            if i*8 + j < n:
                y[i*8 + j] = f32(0.0)
                for k in range(5):
                    if k < 4:
                        y[i*8 + j] = y[i*8 + j] + x[k, i*8 + j]*x[k, n - 1]
                for k in range(j):
                    y[i*8 + j] = y[i*8 + j] + f32(1.0)
""",
        Facts(),
        [1, 8, 15],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_means_the_same(name: str) -> None:
    text, facts, sizes = PROGRAMS[name]
    function = parse_function(text)
    for n in sizes or [0]:
        dims = {dim.name: n if dim.name == "n" else 3 for dim in function.dims}
        check_lowering(function, dims, facts=facts)


def loops_of(function: Function) -> int:
    return sum(isinstance(node, For) for node in postorder(function))


@pytest.mark.parametrize(
    "name",
    [
        "words",
        "narrow types",
        "reductions",
        "padding on both sides",
        "a tile with columns to spare",
    ],
)
def test_no_lane_runs_alone(name: str) -> None:
    text, facts, _ = PROGRAMS[name]
    function = parse_function(text)
    done = vectorize(flatten(function), facts)
    assert loops_of(done) == loops_of(function) - text.count("vectorized")


def test_types_that_the_target_cannot_mask_run_lane_by_lane() -> None:
    text = """
def f(x: i8[n], y: i8[n], *, n: dim[0, 64]):
    for j in vectorized(16):
        if j < n:
            y[j] = x[j]
"""
    function = parse_function(text)
    assert "masked" in print_function(vectorize(function, EVERY_TYPE))
    assert "masked" not in print_function(vectorize(function))


def test_a_branch_that_no_lane_takes_loads_nothing() -> None:
    """`a[i]` may lie outside where no lane asks for it."""
    before = """
def f(a: f32[n], x: f32[64], y: f32[64], *, n: dim[0, 8]):
    for i in range(8):
        for j in vectorized(8):
            if j + i*8 < n*8 - 4:
                y[i*8 + j] = x[i*8 + j]*a[i]
"""
    after = """
def f(a: f32[n], x: f32[64], y: f32[64], *, n: dim[0, 8]):
    for i in range(8):
        if i + 1 < n:
            y[ramp(i*8, 1, 8)] = x[ramp(i*8, 1, 8)]*broadcast(a[i], 8)
        else:
            if i < n:
                y[masked(ramp(i*8, 1, 8), ramp(i*8, 1, 8) < broadcast(n*8 - 4, 8))] = x[
                    masked(ramp(i*8, 1, 8), ramp(i*8, 1, 8) < broadcast(n*8 - 4, 8))
                ]*broadcast(a[i], 8)
"""
    expect(vectorize, before, after)


def test_a_mask_is_one_operand_of_loads_and_stores() -> None:
    function = parse_function(PROGRAMS["words"][0])
    text = emit_module([lower(function)])
    assert "align 4 %" in text and "align 8 %" in text
    for name in ("load.v8f32", "store.v8f32", "load.v8f64", "store.v8i64"):
        assert f"@llvm.masked.{name}.p0(" in text


def test_registers_under_one_mask_need_none() -> None:
    function = parse_function("""
def f(a: f32[12], b: f32[12, n], y: f32[n], *, n: dim[1, 15]):
    t = alloc(f32[16], scope="register")
    for j in vectorized(16):
        if j < n:
            t[j] = f32(0.0)
    for k in range(12):
        for j in vectorized(16):
            if j < n:
                t[j] = fma(a[k], b[k, j], t[j])
    for j in vectorized(16):
        if j < n:
            y[j] = t[j]
""")
    text = emit_module([lower(function)])
    assert "@llvm.masked.load" in text and "@llvm.masked.store" in text
    assert "select" not in text
    check_lowering(function, {"n": 5})


def test_registers_whose_mask_changes_keep_it() -> None:
    function = parse_function("""
def f(x: f32[64], y: f32[64], *, n: dim[1, 64]):
    t = alloc(f32[16], scope="register")
    for i in range(4):
        for j in vectorized(16):
            if i*16 + j < n:
                if i == 0:
                    t[j] = f32(0.0)
                t[j] = t[j] + x[i*16 + j]
        for j in vectorized(16):
            if i*16 + j < n:
                y[i*16 + j] = t[j]
""")
    for n in (16, 21, 64):
        check_lowering(function, {"n": n})
