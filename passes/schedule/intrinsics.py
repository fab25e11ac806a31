"""Tensor intrinsics: what an instruction computes, as a loop program, and how to call it.

The description is matched against the innermost reduction of a block; the implementation is the
expression that replaces it. New instructions are new entries of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passes.ir.dtypes import I8, I32, U8, U32, DType
from passes.ir.expr import Call, Expr, Reinterpret


@dataclass(frozen=True)
class DotIntrinsic:
    """`acc += Σ_{k < extent} cast(a[k]) * cast(b[k])` over contiguous `a` and `b`.

    `call(acc, a, b)` builds the instruction from the accumulator and the two short vectors
    (`extent` lanes of `a_type` and `b_type`).
    """

    name: str
    extent: int
    a_type: DType
    b_type: DType
    acc_type: DType
    call: Callable[[Expr, Expr, Expr], Expr]


def _dot4(name: str) -> Callable[[Expr, Expr, Expr], Expr]:
    return lambda acc, a, b: Call(name, (acc, Reinterpret(a, U32), Reinterpret(b, I32)), I32)


_TABLE = (
    # x86 VPDPBUSD, one lane.
    DotIntrinsic("dot4_u8_i8", 4, U8, I8, I32, _dot4("dot4")),
    # The same from two x86 PMADDWD on widened bytes: exact, where the maddubs pair saturates.
    DotIntrinsic("dot4_u8_i8_words", 4, U8, I8, I32, _dot4("dot4_words")),
)

INTRINSICS = {intrinsic.name: intrinsic for intrinsic in _TABLE}
