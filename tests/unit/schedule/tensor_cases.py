"""Workloads with an instruction for each, and how many mappings there are."""

from __future__ import annotations

from dataclasses import dataclass, field

from passes.ir.dtypes import BF16, F32, I8, I32, U8
from passes.ir.loop.nodes import Function
from tests.unit.schedule.tensor_workloads import (
    N,
    capsule,
    contraction,
    convolution,
    transposed,
)

UNSIGNED, SIGNED, HALF = (U8, I8, I32), (I8, I8, I32), (BF16, BF16, F32)
SMALL = {"m": 3, "k": 4, "n": 5, "b": 2}


@dataclass(frozen=True)
class Case:
    function: Function
    intrinsic: str
    sizes: dict[str, int] = field(default_factory=dict)
    count: int = 0


WORKLOADS: dict[str, Case] = {
    "matmul": Case(contraction("mk,kn->mn", SMALL), "fma_f32_x8", {"m": 2}, 2),
    "matmul nt": Case(contraction("mk,nk->mn", SMALL, HALF), "dot2_bf16_x8", {"m": 2}, 2),
    "matmul tn": Case(contraction("km,kn->mn", SMALL, UNSIGNED), "dot4_u8_i8_x8", {"m": 2}, 1),
    "matmul tt": Case(
        contraction("km,nk->nm", SMALL, SIGNED), "dot4_i8_i8_x8", {"m": 2, "k": 2}, 2,
    ),
    "lane": Case(contraction("mk,kn->mn", SMALL, SIGNED), "dot4_i8_i8", {}, 2),
    "batched": Case(contraction("bmk,bkn->bmn", SMALL, HALF), "dot2_bf16_fma_x8", {"m": 2}, 2),
    "vector": Case(contraction("mk,k->m", SMALL), "fma_f32_x8", {}, 1),
    "more axes": Case(
        contraction("abk,kcd->abcd", {"a": 2, "b": 3, "k": 4, "c": 3, "d": 5}),
        "fma_f32_x8", {"m": 2}, 18,
    ),
    "more sums": Case(
        contraction("akbl,lck->abc", {"a": 2, "b": 3, "k": 4, "c": 3, "l": 5}, UNSIGNED),
        "dot4_u8_i8_x8", {"m": 2}, 12,
    ),
    "conv 1d": Case(convolution([6], (3, 5), [3]), "fma_f32_x8", {"m": 2}, 2),
    "conv 2d strided": Case(
        convolution([4, 3], (3, 5), [3, 2], stride=2, kinds=UNSIGNED), "dot4_u8_i8_x8", {"m": 2},
        21,
    ),
    "conv 2d dilated": Case(
        convolution([4, 3], (3, 5), [3, 2], dilation=2, first=True), "fma_f32_x8", {"m": 2}, 6,
    ),
    "conv 3d": Case(convolution([2, 3, 2], (2, 3), [2, 2, 1]), "fma_f32_x8", {"m": 2}, 14),
    "grouped": Case(convolution([4, 3], (4, 6), [3, 2], groups=2), "fma_f32_x8", {"m": 2}, 6),
    "grouped first": Case(
        convolution([4, 3], (4, 6), [3, 2], groups=2, first=True, kinds=SIGNED),
        "dot4_i8_i8_x8", {"m": 2}, 60,
    ),
    "depthwise": Case(
        convolution([4, 3], (4, 4), [3, 2], groups=4, kinds=UNSIGNED), "dot4_u8_i8", {}, 3,
    ),
    "transposed": Case(transposed(4, (2, 3), 4, 2), "fma_f32_x8", {"m": 2}, 2),
    "capsule": Case(capsule(2, (2, 2), 2, 2), "fma_f32_x8", {"m": 2}, 42),
}  # fmt: skip
SYMBOLIC: dict[str, Case] = {
    "rows": Case(
        contraction("mk,kn->mn", {"m": N, "k": 10, "n": 12}, SIGNED), "dot4_i8_i8_x8", {"m": 4}
    ),
    "depth": Case(
        contraction("mk,nk->mn", {"m": 5, "k": N, "n": 12}, UNSIGNED), "dot4_u8_i8_x8", {"m": 4}
    ),
    "columns": Case(contraction("mk,kn->mn", {"m": 5, "k": 4, "n": N}), "fma_f32_x8", {"m": 4}),
    "all": Case(
        contraction("bmk,bkn->bmn", {"b": N, "m": N, "k": N, "n": N}, HALF),
        "dot2_bf16_x8",
        {"m": 4},
    ),
    "image": Case(
        convolution([N, 3], (3, 5), [2, 2], stride=2, kinds=UNSIGNED), "dot4_u8_i8_x8", {"m": 4}
    ),
    "batch": Case(convolution([3, 3], (2, 5), [2, 2], batch=N), "fma_f32_x8", {"m": 4}),
}
