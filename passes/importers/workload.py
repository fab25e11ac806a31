"""A workload's case, as plain data → a module with one graph, its weights random numbers.

{"name": "rows", "dims": {"n": {"min": 1, "max": 64}}, "inputs": {"x": "f32[n, 64]", …},
 "constant": ["w"], "operator": "contract", "attributes": {"equation": "nk,kj->nj"}, …}

module.json, graphs/, weights.bin, weights.json as the import stage writes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from passes.importers.block_formats import BlockFormatError, block_format, split
from passes.importers.storages import storage_of
from passes.ir.arith import prove
from passes.ir.dtypes import F32, INDEX, DType, dtype
from passes.ir.evaluate import integer
from passes.ir.expr import Const, Dim, Var
from passes.ir.expr_text import parse_expr, print_expr
from passes.ir.graph.nodes import Apply, Attr, GraphFunction, Input, TensorType, Value, Weight
from passes.ir.graph.parse import parse_type
from passes.ir.module import Module
from passes.ir.node import IRError
from passes.ir.quantised import Array
from passes.ir.weights import WeightEntry, write_weights
from passes.ops import OPERATORS, apply, results

Progress = Callable[[float, str], None]
_QUANTISED = re.compile(r"(Q[0-9]\w*)\s*(\[.*\])")
_RANGES = {"i8": (-128, 127), "u8": (0, 255), "bool": (0, 1)}
_INTEGERS = (0, 99)  # what other integers are between, unless the case says
_FIT = "make the operator, its attributes and the inputs' types fit each other"
_TYPE = "write a type such as `f32[rows, 64]`"


class CaseError(ValueError):
    """A case that makes no graph; `at` is the key of the case whose value is to blame, or with
    `is_key` the key itself. The cure is a sentence, or names of which one was probably meant."""

    def __init__(
        self, at: str, reason: str, cure: str | Sequence[str], *, is_key: bool = False
    ) -> None:
        super().__init__(reason)
        self.at = at
        self.cure = cure
        self.is_key = is_key


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Option `case`: the case. Raises CaseError."""
    case = options["case"]
    graph = graph_of(case)
    types = {name: input_type(case, name) for name in case["constant"]}
    digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()
    meta = {
        "model": {
            "architecture": "workload",
            "name": case["name"],
            "license": None,
            "context_length": 0,
            "digest": f"sha256:{digest}",
        },
        "tokenizer": None,
    }
    write_weights(
        out, ((name, type_, random_fields(case, name, {})) for name, type_ in types.items())
    )
    weights = {name: WeightEntry(type_, (name,)) for name, type_ in types.items()}
    module = Module({graph.name: graph}, weights, meta=meta)
    module.verify(OPERATORS)
    module.save(out)


def graph_of(case: Mapping[str, Any]) -> GraphFunction:
    """The case's graph: its operator, then its epilogue; results are called out, or out0, out1 ….

    Raises CaseError.
    """
    dims = case_dims(case)
    values: dict[str, Value] = {}
    for name in case["inputs"]:
        type_ = input_type(case, name)
        values[name] = Weight(name, type_) if name in case["constant"] else Input(name, type_)
        if name in case["values"]:
            _check_values(name, type_, case["values"][name])
    later = {name for step in case["epilogue"] for name in step["with"]}
    first = case["of"] or [name for name in values if name not in later]
    call = _applied(case, "", [values[name] for name in first], dims)
    for number, step in enumerate(case["epilogue"]):
        at = f"epilogue.{number}."
        if len(call.types) > 1:
            reason = f"{call.op} has several results, so nothing follows"
            raise CaseError(f"{at}operator", reason, "measure it without an epilogue")
        call = _applied(step, at, [call, *[values[name] for name in step["with"]]], dims)
    made: Sequence[Value] = (call,) if len(call.types) == 1 else results(call)
    names = ["out"] if len(made) == 1 else [f"out{number}" for number in range(len(made))]
    params = tuple([value for value in values.values() if isinstance(value, Input)])
    used = tuple(dims.values())
    return GraphFunction(case["name"], used, params, tuple(zip(names, made, strict=True)))


def _check_values(name: str, type_: TensorType, values: Sequence[int]) -> None:
    """Raises CaseError where an input cannot hold these values."""
    at, kind = f"values.{name}", type_.dtype
    if not kind.is_int:
        raise CaseError(
            at,
            f"`{name}` is {kind}, and values are given to integers only",
            "remove it",
            is_key=True,
        )
    low, high = values
    if low > high:
        reason = f"lowest value {low} is above highest value {high}"
        raise CaseError(at, reason, "write the lowest value, then the highest")
    held = np.iinfo(kind.numpy)
    if low < held.min or high > held.max:
        reason = f"{kind} holds {held.min}..{held.max}, not {low}..{high}"
        raise CaseError(at, reason, "choose values that the type holds")


def case_dims(case: Mapping[str, Any]) -> dict[str, Dim]:
    """The case's symbolic dims by name."""
    return {name: Dim(name, b["min"], b["max"]) for name, b in case["dims"].items()}


def input_type(case: Mapping[str, Any], name: str) -> TensorType:
    """The type that a case gives an input: `f32[n, 64]`, or `Q4_1[576, 576]` for a weight.

    Raises CaseError.
    """
    text, at = case["inputs"][name], f"inputs.{name}"
    packed = _QUANTISED.fullmatch(text.strip())
    try:
        type_ = parse_type(f"f32{packed[2]}" if packed else text, {}, case_dims(case))
        if type_.dtype == INDEX:
            reason = f"{text}: index is the type of dims, of no size in memory"
            raise CaseError(at, reason, _TYPE)
        for extent in type_.shape:
            if not prove(extent >= 1):
                found = "is" if isinstance(extent, Const) else "may be"
                reason = f"{text}: extent {print_expr(extent)} {found} less than 1"
                cure = "write extents that are at least 1 for all values of the dims"
                raise CaseError(at, reason, cure)
        if packed is None:
            if name in case["constant"] and not all(isinstance(e, Const) for e in type_.shape):
                reason = f"{text}: a constant has extents that are numbers"
                raise CaseError(at, reason, "write numbers, or take it out of `constant`")
            return type_
        extents = [e.value for e in type_.shape if isinstance(e, Const)]
        if len(extents) != 2 or len(type_.shape) != 2 or name not in case["constant"]:
            raise CaseError(at, f"{text}: a quantised tensor is a constant matrix", _TYPE)
        rows, columns = (int(extent) for extent in extents)
        return TensorType(type_.shape, F32, storage_of(packed[1], rows, columns))
    except (IRError, BlockFormatError) as error:
        raise _unread(at, f"{text}: ", error, _TYPE) from None


def random_fields(
    case: Mapping[str, Any], name: str, sizes: Mapping[str, int]
) -> tuple[Array, ...]:
    """The values of an input, the same on every machine: one array, or one a field of its storage.

    Floats are in -1 .. 1, bytes anything, other integers in the case's `values`.
    """
    type_ = input_type(case, name)
    seed = hashlib.sha256(f"{case['name']} {name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    dims: dict[Dim | Var, int] = {
        dim: sizes[dim.name] for dim in case_dims(case).values() if dim.name in sizes
    }
    shape = tuple([integer(extent, dims) for extent in type_.shape])
    if type_.storage is not None:
        return _quantised(rng, type_, shape)
    if type_.dtype.is_float:
        return (_floats(rng, shape, type_.dtype),)
    low, high = case["values"].get(name, _RANGES.get(type_.dtype.name, _INTEGERS))
    return (rng.integers(low, high, shape, type_.dtype.numpy, endpoint=True),)


def _floats(rng: np.random.Generator, shape: tuple[int, ...], kind: DType) -> Array:
    whole = rng.integers(-(1 << 23), 1 << 23, shape, np.int32).astype(np.float32)
    return (whole * np.float32(2.0**-23)).astype(kind.numpy)


def _quantised(
    rng: np.random.Generator, type_: TensorType, shape: tuple[int, ...]
) -> tuple[Array, ...]:
    """Random blocks with small scales."""
    assert type_.storage is not None
    name = type_.storage.name.split()[0]
    form = block_format(name)
    blocks = shape[0] * shape[1] // form.block
    records = rng.integers(0, 256, (blocks, form.block_bytes), np.uint8).view(form.record)
    for member in ("d", "m", "dmin"):
        if member in (form.record.names or ()):
            records[member] = _floats(rng, records.shape, dtype("f16")) * np.float16(2.0**-6)
    fields = split(name, records.view(np.uint8).reshape(-1), shape)
    return tuple([fields[field.name] for field in type_.storage.fields])


def _applied(
    step: Mapping[str, Any], at: str, inputs: Sequence[Value], dims: Mapping[str, Dim]
) -> Apply:
    if step["operator"] not in OPERATORS:
        reason = f"unknown operator `{step['operator']}`"
        raise CaseError(f"{at}operator", reason, tuple(OPERATORS))
    has = OPERATORS[step["operator"]].attributes
    for name in step["attributes"]:
        if name not in has:
            reason = f"{step['operator']} has no attribute `{name}`"
            cure = tuple(has) or "remove it"
            raise CaseError(f"{at}attributes.{name}", reason, cure, is_key=True)
    attrs = {
        name: _attribute(name, value, dims, f"{at}attributes.{name}")
        for name, value in step["attributes"].items()
    }
    try:
        return apply(step["operator"], *inputs, **attrs)
    except IRError as error:
        named = re.search(r"attribute '(\w+)'", str(error))
        known = named is not None and named[1] in attrs
        key = f"attributes.{named[1]}" if named is not None and known else "operator"
        missing = named is not None and str(error).endswith("is missing")
        cure = f"add `attributes: {{{named[1]}: …}}`" if named is not None and missing else _FIT
        raise CaseError(f"{at}{key}", str(error), cure) from None


def _attribute(name: str, value: Any, dims: Mapping[str, Dim], at: str) -> Attr:
    """Lists become tuples, their texts expressions of dims, and `dtype` an element type."""
    try:
        if name == "dtype" and isinstance(value, str):
            return dtype(value)
        if isinstance(value, list):
            return tuple([_item(item, dims) for item in value])
    except (IRError, ValueError) as error:
        raise _unread(at, "", error, _FIT) from None
    found: Attr = value
    return found


def _unread(at: str, text: str, error: Exception, cure: str) -> CaseError:
    """What is wrong with a text that is a value of the case, without the place in that text."""
    reason = re.sub(r"^line \d+, column \d+: ", "", str(error))
    if reason.endswith("is not defined here"):
        cure = "declare the dim in the case's `dims`, with its bounds"
    return CaseError(at, text + reason, cure)


def _item(value: Any, dims: Mapping[str, Dim]) -> Attr:
    if isinstance(value, list):
        return tuple([_item(item, dims) for item in value])
    if isinstance(value, str):
        made = parse_expr(value, dims)
        if made.dtype != INDEX:
            raise IRError(f"'{value}' is no expression of dims")
        return made
    found: Attr = value
    return found
