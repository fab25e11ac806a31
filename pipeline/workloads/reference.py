"""What a case should give, in float64, and how far from it a result is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from passes.importers.workload import graph_of, random_fields
from passes.ir.evaluate import evaluate, integer
from passes.ir.expr import Dim, Expr, Var
from passes.ir.graph.nodes import Apply, GraphFunction, Input, Result, TensorType, Value, Weight
from passes.ir.graph.verify import values_of
from passes.ir.quantised import Operand, QuantisedArray
from passes.ops import OPERATORS

Array = npt.NDArray[Any]
Sizes = Mapping[str, int]
Dims = Mapping[Dim | Var, int]
_ROUNDING = {"bf16": 2.0**-8, "f16": 2.0**-11}  # the largest relative error of rounding to it


def inputs_of(case: Mapping[str, Any], sizes: Sizes) -> dict[str, Array]:
    """The inputs that are no quantised weights, constants among them, by name."""
    fields = {name: random_fields(case, name, sizes) for name in case["inputs"]}
    return {name: arrays[0] for name, arrays in fields.items() if len(arrays) == 1}


def expected(case: Mapping[str, Any], sizes: Sizes) -> dict[str, Array]:
    """The results by name: each operator's numpy meaning, on floats widened to float64."""
    graph = graph_of(case)
    dims = _dims(graph, sizes)
    values: dict[Value, Operand] = {}
    several: dict[Value, tuple[Array, ...]] = {}
    for value in values_of(graph):
        match value:
            case Input() | Weight():
                values[value] = _wide(case, value, sizes)
            case Apply():
                attrs = {name: _number(attr, dims) for name, attr in value.attrs}
                given = [values[operand] for operand in value.inputs]
                shapes = [_shape(type_, dims) for type_ in value.types]
                several[value] = OPERATORS[value.op].numpy(given, attrs, shapes)
                values[value] = several[value][0]
            case Result():
                values[value] = several[value.call][value.number]
    return {name: np.asarray(values[value]) for name, value in graph.results}


def max_error(found: Array, wanted: Array) -> float:
    """The largest difference, in units of the largest wanted magnitude."""
    if found.shape != wanted.shape:
        return math.inf
    if not found.size:
        return 0.0
    largest = float(np.abs(wanted).max()) or 1.0
    error = float(np.abs(found.astype(np.float64) - wanted).max()) / largest
    return math.inf if math.isnan(error) else error


def tolerance(case: Mapping[str, Any], wanted: Array, given: str) -> float:
    """The largest `max_error` that rounding explains, of a result whose element type is `given` or
    that was rounded to it on the way."""
    values = list(values_of(graph_of(case)))
    floats = any(v.type.dtype.is_float for v in values if isinstance(v, Input | Weight))
    made = {type_.dtype.name for v in values if isinstance(v, Apply) for type_ in v.types}
    codes = floats and not made.isdisjoint(("i8", "u8"))
    if wanted.dtype.kind in "iub":
        # Floats a hair apart may be rounded to neighbouring codes.
        largest = int(np.abs(wanted.astype(np.int64)).max(initial=1))
        return 1.0 / largest if codes and wanted.itemsize == 1 else 0.0
    exact = 3e-2 if codes or case["compute"] == "int8" else 1e-4
    # What the case rounds, an engine rounds, and so does the reference.
    own = max(_ROUNDING.get(name, 0.0) for name in made)
    return exact + 2 * own + _ROUNDING.get(given, 0.0)


def _wide(case: Mapping[str, Any], value: Input | Weight, sizes: Sizes) -> Operand:
    fields = random_fields(case, value.name, sizes)
    if value.type.storage is not None:
        shape = _shape(value.type, {})
        return QuantisedArray(value.type.storage, (shape[0], shape[1]), fields)
    (array,) = fields
    return array.astype(np.float64) if value.type.dtype.is_float else array


def _dims(graph: GraphFunction, sizes: Sizes) -> Dims:
    return {dim: sizes[dim.name] for dim in graph.dims}


def _shape(type_: TensorType, dims: Dims) -> tuple[int, ...]:
    return tuple([integer(extent, dims) for extent in type_.shape])


def _number(attr: Any, dims: Dims) -> Any:
    if isinstance(attr, Expr):
        return evaluate(attr, dims)
    return tuple([_number(item, dims) for item in attr]) if isinstance(attr, tuple) else attr
