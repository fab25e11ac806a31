"""Graph IR: a function is a hash-consed DAG of pure operations on typed tensors.

    function ::= GraphFunction(name, dims, params, results, attrs)
    v        ::= Input(name, type) | Weight(name, type) | State(name, type)
               | Apply(op, inputs, attrs, types) | CallLoops(function, inputs, types, donates)
               | Result(call, index)

Every value has one tensor type; operations with one result are used directly, those with several
through `Result`. Sharing is identity, so equal computations are one node. State is functional: a
function reads `State` values and gives their successors among its results (`updates`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import Dim, Expr
from passes.ir.loop.nodes import Function
from passes.ir.node import IRError, Node
from passes.ir.storage import Storage

Attr: TypeAlias = "int | float | str | bool | Expr | DType | tuple[Attr, ...]"
Attrs: TypeAlias = "tuple[tuple[str, Attr], ...]"


class TensorType(Node):
    """`f32[n, 576]`: a logical shape of symbolic extents, an element type, a storage if packed.

    A tensor with a `storage` has logical element type f32.
    """

    shape: tuple[Expr, ...]
    dtype: DType
    storage: Storage | None = None

    def check(self) -> None:
        if any(extent.dtype != INDEX for extent in self.shape):
            raise IRError("a tensor's extents are index expressions")


class Value(Node):
    """A tensor-valued node."""

    if TYPE_CHECKING:

        @property
        def type(self) -> TensorType: ...


class Input(Value):
    """An argument of the function."""

    name: str
    type: TensorType


class Weight(Value):
    """A tensor known at build time, found by name in the module's weights."""

    name: str
    type: TensorType


class State(Value):
    """A tensor that outlives a call, such as a cache: its content before the call."""

    name: str
    type: TensorType


class Operation(Value):
    """A call with one or more results."""

    if TYPE_CHECKING:

        @property
        def inputs(self) -> tuple[Value, ...]: ...
        @property
        def types(self) -> tuple[TensorType, ...]: ...

    @property
    def type(self) -> TensorType:
        if len(self.types) != 1:
            raise IRError(f"{type(self).__name__} has {len(self.types)} results; use Result")
        return self.types[0]


class Apply(Operation):
    """An operator of `passes.ops` applied to tensors; `types` are deduced by the operator."""

    op: str
    inputs: tuple[Value, ...]
    attrs: Attrs
    types: tuple[TensorType, ...]

    def attr(self, name: str) -> Attr:
        """The attribute's value. Raises KeyError."""
        return dict(self.attrs)[name]


class CallLoops(Operation):
    """A loop function applied to tensors: its params are the inputs' buffers, then the results'.

    An input with a storage stands for one param per field. `donates` pairs (result, input):
    the result is written into the input's memory, and its param is absent.
    """

    function: Function
    inputs: tuple[Value, ...]
    types: tuple[TensorType, ...]
    donates: tuple[tuple[int, int], ...] = ()


class Result(Value):
    """One result of an operation with several."""

    call: Operation
    number: int

    @property
    def type(self) -> TensorType:
        return self.call.types[self.number]

    def check(self) -> None:
        if not 0 <= self.number < len(self.call.types):
            raise IRError(f"result {self.number} of {len(self.call.types)}")


class GraphFunction(Node):
    """An entry point. `updates` pairs each state's name with its content after the call.

    `assumptions` are index comparisons its caller guarantees (checked at run time on entry).
    """

    name: str
    dims: tuple[Dim, ...]
    params: tuple[Input, ...]
    results: tuple[tuple[str, Value], ...]
    updates: tuple[tuple[str, Value], ...] = ()
    assumptions: tuple[Expr, ...] = ()
