"""Dot products of words become instructions, on whole vectors; all exact but for bf16's roundings.

    d = dot4(acc, a, b)            →   x86.vpdpbusd(acc, bytes of a, bytes of b)
    d = dot4_words(acc, a, b)      →   acc + x86.pmaddwd(even bytes of a, of b)
                                           + x86.pmaddwd(odd bytes of a, of b)
    d = dot4_pairs(acc, a, b)      →   acc + x86.pmaddwd(x86.pmaddubsw(bytes of a, of b), 1)
    d = dot4_signed(acc, a, b)     →   arm.sdot(acc, bytes of a, bytes of b)
    d = dot2_bf16(acc, a, b)       →   x86.vdpbf16ps(acc, numbers of a, numbers of b)
    d = dot2_bf16_fma(acc, a, b)   →   fma(low a, low b, fma(high a, high b, acc))

`dot4_words` widens bytes to 16 bits before it multiplies them in pairs, so that nothing saturates;
`dot4_pairs` saturates sums of two products. On lanes that no instruction has, words are taken
apart by shifts. A number of bf16 is the upper half of an f32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passes.ir.dtypes import BF16, F32, I8, I16, I32, U8, U32, DType
from passes.ir.expr import (
    Add,
    BitAnd,
    Broadcast,
    Call,
    Expr,
    Max,
    Min,
    Mul,
    Reinterpret,
    Shl,
    Shr,
    const,
)
from passes.ir.loop.nodes import Function
from passes.ir.node import Node, rewrite

Spelling = Callable[[Expr, Expr, Expr], Expr]


@dataclass(frozen=True)
class _Form:
    """A dot product as instructions, on vectors of these lanes, and on any others."""

    lanes: tuple[int, ...]
    vector: Spelling
    other: Spelling


def lower_dot(function: Function) -> Function:
    """The function with each dot product spelled out."""
    return rewrite(function, _spelled)


def _spelled(node: Node) -> Node | None:
    form = _FORMS.get(node.name) if isinstance(node, Call) else None
    if form is None:
        return None
    assert isinstance(node, Call)
    acc, a, b = node.args
    return (form.vector if acc.dtype.lanes in form.lanes else form.other)(acc, a, b)


def _one(name: str, a_type: DType, b_type: DType) -> Spelling:
    """One instruction that takes the words' parts as lanes."""

    def spelled(acc: Expr, a: Expr, b: Expr) -> Expr:
        parts = [_parts(e, kind) for e, kind in ((a, a_type), (b, b_type))]
        return Call(name, (acc, *parts), acc.dtype)

    return spelled


def _words(acc: Expr, a: Expr, b: Expr) -> Expr:
    lanes = acc.dtype.lanes
    byte, low = _splat(8, I16.with_lanes(2 * lanes)), _splat(0x00FF00FF, a.dtype)
    words = _parts(b, I16)
    even = _pairs(_parts(BitAnd(a, low), I16), Shr(Shl(words, byte), byte))
    odd = _pairs(_parts(BitAnd(Shr(a, _splat(8, a.dtype)), low), I16), Shr(words, byte))
    return Add(acc, Add(even, odd))


def _saturated(acc: Expr, a: Expr, b: Expr) -> Expr:
    sums = I16.with_lanes(2 * acc.dtype.lanes)
    pairs = Call("x86.pmaddubsw", (_parts(a, U8), _parts(b, I8)), sums)
    return Add(acc, _pairs(pairs, _splat(1, sums)))


def _pairs(a: Expr, b: Expr) -> Expr:
    return Call("x86.pmaddwd", (a, b), I32.with_lanes(a.dtype.lanes // 2))


def _by_bytes(a_type: DType, saturating: bool = False) -> Spelling:
    """The same from single bytes."""

    def spelled(acc: Expr, a: Expr, b: Expr) -> Expr:
        p = [Mul(_byte(a, k, a_type), _byte(b, k, I32)) for k in range(4)]
        pairs: list[Expr] = [Add(p[0], p[1]), Add(p[2], p[3])]
        low, high = [_clipped(e) for e in pairs] if saturating else pairs
        return Add(acc, Add(low, high))

    return spelled


def _byte(word: Expr, number: int, kind: DType) -> Expr:
    """A byte of a word, widened to i32 with the sign it has in `kind` (u32 or i32)."""
    kind = kind.with_lanes(word.dtype.lanes)
    up = Shl(_as(word, kind), _splat(24 - 8 * number, kind))
    return _as(Shr(up, _splat(24, kind)), I32.with_lanes(kind.lanes))


def _clipped(e: Expr) -> Expr:
    return Max(Min(e, _splat((1 << 15) - 1, e.dtype)), _splat(-(1 << 15), e.dtype))


def _two_fmas(acc: Expr, a: Expr, b: Expr) -> Expr:
    for half in (_high, _low):
        acc = Call("fma", (half(a), half(b), acc), acc.dtype)
    return acc


def _high(words: Expr) -> Expr:
    return _as(BitAnd(words, _splat(0xFFFF0000, words.dtype)), F32.with_lanes(words.dtype.lanes))


def _low(words: Expr) -> Expr:
    return _as(Shl(words, _splat(16, words.dtype)), F32.with_lanes(words.dtype.lanes))


def _parts(words: Expr, kind: DType) -> Expr:
    return _as(words, kind.with_lanes(words.dtype.lanes * words.dtype.bits // kind.bits))


def _as(e: Expr, dtype: DType) -> Expr:
    """The bits of `e` as `dtype`, without going through a type in between."""
    while isinstance(e, Reinterpret):
        e = e.value
    return e if e.dtype == dtype else Reinterpret(e, dtype)


def _splat(value: int, dtype: DType) -> Expr:
    scalar = const(value, dtype.scalar)
    return scalar if dtype.lanes == 1 else Broadcast(scalar, dtype.lanes)


_FORMS = {
    "dot4": _Form((4, 8, 16), _one("x86.vpdpbusd", U8, I8), _by_bytes(U32)),
    "dot4_words": _Form((4, 8, 16), _words, _by_bytes(U32)),
    "dot4_pairs": _Form((4, 8, 16), _saturated, _by_bytes(U32, saturating=True)),
    "dot4_signed": _Form((2, 4), _one("arm.sdot", I8, I8), _by_bytes(I32)),
    "dot2_bf16": _Form((4, 8, 16), _one("x86.vdpbf16ps", BF16, BF16), _two_fmas),
    "dot2_bf16_fma": _Form((), _two_fmas, _two_fmas),
}
