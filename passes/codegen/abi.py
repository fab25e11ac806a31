"""A library: kernels, host programs, pool and the C ABI's functions, as one LLVM module's text,
and the facts about it that its manifest tells.

    int32_t tk_abi(void)
    void*   tk_create(const void* weights, int64_t threads)
    void    tk_destroy(void* ctx)
    int32_t tk_<entry>(void* ctx, const int64_t* dims, void* const* args)

All other symbols are internal or hidden: calls stay direct, and libraries never meet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from passes.codegen import pool
from passes.codegen.emit import BARRIER, EmittedKernel, emit_kernel
from passes.codegen.host.barriers import insert_barriers
from passes.codegen.host.emit import (
    Places,
    emit_entry,
    emit_program,
    entry_symbol,
    kernel_symbol,
)
from passes.codegen.host.kernels import Kernels
from passes.codegen.host.lower import HostProgram, lower_host
from passes.codegen.host.plan import ArenaPlan, plan_arena
from passes.codegen.host.values import value_range
from passes.codegen.host.weights import state_layout, weight_layout
from passes.codegen.lower import lower
from passes.codegen.lower.facts import CPU, Facts
from passes.ir.arith import dims_of, simplify
from passes.ir.expr import Dim, Expr
from passes.ir.expr_text import print_expr
from passes.ir.graph.nodes import GraphFunction
from passes.ir.graph.operator import Operators
from passes.ir.loop.nodes import Buffer, Function
from passes.ir.node import IRError
from passes.ir.weights import Layout

VERSION = 1
_PAGE = 4096
_RESERVED = ("abi", "create", "destroy", "barrier")


@dataclass(frozen=True)
class Library:
    """All host programs of a package for one CPU level, planned.

    `errors`: code -> message with the dims' names in braces. `kernels` are scheduled.
    """

    programs: tuple[HostProgram, ...]
    plans: tuple[ArenaPlan, ...]
    kernels: Kernels
    places: Places
    codes: Mapping[Dim | Expr, int]
    errors: Mapping[str, str]

    @property
    def weights(self) -> Layout:
        """Where the weights file must hold each tensor."""
        return self.places.weights

    @property
    def arena_bytes(self) -> int:
        """The most that any entry needs."""
        return max([plan.bound for plan in self.plans], default=0)


def plan_library(graphs: Iterable[GraphFunction], operators: Operators) -> Library:
    """Graph functions whose calls are scheduled kernels → host programs with their memory planned.

    Raises IRError for what `lower_host` refuses, and for names that C or the manifest cannot have.
    """
    kernels = Kernels()
    lowered = []
    for graph in graphs:
        _check_names(graph)
        lowered.append(lower_host(graph, kernels, operators))
    programs = tuple([replace(p, function=insert_barriers(p.function, kernels)) for p in lowered])
    plans = tuple([plan_arena(p.function, p.graph.assumptions) for p in programs])
    places = Places(weight_layout(programs), state_layout(programs))
    codes, errors = _error_codes(programs)
    return Library(programs, plans, kernels, places, codes, errors)


def library_text(library: Library, facts: Facts = CPU) -> str:
    """The LLVM text of the whole library; the same for equal libraries and target facts.

    Raises IRError for a kernel that cannot be lowered or emitted.
    """
    kernels = [_emitted(name, kernel, facts) for name, kernel in library.kernels.items()]
    declared = set(pool.DECLARATIONS).union(*[kernel.declarations for kernel in kernels])
    parts = sorted(line for line in declared if f"@{BARRIER}(" not in line)
    parts += ["", *[kernel.text for kernel in kernels], pool.pool_text()]
    for program, plan in zip(library.programs, library.plans, strict=True):
        graph = program.graph
        parts.append(emit_program(program, plan, library.places))
        parts.append(emit_entry(graph.name, graph.dims, graph.assumptions, library.codes))
    size = -(-(library.places.arena_at + library.arena_bytes) // _PAGE) * _PAGE
    parts += [
        "define i32 @tk_abi() nounwind {",
        f"  ret i32 {VERSION}",
        "}",
        "",
        "define ptr @tk_create(ptr %weights, i64 %threads) nounwind {",
        f"  %ctx = call ptr @tk.create(ptr %weights, i64 %threads, i64 {size})",
        "  ret ptr %ctx",
        "}",
        "",
    ]
    return "\n".join(parts)


def _emitted(name: str, kernel: Function, facts: Facts) -> EmittedKernel:
    try:
        return emit_kernel(lower(kernel, facts).replace(name=kernel_symbol(name)))
    except IRError as error:
        raise IRError(f"kernel '{name}': {error}") from None


def manifest_facts(library: Library, threads: int) -> dict[str, Any]:
    """What the manifest says of the code: dims, entries, errors, memory with `threads` threads."""
    dims = {dim.name: dim for program in library.programs for dim in program.graph.dims}
    cells = pool.HEADER + threads * pool.CELL
    return {
        "abi": VERSION,
        "dims": {name: [dims[name].lo, dims[name].hi] for name in sorted(dims)},
        "entries": {
            program.graph.name: _entry_facts(program, library.kernels)
            for program in library.programs
        },
        "errors": dict(library.errors),
        "memory": {
            "arena_bytes_max": library.arena_bytes + cells,
            "state_bytes": library.places.states.size,
        },
    }


def _entry_facts(program: HostProgram, kernels: Kernels) -> dict[str, Any]:
    graph = program.graph
    inputs = []
    for param, buffer in zip(graph.params, program.inputs, strict=True):
        facts = _tensor_facts(param.name, buffer)
        if buffer.dtype.is_int:
            facts["values"] = list(value_range(program.function, kernels, buffer))
        inputs.append(facts)
    return {
        "symbol": entry_symbol(graph.name),
        "dims": [dim.name for dim in graph.dims],
        "inputs": inputs,
        "outputs": [
            _tensor_facts(name, buffer)
            for (name, _), buffer in zip(graph.results, program.outputs, strict=True)
        ],
    }


def _tensor_facts(name: str, buffer: Buffer) -> dict[str, Any]:
    shape = [print_expr(simplify(extent)) for extent in buffer.shape]
    return {"name": name, "dtype": str(buffer.dtype), "shape": shape}


def _error_codes(
    programs: Sequence[HostProgram],
) -> tuple[dict[Dim | Expr, int], dict[str, str]]:
    """Codes from 1 on: dims by name, then assumptions in the order of the entries."""
    codes: dict[Dim | Expr, int] = {}
    errors: dict[str, str] = {}
    dims = {dim.name: dim for program in programs for dim in program.graph.dims}
    for name in sorted(dims):
        codes[dims[name]] = len(codes) + 1
        errors[str(len(codes))] = (
            f"{name} = {{{name}}} is outside {dims[name].lo}..{dims[name].hi}, "
            "the bounds that the package was built for"
        )
    for program in programs:
        for assumption in program.graph.assumptions:
            if assumption not in codes:
                codes[assumption] = len(codes) + 1
                used = sorted(dim.name for dim in dims_of(assumption))
                given = ", ".join(f"{name} = {{{name}}}" for name in used)
                errors[str(len(codes))] = f"{given}: {print_expr(assumption)} does not hold"
    return codes, errors


def _check_names(graph: GraphFunction) -> None:
    names = [graph.name, *[dim.name for dim in graph.dims]]
    names += [name for name, _ in graph.results] + [param.name for param in graph.params]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise IRError(
                f"graph '{graph.name}': '{name}' cannot name an entry point, dim or array of a "
                "package; use letters, digits and underscores"
            )
    if graph.name in _RESERVED:
        raise IRError(f"graph '{graph.name}': tk_{graph.name} is a function of the ABI; rename it")
