"""Normalisations by mean and variance, and lengths of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.arith import simplify
from passes.ir.dtypes import F32
from passes.ir.expr import Call, Const, Expr, cast, const, index, product
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
from passes.ir.loop.nodes import Buffer
from passes.ir.quantised import Array
from passes.ops.shapes import same, tensor


class LayerNorm(Operator):
    """(x - mean) / sqrt(variance + eps) * w + b along the last axis: x [.., K], w [K], b [K]."""

    name = "layer_norm"
    operands = ("x", "w", "b")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"eps": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        return _checked(self, inputs, attrs)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w, b = (np.asarray(value) for value in inputs)
        return (_normal(x, (-1,), attrs["eps"]) * w + b,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w, shift), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer) and isinstance(shift, Buffer)
        width = x.shape[-1]
        sums = b.local("sums", x.shape[:-1], F32)
        squares = b.local("squares", x.shape[:-1], F32)
        inverse = b.local("inverse", x.shape[:-1], F32)

        def centred(*at: Expr) -> Expr:
            return load(x, *at) - load(sums, *at[:-1]) / _float(width)

        b.reduce(sums, (width,), lambda *at: load(x, *at))
        b.reduce(squares, (width,), lambda *at: centred(*at) * centred(*at))
        eps = self.number(dict(call.attrs), "eps")
        b.map(inverse, lambda *at: _inverse(load(squares, *at), width, eps))
        b.map(
            out,
            lambda *at: (
                centred(*at) * load(inverse, *at[:-1]) * load(w, at[-1]) + load(shift, at[-1])
            ),
            label=self.name,
        )


class GroupNorm(Operator):
    """(x - mean) / sqrt(variance + eps) * w + b, both over all places and over the channels of a
    group: x [b, places.., c], w [c], b [c], c in `groups` groups."""

    name = "group_norm"
    operands = ("x", "w", "b")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"groups": None, "eps": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (made,) = _checked(self, inputs, attrs)
        groups = self.integer(attrs, "groups")
        fits = groups > 0 and len(made.shape) > 1 and same(made.shape[-1] % groups, index(0))
        self.require(fits, f"takes channels in {groups} groups", made)
        return (made,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w, b = (np.asarray(value) for value in inputs)
        parts = x.reshape(*x.shape[:-1], attrs["groups"], -1)
        axes = (*range(1, x.ndim - 1), -1)
        return (_normal(parts, axes, attrs["eps"]).reshape(x.shape) * w + b,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w, shift), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer) and isinstance(shift, Buffer)
        attrs = dict(call.attrs)
        groups = self.integer(attrs, "groups")
        each = simplify(x.shape[-1] // groups)
        over = (*x.shape[1:-1], each)
        count = simplify(product(over))
        sums, squares, inverse = (
            b.local(name, (x.shape[0], groups), F32) for name in ("sums", "squares", "inverse")
        )

        def element(row: Expr, group: Expr, *at: Expr) -> Expr:
            return load(x, row, *at[:-1], group * each + at[-1])

        def deviation(row: Expr, group: Expr, *at: Expr) -> Expr:
            return element(row, group, *at) - load(sums, row, group) / _float(count)

        b.reduce(sums, over, element)
        b.reduce(squares, over, lambda *at: deviation(*at) * deviation(*at))
        eps = self.number(attrs, "eps")
        b.map(inverse, lambda *at: _inverse(load(squares, *at), count, eps))

        def normal(row: Expr, *at: Expr) -> Expr:
            place = (row, at[-1] // each)
            centred = load(x, row, *at) - load(sums, *place) / _float(count)
            return centred * load(inverse, *place) * load(w, at[-1]) + load(shift, at[-1])

        b.map(out, normal, label=self.name)


class L2Norm(Operator):
    """The square root of the sum of squares over all axes but the first: x f32 [b, ..] -> [b]."""

    name = "l2_norm"
    operands = ("x",)

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        self.require(x.dtype == F32 and x.storage is None, "takes f32", x)
        self.require(len(x.shape) > 1, "takes two axes or more", x)
        return (tensor(F32, x.shape[0]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        return (np.sqrt(np.sum(x * x, tuple(range(1, x.ndim)))),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,), (out,) = inputs, outputs
        assert isinstance(x, Buffer)
        squares = b.local("squares", out.shape, F32)
        b.reduce(squares, x.shape[1:], lambda *at: load(x, *at) * load(x, *at))
        b.map(out, lambda i: Call("sqrt", (load(squares, i),), F32), label=self.name)


def _checked(op: Operator, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
    x, w, b = inputs
    op.number(attrs, "eps")
    op.require(all(t.dtype == F32 and t.storage is None for t in inputs), "takes f32", x, w, b)
    fits = len(x.shape) > 0 and len(w.shape) == 1 and same(x.shape[-1], w.shape[0]) and w is b
    op.require(fits, "takes x [.., K], w [K] and b [K]", x, w, b)
    return (x,)


def _normal(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centred = x - np.mean(x, axes, keepdims=True)
    variance = np.mean(centred * centred, axes, keepdims=True)
    result: Array = centred * (x.dtype.type(1) / np.sqrt(variance + x.dtype.type(eps)))
    return result


def _inverse(squares: Expr, count: Expr, eps: float) -> Expr:
    return Call("rsqrt", (squares / _float(count) + const(eps, F32),), F32)


def _float(count: Expr) -> Expr:
    return const(int(count.value), F32) if isinstance(count, Const) else cast(count, F32)


OPERATORS: tuple[Operator, ...] = (LayerNorm(), GroupNorm(), L2Norm())
