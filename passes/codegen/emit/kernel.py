"""Lowered kernels → LLVM text: statements, loops and branches, the function around them.

    define hidden void @name(i64 dims…, ptr noalias params…, ptr noalias workspaces…,
                      i64 %tid, i64 %nt, ptr %pool)

The workspaces are the function's allocations of scope `global`, in order. Local allocations lie
on the stack; slots of register buffers are SSA values, carried through loops and branches by
phis. A kernel with barriers calls `void @tk_barrier(ptr %pool, i64 %tid, i64 %nt)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from passes.codegen.emit.effects import EffectTable, Slot
from passes.codegen.emit.memory import LOCAL_ALIGN
from passes.codegen.emit.ssa import Scope, Ssa, Value, depth_of
from passes.codegen.emit.types import memory_type, register_type
from passes.codegen.emit.values import Values
from passes.ir.arith import lower_bound
from passes.ir.expr import Const, Max, product
from passes.ir.loop.nodes import Barrier, Buffer, For, Function, If, Seq, Stmt, Store
from passes.ir.node import IRError

BARRIER = "tk_barrier"


class EmittedKernel(NamedTuple):
    """A kernel's definition, and the declarations of what it calls (each a line)."""

    text: str
    declarations: frozenset[str]


def emit_kernel(function: Function) -> EmittedKernel:
    """One lowered kernel as LLVM text. Raises `IRError` for what is not lowered."""
    emitter = _Kernel(function)
    text = emitter.text()
    return EmittedKernel(text, frozenset(emitter.ssa.declarations))


def emit_module(functions: Iterable[Function]) -> str:
    """An LLVM module of kernels that stands alone, but for the barrier it may declare."""
    kernels = [emit_kernel(function) for function in functions]
    declarations = sorted(set[str]().union(*[kernel.declarations for kernel in kernels]))
    return "\n".join([*declarations, "", *[kernel.text for kernel in kernels]])


class _Kernel:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.ssa = Ssa()
        self._effects = EffectTable()
        stored = self._effects.of(function.body).stored
        self._values = Values(self.ssa, stored)
        self._live: frozenset[Slot] = frozenset()  # what is read after the statement at hand

    def text(self) -> str:
        arguments = [f"i64 %dim.{dim.name}" for dim in self.function.dims]
        for dim in self.function.dims:
            self._values.variables[dim] = Value(f"%dim.{dim.name}", 0)
        allocs = self.function.allocs
        shared = [buffer for buffer in allocs if buffer.scope == "global"]
        for buffer in (*self.function.params, *shared):
            arguments.append(f"ptr noalias {_pointer(buffer)}")
            self._values.memory.define(buffer, _pointer(buffer))
        for buffer in allocs:
            if buffer.scope == "local":
                self._allocate(buffer)
        arguments += ["i64 %tid", "i64 %nt", "ptr %pool"]
        self._stmt(self.function.body)
        head = f"define hidden void @{self.function.name}({', '.join(arguments)}) nounwind {{"
        return "\n".join([head, "entry:", *self.ssa.scopes[0].lines, "  ret void", "}", ""])

    def _allocate(self, buffer: Buffer) -> None:
        size = product(buffer.shape)
        if not isinstance(size, Const):
            raise IRError(
                f"local buffer '{buffer.name}{buffer.ordinal}' of '{self.function.name}' has a "
                "size that is not constant; give it scope 'global' or tile the loops around it"
            )
        element = memory_type(buffer.dtype)
        count = max(1, int(size.value))
        self.ssa.effect(f"{_pointer(buffer)} = alloca [{count} x {element}], align {LOCAL_ALIGN}")
        self._values.memory.define(buffer, _pointer(buffer))

    def _stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Seq):
            self._in_order(stmt)
        elif isinstance(stmt, Store):
            self._store(stmt)
        elif isinstance(stmt, For):
            self._for(stmt)
        elif isinstance(stmt, If):
            other = stmt.other
            cond = self._values.of(stmt.cond)
            self._branch(
                cond,
                lambda: self._stmt(stmt.then),
                None if other is None else lambda: self._stmt(other),
            )
        elif isinstance(stmt, Barrier):
            name = self.ssa.declare("void", BARRIER, ["ptr", "i64", "i64"])
            self.ssa.effect(f"call void {name}(ptr %pool, i64 %tid, i64 %nt)")
            self._values.memory.forget(frozenset(), barrier=True)
            self._values.settle()
        else:
            kind = type(stmt).__name__
            raise IRError(f"'{self.function.name}' has a {kind} statement; lower it first")

    def _in_order(self, stmt: Seq) -> None:
        live = [self._live]
        for inner in reversed(stmt.stmts):
            effects = self._effects.of(inner)
            live.append(effects.exposed | (live[-1] - effects.sure))
        live.pop()
        for inner in stmt.stmts:
            self._live = live.pop()
            self._stmt(inner)

    def _store(self, stmt: Store) -> None:
        value = self._values.of(stmt.value)
        if stmt.buffer.scope == "register":
            (slot,) = self._effects.of(stmt).written
            self._values.slots[slot] = value
        else:
            if len(stmt.indices) != 1:
                name = f"{stmt.buffer.name}{stmt.buffer.ordinal}"
                raise IRError(f"'{name}' has {len(stmt.indices)} axes; 'flatten' makes it 1-D")
            self._values.memory.store(stmt.buffer, stmt.indices[0], value)
        self._values.settle()

    def _for(self, loop: For) -> None:
        if loop.kind not in ("serial", "parallel"):
            name = f"{loop.var.name}{loop.var.ordinal}"
            raise IRError(f"loop {name} is {loop.kind}; it must be gone before emission")
        extent = self._values.of(loop.extent)
        low = lower_bound(loop.extent, self._values.env)
        self._values.env[loop.var] = (0, loop.extent - 1)
        if loop.kind == "parallel":
            if low is None or low < 0:  # shares of less than nothing would not be empty
                extent = self._values.of(Max(loop.extent, Const(0, loop.extent.dtype)))
            start, stop = self._share(extent)
            self._branch(self._less(start, stop), lambda: self._loop(loop, start, stop), None)
        elif low is not None and low > 0:
            self._loop(loop, Value("0", 0), extent)
        else:
            zero = Value("0", 0)
            self._branch(self._less(zero, extent), lambda: self._loop(loop, zero, extent), None)
        del self._values.env[loop.var]

    def _less(self, a: Value, b: Value) -> Value:
        return self.ssa.op(f"icmp slt i64 {a.text}, {b.text}", depth_of(a, b))

    def _share(self, extent: Value) -> tuple[Value, Value]:
        """Thread t of T runs t*extent//T up to (t+1)*extent//T."""
        op, depth = self.ssa.op, extent.depth
        first = op(f"mul nsw i64 %tid, {extent.text}", depth)
        last = op(f"add nsw i64 {first.text}, {extent.text}", depth)
        start = op(f"udiv i64 {first.text}, %nt", depth)
        return start, op(f"udiv i64 {last.text}, %nt", depth)

    def _loop(self, loop: For, start: Value, stop: Value) -> None:
        """A loop that runs at least once: the body comes before the test."""
        ssa = self.ssa
        effects = self._effects.of(loop.body)
        head, leave = ssa.label("loop"), ssa.label("done")
        before = ssa.scopes[-1].block
        # What an iteration may leave as it was is read after the loop, if not in the next one.
        needed = effects.exposed | (self._live - effects.sure)
        carried = [slot for slot in effects.written if slot in needed]
        initial = [self._values.slots.get(slot, Value("poison", 0)) for slot in carried]
        scope = Scope("loop", head, effects.stored, effects.barrier)
        self._values.memory.forget(effects.stored, effects.barrier)
        self._values.settle()
        ssa.scopes.append(scope)
        depth = ssa.depth
        counter = Value(ssa.fresh(f"{loop.var.name}{loop.var.ordinal}"), depth)
        self._values.variables[loop.var] = counter
        phis = [Value(ssa.fresh(), depth) for _ in carried]
        self._values.slots.update(zip(carried, phis, strict=True))
        live, self._live = self._live, self._live | effects.exposed
        self._stmt(loop.body)
        self._live = live
        ssa.scopes.pop()
        self._values.settle()
        del self._values.variables[loop.var]

        slots = self._values.slots
        following = ssa.fresh()
        more = ssa.fresh()
        lines = ssa.scopes[-1].lines
        lines += [f"  br label %{head}", f"{head}:"]
        latch = scope.block
        lines.append(_phi("i64", counter, (start.text, before), (following, latch)))
        for slot, phi, value in zip(carried, phis, initial, strict=True):
            ends = ((value.text, before), (slots[slot].text, latch))
            lines.append(_phi(_slot_type(slot), phi, *ends))
        lines += scope.lines
        lines += [
            f"  {following} = add nuw nsw i64 {counter.text}, 1",
            f"  {more} = icmp slt i64 {following}, {stop.text}",
            f"  br i1 {more}, label %{head}, label %{leave}",
            f"{leave}:",
        ]
        ssa.scopes[-1].block = leave
        for slot in effects.written:
            slots[slot] = Value(slots[slot].text, min(slots[slot].depth, ssa.depth))

    def _branch(
        self, cond: Value, then: Callable[[], None], other: Callable[[], None] | None
    ) -> None:
        """Runs `then` or `other` and joins what they leave in the slots."""
        ssa = self.ssa
        join = ssa.label("join")
        origin = ssa.scopes[-1].block
        before = dict(self._values.slots)
        yes = self._arm(ssa.label("then"), then)
        after = self._values.slots
        self._values.slots = before if other is None else dict(before)
        no = None if other is None else self._arm(ssa.label("else"), other)
        second = join if no is None else no[0]
        lines = ssa.scopes[-1].lines
        lines.append(f"  br i1 {cond.text}, label %{yes[0]}, label %{second}")
        for arm in (yes, no):
            if arm is not None:
                lines += [f"{arm[0]}:", *arm[1].lines, f"  br label %{join}"]
        lines.append(f"{join}:")
        ssa.scopes[-1].block = join
        ends = yes[1].block, origin if no is None else no[1].block
        poison = Value("poison", 0)
        for slot in {**after, **self._values.slots}:
            left, right = after.get(slot, poison), self._values.slots.get(slot, poison)
            if left.text != right.text:
                merged = Value(ssa.fresh(), ssa.depth)
                pairs = ((left.text, ends[0]), (right.text, ends[1]))
                lines.append(_phi(_slot_type(slot), merged, *pairs))
                left = merged
            self._values.slots[slot] = left
        self._values.settle()

    def _arm(self, label: str, run: Callable[[], None]) -> tuple[str, Scope]:
        scope = Scope("branch", label)
        self._values.settle()
        self.ssa.scopes.append(scope)
        run()
        self.ssa.scopes.pop()
        self._values.settle()
        return label, scope


def _pointer(buffer: Buffer) -> str:
    return f"%at.{buffer.name}{buffer.ordinal}"


def _slot_type(slot: Slot) -> str:
    return register_type(slot.buffer.dtype.with_lanes(slot.lanes))


def _phi(spelled: str, name: Value, *ends: tuple[str, str]) -> str:
    pairs = ", ".join(f"[ {value}, %{block} ]" for value, block in ends)
    return f"  {name.text} = phi {spelled} {pairs}"
