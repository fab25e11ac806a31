"""A scheduled loop function alone → an object file whose entry calls it, and what it is given.

    def kernel(x0: f32[n, 64], w1: f32[64, 32], y2: f32[n, 32])
    → int32_t tk_kernel(void* ctx, const int64_t* dims, void* const* args)      args: x, w, y

Parameters that the function stores to come after the others; their content before the call is
the caller's, so that what is changed in place needs no copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passes.codegen.abi import library_text, plan_library
from passes.codegen.host.emit import entry_symbol
from passes.codegen.lower.facts import Facts
from passes.codegen.lower.flatten import flatten
from passes.codegen.native import Machine, compile_object
from passes.ir.dtypes import DType
from passes.ir.evaluate import integer
from passes.ir.expr import Const, Dim, Var
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, Operation, Result, TensorType
from passes.ir.loop.nodes import Buffer, For, Function, If, Seq, Stmt, seq
from passes.ir.loop.traverse import loaded_in, stored_in
from passes.ops import OPERATORS

ENTRY = "kernel"
SYMBOL = entry_symbol(ENTRY)


class SizeError(Exception):
    """Code that would be too large; the message says by how much."""


@dataclass(frozen=True)
class Size:
    """The most that a candidate may become: statements, each vector one, once unrolled loops are
    written out; bytes of LLVM text."""

    statements: int = 1 << 11
    text_bytes: int = 4 << 20


@dataclass(frozen=True)
class Memory:
    """What a parameter is in memory: `shape` as it is declared, `count` of elements from the first
    to the last."""

    shape: tuple[int, ...]
    count: int
    dtype: DType
    loaded: bool
    stored: bool


def arguments_of(function: Function) -> tuple[int, ...]:
    """The numbers of the parameters in the order in which the entry takes them."""
    stored = [b in stored_in(function.body) for b in function.params]
    return tuple(sorted(range(len(stored)), key=lambda number: (stored[number], number)))


def memory_of(function: Function, dims: Mapping[str, int]) -> tuple[Memory, ...]:
    """What each parameter is, given the sizes of the dims."""
    values: dict[Dim | Var, int] = {dim: dims[dim.name] for dim in function.dims}
    loads, stores = loaded_in(function.body), stored_in(function.body)
    found = []
    for buffer, flat in zip(function.params, _flat(function), strict=True):
        shape = tuple([integer(extent, values) for extent in buffer.shape])
        count = integer(flat.shape[0], values)
        found.append(Memory(shape, count, buffer.dtype, buffer in loads, buffer in stores))
    return tuple(found)


def graph_of(function: Function) -> GraphFunction:
    """A graph that does nothing but call the function."""
    order = arguments_of(function)
    flat = _flat(function)
    types = {k: TensorType(flat[k].shape, flat[k].dtype) for k in order}
    results = [k for k in order if function.params[k] in stored_in(function.body)]
    inputs = tuple([Input(f"p{k}", types[k]) for k in order[: len(order) - len(results)]])
    called = function.replace(name=ENTRY, params=tuple([function.params[k] for k in order]))
    call = CallLoops(called, inputs, tuple([types[k] for k in results]))
    made: list[Operation | Result] = [Result(call, k) for k in range(len(results))]
    if len(made) == 1:
        made = [call]
    named = [(f"p{k}", value) for k, value in zip(results, made, strict=True)]
    return GraphFunction(ENTRY, function.dims, inputs, tuple(named))


def object_of(function: Function, facts: Mapping[str, Any], size: Size | None = None) -> bytes:
    """The object file of a scheduled function for a CPU level.

    Raises SizeError beyond `size`, IRError or CodegenError where the function cannot be code.
    """
    size = size or Size()
    count = statements_of(function, int(facts["vector_bits"]))
    if count > size.statements:
        raise SizeError(f"its loops unroll to {count} statements; {size.statements} are allowed")
    library = plan_library([graph_of(function)], OPERATORS)
    text = library_text(library, Facts.of(facts))
    if len(text) > size.text_bytes:
        raise SizeError(f"its LLVM text has {len(text)} bytes; {size.text_bytes} are allowed")
    machine = Machine(facts["triple"], facts["cpu"], facts["llvm_features"])
    return compile_object(text, machine)


def statements_of(function: Function, vector_bits: int) -> int:
    """How many statements a program has once its unrolled loops are written out, a statement on
    several vectors counted once for each; vectors of one byte elements stand for all."""
    return _count(function.body, vector_bits // 8)


def _count(stmt: Stmt, lanes: int) -> int:
    match stmt:
        case For(extent=Const(value=extent), kind="unrolled"):
            return int(extent) * _count(stmt.body, lanes)
        case For(extent=Const(value=extent), kind="vectorized"):
            return -(-int(extent) // lanes) * _count(stmt.body, lanes)
        case Seq() | For() | If():
            return sum([_count(s, lanes) for s in stmt.children if isinstance(s, Stmt)])
    inner = [_count(s, lanes) for s in stmt.children if isinstance(s, Stmt)]
    return sum(inner) or 1


def _flat(function: Function) -> tuple[Buffer, ...]:
    """The parameters as memory of one axis."""
    return flatten(function.replace(body=seq(), allocs=())).params
