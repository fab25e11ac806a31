"""The functions a `Call` may name: how many arguments, what type they give, what they mean.

    scalar math   exp log sqrt rsqrt sin cos tanh sigmoid erf abs floor round fma pow
    dot products  dot4 dot4_words dot4_pairs dot4_signed dot2_bf16 dot2_bf16_fma
    lanes         reduce_add reduce_max reduce_min masked
    threads       thread_id num_threads
    x86           x86.vpdpbusd x86.pmaddubsw x86.pmaddwd x86.vdpbf16ps
    arm           arm.sdot

Meanings take and give numpy arrays (or numpy scalars) of the operands' types. A vector's lanes
are the last axis; axes in front of it are independent. Scalar math and dot products are lanewise:
on vectors they work lane by lane. Operands of a dot product are 32-bit words that hold four bytes
or two bf16 (the first in the low bits); what tells its kinds apart is `codegen.lower.dot`.

`x[masked(ramp(i, 1, 16), mask)]` is an access of the lanes for which the mask holds; of the
others a load gives nothing in particular, and a store leaves the memory alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from passes.ir.dtypes import BF16, BOOL, F32, I8, I16, I32, INDEX, U8, U32, DType
from passes.ir.expr import Call, Expr
from passes.ir.node import IRError

NOWHERE = int(np.iinfo(np.int64).min)
"""The place of a lane that accesses nothing."""
Array: TypeAlias = "np.ndarray[Any, Any]"
ResultRule: TypeAlias = "Callable[[tuple[DType, ...]], DType | None]"


@dataclass(frozen=True)
class Intrinsic:
    """One callable name; `result` gives None for operand types it does not take."""

    name: str
    arity: int
    result: ResultRule
    meaning: Callable[..., Any]
    lanewise: bool = False

    def dtype(self, args: tuple[DType, ...]) -> DType:
        """The result type. Raises IRError for a wrong number or wrong types of arguments."""
        if len(args) != self.arity:
            raise IRError(f"'{self.name}' takes {self.arity} arguments, not {len(args)}")
        found = self.result(args)
        if found is None:
            given = ", ".join(str(arg) for arg in args)
            raise IRError(f"'{self.name}' does not take ({given})")
        return found


def intrinsic(name: str) -> Intrinsic:
    """The table's entry. Raises IRError for a name that is not in it."""
    found = TABLE.get(name)
    if found is None:
        raise IRError(f"unknown function '{name}'; known: {', '.join(sorted(TABLE))}")
    return found


def call(name: str, *args: Expr) -> Call:
    """A checked call with its deduced type. Raises IRError."""
    return Call(name, args, intrinsic(name).dtype(tuple([arg.dtype for arg in args])))


def _same_float(args: tuple[DType, ...]) -> DType | None:
    return args[0] if args[0].is_float and all(arg == args[0] for arg in args) else None


def _number(args: tuple[DType, ...]) -> DType | None:
    return args[0] if args[0].name != "bool" else None


def _one_lane(args: tuple[DType, ...]) -> DType | None:
    return args[0].scalar if args[0].lanes > 1 and args[0].name != "bool" else None


def _masked(args: tuple[DType, ...]) -> DType | None:
    place, mask = args
    fits = place.scalar == INDEX and place.lanes > 1 and mask == BOOL.with_lanes(place.lanes)
    return place if fits else None


def _index(args: tuple[DType, ...]) -> DType | None:
    return INDEX


def _dot_bytes(args: tuple[DType, ...]) -> DType | None:
    acc, a, b = args
    wanted = (U8.with_lanes(acc.lanes * 4), I8.with_lanes(acc.lanes * 4))
    return acc if acc.scalar == I32 and acc.lanes in (4, 8, 16) and (a, b) == wanted else None


def _words(acc_type: DType, a_type: DType, b_type: DType) -> ResultRule:
    """acc, a, b lane by lane, of these types."""

    def result(args: tuple[DType, ...]) -> DType | None:
        wanted = [kind.with_lanes(args[0].lanes) for kind in (acc_type, a_type, b_type)]
        return args[0] if list(args) == wanted else None

    return result


def _signed_bytes(args: tuple[DType, ...]) -> DType | None:
    acc, a, b = args
    wanted = I8.with_lanes(acc.lanes * 4)
    return acc if acc.scalar == I32 and acc.lanes in (2, 4) and a == b == wanted else None


def _bf16_pairs(args: tuple[DType, ...]) -> DType | None:
    acc, a, b = args
    wanted = BF16.with_lanes(acc.lanes * 2)
    return acc if acc.scalar == F32 and acc.lanes in (4, 8, 16) and a == b == wanted else None


def _pair_bytes(args: tuple[DType, ...]) -> DType | None:
    a, b = args
    lanes = a.lanes
    fits = a.scalar == U8 and b == I8.with_lanes(lanes) and lanes in (16, 32, 64)
    return I16.with_lanes(lanes // 2) if fits else None


def _pair_words(args: tuple[DType, ...]) -> DType | None:
    a, b = args
    fits = a == b and a.scalar == I16 and a.lanes in (8, 16, 32)
    return I32.with_lanes(a.lanes // 2) if fits else None


def _wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """Evaluates in f64 and rounds once: the same on every CPU, unlike numpy's own f32 loops."""

    def rounded(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            wide = [np.asarray(arg, dtype=np.float64) for arg in args]
            return np.asarray(function(*wide)).astype(np.asarray(args[0]).dtype)

    return rounded


def _fma(a: Any, b: Any, c: Any) -> Any:
    """a*b + c rounded once, for types up to f32.

    The f64 product is exact. Its sum with c is rounded to odd (a sticky last bit), so that the
    second rounding, to the narrower type, cannot err. For f64 operands product and sum are
    rounded separately.
    """
    kind = np.asarray(a).dtype
    with np.errstate(all="ignore"):
        p = np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)
        q = np.asarray(c, dtype=np.float64)
        whole = np.asarray(p + q)
        if kind == np.float64:
            return whole
        part = whole - p
        lost = (p - (whole - part)) + (q - part)
        even = (whole.view(np.int64) & 1) == 0
        sticky = even & (lost != 0) & np.isfinite(whole)
        odd = np.where(sticky, np.nextafter(whole, np.copysign(np.inf, lost)), whole)
        return odd.astype(kind)


def _sigmoid(x: Array) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _erf(x: Array) -> Any:
    return np.reshape([math.erf(v) for v in x.ravel().tolist()], x.shape)


def _halving(step: Callable[[Any, Any], Any]) -> Callable[[Array], Any]:
    """Combines the upper half of the lanes into the lower until one is left."""

    def reduced(v: Array) -> Any:
        while v.shape[-1] > 1:
            half = v.shape[-1] // 2
            low = step(v[..., :half], v[..., half : 2 * half])
            v = np.concatenate([low, v[..., 2 * half :]], axis=-1)
        return v[..., 0]

    return reduced


def _quads(acc: Array, a: Array, b: Array) -> Any:
    products = a.astype(np.int32) * b.astype(np.int32)
    return acc + products.reshape(*products.shape[:-1], -1, 4).sum(axis=-1, dtype=np.int32)


def _parts(word: Any, shape: tuple[int, ...], kind: DType) -> Array:
    """The numbers of type `kind` that each 32-bit lane holds, along one more axis."""
    whole = np.ascontiguousarray(np.broadcast_to(word, shape))
    return whole.reshape(*shape, 1).view(kind.numpy)


def _in_words(a_kind: DType, b_kind: DType, sums: Callable[..., Any]) -> Callable[..., Any]:
    """`sums(acc, numbers of a, numbers of b)` for words that hold such numbers."""

    def meaning(acc: Any, a: Any, b: Any) -> Any:
        shape = np.broadcast_shapes(np.shape(acc), np.shape(a), np.shape(b))
        return sums(np.asarray(acc), _parts(a, shape, a_kind), _parts(b, shape, b_kind))

    return meaning


def _sum_of_products(acc: Array, a: Array, b: Array) -> Any:
    return acc + (a.astype(np.int32) * b.astype(np.int32)).sum(axis=-1, dtype=np.int32)


def _sum_of_saturated(acc: Array, a: Array, b: Array) -> Any:
    return acc + _saturated_pairs(a, b).sum(axis=-1, dtype=np.int32)


def _flushed(x: Any) -> Any:
    """Subnormal numbers as zeros of their sign."""
    tiny = np.abs(x) < np.finfo(np.float32).tiny
    return np.where(tiny, np.copysign(np.float32(0), x), x)


def _two_steps(acc: Array, a: Array, b: Array) -> Any:
    """The odd product is added first, then the even one; each step rounds to nearest even and
    takes subnormal numbers, on the way in and out, for zeros."""
    x, y = (_flushed(v.astype(np.float32)) for v in (a, b))
    first = _flushed(_fma(x[..., 1], y[..., 1], _flushed(acc)))
    return _flushed(_fma(x[..., 0], y[..., 0], first))


def _two_fmas(acc: Array, a: Array, b: Array) -> Any:
    """The same order of additions, with subnormal numbers."""
    x, y = a.astype(np.float32), b.astype(np.float32)
    return _fma(x[..., 0], y[..., 0], _fma(x[..., 1], y[..., 1], acc))


def _bf16_pair_sums(acc: Array, a: Array, b: Array) -> Any:
    pairs = [v.reshape(*v.shape[:-1], -1, 2) for v in (a, b)]
    return _two_steps(acc, *pairs)


def _saturated_pairs(a: Array, b: Array) -> Any:
    products = a.astype(np.int32) * b.astype(np.int32)
    sums = products.reshape(*products.shape[:-1], -1, 2).sum(axis=-1, dtype=np.int32)
    return np.clip(sums, -(1 << 15), (1 << 15) - 1).astype(np.int16)


def _pairs(a: Array, b: Array) -> Any:
    products = a.astype(np.int32) * b.astype(np.int32)
    return products.reshape(*products.shape[:-1], -1, 2).sum(axis=-1, dtype=np.int32)


_UNARY: dict[str, Callable[..., Any]] = {
    "exp": _wide(np.exp), "log": _wide(np.log), "sqrt": _wide(np.sqrt),
    "rsqrt": _wide(lambda x: 1 / np.sqrt(x)), "sin": _wide(np.sin), "cos": _wide(np.cos),
    "tanh": _wide(np.tanh), "sigmoid": _wide(_sigmoid), "erf": _wide(_erf),
    "floor": np.floor, "round": np.rint,
}  # fmt: skip
_BYTES = _words(I32, U32, I32)
_PAIRS = _words(F32, U32, U32)

_ENTRIES = (
    *[Intrinsic(name, 1, _same_float, meaning, True) for name, meaning in _UNARY.items()],
    Intrinsic("pow", 2, _same_float, _wide(np.power), True),
    Intrinsic("abs", 1, _number, np.abs, True),
    Intrinsic("fma", 3, _same_float, _fma, True),
    Intrinsic("dot4", 3, _BYTES, _in_words(U8, I8, _sum_of_products), True),
    Intrinsic("dot4_words", 3, _BYTES, _in_words(U8, I8, _sum_of_products), True),
    Intrinsic("dot4_pairs", 3, _BYTES, _in_words(U8, I8, _sum_of_saturated), True),
    Intrinsic("dot4_signed", 3, _words(I32, I32, I32), _in_words(I8, I8, _sum_of_products), True),
    Intrinsic("dot2_bf16", 3, _PAIRS, _in_words(BF16, BF16, _two_steps), True),
    Intrinsic("dot2_bf16_fma", 3, _PAIRS, _in_words(BF16, BF16, _two_fmas), True),
    Intrinsic("reduce_add", 1, _one_lane, _halving(np.add)),
    Intrinsic("reduce_max", 1, _one_lane, _halving(lambda a, b: np.where(a > b, a, b))),
    Intrinsic("reduce_min", 1, _one_lane, _halving(lambda a, b: np.where(a < b, a, b))),
    Intrinsic("masked", 2, _masked, lambda place, mask: np.where(mask, place, NOWHERE)),
    Intrinsic("thread_id", 0, _index, lambda: np.int64(0)),
    Intrinsic("num_threads", 0, _index, lambda: np.int64(1)),
    Intrinsic("x86.vpdpbusd", 3, _dot_bytes, _quads),
    Intrinsic("x86.pmaddubsw", 2, _pair_bytes, _saturated_pairs),
    Intrinsic("x86.pmaddwd", 2, _pair_words, _pairs),
    Intrinsic("x86.vdpbf16ps", 3, _bf16_pairs, _bf16_pair_sums),
    Intrinsic("arm.sdot", 3, _signed_bytes, _quads),
)

TABLE = {entry.name: entry for entry in _ENTRIES}
