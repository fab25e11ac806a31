"""Checks that a graph function is well formed."""

from __future__ import annotations

from passes.ir.arith import dims_of
from passes.ir.dtypes import BOOL
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
from passes.ir.graph.operator import Operators, apply
from passes.ir.graph.text import type_text, value_names
from passes.ir.node import IRError, Node, postorder


def values_of(function: GraphFunction) -> list[Value]:
    """All values that the results and updates need, operands before users, each once."""
    roots = [value for _, value in (*function.results, *function.updates)]
    return [node for node in postorder(*roots) if isinstance(node, Value)]


def verify(function: GraphFunction, operators: Operators) -> None:
    """Raises IRError at the first broken rule, naming the function and the value.

    Rules: names are unique; inputs are parameters and dims are declared; a state has one type and
    one successor of that type; an operator's types are what it deduces; a loop function's params
    fit its inputs and results.
    """
    _names(function)
    values = values_of(function)
    names = value_names(function)
    for value in values:
        try:
            _value(function, value, operators)
        except IRError as error:
            shown = names.get(value) or getattr(value, "name", "a value")
            raise IRError(f"graph '{function.name}', {shown}: {error}") from None
    _ends(function, values)


def _names(function: GraphFunction) -> None:
    groups = {
        "dim": [dim.name for dim in function.dims],
        "parameter": [param.name for param in function.params],
        "result": [name for name, _ in function.results],
        "update": [name for name, _ in function.updates],
    }
    for kind, names in groups.items():
        for number, name in enumerate(names):
            if name in names[:number]:
                raise IRError(f"graph '{function.name}' has two {kind}s called '{name}'")
    taken = set(groups["dim"]) & set(groups["parameter"])
    if taken:
        raise IRError(f"graph '{function.name}': '{min(taken)}' is a dim and a parameter")
    for node in (*function.params, *function.assumptions):
        _declared(function, node, f"graph '{function.name}': ")
    for assumption in function.assumptions:
        if assumption.dtype != BOOL:
            raise IRError(f"graph '{function.name}' assumes a value of type {assumption.dtype}")


def _declared(function: GraphFunction, node: Node, prefix: str = "") -> None:
    unknown = dims_of(node) - set(function.dims)
    if unknown:
        dim = min(unknown, key=lambda dim: dim.name)
        raise IRError(
            f"{prefix}dim {dim.name}: dim[{dim.lo}, {dim.hi}] is not declared by the function"
        )


def _value(function: GraphFunction, value: Value, operators: Operators) -> None:
    own = value.types if isinstance(value, Operation) else (value.type,)
    for type_ in own:
        _declared(function, type_)
    match value:
        case Input():
            if value not in function.params:
                raise IRError("is not a parameter of the function")
        case Apply():
            if value.op not in operators:
                raise IRError(f"unknown operator '{value.op}'")
            again = apply(operators[value.op], value.inputs, dict(value.attrs))
            if again.types != value.types:
                made, deduced = _shown(value.types), _shown(again.types)
                raise IRError(f"has type {made}, but {value.op} gives {deduced}")
            if again is not value:
                raise IRError(f"attributes of {value.op} must be complete and sorted by name")
        case CallLoops():
            _call(value)
        case Result() | Weight() | State():
            pass
        case _:
            raise IRError(f"unknown kind of value {type(value).__name__}")


def _shown(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(type_text, types))


def _call(call: CallLoops) -> None:
    donated = dict(call.donates)
    wanted: list[tuple[str, tuple[object, ...]]] = []
    for number, value in enumerate(call.inputs):
        fields = value.type.storage.fields if value.type.storage else (value.type,)
        wanted += [(f"input {number}", (field.shape, field.dtype)) for field in fields]
    for number, type_ in enumerate(call.types):
        if number not in donated:
            wanted.append((f"result {number}", (type_.shape, type_.dtype)))
        elif call.inputs[donated[number]].type != type_:
            raise IRError(f"result {number} takes the memory of a value of another type")
    params = call.function.params
    if len(params) != len(wanted):
        raise IRError(
            f"'{call.function.name}' has {len(params)} params, the call needs {len(wanted)}"
        )
    for param, (what, type_of) in zip(params, wanted, strict=True):
        if (param.shape, param.dtype) != type_of:
            raise IRError(
                f"'{call.function.name}': param {param.name}{param.ordinal} does not have the "
                f"shape and element type of {what}"
            )


def _ends(function: GraphFunction, values: list[Value]) -> None:
    states: dict[str, TensorType] = {}
    for value in values:
        if isinstance(value, State) and states.setdefault(value.name, value.type) != value.type:
            raise IRError(f"graph '{function.name}' reads state '{value.name}' with two types")
    for name, value in (*function.results, *function.updates):
        if isinstance(value, Operation) and len(value.types) != 1:
            raise IRError(f"graph '{function.name}': '{name}' is a call with several results")
    for name, value in function.updates:
        if states.get(name, value.type) != value.type:
            raise IRError(
                f"graph '{function.name}' updates state '{name}', {type_text(states[name])}, "
                f"with {type_text(value.type)}"
            )
