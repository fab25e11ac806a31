"""Traces as JSON, and back.

    {"name": "split", "args": [{"var": "j12"}, 8], "result": [{"var": "j26"}, {"var": "j27"}]}

Values that JSON has are themselves, tuples lists. Others are objects with one key that says what
they are: `var` (with the type of a loop that is not index), `expr`, `number`, `layout`, `float`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from passes.ir.dtypes import INDEX, dtype
from passes.ir.expr import Dim, Expr, Var
from passes.ir.expr_text import Named, name_of, parse_expr, print_expr
from passes.ir.node import IRError
from passes.schedule.instruction import Instruction, Layout, Number, handles_in
from passes.schedule.sampling import (
    Categorical,
    ComputeLocation,
    PartitionedTile,
    PerfectTile,
    Sampling,
)

_SAMPLINGS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Categorical, PerfectTile, PartitionedTile, ComputeLocation)
}


def print_json(steps: Sequence[Instruction]) -> str:
    """One line a step."""
    lines = [json.dumps(_step(step), ensure_ascii=False) for step in steps]
    return "[" + ",\n ".join(lines) + "]\n"


def parse_json(text: str, dims: Sequence[Dim]) -> list[Instruction]:
    """The steps that `print_json` gave, of a function with these dims. Raises IRError."""
    names: dict[str, Named] = {dim.name: dim for dim in dims}
    steps: list[Instruction] = []
    try:
        for number, item in enumerate(json.loads(text)):
            place = f"step {number + 1}"
            step = _instruction(item, names)
            for handle in handles_in(step.result):
                if isinstance(handle, Var):
                    names[name_of(handle)] = handle
            steps.append(step)
    except json.JSONDecodeError as error:
        raise IRError(f"the trace is not JSON: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise IRError(f"{place} of the trace cannot be read: {error}") from None
    return steps


def _step(step: Instruction) -> dict[str, Any]:
    made: dict[str, Any] = {"name": step.name, "args": [_value(arg) for arg in step.args]}
    if step.options:
        made["options"] = {name: _value(value) for name, value in step.options}
    if step.sampling is not None:
        kind = type(step.sampling).__name__
        made["sampling"] = {"kind": kind, **_fields(step.sampling)}
        made["choice"] = _value(step.choice)
    if step.result is not None:
        made["result"] = _value(step.result)
    return made


def _fields(sampling: Sampling) -> dict[str, Any]:
    return {name: _value(value) for name, value in asdict(sampling).items()}


def _value(value: Any) -> Any:
    match value:
        case Var():
            typed = {} if value.dtype == INDEX else {"type": str(value.dtype)}
            return {"var": name_of(value), **typed}
        case Expr():
            return {"expr": print_expr(value)}
        case Number(expr):
            return {"number": print_expr(expr)}
        case Layout(axes, image):
            return {"layout": [print_expr(e) for e in image], "axes": [name_of(v) for v in axes]}
        case tuple():
            return [_value(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": str(value)}
    return value


def _instruction(item: Mapping[str, Any], names: Mapping[str, Named]) -> Instruction:
    sampling = item.get("sampling")
    if sampling is not None:
        fields = {name: _read(value, names) for name, value in sampling.items() if name != "kind"}
        sampling = _SAMPLINGS[sampling["kind"]](**fields)
    return Instruction(
        str(item["name"]),
        tuple([_read(arg, names) for arg in item["args"]]),
        _read(item.get("result"), names),
        tuple([(name, _read(v, names)) for name, v in item.get("options", {}).items()]),
        sampling,
        _read(item.get("choice"), names),
    )


def _read(value: Any, names: Mapping[str, Named]) -> Any:
    match value:
        case list():
            return tuple([_read(item, names) for item in value])
        case {"var": name}:
            return _variable(name, value.get("type", "index"))
        case {"expr": text}:
            return parse_expr(text, names)
        case {"number": text}:
            return Number(parse_expr(text, names))
        case {"layout": image, "axes": axes}:
            own = {name: _variable(name, "index") for name in axes}
            known = {**names, **own}
            return Layout(tuple(own.values()), tuple([parse_expr(e, known) for e in image]))
        case {"float": text}:
            return float(text)
        case dict():
            raise ValueError(f"what {sorted(value)} means is unknown")
    return value


def _variable(name: str, kind: str) -> Var:
    parts = re.fullmatch(r"(.*?)(\d+)", name)
    if parts is None:
        raise ValueError(f"'{name}' is no variable")
    return Var(parts[1], int(parts[2]), dtype(kind))
