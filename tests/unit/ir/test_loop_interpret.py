"""The interpreter against numpy, and its strictness."""

from textwrap import dedent

import numpy as np
import pytest

from passes.ir.dtypes import I32
from passes.ir.expr import Dim, Expr, cast
from passes.ir.loop import nests
from passes.ir.loop.builder import LoopBuilder
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import For, Store
from tests.unit.ir.running import RANDOM, floats, run


@pytest.fixture(params=["whole arrays", "one by one"])
def both_ways(request, monkeypatch):
    monkeypatch.setattr(nests, "_WORTH_IT", 0 if request.param == "whole arrays" else 1 << 60)


MATMUL = """
def matmul(x: f32[n, 12], w: f32[12, 7], y: f32[n, 7], *, n: dim[1, 64]):
    for i in parallel(n):
        for j in range(7):
            for k in range(12):
                with block("y"):
                    a = spatial(n, i)
                    b = spatial(7, j)
                    c = reduce(12, k)
                    with init():
                        y[a, b] = f32(0.0)
                    y[a, b] = y[a, b] + x[a, c]*w[c, b]
"""


@pytest.mark.usefixtures("both_ways")
def test_matmul_adds_in_order():
    x, w = floats(5, 12), floats(12, 7)
    (*_, y) = run(MATMUL, {"n": 5}, x, w, np.empty((5, 7), np.float32))
    wanted = np.zeros((5, 7), np.float32)
    for k in range(12):
        wanted += x[:, k : k + 1] * w[k]
    assert (y == wanted).all()


SOFTMAX = """
def softmax(x: f32[n, m], y: f32[n, m], *, n: dim[1, 64], m: dim[1, 64]):
    top = alloc(f32[n])
    total = alloc(f32[n])
    e = alloc(f32[n, m])
    for i in range(n):
        for j in range(i + 1):
            with block("top"):
                a = spatial(n, i)
                b = reduce(m, j)
                with init():
                    top[a] = f32("-inf")
                top[a] = max(top[a], x[a, b])
    for i in range(n):
        for j in range(m):
            with block("e"):
                a = spatial(n, i)
                b = spatial(m, j)
                e[a, b] = select(b <= a, exp(x[a, b] - top[a]), f32(0.0))
    for i in range(n):
        for j in range(m):
            with block("total"):
                a = spatial(n, i)
                b = reduce(m, j)
                with init():
                    total[a] = f32(0.0)
                total[a] = total[a] + e[a, b]
    for i in range(n):
        for j in range(m):
            y[i, j] = e[i, j] / total[i]
"""


@pytest.mark.usefixtures("both_ways")
def test_masked_softmax():
    x = floats(6, 9)
    _, y = run(SOFTMAX, {"n": 6, "m": 9}, x, np.empty((6, 9), np.float32))
    masked = np.where(np.tri(6, 9, dtype=bool), x.astype(np.float64), -np.inf)
    wanted = np.exp(masked - masked.max(1, keepdims=True))
    np.testing.assert_allclose(y, wanted / wanted.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.usefixtures("both_ways")
def test_gather_and_scatter():
    text = """
def embed(rows: i32[n], table: f32[9, 4], y: f32[n, 4], cache: f32[20, 4], *, n: dim[1, 8], m: dim[0, 9]):
    for i in range(n):
        for j in range(4):
            y[i, j] = table[cast(rows[i], index), j]
    for i in range(n):
        for j in range(4):
            cache[m + i, j] = y[i, j]*f32(2.0)
"""  # noqa: E501
    rows, table = np.array([3, 0, 8], np.int32), floats(9, 4)
    y, cache = np.empty((3, 4), np.float32), np.zeros((20, 4), np.float32)
    run(text, {"n": 3, "m": 5}, rows, table, y, cache)
    assert (y == table[rows]).all() and (cache[5:8] == 2 * y).all()
    assert not cache[:5].any() and not cache[8:].any()


def test_argmax_keeps_the_first_of_equals():
    text = """
def argmax(x: f32[n], best: f32[1], at: i32[1], *, n: dim[1, 64]):
    best[0] = x[0]
    at[0] = i32(0)
    for k in range(n):
        if best[0] < x[k]:
            best[0] = x[k]
            at[0] = cast(k, i32)
"""
    x = np.array([1, 7, 3, 7, 2], np.float32)
    _, best, at = run(text, {"n": 5}, x, np.zeros(1, np.float32), np.zeros(1, np.int32))
    assert best[0] == 7 and at[0] == 1


SPLIT = """
def rowsum(x: f32[n, m], y: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    t = alloc(f32[n])
    for io in range((n + 3)//4):
        for ko in range((m + 7)//8):
            for ii in vectorized(4):
                for ki in range(8):
                    with block("t"):
                        i = spatial(n, io*4 + ii)
                        k = reduce(m, ko*8 + ki)
                        where(io*4 + ii < n and ko*8 + ki < m)
                        with init():
                            t[i] = f32(0.0)
                        t[i] = t[i] + x[i, k]
    for i in range(n):
        y[i] = t[i]
"""


@pytest.mark.usefixtures("both_ways")
def test_predicated_reduction():
    x = RANDOM.integers(-9, 9, (6, 21)).astype(np.float32)
    _, y = run(SPLIT, {"n": 6, "m": 21}, x, np.empty(6, np.float32))
    assert (y == x.sum(1)).all()


@pytest.mark.usefixtures("both_ways")
def test_a_predicated_reduction_to_a_buffer_without_axes():
    text = """
def total(x: i32[n], s: i32[2], y: i32[()], *, n: dim[1, 64]):
    for i in range(n):
        with block("y"):
            a = reduce(n, i)
            where(i < 7)
            with init():
                y[()] = s[1]*i32(2)
            y[()] = y[()] + x[a]
"""
    x, y = np.arange(9, dtype=np.int32), np.zeros((), np.int32)
    run(text, {"n": 9}, x, np.array([1, 5], np.int32), y)
    assert y == 31


@pytest.mark.usefixtures("both_ways")
def test_conditions_may_read_memory():
    text = """
def keep(x: i32[n, 4], least: i32[n], y: i32[n, 4], *, n: dim[1, 64]):
    for i in range(n):
        for j in range(4):
            if least[i] <= x[i, j]:
                y[i, j] = x[i, j]
"""
    x, least = RANDOM.integers(0, 9, (5, 4), np.int32), np.arange(2, 7, dtype=np.int32)
    (*_, y) = run(text, {"n": 5}, x, least, np.full((5, 4), -1, np.int32))
    assert (y == np.where(least[:, None] <= x, x, -1)).all()


@pytest.mark.usefixtures("both_ways")
def test_integers_wrap_and_shift_by_their_type():
    text = """
def f(x: i8[8], u: u8[8], y: i8[8], z: u8[8], w: i32[8]):
    for i in range(8):
        y[i] = (x[i] + i8(100))*i8(3) >> i8(1)
    for i in range(8):
        z[i] = u[i] - u8(200) >> u8(2)
    for i in range(8):
        w[i] = cast(x[i], i32) // i32(3) + cast(x[i], i32)%i32(5) << i32(2)
"""
    x = np.array([-128, -7, -1, 0, 1, 5, 99, 127], np.int8)
    u = x.view(np.uint8).copy()
    *_, y, z, w = run(text, {}, x, u, np.zeros_like(x), np.zeros_like(u), np.zeros(8, np.int32))
    wide = x.astype(np.int32)
    assert (y == (((wide + 100) * 3).astype(np.int8) >> 1)).all()
    assert (z == ((u.astype(int) - 200).astype(np.uint8) >> 2)).all()
    assert (w == ((wide // 3 + wide % 5) << 2)).all()


@pytest.mark.usefixtures("both_ways")
def test_extremes_of_floats_take_the_second_operand_at_nan():
    text = """
def f(x: f32[4], y: f32[4], a: f32[4], b: f32[4]):
    for i in range(4):
        a[i] = max(x[i], y[i])
    for i in range(4):
        b[i] = min(x[i], y[i])
"""
    nan = np.nan
    x, y = np.array([1, nan, 2, 0.0], np.float32), np.array([nan, 1, 3, -0.0], np.float32)
    *_, a, b = run(text, {}, x, y, np.zeros_like(x), np.zeros_like(x))
    assert np.isnan(a[0]) and a[1] == 1 and a[2] == 3 and np.signbit(a[3])
    assert np.isnan(b[0]) and b[1] == 1 and b[2] == 2 and np.signbit(b[3])


def test_vectors():
    text = """
def f(x: f32[n], q: u8[64], y: f32[n], acc: i32[16], *, n: dim[16, 99]):
    v = alloc(f32[16], scope="register")
    v[ramp(0, 1, 16)] = x[ramp(n - 16, 1, 16)]*broadcast(x[0], 16)
    y[ramp(15, -1, 16)] = select(v[ramp(0, 1, 16)] < broadcast(f32(0.0), 16), broadcast(f32(0.0), 16), v[ramp(0, 1, 16)])
    y[16] = reduce_add(v[ramp(0, 1, 16)])
    acc[ramp(0, 1, 16)] = call("x86.vpdpbusd", i32x16, acc[ramp(0, 1, 16)], q[ramp(0, 1, 64)], broadcast(reinterpret(i32(16908803), i8x4), 16))
"""  # noqa: E501
    x, q = floats(20), RANDOM.integers(0, 256, 64).astype(np.uint8)
    _, _, y, acc = run(text, {"n": 20}, x, q, np.zeros(20, np.float32), np.full(16, 7, np.int32))
    v = x[4:] * x[0]
    assert (y[:16] == np.maximum(v, 0)[::-1]).all()
    np.testing.assert_allclose(y[16], v.sum(), rtol=1e-5, atol=1e-5)
    weights = np.array([16908803], np.int32).view(np.int8)
    assert (acc == 7 + (q.reshape(16, 4).astype(int) * weights).sum(1)).all()


def test_a_flat_parameter_takes_the_memory_of_an_array():
    text = "def f(x: f32[12], y: f32[18]):\n    y[3] = x[5] + y[17]\n"
    x, base = floats(3, 4), floats(3, 6)
    y, before = base[:, :], base.copy()
    run(text, {}, x, y)
    assert base[0, 3] == x[1, 1] + before[2, 5]
    strided = "def f(x: f32[18], y: f32[1]):\n    y[0] = x[7]\n"
    _, out = run(strided, {}, base[:, :4], np.zeros(1, np.float32))
    assert out[0] == base[1, 1]


def test_strided_outputs_are_updated_in_place():
    text = """
def f(x: f32[6, 5], y: f32[6](strides=[2])):
    for i in range(6):
        for k in range(5):
            y[i] = y[i] + x[i, k]
"""
    x, base = RANDOM.integers(0, 9, (6, 5)).astype(np.float32), np.zeros(12, np.float32)
    run(text, {}, x, base[::2])
    assert (base[::2] == x.sum(1)).all() and not base[1::2].any()


def test_a_recomputed_reduction_is_not_mixed_up():
    """Overlapping outer iterations initialise the same place again: they run one by one."""
    text = """
def f(x: f32[8], y: f32[8]):
    t = alloc(f32[9])
    for o in range(4):
        for i in range(3):
            for k in range(8):
                with block("t"):
                    a = spatial(9, o*2 + i)
                    b = reduce(8, k)
                    with init():
                        t[a] = f32(0.0)
                    t[a] = t[a] + x[b]
    for i in range(8):
        y[i] = t[i]
"""
    x = RANDOM.integers(0, 9, 8).astype(np.float32)
    _, y = run(text, {}, x, np.zeros(8, np.float32))
    assert (y == x.sum()).all()


def test_dependent_iterations_run_in_order():
    text = """
def scan(y: f32[9]):
    for i in range(8):
        y[i + 1] = y[i + 1] + y[i]
"""
    y = np.ones(9, np.float32)
    run(text, {}, y)
    assert (y == np.arange(1, 10)).all()


@pytest.mark.usefixtures("both_ways")
def test_extents_may_read_what_the_loops_store():
    text = """
        def f(y: i32[5]):
            for i in range(5):
                for k in range(cast(y[0], index)):
                    with block("sum"):
                        v = spatial(5, i)
                        u = reduce(4, k)
                        with init():
                            y[v] = i32(0)
                        y[v] = y[v] + i32(-1)
    """
    (y,) = run(dedent(text).strip(), {}, np.array([4, 7, 7, 7, 7], np.int32))
    assert y.tolist() == [-4, 7, 7, 7, 7]


@pytest.mark.usefixtures("both_ways")
def test_an_empty_loop_asks_nothing_of_those_inside_it():
    text = """
    def f(y: f32[12], *, m: dim[0, 4]):
        for k in range(m):
            for j in range(12//m):
                y[k*(12//m) + j] = f32(1.0)
    """
    (y,) = run(dedent(text), {"m": 0}, np.zeros(12, np.float32))
    assert not y.any()
    (y,) = run(dedent(text), {"m": 3}, np.zeros(12, np.float32))
    assert y.all()


@pytest.mark.usefixtures("both_ways")
def test_in_place_maps():
    text = "def f(y: f32[9]):\n    for i in range(9):\n        y[i] = exp(y[i]) - y[i]\n"
    y = floats(9)
    before = y.astype(np.float64)
    run(text, {}, y)
    np.testing.assert_allclose(y, np.exp(before) - before, rtol=1e-5)


def test_deep_expressions():
    n, count = Dim("n", 1, 9), 3000
    b = LoopBuilder("deep", dims=(n,))
    y = b.param("y", (n,), I32)
    i = b.var("i")
    total: Expr = cast(i, I32)
    for term in range(count):
        total = total * 3 + term
    b.append(For(i, n, Store(y, (i,), total)))
    found = np.zeros(9, np.int32)
    interpret(b.function(), {"n": 9}, [found])
    wanted = np.arange(9, dtype=np.int32)
    for term in range(count):
        wanted = wanted * np.int32(3) + np.int32(term)
    assert (found == wanted).all()


COLLATZ = """
def collatz(x: i32[n], y: i32[n], *, n: dim[1, 9]):
    for i in range(n):
        y[i] = i32(0)
        while not x[i] == i32(1):
            x[i] = select(x[i]%i32(2) == i32(0), x[i]//i32(2), x[i]*i32(3) + i32(1))
            y[i] = y[i] + i32(1)
"""


def test_while():
    _, y = run(COLLATZ, {"n": 3}, np.array([27, 1, 6], np.int32), np.zeros(3, np.int32))
    assert y.tolist() == [111, 0, 8]


ARGMAX = """
def argmax(x: f32[n, m], best: f32[n], at: i32[n], *, n: dim[1, 9], m: dim[1, 9]):
    @combiner(f32("-inf"), i32(9))
    def first(a: f32, i: i32, b: f32, j: i32):
        return max(a, b), select(b < a or a == b and i < j, i, j)
    for i in KIND(n):
        for k in range(m):
            with block("best"):
                v = spatial(n, i)
                w = reduce(m, k)
                with init():
                    best[v] = f32("-inf")
                    at[v] = i32(9)
                best[v], at[v] = first(best[v], at[v], x[v, w], cast(w, i32))
"""


@pytest.mark.parametrize("kind", ["range", "parallel", "thread.x"])
def test_updates_of_tuples_happen_at_once(kind):
    x = RANDOM.integers(0, 4, (5, 7)).astype(np.float32)
    outputs = np.zeros(5, np.float32), np.zeros(5, np.int32)
    _, best, at = run(ARGMAX.replace("KIND", kind), {"n": 5, "m": 7}, x, *outputs)
    assert (best == x.max(1)).all() and (at == x.argmax(1)).all()


def test_an_update_reads_all_before_it_stores():
    text = """
def swap(x: i32[4]):
    @combiner(i32(0), i32(0))
    def crossed(a: i32, b: i32, c: i32, d: i32):
        return b + c, a + d
    x[0], x[1] = crossed(x[0], x[1], x[1], x[2])
"""
    (x,) = run(text, {}, np.array([1, 10, 100, 1000], np.int32))
    assert x.tolist() == [20, 101, 100, 1000]


def test_views_are_of_views_and_of_single_elements():
    text = """
def f(x: f32[n, 6, 4], y: f32[n, 3, 2], *, n: dim[1, 9]):
    for i in range(n):
        with block("part"):
            v = spatial(n, i)
            slab = view(x[v, 1:+4, 0:+4])
            part = view(slab[1:+3, 2:+2])
            out = view(y[v:+1, 0:+3, 0:+2])
            one = view(x[v, 0, 0])
            for j in range(3):
                for k in range(2):
                    out[0, j, k] = part[j, k] + one[()]
            out[0, 2, ramp(0, 1, 2)] = part[0, ramp(1, -1, 2)]
"""
    x = floats(3, 6, 4)
    _, y = run(text, {"n": 3}, x, np.zeros((3, 3, 2), np.float32))
    assert (y[:, :2] == (x[:, 2:5, 2:] + x[:, :1, :1])[:, :2]).all()
    assert (y[:, 2] == x[:, 2, :1:-1]).all()


def test_opaque_iterators_run_in_the_order_of_the_loops():
    text = """
def f(y: i32[1], x: i32[4]):
    for i in range(4):
        with block("last"):
            v = opaque(4, i)
            y[0] = y[0]*i32(10) + x[3 - v]
"""
    y, _ = run(text, {}, np.zeros(1, np.int32), np.arange(4, dtype=np.int32))
    assert y[0] == 3210
