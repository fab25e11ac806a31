"""Rotary position embedding in the half-split convention: the pairs are (d, d + Dh / 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.dtypes import F32, I32
from passes.ir.expr import Call, Expr, Lt, Mul, Select, cast, const, index
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
from passes.ops.shapes import same, same_shape, tensor


class RopeTables(Operator):
    """cos and sin f32 [b * n, Dh / 2] of the angles of `n` new positions after `past` i32 [b].

    Row s * n + i is position past[s] + i; its angle d is position * frequencies[d].
    """

    name = "rope_tables"
    operands = ("past", "frequencies")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"n": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        past, frequencies = inputs
        n = self._count(attrs)
        self.require(past.dtype == I32 and len(past.shape) == 1, "takes past i32 [b]", past)
        plain = frequencies.dtype == F32 and frequencies.storage is None
        self.require(
            plain and len(frequencies.shape) == 1, "takes frequencies f32 [Dh / 2]", frequencies
        )
        table = tensor(F32, past.shape[0] * n, frequencies.shape[0])
        return (table, table)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        past, frequencies = np.asarray(inputs[0]), np.asarray(inputs[1])
        positions = (past[:, None] + np.arange(attrs["n"], dtype=np.int32)).astype(np.float32)
        angles = positions.reshape(-1, 1) * frequencies
        return np.cos(angles), np.sin(angles)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        past, frequencies = inputs
        assert isinstance(past, Buffer) and isinstance(frequencies, Buffer)
        n = self._count(dict(call.attrs))

        def angle(r: Expr, d: Expr) -> Expr:
            position = load(past, r // n) + cast(r % n, I32)
            return cast(position, F32) * load(frequencies, d)

        for function, out in zip(("cos", "sin"), outputs, strict=True):
            b.map(out, lambda r, d, f=function: Call(f, (angle(r, d),), F32), label=function)

    def _count(self, attrs: AttrMap) -> Expr:
        n = attrs["n"]
        if type(n) is not int and not isinstance(n, Expr):
            raise self.error("attribute 'n' must be an index expression")
        return n if isinstance(n, Expr) else index(n)


class Rope(Operator):
    """x [rows, H, Dh] rotated by the angles of its row: cos, sin [rows, Dh / 2].

    y[d] = x[d] * cos[d] - x[d + Dh/2] * sin[d];  y[d + Dh/2] = x[d + Dh/2] * cos[d] + x[d] * sin[d]
    """

    name = "rope"
    operands = ("x", "cos", "sin")

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, cos, sin = inputs
        self.require(x.dtype == F32 and len(x.shape) == 3, "takes x f32 [rows, H, Dh]", x)
        fits = len(cos.shape) == 2 and same(cos.shape[0], x.shape[0])
        fits = fits and same(cos.shape[1] * 2, x.shape[2]) and cos.dtype == sin.dtype == F32
        self.require(
            fits and same_shape(cos.shape, sin.shape), "takes cos and sin f32 [rows, Dh / 2]",
            x, cos, sin,
        )  # fmt: skip
        return (x,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        cos, sin = (np.asarray(table)[:, None, :] for table in inputs[1:])
        first, second = np.split(x, 2, axis=2)
        return (np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=2),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        x, cos, sin = inputs
        assert isinstance(x, Buffer) and isinstance(cos, Buffer) and isinstance(sin, Buffer)
        size = x.shape[2]
        half = cos.shape[1]

        # One expression for both halves, so that the block inlines into what reads it.
        def value(r: Expr, h: Expr, d: Expr) -> Expr:
            partner = load(x, r, h, (d + half) % size)
            turned = Select(Lt(d, half), Mul(const(-1, F32), partner), partner)
            return load(x, r, h, d) * load(cos, r, d % half) + turned * load(sin, r, d % half)

        b.map(outputs[0], value, label=self.name)


OPERATORS: tuple[Operator, ...] = (RopeTables(), Rope())
