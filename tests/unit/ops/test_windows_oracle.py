"""Convolutions, pools and contractions beside meanings written without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

from passes.ir.dtypes import DType
from passes.ir.expr import Const, index
from passes.ir.graph.nodes import Apply, Input, TensorType
from passes.ops import OPERATORS, apply

Array = np.ndarray[Any, Any]


def run(name: str, *arrays: Array, **attrs: Any) -> Array:
    """The numpy meaning of one call."""
    kinds = {"float32": "f32", "float64": "f64", "int8": "i8", "uint8": "u8", "int32": "i32"}
    inputs = [
        Input(f"x{k}", TensorType(tuple(map(index, a.shape)), DType(kinds[str(a.dtype)])))
        for k, a in enumerate(arrays)
    ]
    call = apply(name, *inputs, **attrs)
    assert isinstance(call, Apply)
    shapes = [tuple(int(e.value) for e in t.shape if isinstance(e, Const)) for t in call.types]
    (result,) = OPERATORS[name].numpy(list(arrays), dict(call.attrs), shapes)
    assert result.shape == shapes[0] and result.dtype == call.type.dtype.numpy
    return result


def real(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def correlated(x: Array, w: Array, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Array:
    """x [b, places.., ci], w [taps.., ci, co], no margins, a pair of channels at a time."""
    count = x.ndim - 2
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[:count], dilation, strict=True)]
    spread = np.zeros([*reach, *w.shape[count:]])
    spread[tuple(slice(None, None, d) for d in dilation)] = w
    results = [
        [
            sum(
                signal.correlate(x[b, ..., i], spread[..., i, o], "valid", "direct")
                for i in range(x.shape[-1])
            )[tuple(slice(None, None, s) for s in stride)]
            for o in range(w.shape[-1])
        ]
        for b in range(len(x))
    ]
    return np.moveaxis(np.array(results), 1, -1)


@pytest.mark.parametrize(
    ("places", "taps", "stride", "dilation", "padding"),
    [
        ((9,), (3,), (1,), (1,), (1,)),
        ((9, 8), (3, 2), (2, 3), (1, 2), ((2, 0), (0, 1))),
        ((5, 6, 7), (2, 3, 2), (1, 2, 2), (2, 1, 1), (1, 0, 1)),
    ],
)
def test_convolutions(
    places: tuple[int, ...],
    taps: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[Any, ...],
) -> None:
    x, w = real(2, *places, 4), real(*taps, 4, 3, seed=1)
    pairs = [(p, p) if isinstance(p, int) else p for p in padding]
    margins = [(0, 0), *pairs, (0, 0)]
    want = correlated(np.pad(x, margins), w, stride, dilation)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding}
    np.testing.assert_allclose(run("conv", x, w, **attrs), want, atol=1e-12)
    first = run(
        "conv", np.moveaxis(x, -1, 1), np.moveaxis(w, (-1, -2), (0, 1)), layout="first", **attrs
    )
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), want, atol=1e-12)


def test_groups_are_convolutions_side_by_side() -> None:
    x, w = real(2, 7, 8, 6), real(3, 3, 2, 9, seed=1)
    parts = [
        run("conv", x[..., 2 * g : 2 * g + 2], w[..., 3 * g : 3 * g + 3], padding=(1, 0))
        for g in range(3)
    ]
    got = run("conv", x, w, groups=3, padding=(1, 0))
    np.testing.assert_allclose(got, np.concatenate(parts, -1), atol=1e-12)


def test_bytes_sum_exactly() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, 6, 6, 5)).astype(np.uint8)
    w = rng.integers(-128, 128, (3, 3, 5, 4)).astype(np.int8)
    want = correlated(x.astype(float), w.astype(float), (1, 1), (1, 1))
    np.testing.assert_array_equal(run("conv", x, w), want)
    a, b = x.reshape(12, 15), w.reshape(15, 12)
    np.testing.assert_array_equal(
        run("contract", a, b, equation="mk,kn->mn"), a.astype(int) @ b.astype(int)
    )


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, (0, 1))])
@pytest.mark.parametrize(("taps", "stride"), [(4, 2), (3, 2), (3, 1), (2, 3)])
def test_transposed_convolutions(taps: int, stride: int, padding: tuple[Any, ...]) -> None:
    """Zeros between the elements, then a full convolution, then the margins cut off."""
    x, w = real(2, 5, 4, 3), real(taps, taps, 3, 2, seed=1)
    spread = np.zeros((2, 4 * stride + 1, 3 * stride + 1, 3))
    spread[:, ::stride, ::stride] = x
    whole = np.zeros((2, 4 * stride + taps, 3 * stride + taps, 2))
    for b in range(2):
        for o in range(2):
            whole[b, ..., o] = sum(
                signal.convolve(spread[b, ..., i], w[..., i, o], method="direct") for i in range(3)
            )
    cut = [(p, p) if isinstance(p, int) else p for p in padding]
    box = [slice(a, n - b) for (a, b), n in zip(cut, whole.shape[1:3], strict=True)]
    if any(part.start >= part.stop for part in box):
        pytest.skip("nothing is left")
    got = run("conv_transposed", x, w, stride=(stride, stride), padding=padding)
    np.testing.assert_allclose(got, whole[(slice(None), *box)], atol=1e-12)


def test_a_surplus_is_what_no_window_reaches() -> None:
    x, w = real(1, 3, 2), real(2, 2, 3, seed=1)
    less = run("conv_transposed", x, w, stride=(4,))
    more = run("conv_transposed", x, w, stride=(4,), surplus=(2,))
    np.testing.assert_allclose(more[:, :-2], less)
    assert not more[:, -2:].any()


def test_capsules_are_matrices() -> None:
    x, w = real(1, 5, 4, 2, 3, 4), real(2, 2, 3, 2, 4, 5, seed=1)
    got = run("capsule_conv", x, w, stride=(2, 1), padding=(1, 0))
    padded = np.pad(x, [(0, 0), (1, 1), (0, 0)] + [(0, 0)] * 3)
    for y, z, p, q, o in np.ndindex(got.shape[1:]):
        cell = padded[0, 2 * y : 2 * y + 2, z : z + 2, p]  # [u, v, k, i]
        assert np.isclose(got[0, y, z, p, q, o], np.sum(cell * w[:, :, :, q, :, o]))


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_pools(name: str) -> None:
    x = real(2, 7, 6, 3).astype(np.float32)
    got = run(name, x, window=(3, 2), stride=(2, 1), padding=(1, (0, 1)))
    fill = -np.inf if name == "max_pool" else 0
    padded = np.pad(x, [(0, 0), (1, 1), (0, 1), (0, 0)], constant_values=fill)
    for b, y, z, c in np.ndindex(got.shape):
        cell = padded[b, 2 * y : 2 * y + 3, z : z + 2, c]
        assert np.isclose(got[b, y, z, c], cell.max() if name == "max_pool" else cell.mean())
    first = run(
        name, np.moveaxis(x, -1, 1), window=(3, 2), stride=(2, 1), padding=(1, (0, 1)),
        layout="first",
    )  # fmt: skip
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), got)


def test_norms() -> None:
    x, w, b = (v.astype(np.float32) for v in (real(3, 4, 8), real(8), real(8, seed=1)))
    mean, deviation = x.mean(-1, keepdims=True), x.std(-1, keepdims=True)
    np.testing.assert_allclose(
        run("layer_norm", x, w, b, eps=0), (x - mean) / deviation * w + b, rtol=1e-5, atol=1e-5
    )
    groups = x.reshape(3, 4, 2, 4)
    mean, deviation = (f(groups, (1, 3), keepdims=True) for f in (np.mean, np.std))
    want = ((groups - mean) / deviation).reshape(x.shape) * w + b
    got = run("group_norm", x, w, b, eps=0, groups=2)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run("l2_norm", x), [np.linalg.norm(one) for one in x], rtol=1e-6)


def test_equal_ids_add_up() -> None:
    table, rows = np.zeros((3, 2), np.float32), np.ones((4, 2), np.float32)
    got = run("scatter_add", table, np.array([1, 1, -5, 9], np.int32), rows)
    np.testing.assert_array_equal(got, [[1, 1], [2, 2], [1, 1]])
