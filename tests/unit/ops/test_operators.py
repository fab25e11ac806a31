"""Type rules: what operators deduce, and what they say to operands they do not take."""

from __future__ import annotations

import numpy as np
import pytest

from passes.importers.storages import storage_of
from passes.ir.dtypes import BOOL, F16, F32, I8, I32, DType
from passes.ir.expr import Dim, Expr, index
from passes.ir.graph.nodes import Input, TensorType, Value
from passes.ir.graph.text import type_text
from passes.ir.node import IRError
from passes.ops import OPERATORS, apply, results

N, M = Dim("n", 1, 512), Dim("m", 0, 1535)


def x(dtype: DType, *shape: Expr | int) -> Input:
    extents = tuple(e if isinstance(e, Expr) else index(e) for e in shape)
    return Input("x", TensorType(extents, dtype))


def w(type_name: str, rows: int, columns: int) -> Input:
    storage = storage_of(type_name, rows, columns)
    return Input("w", TensorType((index(rows), index(columns)), F32, storage))


def deduced(name: str, *inputs: Value, **attrs: object) -> str:
    return ", ".join(type_text(t) for t in apply(name, *inputs, **attrs).types)  # type: ignore


def test_deduced_types() -> None:
    q, cache = x(F32, 1, N, 9, 64), x(F32, 1, 1536, 3, 64)
    past = x(I32, 1)
    assert deduced("add", x(F32, N, 4), x(F32, 4)) == "f32[n, 4]"
    assert deduced("add", x(F32, N, 1), x(F32, 1, M)) == "f32[n, m]"
    assert deduced("less", x(I32, N), x(I32, N)) == "bool[n]"
    assert deduced("select", x(BOOL, N), x(F16, N), x(F16, N)) == "f16[n]"
    assert deduced("cast", x(I8, N), dtype=F32) == "f32[n]"
    assert deduced("reshape", x(F32, N, 12), shape=(N * 3, 4)) == "f32[n*3, 4]"
    assert deduced("slice", x(F32, N, 4), begin=(N - 1, 0), shape=(1, 4)) == "f32[1, 4]"
    assert deduced("concat", x(F32, N, 4), x(F32, M, 4), axis=0) == "f32[m + n, 4]"
    assert deduced("matmul", x(F32, N, 64), w("Q4_1", 7, 64)) == "f32[n, 7]"
    assert deduced("gather", w("Q8_0", 99, 64), x(I32, 1, N)) == "f32[1, n, 64]"
    blocks = "i8[n, 64], f32[n, 2], f32[n, 4]"
    assert deduced("quantise_blocks", x(F32, N, 64), sums=16) == blocks
    parts = results(apply("quantise_blocks", x(F32, N, 64)))
    assert deduced("matmul_q", *parts, w("Q5_0", 7, 64)) == "f32[n, 7]"
    assert deduced("rope_tables", past, x(F32, 32), n=N) == "f32[n, 32], f32[n, 32]"
    assert deduced("cache_append", cache, x(F32, 1, N, 3, 64), past) == "f32[1, 1536, 3, 64]"
    assert deduced("attention", q, cache, cache, past, scale=0.125) == "f32[1, n, 9, 64]"


def wrong(name: str, *inputs: Value, **attrs: object) -> str:
    with pytest.raises(IRError) as caught:
        apply(name, *inputs, **attrs)  # type: ignore[arg-type]
    return str(caught.value)


def test_what_is_refused() -> None:
    a = x(F32, N, 4)
    assert wrong("mattmul", a).startswith("unknown operator 'mattmul'; known: add, sub, ")
    assert wrong("add", a) == "add: takes a, b; 1 inputs are given"
    assert wrong("rms_norm", a, x(F32, 4)) == "rms_norm: attribute 'eps' is missing"
    assert wrong("softmax", a, eps=1) == "softmax: unknown attribute 'eps'; it has none"
    assert wrong("cast", a, kind=1) == "cast: unknown attribute 'kind'; it has dtype"
    assert (
        wrong("add", a, x(F32, N, 5))
        == "add: takes shapes that broadcast together, not f32[n, 4] and f32[n, 5]"
    )
    assert (
        wrong("add", a, x(I32, N, 4))
        == "add: takes two tensors of one element type, not f32[n, 4] and i32[n, 4]"
    )
    assert wrong("exp", x(I32, N)) == "exp: takes floats, not i32[n]"
    assert (
        wrong("reshape", a, shape=(N, 5))
        == "reshape: takes a shape of as many elements, not f32[n, 4] and f32[n, 5]"
    )
    assert (
        wrong("reshape", a, shape=(N, 4.0))
        == "reshape: attribute 'shape' must be a tuple of index expressions"
    )
    assert wrong("transpose", a, axes=(0, 0)) == (
        "transpose: attribute 'axes' must permute 0 to 1, not (0, 0)"
    )
    assert wrong("slice", a, begin=(N - 2, 0), shape=(1, 4)) == (
        "slice: takes a box that surely lies inside the operand, not f32[n, 4]"
    )
    assert (
        wrong("matmul", a, x(F32, 7, 5))
        == "matmul: takes x [rows, K] and w [N, K], not f32[n, 4] and f32[7, 5]"
    )
    assert (
        wrong("quantise_blocks", x(F32, N, 48))
        == "quantise_blocks: takes rows of whole blocks of 32, not f32[n, 48]"
    )
    assert (
        wrong("quantise_blocks", x(F32, N, 64), sums=24)
        == "quantise_blocks: attribute 'sums' must divide 64, and divide 32 or be a multiple of "
        "it, not 24"
    )
    q, cache = x(F32, 1, N, 8, 64), x(F32, 1, 16, 3, 64)
    assert (
        wrong("attention", q, cache, cache, x(I32, 1), scale=1.0)
        == "attention: takes query heads in whole groups a key head, not f32[1, n, 8, 64] and "
        "f32[1, 16, 3, 64]"
    )
    assert (
        wrong("attention", q, cache, cache, x(I32, 1), scale=1.0, key_block=0)
        == "attention: attribute 'key_block' must be positive"
    )


def test_sums_must_lie_in_the_weight_blocks() -> None:
    parts = results(apply("quantise_blocks", x(F32, N, 256), sums=32))
    assert wrong("matmul_q", *parts, w("Q6_K", 4, 256)) == (
        "matmul_q: takes sums over blocks that lie in the weight's blocks of 16, "
        "not i8[n, 256] and f32[n, 8]"
    )


def test_equal_calls_are_one_node() -> None:
    a = x(F32, N, 4)
    assert apply("reshape", a, shape=(N, index(2), 2)) is apply("reshape", a, shape=(N, 2, 2))
    b = x(F32, N, 32)
    assert apply("quantise_blocks", b) is apply("quantise_blocks", b, sums=32)


def test_quantised_activations_are_near() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5, 64)).astype(np.float32)
    values[1, :32] = 0
    values[2] *= 1e-35
    codes, scale, sums = OPERATORS["quantise_blocks"].numpy([values], {"sums": 32}, [])
    restored = codes.reshape(5, 2, 32) * scale[..., None]
    assert np.abs(restored.reshape(5, 64) - values).max() <= scale.max() / 2 + 1e-7
    assert np.abs(codes).max(axis=1).tolist() == [127, 127, 0, 127, 127]
    np.testing.assert_allclose(sums, restored.sum(axis=2), rtol=1e-6, atol=1e-6)
