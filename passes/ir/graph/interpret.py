"""The meaning of a graph function, in numpy: plain, and what every pass is checked against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from passes.ir.evaluate import evaluate, integer
from passes.ir.expr import Dim, Expr, Var
from passes.ir.graph.nodes import (
    Apply,
    CallLoops,
    GraphFunction,
    Input,
    Operation,
    Result,
    State,
    TensorType,
    Value,
    Weight,
)
from passes.ir.graph.operator import Operators
from passes.ir.graph.text import assumption_text, type_text
from passes.ir.graph.verify import values_of
from passes.ir.loop.interpret import interpret as interpret_loops
from passes.ir.node import IRError
from passes.ir.quantised import Array, Operand, QuantisedArray

Arrays: TypeAlias = "Mapping[str, Array]"
WeightSource: TypeAlias = "Callable[[Weight], Operand]"
Sizes: TypeAlias = "Mapping[Dim | Var, int]"


def interpret(
    function: GraphFunction,
    inputs: Arrays,
    *,
    dims: Mapping[str, int],
    operators: Operators,
    weights: WeightSource,
    state: Arrays | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Results by name, and the new content of every state the function updates.

    A state that `state` leaves out begins as zeros; nothing given is changed. Raises IRError if
    an input, dim or state is missing or does not fit, or an assumption does not hold.
    """
    sizes = bind_dims(function, dims)
    run = _Run(function, inputs, sizes, operators, weights, state or {})
    values = run.all()
    results = {name: np.asarray(values[value]) for name, value in function.results}
    updates = {name: np.asarray(values[value]) for name, value in function.updates}
    return results, updates


def bind_dims(function: GraphFunction, dims: Mapping[str, int]) -> dict[Dim | Var, int]:
    """The dims' values by node. Raises IRError if one is missing or out of bounds, or an
    assumption does not hold."""
    sizes: dict[Dim | Var, int] = {}
    for dim in function.dims:
        if dim.name not in dims:
            raise IRError(f"graph '{function.name}' needs a value of dim '{dim.name}'")
        if not dim.lo <= dims[dim.name] <= dim.hi:
            raise IRError(
                f"graph '{function.name}': {dim.name} = {dims[dim.name]} is outside "
                f"{dim.lo}..{dim.hi}"
            )
        sizes[dim] = dims[dim.name]
    for assumption in function.assumptions:
        if not evaluate(assumption, sizes):
            given = ", ".join(f"{dim.name} = {sizes[dim]}" for dim in function.dims)
            raise IRError(
                f"graph '{function.name}' assumes {assumption_text(assumption)}; given {given}"
            )
    return sizes


class _Run:
    def __init__(
        self,
        function: GraphFunction,
        inputs: Arrays,
        sizes: Sizes,
        operators: Operators,
        weights: WeightSource,
        state: Arrays,
    ) -> None:
        self.function, self.inputs, self.sizes = function, inputs, sizes
        self.operators, self.weights, self.state = operators, weights, state
        self.values: dict[Value, Operand] = {}
        self.results: dict[Operation, tuple[Array, ...]] = {}

    def all(self) -> dict[Value, Operand]:
        order = values_of(self.function)
        last = self._last_uses(order)
        for number, value in enumerate(order):
            if isinstance(value, Operation):
                self.results[value] = self._call(value)
                if len(value.types) == 1:
                    self.values[value] = self.results[value][0]
            else:
                self.values[value] = self._leaf(value)
            for dead in last[number]:
                self.values.pop(dead, None)
                if isinstance(dead, Operation):
                    self.results.pop(dead, None)
        return self.values

    def _last_uses(self, order: list[Value]) -> list[list[Value]]:
        """The values nobody needs any more after each step."""
        kept = {value for _, value in (*self.function.results, *self.function.updates)}
        when: dict[Value, int] = {}
        for number, value in enumerate(order):
            for child in value.children:
                if isinstance(child, Value):
                    when[child] = number
        dead: list[list[Value]] = [[] for _ in order]
        for value, number in when.items():
            if value not in kept:
                dead[number].append(value)
        return dead

    def _leaf(self, value: Value) -> Operand:
        match value:
            case Input():
                if value.name not in self.inputs:
                    raise self._error(f"input '{value.name}' is missing")
                return self._fitting(f"input '{value.name}'", self.inputs[value.name], value.type)
            case State():
                found = self.state.get(value.name)
                if found is None:
                    return np.zeros(self._shape(value.type), value.type.dtype.numpy)
                return self._fitting(f"state '{value.name}'", found, value.type)
            case Weight():
                weight = self.weights(value)
                wanted = self._shape(value.type)
                if weight.shape != wanted:
                    raise self._error(
                        f"weight '{value.name}' is {list(weight.shape)}, not {list(wanted)}"
                    )
                return weight
            case Result():
                return self.results[value.call][value.number]
        raise self._error(f"unknown kind of value {type(value).__name__}")

    def _call(self, call: Operation) -> tuple[Array, ...]:
        inputs = [self.values[value] for value in call.inputs]
        shapes = [self._shape(type_) for type_ in call.types]
        if isinstance(call, Apply):
            attrs = {name: self._number(attr) for name, attr in call.attrs}
            results = self.operators[call.op].numpy(inputs, attrs, shapes)
            name = call.op
        else:
            assert isinstance(call, CallLoops)
            results = self._loops(call, inputs, shapes)
            name = call.function.name
        for result, type_, shape in zip(results, call.types, shapes, strict=True):
            if result.shape != shape or result.dtype != type_.dtype.numpy:
                raise self._error(
                    f"{name} gives {result.dtype} {list(result.shape)}, its type is "
                    f"{type_text(type_)}: {list(shape)}"
                )
        return results

    def _loops(
        self, call: CallLoops, inputs: list[Operand], shapes: list[tuple[int, ...]]
    ) -> tuple[Array, ...]:
        donated = dict(call.donates)
        inputs = list(inputs)
        for number in donated.values():
            inputs[number] = np.array(inputs[number])
        params: list[Array] = []
        for value in inputs:
            params += value.fields if isinstance(value, QuantisedArray) else [value]
        results: list[Array] = []
        for number, (type_, shape) in enumerate(zip(call.types, shapes, strict=True)):
            if number in donated:
                results.append(np.asarray(inputs[donated[number]]))
            else:
                results.append(np.zeros(shape, type_.dtype.numpy))
                params.append(results[-1])
        dims = {dim.name: self.sizes[dim] for dim in call.function.dims}
        interpret_loops(call.function, dims, params)
        return tuple(results)

    def _number(self, attr: Any) -> Any:
        """An attribute with its expressions replaced by numbers."""
        if isinstance(attr, Expr):
            return evaluate(attr, self.sizes)
        if isinstance(attr, tuple):
            return tuple([self._number(item) for item in attr])
        return attr

    def _shape(self, type_: TensorType) -> tuple[int, ...]:
        return tuple([integer(extent, self.sizes) for extent in type_.shape])

    def _fitting(self, what: str, given: Array, type_: TensorType) -> Array:
        wanted = self._shape(type_)
        if given.shape != wanted or given.dtype != type_.dtype.numpy:
            raise self._error(
                f"{what} is {given.dtype} {list(given.shape)}, not {type_text(type_)}: "
                f"{list(wanted)}"
            )
        return given

    def _error(self, text: str) -> IRError:
        return IRError(f"graph '{self.function.name}': {text}")
