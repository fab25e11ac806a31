"""Operators that work element by element, operands broadcast as numpy does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from passes.ir.dtypes import BOOL, DType
from passes.ir.expr import (
    Add,
    Call,
    Compare,
    Div,
    Eq,
    Expr,
    Le,
    Lt,
    Max,
    Min,
    Mul,
    Sub,
    cast,
    const,
)
from passes.ir.expr import Select as SelectExpr
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
from passes.ir.loop.builder import LoopBuilder
from passes.ir.quantised import Array, element
from passes.ops.shapes import Shape, broadcast, projected


class Elementwise(Operator):
    """Base: `scalar` is the meaning of one element, `array` that of all."""

    @abstractmethod
    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        """One element of the result from one element of each operand."""

    @abstractmethod
    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        """The whole result from the whole operands, broadcast by numpy."""

    @abstractmethod
    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        """The result's element type."""

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        self.require(all(t.storage is None for t in inputs), "takes plain tensors", *inputs)
        whole: Shape = inputs[0].shape
        for other in inputs[1:]:
            shape = broadcast(whole, other.shape)
            self.require(shape is not None, "takes shapes that broadcast together", *inputs)
            whole = shape or ()
        return (TensorType(whole, self.result(inputs, attrs)),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        return (np.asarray(self.array([np.asarray(x) for x in inputs], attrs)),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (out,) = outputs

        def value(*indices: Expr) -> Expr:
            values = [element(x)(*projected(indices, x.shape)) for x in inputs]
            return self.scalar(values, dict(call.attrs))

        b.map(out, value, label=self.name)


class Binary(Elementwise):
    """Two operands of one type."""

    operands = ("a", "b")

    def __init__(
        self,
        name: str,
        kind: type[Add] | type[Sub] | type[Mul] | type[Div] | type[Max] | type[Min],
        meaning: Callable[[Any, Any], Any],
        floats: bool = False,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._kind, self._meaning, self._floats = kind, meaning, floats

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        a, b = inputs
        self.require(a.dtype == b.dtype, "takes two tensors of one element type", a, b)
        self.require(a.dtype.is_float or not self._floats, "takes floats", a)
        self.require(a.dtype != BOOL, "takes numbers", a)
        return a.dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        return self._kind(*values)

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        result: Array = self._meaning(*values)
        return result


class Unary(Elementwise):
    """A function of one float."""

    operands = ("x",)

    def __init__(self, name: str, meaning: Callable[[Array], Any]) -> None:
        self.name = name  # type: ignore[misc]
        self._meaning = meaning

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        self.require(inputs[0].dtype.is_float, "takes floats", inputs[0])
        return inputs[0].dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        return Call(self.name, (values[0],), values[0].dtype)

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        result: Array = self._meaning(values[0])
        return result


class Neg(Elementwise):
    """-x."""

    name = "neg"
    operands = ("x",)

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        self.require(inputs[0].dtype.is_signed, "takes signed numbers", inputs[0])
        return inputs[0].dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        # 0 - x would turn 0.0 into 0.0 instead of -0.0.
        return values[0] * const(-1, values[0].dtype)

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        result: Array = np.negative(values[0])
        return result


class Relu(Elementwise):
    """x where it is positive, else 0."""

    name = "relu"
    operands = ("x",)

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        self.require(inputs[0].dtype.is_signed, "takes signed numbers", inputs[0])
        return inputs[0].dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        return Max(values[0], const(0, values[0].dtype))

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        result: Array = np.maximum(values[0], values[0].dtype.type(0))
        return result


class Cast(Elementwise):
    """x as another element type; floats become integers by truncation."""

    name = "cast"
    operands = ("x",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {"dtype": None}

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        dtype = attrs["dtype"]
        if not isinstance(dtype, DType) or dtype.lanes != 1:
            raise self.error(f"attribute 'dtype' must be an element type, not {dtype!r}")
        return dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        dtype = attrs["dtype"]
        assert isinstance(dtype, DType)
        return cast(values[0], dtype)

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        result: Array = values[0].astype(attrs["dtype"].numpy)
        return result


class Comparison(Binary):
    """Two operands of one type -> bool."""

    def __init__(self, name: str, kind: type[Compare], meaning: Callable[[Any, Any], Any]) -> None:
        super().__init__(name, kind, meaning)  # type: ignore[arg-type]

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        super().result(inputs, attrs)
        return BOOL


class Select(Elementwise):
    """then where cond holds, else other."""

    name = "select"
    operands = ("cond", "then", "other")

    def result(self, inputs: Types, attrs: AttrMap) -> DType:
        cond, then, other = inputs
        self.require(cond.dtype == BOOL, "takes a bool condition", cond)
        self.require(then.dtype == other.dtype, "takes two tensors of one type", then, other)
        return then.dtype

    def scalar(self, values: Sequence[Expr], attrs: AttrMap) -> Expr:
        return SelectExpr(*values)

    def array(self, values: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
        return np.where(*values)


def _rsqrt(x: Array) -> Array:
    result: Array = x.dtype.type(1) / np.sqrt(x)
    return result


def _sigmoid(x: Array) -> Array:
    one = x.dtype.type(1)
    with np.errstate(over="ignore"):  # exp of a large -x overflows to inf, and 1 / inf is 0
        result: Array = one / (one + np.exp(-x))
    return result


OPERATORS: tuple[Operator, ...] = (
    Binary("add", Add, np.add),
    Binary("sub", Sub, np.subtract),
    Binary("mul", Mul, np.multiply),
    Binary("div", Div, np.divide, floats=True),
    Binary("max", Max, np.maximum),
    Binary("min", Min, np.minimum),
    Neg(),
    Relu(),
    Unary("exp", np.exp),
    Unary("log", np.log),
    Unary("sqrt", np.sqrt),
    Unary("rsqrt", _rsqrt),
    Unary("sin", np.sin),
    Unary("cos", np.cos),
    Unary("tanh", np.tanh),
    Unary("sigmoid", _sigmoid),
    Cast(),
    Comparison("less", Lt, np.less),
    Comparison("less_equal", Le, np.less_equal),
    Comparison("equal", Eq, np.equal),
    Select(),
)
