"""What the callable names mean, in numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest

from passes.ir.dtypes import BOOL, F32, I8, I16, I32, INDEX, U8
from passes.ir.expr import Broadcast, Const, Var
from passes.ir.intrinsics import TABLE, call, intrinsic
from passes.ir.node import IRError


def test_types_are_deduced_and_checked():
    x, v = Var("x", 0, F32), Broadcast(Var("x", 0, F32), 16)
    assert call("exp", v).dtype == F32.with_lanes(16)
    assert call("reduce_add", v).dtype == F32
    assert call("thread_id").dtype == INDEX
    acc, a, b = (Var("v", i, k) for i, k in enumerate([I32, U8, I8]))
    dot = call("x86.vpdpbusd", Broadcast(acc, 16), Broadcast(a, 64), Broadcast(b, 64))
    assert dot.dtype == I32.with_lanes(16)
    for name, args in {
        "exp": (Const(1, INDEX),),
        "fma": (x, x, v),
        "reduce_add": (x,),
        "abs": (Const(True, BOOL),),
        "x86.vpdpbusd": (Broadcast(acc, 16), Broadcast(b, 64), Broadcast(b, 64)),
        "x86.pmaddwd": (Broadcast(a, 16), Broadcast(a, 16)),
        "x86.pmaddubsw": (Broadcast(a, 16), Broadcast(a, 16)),
    }.items():
        with pytest.raises(IRError, match="does not take"):
            call(name, *args)
    with pytest.raises(IRError, match="'fma' takes 3 arguments, not 1"):
        call("fma", x)
    with pytest.raises(IRError, match=r"unknown function 'gamma'; known: abs, .*cos"):
        intrinsic("gamma")


def test_fma_rounds_once():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, (3, 20000), dtype=np.uint32)
    # Close exponents, so that sums cancel and ties between f32 neighbours happen.
    bits = (bits & 0x807FFFFF) | ((rng.integers(110, 140, bits.shape, dtype=np.uint32)) << 23)
    a, b, c = bits.view(np.float32)
    c[::3] = (-(a[::3].astype(np.float64) * b[::3])).astype(np.float32)
    found = intrinsic("fma").meaning(a, b, c)
    assert found.dtype == np.float32
    for x, y, z, r in zip(a[:4000], b[:4000], c[:4000], found[:4000], strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(exact - Fraction(float(r)))
        for near in (np.nextafter(r, np.float32(np.inf)), np.nextafter(r, np.float32(-np.inf))):
            assert error <= abs(exact - Fraction(float(near)))


def test_fma_is_not_fooled_by_the_rounding_of_f64():
    # The product is 2**46 + 1, half a step of f32 at 2**70 and one more; f64 drops the one.
    a, b, c = np.float32(8384513), np.float32(8392705), np.float32(2.0**70)
    assert int(a) * int(b) == 2**46 + 1
    assert np.float32(np.float64(a) * b + c) == c
    assert intrinsic("fma").meaning(a, b, c) == np.nextafter(c, np.float32(np.inf))


def test_fma_of_infinities_and_nan():
    fma, one, inf = intrinsic("fma").meaning, np.float32(1), np.float32(np.inf)
    assert fma(-inf, one, one) == -inf
    assert np.isnan(fma(inf, np.float32(0), one))
    assert np.isnan(fma(one, one, np.float32(np.nan)))


def test_scalar_functions_are_those_of_mathematics():
    x = np.array([-3.5, -0.5, 0.0, 0.25, 2.5], np.float32)
    wanted = {
        "exp": math.exp,
        "sin": math.sin,
        "cos": math.cos,
        "tanh": math.tanh,
        "erf": math.erf,
        "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "floor": math.floor,
        "round": round,
        "abs": abs,
    }
    for name, function in wanted.items():
        found = TABLE[name].meaning(x)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.array([function(float(v)) for v in x], np.float32))
    assert TABLE["rsqrt"].meaning(np.float32(4)) == 0.5
    assert TABLE["pow"].meaning(np.float32(2), np.float32(10)) == 1024


def test_lane_reductions():
    v = np.array([[1, 5, 2, 4], [3, 0, 7, 6]], np.float32)
    np.testing.assert_array_equal(TABLE["reduce_add"].meaning(v), [12, 16])
    np.testing.assert_array_equal(TABLE["reduce_max"].meaning(v), [5, 7])
    np.testing.assert_array_equal(TABLE["reduce_min"].meaning(v), [1, 0])
    np.testing.assert_array_equal(TABLE["reduce_add"].meaning(v[:, :3]), [8, 10])


def test_x86_dot_products():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, 64).astype(np.uint8)
    b = rng.integers(-128, 128, 64).astype(np.int8)
    acc = rng.integers(-(2**31), 2**31, 16).astype(np.int32)
    products = a.astype(np.int64) * b
    sums = acc + products.reshape(16, 4).sum(axis=1)
    found = TABLE["x86.vpdpbusd"].meaning(acc, a, b)
    np.testing.assert_array_equal(found, sums.astype(np.int32))
    pairs = TABLE["x86.pmaddubsw"].meaning(a, b)
    np.testing.assert_array_equal(pairs, products.reshape(32, 2).sum(axis=1).clip(-32768, 32767))
    assert pairs.dtype == np.int16
    words = TABLE["x86.pmaddwd"].meaning(pairs, np.ones(32, np.int16))
    np.testing.assert_array_equal(words, pairs.astype(np.int32).reshape(16, 2).sum(axis=1))
    assert call("x86.pmaddwd", *[Broadcast(Const(1, I16), 8)] * 2).dtype == I32.with_lanes(4)
