"""Type rules of contractions and of what slides windows."""

from __future__ import annotations

import pytest

from passes.ir.dtypes import BF16, F16, F32, F64, I8, I32, U8, DType
from passes.ir.expr import Dim, Expr, index
from passes.ir.graph.nodes import Input, TensorType, Value
from passes.ir.graph.text import type_text
from passes.ir.node import IRError
from passes.ops import apply
from passes.ops.contract import equation

N, H = Dim("n", 1, 64), Dim("h", 5, 224)


def x(dtype: DType, *shape: Expr | int) -> Input:
    return Input("x", TensorType(tuple(map(index, shape)), dtype))


def deduced(name: str, *inputs: Value, **attrs: object) -> str:
    return type_text(apply(name, *inputs, **attrs).type)  # type: ignore[arg-type]


def wrong(name: str, *inputs: Value, **attrs: object) -> str:
    with pytest.raises(IRError) as caught:
        apply(name, *inputs, **attrs)  # type: ignore[arg-type]
    return str(caught.value)


def test_contractions() -> None:
    a, b = (N, 8), (8, 4)
    for kind, made in ((F32, "f32"), (F16, "f32"), (BF16, "f32"), (F64, "f64"), (I8, "i32")):
        assert (
            deduced("contract", x(kind, *a), x(kind, *b), equation="mk,kn->mn") == f"{made}[n, 4]"
        )
    mixed = deduced("contract", x(U8, *a), x(I8, *b), equation="mk,kn->nm")
    assert mixed == "i32[4, n]"
    batch = deduced("contract", x(F32, 2, N, 3, 8), x(F32, 2, 5, 3, 8), equation="bmhd,bnhd->bhmn")
    assert batch == "f32[2, 3, n, 5]"
    assert equation("bmk, bkn -> bmn").summed == "k"


def test_contractions_refused() -> None:
    a, b = x(F32, N, 8), x(F32, 8, 4)
    assert wrong("contract", a, b, equation=3) == (
        "contract: attribute 'equation' must be a text, not 3"
    )
    assert wrong("contract", a, b, equation="mk*kn") == (
        "contract: attribute 'equation': 'mk*kn' is no equation of two operands; "
        "an example: mk,kn->mn"
    )
    assert wrong("contract", a, b, equation="mm,kn->mn") == (
        "contract: attribute 'equation': 'mm,kn->mn' has axis m twice in one tensor"
    )
    assert wrong("contract", a, b, equation="mk,jn->mn") == (
        "contract: attribute 'equation': 'mk,jn->mn' has axis k in one tensor only; "
        "it needs it in two"
    )
    assert wrong("contract", a, x(F16, 8, 4), equation="mk,kn->mn") == (
        "contract: takes floats of one type, or bytes, not f32[n, 8] and f16[8, 4]"
    )
    assert wrong("contract", x(F32, N), b, equation="mk,kn->mn") == (
        "contract: takes 2 axes for 'mk', not f32[n]"
    )
    assert wrong("contract", a, x(F32, 7, 4), equation="mk,kn->mn") == (
        "contract: takes one extent of axis k, not f32[n, 8] and f32[7, 4]"
    )


def test_windows() -> None:
    image, w = x(F32, N, H, 9, 6), x(F32, 3, 3, 6, 8)
    assert deduced("conv", image, w) == "f32[n, h - 2, 7, 8]"
    assert deduced("conv", image, w, padding=(1, 1), stride=(2, 2)) == ("f32[n, (h + 1)//2, 5, 8]")
    first = deduced("conv", x(F32, N, 6, H), x(F32, 8, 3, 5), layout="first", groups=2)
    assert first == "f32[n, 8, h - 4]"
    assert deduced("conv", x(I8, 1, H, 4), x(I8, 3, 4, 2)) == "i32[1, h - 2, 2]"
    up = deduced("conv_transposed", image, w, stride=(2, 2), padding=(1, 0), surplus=(1, 0))
    assert up == "f32[n, h*2, 19, 8]"
    assert deduced("max_pool", image, window=(2, 2), stride=(2, 2)) == "f32[n, h//2, 4, 6]"
    capsules = deduced("capsule_conv", x(F32, N, H, 9, 2, 3, 4), x(F32, 3, 3, 3, 5, 4, 8))
    assert capsules == "f32[n, h - 2, 7, 2, 5, 8]"


def test_windows_refused() -> None:
    image, w = x(F32, N, H, 9, 6), x(F32, 3, 3, 6, 8)
    assert wrong("conv", image, x(F32, 3, 3, 5, 8)) == (
        "conv: takes x of 1 times the channels of w, not f32[n, h, 9, 6] and f32[3, 3, 5, 8]"
    )
    assert wrong("conv", image, x(F32, 3, 3, 2, 8), groups=3) == (
        "conv: takes weights of co in 3 groups, not f32[3, 3, 2, 8]"
    )
    assert wrong("conv", image, x(F32, 3, H, 6, 8)) == (
        "conv: takes weights of constant extents, not f32[3, h, 6, 8]"
    )
    assert wrong("conv", image, x(F32, 7, 3, 6, 8)) == (
        "conv: takes at least 7 elements an axis of windows, not f32[n, h, 9, 6]"
    )
    assert wrong("conv", image, w, stride=(1,)) == (
        "conv: attribute 'stride' must be 2 numbers from 1 on, not (1,)"
    )
    assert wrong("conv", image, w, stride=(1, 0)) == (
        "conv: attribute 'stride' must be 2 numbers from 1 on, not (1, 0)"
    )
    assert wrong("conv", image, w, padding=(1, (0, -1))) == (
        "conv: attribute 'padding' must be 2 numbers from 0 on, or pairs of them, not (1, (0, -1))"
    )
    assert wrong("conv", image, w, layout="middle") == (
        "conv: attribute 'layout' tells where channels are, 'last' or 'first': middle"
    )
    assert wrong("conv", x(F16, 1, 9, 4), x(F32, 3, 4, 2)) == (
        "conv: takes floats of one type, or bytes, not f16 and f32"
    )
    assert wrong("conv", x(F32, 9, 4), x(F32, 4, 2)) == (
        "conv: takes one to three axes, not f32[9, 4] and f32[4, 2]"
    )
    assert wrong("conv_transposed", x(F32, 1, H, 4), x(F32, 2, 4, 2), padding=(6,)) == (
        "conv_transposed: takes padding that leaves places, not f32[1, h, 4] and f32[2, 4, 2]"
    )
    assert wrong("avg_pool", image, window=(2,)) == (
        "avg_pool: attribute 'window' must be 2 numbers from 1 on, not (2,)"
    )
    assert wrong("capsule_conv", image, w) == (
        "capsule_conv: takes x [b, y, x, p, k, ci] and w [u, v, k, q, ci, co], not "
        "f32[n, h, 9, 6] and f32[3, 3, 6, 8]"
    )


def test_norms_and_scatters_refused() -> None:
    image, w = x(F32, N, 9, 6), x(F32, 6)
    assert wrong("layer_norm", image, w, x(F32, 5), eps=0.1).startswith(
        "layer_norm: takes x [.., K], w [K] and b [K], not f32[n, 9, 6]"
    )
    assert wrong("group_norm", image, w, w, eps=0.1, groups=4) == (
        "group_norm: takes channels in 4 groups, not f32[n, 9, 6]"
    )
    assert wrong("l2_norm", w) == "l2_norm: takes two axes or more, not f32[6]"
    assert wrong("scatter_add", x(F32, 4, 6), x(F32, N), x(F32, N, 6)) == (
        "scatter_add: takes integer ids [n], not f32[n] and f32[n, 6]"
    )
    assert wrong("scatter_add", x(F32, 4, 6), x(I32, N), x(F32, N, 5)) == (
        "scatter_add: takes a table [V, D] and rows [n, D] of its type, not f32[4, 6] and f32[n, 5]"
    )
    assert wrong("relu", x(U8, N)) == "relu: takes signed numbers, not u8[n]"
