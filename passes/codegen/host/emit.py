"""Host programs → LLVM text: what every thread of a context runs, and the checks before it.

    define internal void @tk.spmd.<entry>(ptr %ctx, ptr %dims, ptr %args, i64 %tid, i64 %nt)
    define i32 @tk_<entry>(ptr %ctx, ptr %dims, ptr %args)

Launches are direct calls; a pointer is arena + symbolic offset, or weights, state plus a constant
offset, or one of the caller's arrays. Thread 0 checks dims and assumptions before anyone starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.codegen import pool
from passes.codegen.emit import BARRIER
from passes.codegen.emit.ssa import Ssa, Value
from passes.codegen.emit.values import Values
from passes.codegen.host.lower import HostProgram
from passes.codegen.host.plan import ArenaPlan
from passes.ir.expr import Dim, Expr
from passes.ir.loop.nodes import Barrier, Buffer, Launch, Seq
from passes.ir.weights import Layout


@dataclass(frozen=True)
class Places:
    """Where a context's memory is: layouts of weights and states, bytes of all states together."""

    weights: Layout
    states: Layout

    @property
    def state_at(self) -> int:
        """The first byte of the states in a context."""
        return pool.HEADER

    @property
    def arena_at(self) -> int:
        return pool.HEADER + self.states.size


def kernel_symbol(name: str) -> str:
    """A kernel's symbol: no C library has one like it."""
    return f"kernel.{name}"


def entry_symbol(name: str) -> str:
    return f"tk_{name}"


def emit_program(program: HostProgram, plan: ArenaPlan, places: Places) -> str:
    """The function that all threads run. `program` has its barriers."""
    function = program.function
    ssa = Ssa()
    values = Values(ssa, frozenset())
    _load_dims(ssa, values, function.dims)
    pointers = _Pointers(ssa, values, program, plan, places)
    body = function.body
    for stmt in body.stmts if isinstance(body, Seq) else (body,):
        if isinstance(stmt, Barrier):
            ssa.effect(f"call void @{BARRIER}(ptr %ctx, i64 %tid, i64 %nt)")
        elif isinstance(stmt, Launch):
            arguments = [f"i64 {values.of(dim).text}" for dim in stmt.dims]
            arguments += [f"ptr {pointers.of(buffer)}" for buffer in stmt.buffers]
            arguments += ["i64 %tid", "i64 %nt", "ptr %ctx"]
            ssa.effect(f"call void @{kernel_symbol(stmt.kernel)}({', '.join(arguments)})")
    ssa.effect(f"call void @{BARRIER}(ptr %ctx, i64 %tid, i64 %nt)")
    head = "ptr %ctx, ptr %dims, ptr %args, i64 %tid, i64 %nt"
    return "\n".join(
        [
            f"define internal void @tk.spmd.{function.name}({head}) nounwind {{",
            "entry:",
            *ssa.scopes[0].lines,
            "  ret void",
            "}",
            "",
        ]
    )


def emit_entry(
    name: str,
    dims: Sequence[Dim],
    assumptions: Sequence[Expr],
    codes: Mapping[Dim | Expr, int],
) -> str:
    """The exported entry point: 0 after a run, the code of a dim that is out of its bounds, or of
    an assumption that does not hold."""
    lines = []
    for position, dim in enumerate(dims):
        place = f"%dim.{dim.name}"
        lines += [
            f"  {place}.at = getelementptr i8, ptr %dims, i64 {8 * position}",
            f"  {place} = load i64, ptr {place}.at, align 8",
            f"  {place}.from = sub i64 {place}, {dim.lo}",
            f"  {place}.ok = icmp ule i64 {place}.from, {dim.hi - dim.lo}",
            f"  br i1 {place}.ok, label %{dim.name}.good, label %{dim.name}.bad",
            f"{dim.name}.bad:",
            f"  ret i32 {codes[dim]}",
            f"{dim.name}.good:",
        ]
    ssa = Ssa()
    values = Values(ssa, frozenset())
    for dim in dims:
        values.variables[dim] = Value(f"%dim.{dim.name}", 0)
    # All dims are in their bounds here, so nothing overflows or traps.
    for position, assumption in enumerate(assumptions):
        ssa.effect(
            f"br i1 {values.of(assumption).text}, label %holds.{position}, label %broken.{position}"
        )
        lines += [
            *ssa.scopes[0].lines,
            f"broken.{position}:",
            f"  ret i32 {codes[assumption]}",
            f"holds.{position}:",
        ]
        ssa.scopes[0].lines.clear()
    return "\n".join(
        [
            f"define i32 @{entry_symbol(name)}(ptr %ctx, ptr %dims, ptr %args) nounwind {{",
            "entry:",
            *lines,
            f"  call void @tk.run(ptr %ctx, ptr @tk.spmd.{name}, ptr %dims, ptr %args)",
            "  ret i32 0",
            "}",
            "",
        ]
    )


def _load_dims(ssa: Ssa, values: Values, dims: Sequence[Dim]) -> None:
    for position, dim in enumerate(dims):
        at = ssa.op(f"getelementptr i8, ptr %dims, i64 {8 * position}", 0)
        values.variables[dim] = ssa.op(f"load i64, ptr {at.text}, align 8", 0)


class _Pointers:
    """Buffer -> its address. Arena addresses are computed once, constant ones at each use."""

    def __init__(
        self, ssa: Ssa, values: Values, program: HostProgram, plan: ArenaPlan, places: Places
    ) -> None:
        self._ssa = ssa
        self._texts: dict[Buffer, str] = {}
        self._constant: dict[Buffer, tuple[str, int]] = {}
        for position, buffer in enumerate((*program.inputs, *program.outputs)):
            at = ssa.op(f"getelementptr i8, ptr %args, i64 {8 * position}", 0)
            self._texts[buffer] = ssa.op(f"load ptr, ptr {at.text}, align 8", 0).text
        for name, buffer in program.states:
            self._constant[buffer] = ("%ctx", places.state_at + places.states.offsets[name])
        if program.weights:
            at = ssa.op(f"getelementptr i8, ptr %ctx, i64 {pool.WEIGHTS_AT}", 0)
            base = ssa.op(f"load ptr, ptr {at.text}, align 8", 0).text
        for field in program.weights:
            offset = places.weights.offsets[field.weight.name] + field.offset
            self._constant[field.buffer] = (base, offset)
        arena = ssa.op(f"getelementptr i8, ptr %ctx, i64 {places.arena_at}", 0).text
        for buffer, start in plan.offsets.items():
            at = values.of(start)
            self._texts[buffer] = ssa.op(f"getelementptr i8, ptr {arena}, i64 {at.text}", 0).text

    def of(self, buffer: Buffer) -> str:
        if buffer in self._texts:
            return self._texts[buffer]
        base, offset = self._constant[buffer]
        fresh = self._ssa.fresh()
        self._ssa.effect(f"{fresh} = getelementptr i8, ptr {base}, i64 {offset}")
        return fresh
