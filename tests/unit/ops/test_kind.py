"""Fusion kinds follow from loop definitions."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.dtypes import F32
from passes.ir.expr import Dim
from passes.ir.loop.builder import LoopBuilder, load
from passes.ops import OPERATORS
from passes.ops.define import define
from passes.ops.kind import kind
from tests.property.operator_cases import CASES

KINDS = {
    "exp": "elementwise", "cast": "elementwise", "full": "elementwise",
    "broadcast_to": "broadcast", "select": "broadcast",
    "transpose": "injective", "reshape mix": "injective", "slice": "injective",
    "concat": "injective", "gather Q8_0": "injective", "rope": "injective",
    "rope_tables": "injective", "cache_append": "injective",
    "reduce_sum keep=False": "reduction", "softmax": "reduction", "rms_norm": "reduction",
    "quantise_blocks 32": "reduction", "quantise_blocks 64": "reduction",
    "matmul F32": "contraction", "matmul Q4_1": "contraction", "matmul_q Q4_K 32": "contraction",
    "attention 1x8": "opaque",
    **{
        f"contract {equation}": "contraction"
        for equation in ("nk,km->nm", "bik,bkj->bij", "bnhk,bmhk->bhnm")
    },
    **{
        f"conv{form}": "contraction"
        for form in ("", " padded", " groups", " groups first", " depthwise", " 1x1", " bytes")
    },
    "capsule_conv": "contraction", "conv_transposed 4 / 2 - 1 + 0": "contraction",
    "conv_transposed 3 / 2 - 1 + 1": "contraction", "relu": "elementwise",
    "max_pool": "reduction", "avg_pool": "reduction", "argmax": "reduction",
    "layer_norm": "reduction", "group_norm": "reduction", "l2_norm": "reduction",
    "scatter_add": "opaque",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    case = CASES[name](np.random.default_rng(1))
    assert kind(define(case.call, OPERATORS)) == KINDS[name]


def test_axes_may_shift_each_other() -> None:
    n = Dim("n", 1, 9)
    b = LoopBuilder("skew", dims=(n,))
    x, y = b.param("x", (n, n), F32), b.param("y", (n * 2, n), F32)
    with b.loop("i", n) as i, b.loop("j", n) as j, b.block("y", [(n, i), (n, j)]) as (v, w):
        b.store(y, (v + w, w), load(x, v, w))
    assert kind(b.function()) == "injective"


def test_a_scatter_that_may_collide_is_opaque() -> None:
    n = Dim("n", 1, 9)
    b = LoopBuilder("halves", dims=(n,))
    x, y = b.param("x", (n,), F32), b.param("y", (n,), F32)
    with b.loop("i", n) as i, b.block("y", spatial=[(n, i)]) as (v,):
        b.store(y, (v // 2,), load(x, v))
    assert kind(b.function()) == "opaque"


@pytest.mark.parametrize("step", [2, 3])
def test_iterators_may_share_an_axis_as_digits_share_a_number(step: int) -> None:
    n = Dim("n", 1, 9)
    b = LoopBuilder("digits", dims=(n,))
    x, y = b.param("x", (n, 3), F32), b.param("y", (n * 3,), F32)
    with b.loop("i", n) as i, b.loop("j", 3) as j, b.block("y", [(n, i), (3, j)]) as (v, w):
        b.store(y, (v * step + w,), load(x, v, w))
    assert kind(b.function()) == ("injective" if step == 3 else "opaque")
