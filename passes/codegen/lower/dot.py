"""Four-byte dot products become instructions of x86, on whole vectors.

    d = dot4(acc, a, b)         →   x86.vpdpbusd(acc, bytes of a, bytes of b)
    d = dot4_words(acc, a, b)   →   acc + x86.pmaddwd(even bytes of a, of b)
                                        + x86.pmaddwd(odd bytes of a, of b)

Exact: bytes are widened to 16 bits before they are multiplied in pairs, so nothing saturates.
"""

from __future__ import annotations

from passes.ir.dtypes import I8, I16, I32, U8, U32, DType
from passes.ir.expr import Add, BitAnd, Broadcast, Call, Expr, Reinterpret, Shl, Shr, const
from passes.ir.loop.nodes import Function
from passes.ir.node import Node, rewrite


def lower_dot(function: Function) -> Function:
    """The function with each dot product spelled for x86."""
    return rewrite(function, _spelled)


def _spelled(node: Node) -> Node | None:
    if not isinstance(node, Call) or node.name not in ("dot4", "dot4_words"):
        return None
    acc, a, b = node.args
    lanes = acc.dtype.lanes
    if node.name == "dot4":
        quads = (_as(a, U8.with_lanes(4 * lanes)), _as(b, I8.with_lanes(4 * lanes)))
        return Call("x86.vpdpbusd", (acc, *quads), acc.dtype)
    pairs = I16.with_lanes(2 * lanes)
    low = _splat(0x00FF00FF, U32.with_lanes(lanes))
    byte = _splat(8, pairs)
    even_a = Reinterpret(BitAnd(a, low), pairs)
    odd_a = Reinterpret(BitAnd(Shr(a, _splat(8, U32.with_lanes(lanes))), low), pairs)
    words = _as(b, pairs)
    even = _pairs(even_a, Shr(Shl(words, byte), byte), lanes)
    odd = _pairs(odd_a, Shr(words, byte), lanes)
    return Add(acc, Add(even, odd))


def _pairs(a: Expr, b: Expr, lanes: int) -> Expr:
    return Call("x86.pmaddwd", (a, b), I32.with_lanes(lanes))


def _as(e: Expr, dtype: DType) -> Expr:
    """The bits of `e` as `dtype`, without going through a type in between."""
    while isinstance(e, Reinterpret):
        e = e.value
    return e if e.dtype == dtype else Reinterpret(e, dtype)


def _splat(value: int, dtype: DType) -> Expr:
    scalar = const(value, dtype.scalar)
    return scalar if dtype.lanes == 1 else Broadcast(scalar, dtype.lanes)
