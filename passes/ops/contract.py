"""Sums of products of two tensors, told by an equation of axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from passes.ir.dtypes import F32, F64, I32, DType
from passes.ir.expr import Expr, cast
from passes.ir.graph.nodes import Apply, Attr, TensorType
from passes.ir.graph.operator import (
    AttrMap,
    Inputs,
    Numbers,
    Operands,
    Operator,
    Outputs,
    Sizes,
    Types,
)
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError
from passes.ir.quantised import Array
from passes.ops.nests import nested_block
from passes.ops.shapes import same, tensor

_EQUATION = re.compile(r"([a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*)")


@dataclass(frozen=True)
class Equation:
    """`"mk,kn->mn"`: the axes of both operands and of the result, a letter each.

    Every letter stands once in an operand. One that the result lacks is summed over, and stands in
    both operands.
    """

    a: str
    b: str
    out: str

    @property
    def summed(self) -> str:
        return "".join(letter for letter in self.a if letter not in self.out)


def equation(text: str) -> Equation:
    """Raises IRError for a text that is no equation of a contraction."""
    match = _EQUATION.fullmatch(text.replace(" ", ""))
    if match is None:
        raise IRError(f"'{text}' is no equation of two operands; an example: mk,kn->mn")
    found = Equation(*match.groups())
    for axes in (found.a, found.b, found.out):
        for letter in axes:
            if axes.count(letter) > 1:
                raise IRError(f"'{text}' has axis {letter} twice in one tensor")
    for letter in dict.fromkeys(found.a + found.b + found.out):
        count = sum(letter in axes for axes in (found.a, found.b, found.out))
        if count < 2:
            raise IRError(f"'{text}' has axis {letter} in one tensor only; it needs it in two")
    return found


def sum_type(a: DType, b: DType) -> DType | None:
    """The type that products of these elements are summed in; None if they are not taken.

    Floats of up to 32 bits sum in f32, f64 in f64, bytes (signed or not) in i32.
    """
    if a.is_float and a == b:
        return F64 if a == F64 else F32
    return I32 if a.name in ("i8", "u8") and b.name in ("i8", "u8") else None


def exact(x: Array) -> Array:
    """The elements as floats in which sums of their products are exact (bytes) or not worse than
    the operator's own (floats)."""
    wide = np.float32 if x.dtype.itemsize <= 4 and not np.issubdtype(x.dtype, np.integer) else float
    return x.astype(wide, copy=False)


def summed(result: Array, given: np.dtype[Any]) -> Array:
    """Sums of products of `exact` elements, in the type that `sum_type` says; i32 wraps."""
    if np.issubdtype(given, np.integer):
        return np.rint(result).astype(np.int64).astype(np.int32)
    return result


class Contract(Operator):
    """einsum of two operands by the attribute `equation`, `"mk,kn->mn"`.

    Operands are floats of one type (sums and result are f32, of f64 f64) or bytes, signed or not
    (sums and result are i32).
    """

    name = "contract"
    operands = ("a", "b")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"equation": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        a, b = inputs
        eq = self._equation(attrs)
        self.require(a.storage is None and b.storage is None, "takes plain tensors", a, b)
        dtype = sum_type(a.dtype, b.dtype)
        if dtype is None:
            self.require(False, "takes floats of one type, or bytes", a, b)
            raise AssertionError
        extents: dict[str, Expr] = {}
        for axes, type_ in ((eq.a, a), (eq.b, b)):
            fits = len(axes) == len(type_.shape)
            self.require(fits, f"takes {len(axes)} axes for '{axes}'", type_)
            for letter, extent in zip(axes, type_.shape, strict=True):
                known = extents.setdefault(letter, extent)
                self.require(same(known, extent), f"takes one extent of axis {letter}", a, b)
        return (tensor(dtype, *[extents[letter] for letter in eq.out]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        a, b = (np.asarray(x) for x in inputs)
        result = np.einsum(attrs["equation"], exact(a), exact(b), optimize=True)
        return (summed(result, a.dtype),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (left, right), (out,) = inputs, outputs
        assert isinstance(left, Buffer) and isinstance(right, Buffer)
        eq = self._equation(dict(call.attrs))
        extents = dict(zip(eq.a + eq.b, (*left.shape, *right.shape), strict=True))
        spatial = [(letter.lower(), extents[letter]) for letter in eq.out]
        reduce = [(letter.lower(), extents[letter]) for letter in eq.summed]
        with nested_block(b, self.name, spatial, reduce) as iters:
            at = dict(zip(eq.out + eq.summed, iters, strict=True))
            place = [at[letter] for letter in eq.out]
            with b.init():
                b.store(out, place, 0)
            x = load(left, *[at[letter] for letter in eq.a])
            y = load(right, *[at[letter] for letter in eq.b])
            product = cast(x, out.dtype) * cast(y, out.dtype)
            b.store(out, place, Load(out, tuple(place)) + product)

    def _equation(self, attrs: AttrMap) -> Equation:
        text = attrs["equation"]
        if not isinstance(text, str):
            raise self.error(f"attribute 'equation' must be a text, not {text!r}")
        try:
            return equation(text)
        except IRError as error:
            raise self.error(f"attribute 'equation': {error}") from None


OPERATORS: tuple[Operator, ...] = (Contract(),)
