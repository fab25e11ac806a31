"""Default schedules where blocks have an order (streams of attention, recurrences, scatters), or
reductions loops that are not the axes of what they store."""

from __future__ import annotations

import pytest

from passes.codegen.lower import lower
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.ir.node import Node, postorder
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from tests.unit.codegen.running import (
    assert_same,
    check_lowering,
    compiled,
    interpreted,
    random_arrays,
)

AVX2 = Target(256, 16, 32768, 262144, ("avx2", "fma"))


def scheduled(function: Function, dims: dict[str, int], target: Target = AVX2) -> Function:
    """The function under its default schedule, which means the same, compiled as well."""
    done = default_schedule(function, target).function
    given = random_arrays(function, dims)
    assert_same(interpreted(function, dims, given), interpreted(done, dims, given), "scheduled")
    check_lowering(done, dims, given)
    return done


def loops(function: Function, kind: str) -> list[Node]:
    return [n for n in postorder(function.body) if isinstance(n, For) and n.kind == kind]


def test_a_scatter_shares_out_its_columns() -> None:
    text = """
def scatter(t: f32[5, 64], ids: i32[n], x: f32[n, 64], *, n: dim[1, 100]):
    for i in range(n):
        for d in range(64):
            with block("scatter"):
                a = ordered(n, i)
                b = spatial(64, d)
                t[cast(ids[a]*ids[a], index)%5, b] = t[cast(ids[a]*ids[a], index)%5, b] + x[a, b]
"""
    done = scheduled(parse_function(text), {"n": 7})
    assert loops(done, "parallel") and loops(done, "vectorized")


SUMS = """
def sums(x: f32[n, 2, 3], z: f32[2, 3, WIDTH], t: f32[n, WIDTH],
         *, n: dim[1, 100], m: dim[1, 40]):
    for i in range(n):
        for j in range(WIDTH):
            for k in range(2):
                for l in range(3):
                    with block("sums"):
                        u = ordered(n, i)
                        v = spatial(WIDTH, j)
                        w = reduce(2, k)
                        y = reduce(3, l)
                        with init():
                            t[u, v] = f32(0.0)
                        t[u, v] = t[u, v] + x[u, w, y]*z[w, y, v]
"""
SCALAR = """
def scalar(x: f32[n], z: f32[n], t: f32[PLACE], *, n: dim[1, 100]):
    for i in range(3):
        for k in range(n):
            with block("sum"):
                u = ordered(3, i)
                w = reduce(n, k)
                with init():
                    t[AT] = f32(0.0)
                t[AT] = t[AT] + x[w]*z[w]
"""
LARGEST = """
def largest(x: f32[n, 6, 20], y: f32[n, 20], *, n: dim[1, 100]):
    for i in range(n):
        for j in range(20):
            for k in range(6):
                with block("largest"):
                    u = ordered(n, i)
                    v = spatial(20, j)
                    w = reduce(6, k)
                    with init():
                        y[u, v] = f32("-inf")
                    y[u, v] = max(y[u, v], x[u, w, v])
"""
AGAIN = LARGEST.replace("y: f32[n, 20]", "y: f32[20]").replace("y[u, v]", "y[v]")
HALVES = """
def halves(x: f32[24, 6, 20], y: f32[24, 20]):
    for io in range(6):
        for ii in range(4):
            for j in range(20):
                for k in range(6):
                    with block("sums"):
                        u = spatial(24, io*4 + ii)
                        v = spatial(20, j)
                        w = reduce(6, k)
                        with init():
                            y[u, v] = f32(0.0)
                        y[u, v] = y[u, v] + x[u, w, v]
"""
PROGRAMS = {
    "rows in two loops": HALVES,
    "two reduced loops": SUMS.replace("WIDTH", "16"),
    "columns of any number": SUMS.replace("WIDTH", "m"),
    "columns that lanes do not divide": SUMS.replace("WIDTH", "21"),
    "more columns than registers": SUMS.replace("WIDTH", "72"),
    "no axis": SCALAR.replace("PLACE", "()").replace("AT", "()"),
    "one element": SCALAR.replace("PLACE", "2").replace("AT", "0"),
    "some place": SCALAR.replace("PLACE", "2").replace("AT", "u//2"),
    "no product": LARGEST,
    "the same places again": AGAIN,
}

IN_LANES = [name for name, text in PROGRAMS.items() if "[u, v] =" in text]


@pytest.mark.parametrize("name", PROGRAMS)
def test_ordered_sums(name: str) -> None:
    function = parse_function(PROGRAMS[name])
    dims = {dim.name: {"n": 2, "m": 13}[dim.name] for dim in function.dims}
    done = scheduled(function, dims)
    assert loops(done, "vectorized") or name not in IN_LANES
    assert len(postorder(lower(done))) < 1000, "written out without bound"


STREAM = """
def stream(x: f32[n, SIZE], y: f32[n, SIZE], *, n: dim[1, 100]):
    t = alloc(f32[n, SIZE])
    u = alloc(f32[n, SIZE])
    m = alloc(f32[n])
    for s in range(n):
        for r in range(3):
            for j in range(SIZE):
                with block("scaled"):
                    b = spatial(n, s)
                    o = ordered(3, r)
                    c = spatial(SIZE, j)
                    t[b, c] = x[b, c]*f32(2.0) + cast(o, f32)
            for j in range(SIZE):
                with block("most"):
                    b = spatial(n, s)
                    o = ordered(3, r)
                    c = reduce(SIZE, j)
                    with init():
                        m[b] = f32("-inf")
                    m[b] = max(m[b], t[b, c])
            for j in range(SIZE):
                with block("below"):
                    b = spatial(n, s)
                    o = ordered(3, r)
                    c = spatial(SIZE, j)
                    u[b, c] = t[b, SIZE - 1 - c] - m[b]
        for j in range(SIZE):
            with block("out"):
                b = spatial(n, s)
                c = spatial(SIZE, j)
                y[b, c] = u[b, SIZE - 1 - c]
"""


@pytest.mark.parametrize(
    ("size", "l2_bytes", "scopes"),
    [
        (48, 1 << 18, {"t": "local", "u": "local", "m": "local"}),
        (40_000, 1 << 18, {"t": "local", "u": "global", "m": "local"}),
        (40_000, 1 << 16, {"t": "global", "u": "global", "m": "local"}),
        (700_000, 1 << 24, {"t": "global", "u": "global", "m": "local"}),
    ],
)
def test_private_temporaries_stay_near(size: int, l2_bytes: int, scopes: dict[str, str]) -> None:
    """In the second-level cache, and on the stack, together; others lie in memory."""
    function = parse_function(STREAM.replace("SIZE", str(size)))
    done = default_schedule(function, Target(256, 16, 32768, l2_bytes, ("avx2", "fma"))).function
    found = {b.name: b.scope for b in done.allocs}
    assert {name: found[name] for name in scopes} == scopes
    assert loops(done, "parallel")
    lowered = lower(done)
    if size < 1000:
        scheduled(function, {"n": 3})
        return
    given = random_arrays(function, {"n": 2})
    x, _ = given
    rows = x.reshape(2, size) * 2 + 2
    got = compiled(lowered, {"n": 2}, given)[1].reshape(2, size)
    assert_same([rows - rows.max(axis=1, keepdims=True)], [got], "native")
