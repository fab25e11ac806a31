"""Reductions along one axis, and the normalisations built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.dtypes import F32, I32
from passes.ir.expr import And, Call, Const, Eq, Expr, Lt, Or, Select, cast, const
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
from passes.ir.loop.builder import Combine, LoopBuilder, Tuple, identity, load
from passes.ir.loop.nodes import Buffer
from passes.ir.quantised import Array
from passes.ops.shapes import same, tensor

_LAST = (1 << 31) - 1  # a position that every other one comes before


class Reduce(Operator):
    """Elements combined along `axis`, which stays with extent 1 where `keep`."""

    operands = ("x",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {"axis": None, "keep": False}

    def __init__(self, name: str, combine: Combine) -> None:
        self.name = name  # type: ignore[misc]
        self._combine = combine

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        axis = self.integer(attrs, "axis")
        self.require(0 <= axis < len(x.shape), f"the operand has no axis {axis}", x)
        self.require(x.storage is None and x.dtype.bits > 1, "takes plain numbers", x)
        kept = (1,) if attrs["keep"] else ()
        return (tensor(x.dtype, *x.shape[:axis], *kept, *x.shape[axis + 1 :]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        if self._combine == "add":
            return (np.sum(x, attrs["axis"], x.dtype, keepdims=attrs["keep"]),)
        return (np.max(x, attrs["axis"], keepdims=attrs["keep"]),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,) = inputs
        assert isinstance(x, Buffer)
        axis, keep = self.integer(dict(call.attrs), "axis"), bool(call.attr("keep"))

        def value(*at: Expr) -> Expr:
            place, k = at[:-1], at[-1]
            return load(x, *place[:axis], k, *place[axis + keep :])

        b.reduce(outputs[0], (x.shape[axis],), value, self._combine, label=self.name)


class ArgMax(Operator):
    """The position, i32, of the largest element along `axis`; of several the first."""

    name = "argmax"
    operands = ("x",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {"axis": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        axis = self.integer(attrs, "axis")
        self.require(0 <= axis < len(x.shape), f"the operand has no axis {axis}", x)
        self.require(x.storage is None and x.dtype.is_float, "takes plain floats", x)
        return (tensor(I32, *x.shape[:axis], *x.shape[axis + 1 :]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.asarray(np.argmax(np.asarray(inputs[0]), attrs["axis"]), np.int32),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,), (out,) = inputs, outputs
        assert isinstance(x, Buffer)
        axis = self.integer(dict(call.attrs), "axis")
        largest = b.local("largest", out.shape, x.dtype)

        def better(a: Tuple, other: Tuple) -> tuple[Expr, Expr]:
            # Where both are as large the first one counts, in whatever order they are met.
            first = Or(Lt(other[0], a[0]), And(Eq(a[0], other[0]), Lt(a[1], other[1])))
            return Select(first, a[0], other[0]), Select(first, a[1], other[1])

        last = const(_LAST, I32)
        combiner = b.combiner("largest", [identity("max", x.dtype), last], better)

        def value(*at: Expr) -> tuple[Expr, Expr]:
            place, k = at[:-1], at[-1]
            return load(x, *place[:axis], k, *place[axis:]), cast(k, I32)

        b.reduce_tuple([largest, out], (x.shape[axis],), value, combiner, label=self.name)


class Softmax(Operator):
    """exp(x - max) over its sum, along the last axis."""

    name = "softmax"
    operands = ("x",)

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        self.require(x.dtype == F32 and x.storage is None, "takes f32", x)
        self.require(len(x.shape) > 0, "takes a tensor of one axis or more", x)
        return (x,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return (e / e.sum(axis=-1, keepdims=True),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,), (out,) = inputs, outputs
        assert isinstance(x, Buffer)
        rows = x.shape[:-1]
        largest = b.local("largest", rows, F32)
        power = b.local("power", x.shape, F32)
        total = b.local("total", rows, F32)
        inverse = b.local("inverse", rows, F32)

        def exponential(*at: Expr) -> Expr:
            return Call("exp", (load(x, *at) - load(largest, *at[:-1]),), F32)

        b.reduce(largest, (x.shape[-1],), lambda *at: load(x, *at), "max")
        b.map(power, exponential)
        b.reduce(total, (x.shape[-1],), lambda *at: load(power, *at))
        b.map(inverse, lambda *at: 1.0 / load(total, *at))
        b.map(out, lambda *at: load(power, *at) * load(inverse, *at[:-1]), label=self.name)


class RmsNorm(Operator):
    """x / sqrt(mean(x * x) + eps) * w, the mean along the last axis: x [.., K], w [K]."""

    name = "rms_norm"
    operands = ("x", "w")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"eps": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, w = inputs
        self.number(attrs, "eps")
        self.require(x.dtype == F32 and w.dtype == F32, "takes f32", x, w)
        self.require(x.storage is None and w.storage is None, "takes plain tensors", x, w)
        fits = len(x.shape) > 0 and len(w.shape) == 1 and same(x.shape[-1], w.shape[0])
        self.require(fits, "takes x [.., K] and w [K]", x, w)
        return (x,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w = np.asarray(inputs[0]), np.asarray(inputs[1])
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return (x * (np.float32(1) / np.sqrt(mean + np.float32(attrs["eps"]))) * w,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer)
        width = x.shape[-1]
        squares = b.local("squares", x.shape[:-1], F32)
        inverse = b.local("inverse", x.shape[:-1], F32)
        eps = const(self.number(dict(call.attrs), "eps"), F32)
        count = const(int(width.value), F32) if isinstance(width, Const) else cast(width, F32)

        b.reduce(squares, (width,), lambda *at: load(x, *at) * load(x, *at))
        b.map(inverse, lambda *at: Call("rsqrt", (load(squares, *at) / count + eps,), F32))
        b.map(
            out,
            lambda *at: load(x, *at) * load(inverse, *at[:-1]) * load(w, at[-1]),
            label=self.name,
        )


OPERATORS: tuple[Operator, ...] = (
    Reduce("reduce_sum", "add"),
    Reduce("reduce_max", "max"),
    ArgMax(),
    Softmax(),
    RmsNorm(),
)
