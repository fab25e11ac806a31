"""Operators that move elements without changing them, or make them from their positions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from passes.ir.arith import prove
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import Expr, cast, const, index, product
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
from passes.ops.nests import nested_block
from passes.ops.shapes import (
    broadcast,
    coordinates,
    projected,
    row_major,
    same,
    same_shape,
    tensor,
)


class _Layout(Operator):
    """Base: every element of the result is an element of the operand."""

    operands = ("x",)

    @abstractmethod
    def source(self, indices: Sequence[Expr], x: Buffer, call: Apply) -> Sequence[Expr]:
        """Coordinates in the result -> coordinates in the operand."""

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,) = inputs
        assert isinstance(x, Buffer)
        b.map(outputs[0], lambda *at: load(x, *self.source(at, x, call)), label=self.name)


class Reshape(_Layout):
    """The same elements in row-major order under another shape."""

    name = "reshape"
    attributes: ClassVar[Mapping[str, Attr | None]] = {"shape": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        made = tensor(inputs[0].dtype, *self.shape(attrs))
        fits = same(product(inputs[0].shape), product(made.shape))
        self.require(fits, "takes a shape of as many elements", inputs[0], made)
        self.require(inputs[0].storage is None, "takes a plain tensor", inputs[0])
        return (made,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.asarray(inputs[0]).reshape(shapes[0]),)

    def source(self, indices: Sequence[Expr], x: Buffer, call: Apply) -> Sequence[Expr]:
        # Leading and trailing extents that stay keep their own index: only what lies between
        # them goes through a position, so that splitting one axis stays easy to see through.
        before, after = x.shape, call.type.shape
        head = 0
        while head < min(len(before), len(after)) and same(before[head], after[head]):
            head += 1
        tail = 0
        while tail < min(len(before), len(after)) - head and same(
            before[-1 - tail], after[-1 - tail]
        ):
            tail += 1
        inner = slice(head, len(after) - tail)
        position = row_major(indices[inner], after[inner])
        middle = coordinates(position, before[head : len(before) - tail])
        return (*indices[:head], *middle, *indices[len(after) - tail :])


class Transpose(_Layout):
    """Axis i of the result is axis `axes[i]` of the operand."""

    name = "transpose"
    attributes: ClassVar[Mapping[str, Attr | None]] = {"axes": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        axes = attrs["axes"]
        rank = len(inputs[0].shape)
        order = [a for a in axes if type(a) is int] if isinstance(axes, tuple) else []
        if axes != tuple(order) or sorted(order) != list(range(rank)):
            raise self.error(f"attribute 'axes' must permute 0 to {rank - 1}, not {axes!r}")
        self.require(inputs[0].storage is None, "takes a plain tensor", inputs[0])
        return (tensor(inputs[0].dtype, *[inputs[0].shape[a] for a in order]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.asarray(inputs[0]).transpose(attrs["axes"]),)

    def source(self, indices: Sequence[Expr], x: Buffer, call: Apply) -> Sequence[Expr]:
        axes = call.attr("axes")
        assert isinstance(axes, tuple)
        return [indices[axes.index(axis)] for axis in range(len(axes))]


class Slice(_Layout):
    """The box of extents `shape` that begins at `begin`; surely inside the operand."""

    name = "slice"
    attributes: ClassVar[Mapping[str, Attr | None]] = {"begin": None, "shape": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        begin, shape = self.shape(attrs, "begin"), self.shape(attrs)
        (x,) = inputs
        self.require(
            len(begin) == len(shape) == len(x.shape), "takes a begin and an extent an axis", x
        )
        self.require(x.storage is None, "takes a plain tensor", x)
        inside = all(
            prove(b >= 0) and prove(e >= 0) and prove(b + e <= have)
            for b, e, have in zip(begin, shape, x.shape, strict=True)
        )
        self.require(inside, "takes a box that surely lies inside the operand", x)
        return (tensor(x.dtype, *shape),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        box = [slice(b, b + e) for b, e in zip(attrs["begin"], shapes[0], strict=True)]
        return (np.asarray(inputs[0])[tuple(box)],)

    def source(self, indices: Sequence[Expr], x: Buffer, call: Apply) -> Sequence[Expr]:
        begin = self.shape(dict(call.attrs), "begin")
        return [b + i for b, i in zip(begin, indices, strict=True)]


class BroadcastTo(_Layout):
    """The operand repeated to a shape, by numpy's rule."""

    name = "broadcast_to"
    attributes: ClassVar[Mapping[str, Attr | None]] = {"shape": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        made = tensor(inputs[0].dtype, *self.shape(attrs))
        whole = broadcast(inputs[0].shape, made.shape)
        fits = whole is not None and same_shape(whole, made.shape)
        self.require(fits, "takes a shape the operand repeats to", inputs[0], made)
        return (made,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.broadcast_to(np.asarray(inputs[0]), shapes[0]),)

    def source(self, indices: Sequence[Expr], x: Buffer, call: Apply) -> Sequence[Expr]:
        return projected(indices, x.shape)


class Concat(Operator):
    """The operands one after the other along `axis`."""

    name = "concat"
    operands = ("x*",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {"axis": 0}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        axis, first = self.integer(attrs, "axis"), inputs[0]
        self.require(0 <= axis < len(first.shape), f"has no axis {axis}", first)
        total: Expr = index(0)
        for x in inputs:
            rest = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in (first, x)]
            alike = same_shape(*rest) and x.dtype == first.dtype and x.storage is None
            self.require(alike, f"takes tensors that differ along axis {axis} only", first, x)
            total = total + x.shape[axis]
        return (tensor(first.dtype, *first.shape[:axis], total, *first.shape[axis + 1 :]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.concatenate([np.asarray(x) for x in inputs], attrs["axis"]),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        axis = self.integer(dict(call.attrs), "axis")
        begin: Expr = index(0)
        for x in inputs:
            assert isinstance(x, Buffer)
            with nested_block(b, self.name, [("i", extent) for extent in x.shape]) as at:
                place = [*at[:axis], begin + at[axis], *at[axis + 1 :]]
                b.store(outputs[0], place, load(x, *at))
            begin = begin + x.shape[axis]


class Full(Operator):
    """A tensor of one value, a number or an expression over dims: `full(value=m, dtype=i32, …)`."""

    name = "full"
    operands = ()
    attributes: ClassVar[Mapping[str, Attr | None]] = {"value": None, "dtype": None, "shape": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        dtype = attrs["dtype"]
        valued = type(attrs["value"]) in (bool, int, float) or isinstance(attrs["value"], Expr)
        self.require(valued, "attribute 'value' must be a number or an expression")
        if not isinstance(dtype, DType) or dtype.lanes != 1:
            raise self.error(f"attribute 'dtype' must be an element type, not {dtype!r}")
        return (tensor(dtype, *self.shape(attrs)),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.full(shapes[0], attrs["value"], attrs["dtype"].numpy),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        value, dtype = call.attr("value"), outputs[0].dtype
        assert isinstance(value, bool | int | float | Expr)
        whole = cast(value, dtype) if isinstance(value, Expr) else const(value, dtype)
        b.map(outputs[0], lambda *at: whole, label=self.name)


class Iota(Operator):
    """The position along `axis` of each element, as integers."""

    name = "iota"
    operands = ()
    attributes: ClassVar[Mapping[str, Attr | None]] = {"axis": 0, "dtype": None, "shape": None}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        shape, axis, dtype = self.shape(attrs), self.integer(attrs, "axis"), attrs["dtype"]
        self.require(0 <= axis < len(shape), f"the shape has no axis {axis}")
        if not isinstance(dtype, DType) or not dtype.is_int or dtype == INDEX:
            raise self.error(f"attribute 'dtype' must be a fixed-width integer, not {dtype!r}")
        return (tensor(dtype, *shape),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        axis = attrs["axis"]
        line = np.arange(shapes[0][axis], dtype=attrs["dtype"].numpy)
        spread = line.reshape([-1 if i == axis else 1 for i in range(len(shapes[0]))])
        return (np.broadcast_to(spread, shapes[0]),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        axis = self.integer(dict(call.attrs), "axis")
        b.map(outputs[0], lambda *at: cast(at[axis], outputs[0].dtype), label=self.name)


OPERATORS: tuple[Operator, ...] = (
    Reshape(), Transpose(), Slice(), BroadcastTo(), Concat(), Full(), Iota(),
)  # fmt: skip
