"""The functions a `Call` may name: how many arguments, what type they give, what they mean.

    scalar math   exp log sqrt rsqrt sin cos tanh sigmoid erf abs floor round fma pow
    lanes         reduce_add reduce_max reduce_min
    threads       thread_id num_threads
    x86           x86.vpdpbusd x86.pmaddubsw x86.pmaddwd

Meanings take and give numpy arrays (or numpy scalars) of the operands' types. A vector's lanes
are the last axis; axes in front of it are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from passes.ir.dtypes import I8, I16, I32, INDEX, U8, U32, DType
from passes.ir.expr import Call, Expr
from passes.ir.node import IRError

Array: TypeAlias = "np.ndarray[Any, Any]"
ResultRule: TypeAlias = "Callable[[tuple[DType, ...]], DType | None]"


@dataclass(frozen=True)
class Intrinsic:
    """One callable name; `result` gives None for operand types it does not take."""

    name: str
    arity: int
    result: ResultRule
    meaning: Callable[..., Any]

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


def _index(args: tuple[DType, ...]) -> DType | None:
    return INDEX


def _dot_bytes(args: tuple[DType, ...]) -> DType | None:
    acc, a, b = args
    wanted = (U8.with_lanes(acc.lanes * 4), I8.with_lanes(acc.lanes * 4))
    return acc if acc.scalar == I32 and acc.lanes in (4, 8, 16) and (a, b) == wanted else None


def _dot_words(args: tuple[DType, ...]) -> DType | None:
    acc, a, b = args
    return acc if acc.scalar == I32 and a == U32.with_lanes(acc.lanes) and b == acc else None


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


def _quads_in_words(acc: Any, a: Any, b: Any) -> Any:
    """Each 32-bit lane of `a` holds four unsigned bytes, of `b` four signed ones."""
    acc, a, b = (np.asarray(v) for v in (acc, a, b))
    shape = np.broadcast_shapes(acc.shape, a.shape, b.shape)
    bytes_a = np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(-1, 1).view(np.uint8)
    bytes_b = np.ascontiguousarray(np.broadcast_to(b, shape)).reshape(-1, 1).view(np.int8)
    products = bytes_a.astype(np.int32) * bytes_b.astype(np.int32)
    return acc + products.sum(axis=-1, dtype=np.int32).reshape(shape)


def _saturated_pairs(a: Array, b: Array) -> Any:
    products = a.astype(np.int32) * b.astype(np.int32)
    sums = products.reshape(*products.shape[:-1], -1, 2).sum(axis=-1, dtype=np.int32)
    return np.clip(sums, -(1 << 15), (1 << 15) - 1).astype(np.int16)


def _pairs(a: Array, b: Array) -> Any:
    products = a.astype(np.int32) * b.astype(np.int32)
    return products.reshape(*products.shape[:-1], -1, 2).sum(axis=-1, dtype=np.int32)


_ENTRIES = (
    Intrinsic("exp", 1, _same_float, _wide(np.exp)),
    Intrinsic("log", 1, _same_float, _wide(np.log)),
    Intrinsic("sqrt", 1, _same_float, _wide(np.sqrt)),
    Intrinsic("rsqrt", 1, _same_float, _wide(lambda x: 1 / np.sqrt(x))),
    Intrinsic("sin", 1, _same_float, _wide(np.sin)),
    Intrinsic("cos", 1, _same_float, _wide(np.cos)),
    Intrinsic("tanh", 1, _same_float, _wide(np.tanh)),
    Intrinsic("sigmoid", 1, _same_float, _wide(_sigmoid)),
    Intrinsic("erf", 1, _same_float, _wide(_erf)),
    Intrinsic("pow", 2, _same_float, _wide(np.power)),
    Intrinsic("floor", 1, _same_float, np.floor),
    Intrinsic("round", 1, _same_float, np.rint),
    Intrinsic("abs", 1, _number, np.abs),
    Intrinsic("fma", 3, _same_float, _fma),
    Intrinsic("reduce_add", 1, _one_lane, _halving(np.add)),
    Intrinsic("reduce_max", 1, _one_lane, _halving(lambda a, b: np.where(a > b, a, b))),
    Intrinsic("reduce_min", 1, _one_lane, _halving(lambda a, b: np.where(a < b, a, b))),
    Intrinsic("thread_id", 0, _index, lambda: np.int64(0)),
    Intrinsic("num_threads", 0, _index, lambda: np.int64(1)),
    Intrinsic("dot4", 3, _dot_words, _quads_in_words),
    Intrinsic("dot4_words", 3, _dot_words, _quads_in_words),
    Intrinsic("x86.vpdpbusd", 3, _dot_bytes, _quads),
    Intrinsic("x86.pmaddubsw", 2, _pair_bytes, _saturated_pairs),
    Intrinsic("x86.pmaddwd", 2, _pair_words, _pairs),
)

TABLE = {entry.name: entry for entry in _ENTRIES}
