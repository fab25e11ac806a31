"""The least that computing a case takes: arithmetic, and bytes moved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from passes.importers.workload import graph_of, input_type
from passes.ir.arith import free_vars
from passes.ir.dtypes import BOOL, INDEX
from passes.ir.evaluate import evaluate, integer
from passes.ir.expr import Binary, Call, Dim, Expr, Var
from passes.ir.graph.nodes import Apply, Input, TensorType, Value, Weight
from passes.ir.graph.verify import values_of
from passes.ir.loop.nodes import Block, BlockIter, Buffer, Function, Load, Store
from passes.ir.node import postorder
from passes.ops import OPERATORS
from passes.ops.define import define

Unit = Literal["f32", "int8", "bf16"]
Values = Mapping[Dim | Var, int]
Contents = Mapping[Buffer, npt.NDArray[Any]]
_QUANTISED = re.compile(r"^Q[0-9]\w*")


@dataclass(frozen=True)
class Work:
    """`operations`: arithmetic of the loop definitions, on elements that need no decoding.
    `bytes_moved`: what is read of the inputs, and the results, each once. `unit`: the element type
    whose multiply-adds do most of it."""

    operations: int
    bytes_moved: int
    unit: Unit


def work_of(
    case: Mapping[str, Any], sizes: Mapping[str, int], arrays: Mapping[str, npt.NDArray[Any]]
) -> Work:
    """The work of a case; `arrays` are its inputs, because extents may depend on what they hold."""
    # Decoding is what a format costs, not what the case needs.
    inputs = {name: _QUANTISED.sub("f32", text) for name, text in case["inputs"].items()}
    graph = graph_of({**case, "inputs": inputs})
    dims: dict[Dim | Var, int] = {dim: sizes[dim.name] for dim in graph.dims}
    calls = [value for value in values_of(graph) if isinstance(value, Apply)]
    operations = 0
    reads: dict[Value, int] = {}
    for call in calls:
        function = define(call, OPERATORS)
        params = dict(zip(function.params, call.inputs, strict=False))
        held = {
            buffer: arrays[value.name]
            for buffer, value in params.items()
            if isinstance(value, Input | Weight) and value.name in arrays
        }
        for block in _blocks(function):
            count = _instances(block.iters, dims, held)
            operations += count * _operations(block.body.value)  # type: ignore[attr-defined]
            for buffer in {n.buffer for n in postorder(block.body) if isinstance(n, Load)}:
                if buffer in params:
                    reads[params[buffer]] = reads.get(params[buffer], 0) + count
    moved = sum(_bytes(value.type, dims) for _, value in graph.results)
    for value, count in reads.items():
        if isinstance(value, Input | Weight):
            type_ = input_type(case, value.name)
            whole = _bytes(type_, dims)
            elements = max(1, _elements(type_, dims))
            moved += min(whole, -(-count * whole // elements))
    return Work(operations, moved, _unit(case))


def _blocks(function: Function) -> list[Block]:
    return [
        node
        for node in postorder(function.body)
        if isinstance(node, Block) and isinstance(node.body, Store)
    ]


def _instances(iters: Sequence[BlockIter], known: Values, held: Contents) -> int:
    """How many instances a block has; extents may speak of iterators before them."""
    if not iters:
        return 1
    first, rest = iters[0], iters[1:]
    extent = int(evaluate(first.extent, known, held))
    if not any(first.var in free_vars(it.extent) for it in rest):
        return extent * _instances(rest, known, held)
    return sum(_instances(rest, {**known, first.var: k}, held) for k in range(extent))


def _operations(value: Expr) -> int:
    """Multiplications, additions, comparisons and calls, but no arithmetic of indices."""
    return sum(
        isinstance(node, Call | Binary) and _operand(node) not in (INDEX, BOOL)
        for node in postorder(value)
    )


def _operand(node: Expr) -> Any:
    return node.a.dtype if isinstance(node, Binary) else node.dtype


def _unit(case: Mapping[str, Any]) -> Unit:
    texts = [text.strip() for text in case["inputs"].values()]
    names = {text.partition("[")[0] for text in texts}
    if names <= {"i8", "u8"} or (case["compute"] == "int8" and any(map(_QUANTISED.match, texts))):
        return "int8"
    return "bf16" if names == {"bf16"} else "f32"


def _elements(type_: TensorType, dims: Values) -> int:
    return int(np.prod([integer(extent, dims) for extent in type_.shape], dtype=np.int64))


def _bytes(type_: TensorType, dims: Values) -> int:
    if type_.storage is not None:
        return type_.storage.nbytes
    return _elements(type_, dims) * type_.dtype.bytes
