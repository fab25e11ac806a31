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

from passes.codegen.emit.arithmetic import select
from passes.codegen.emit.effects import EffectTable, Slot, slots_read, unmasked
from passes.codegen.emit.memory import LOCAL_ALIGN
from passes.codegen.emit.shuffles import group_at
from passes.codegen.emit.ssa import Scope, ScopeKind, Ssa, Value, depth_of
from passes.codegen.emit.types import memory_type, register_type
from passes.codegen.emit.values import Values
from passes.ir.arith import lower_bound
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import Const, Expr, Max, Var, product
from passes.ir.expr_text import name_of
from passes.ir.loop.multiples import products
from passes.ir.loop.nodes import Barrier, Buffer, For, Function, If, Seq, Stmt, Store, While
from passes.ir.node import IRError

BARRIER = "tk_barrier"
PREFETCH = "prefetch"
"""A loop's annotation: vectors inside are fetched this many of its iterations ahead."""


class EmittedKernel(NamedTuple):
    """A kernel's definition, and the declarations of what it calls (each a line)."""

    text: str
    declarations: frozenset[str]


class _Count(NamedTuple):
    """A loop, and the values that its variable runs through."""

    loop: For
    start: Value
    stop: Value


class _Counted(NamedTuple):
    """What a loop counts: its variable first, by one, then multiples of it by their strides."""

    value: Value
    stride: Value


_ONE = Value("1", 0)


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
        elif isinstance(stmt, While):
            cond = self._values.of(stmt.cond)
            self._branch(cond, lambda: self._loop(stmt.body, stmt.cond), None)
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
        number = 0
        while number < len(stmt.stmts):
            group = group_at(stmt.stmts, number)
            if group is None:
                self._live = live[-1 - number]
                self._stmt(stmt.stmts[number])
            else:
                self._store_group(group)
            number += len(group or [stmt])

    def _store(self, stmt: Store) -> None:
        value = self._values.of(stmt.value)
        if stmt.buffer.scope == "register":
            (slot,) = self._effects.of(stmt).written
            self._values.slots[slot] = self._merged(stmt, slot, value)
        else:
            if len(stmt.indices) != 1:
                name = f"{stmt.buffer.name}{stmt.buffer.ordinal}"
                raise IRError(f"'{name}' has {len(stmt.indices)} axes; 'flatten' makes it 1-D")
            self._values.memory.store(stmt.buffer, stmt.indices[0], value)
        self._values.settle()

    def _store_group(self, group: list[Store]) -> None:
        """Stores that together fill a run of elements, as one."""
        parts = [self._values.of(store.value) for store in group]
        positions = [store.indices[0] for store in group]
        self._values.memory.store_interleaved(group[0].buffer, positions, parts)
        self._values.settle()

    def _merged(self, stmt: Store, slot: Slot, value: Value) -> Value:
        """The new value in the lanes of the store's mask, what the slot holds in the others."""
        mask, old = unmasked(stmt.indices[0])[1], self._values.slots.get(slot)
        if mask is None or old is None:
            return value
        chosen = self._values.of(mask)
        return select(self.ssa, chosen, value, old, stmt.value.dtype, stmt.value.dtype.lanes)

    def _for(self, loop: For) -> None:
        if loop.kind not in ("serial", "parallel"):
            name = f"{loop.var.name}{loop.var.ordinal}"
            raise IRError(f"loop {name} is {loop.kind}; it must be gone before emission")
        extent = self._values.of(loop.extent)
        low = lower_bound(loop.extent, self._values.env)
        self._values.env[loop.var] = (0, loop.extent - 1)
        self._values.memory.products.update(products(loop))
        ahead = dict(loop.annotations).get(PREFETCH)
        if isinstance(ahead, int):
            self._values.memory.ahead[loop.var] = loop.var + ahead
            for multiple in loop.multiples:
                self._values.memory.ahead[multiple.var] = multiple.var + multiple.step * ahead
        if loop.kind == "parallel":
            if low is None or low < 0:  # shares of less than nothing would not be empty
                extent = self._values.of(Max(loop.extent, Const(0, loop.extent.dtype)))
            start, stop = self._share(extent)
            count = _Count(loop, start, stop)
            self._branch(
                self._less(start, stop, INDEX), lambda: self._loop(loop.body, count), None, "guard"
            )
        else:
            count = _Count(loop, Value("0", 0), extent)
            if low is not None and low > 0:
                self._loop(loop.body, count)
            else:
                runs = self._less(count.start, extent, loop.var.dtype)
                self._branch(runs, lambda: self._loop(loop.body, count), None, "guard")
        del self._values.env[loop.var]
        for var in (loop.var, *[multiple.var for multiple in loop.multiples]):
            self._values.memory.products.pop(var, None)
            self._values.memory.ahead.pop(var, None)

    def _less(self, a: Value, b: Value, dtype: DType) -> Value:
        return self.ssa.op(f"icmp slt {register_type(dtype)} {a.text}, {b.text}", depth_of(a, b))

    def _product(self, a: Value, b: Value) -> Value:
        if a.text == "0" or b is _ONE:
            return a
        return self.ssa.op(f"mul nsw i64 {a.text}, {b.text}", depth_of(a, b))

    def _share(self, extent: Value) -> tuple[Value, Value]:
        """Thread t of T runs t*extent//T up to (t+1)*extent//T."""
        op, depth = self.ssa.op, extent.depth
        first = op(f"mul nsw i64 %tid, {extent.text}", depth)
        last = op(f"add nsw i64 {first.text}, {extent.text}", depth)
        start = op(f"udiv i64 {first.text}, %nt", depth)
        return start, op(f"udiv i64 {last.text}, %nt", depth)

    def _loop(self, body: Stmt, test: _Count | Expr) -> None:
        """A loop that runs at least once: the body comes before the test."""
        ssa, slots = self.ssa, self._values.slots
        effects = self._effects.of(body)
        head, leave = ssa.label("loop"), ssa.label("done")
        before = ssa.scopes[-1].block
        # What an iteration may leave as it was is read after the loop, if not in the next one.
        asked = frozenset[Slot]() if isinstance(test, _Count) else slots_read(test)
        after = self._live | asked
        needed = effects.exposed | (after - effects.sure)
        carried = [slot for slot in effects.written if slot in needed]
        initial = [slots.get(slot, Value("poison", 0)) for slot in carried]
        scope = Scope("loop", head, effects.stored, effects.barrier)
        self._values.memory.forget(effects.stored, effects.barrier)
        self._values.settle()
        strides: list[tuple[Var, Value]] = []
        if isinstance(test, _Count):
            of, loop = self._values.of, test.loop
            strides = [(loop.var, _ONE), *[(m.var, of(m.step)) for m in loop.multiples]]
        ssa.scopes.append(scope)
        depth = ssa.depth
        counted: list[_Counted] = []
        for var, stride in strides:
            counted.append(_Counted(Value(ssa.fresh(name_of(var)), depth), stride))
            self._values.variables[var] = counted[-1].value
        phis = [Value(ssa.fresh(), depth) for _ in carried]
        slots.update(zip(carried, phis, strict=True))
        live, self._live = self._live, after | effects.exposed
        self._stmt(body)
        self._live = live
        again = None if isinstance(test, _Count) else self._values.of(test).text
        ssa.scopes.pop()
        self._values.settle()

        slots = self._values.slots
        lines: list[str] = []
        for var, _ in strides:
            del self._values.variables[var]
        if isinstance(test, _Count):
            lines, again = self._count(test, counted, scope, before)
        for slot, phi, value in zip(carried, phis, initial, strict=True):
            ends = ((value.text, before), (slots[slot].text, scope.block))
            lines.append(_phi(_slot_type(slot), phi, *ends))
        lines = [f"  br label %{head}", f"{head}:", *lines, *scope.lines]
        lines += [f"  br i1 {again}, label %{head}, label %{leave}", f"{leave}:"]
        ssa.scopes[-1].lines += lines
        ssa.scopes[-1].block = leave
        for slot in effects.written:
            slots[slot] = Value(slots[slot].text, min(slots[slot].depth, ssa.depth))

    def _count(
        self, count: _Count, counted: list[_Counted], scope: Scope, before: str
    ) -> tuple[list[str], str]:
        """Appends the next count and the test to a loop; gives the phis, and the test's value."""
        spelled, phis, following = register_type(count.loop.var.dtype), [], []
        for value, stride in counted:
            first, after = self._product(count.start, stride), self.ssa.fresh()
            phis.append(_phi(spelled, value, (first.text, before), (after, scope.block)))
            flags = "nuw nsw" if stride is _ONE else "nsw"
            scope.lines.append(f"  {after} = add {flags} {spelled} {value.text}, {stride.text}")
            following.append(after)
        more = self.ssa.fresh()
        scope.lines.append(f"  {more} = icmp slt {spelled} {following[0]}, {count.stop.text}")
        return phis, more

    def _branch(
        self,
        cond: Value,
        then: Callable[[], None],
        other: Callable[[], None] | None,
        kind: ScopeKind = "branch",
    ) -> None:
        """Runs `then` or `other` and joins what they leave in the slots."""
        ssa = self.ssa
        join = ssa.label("join")
        origin = ssa.scopes[-1].block
        before = dict(self._values.slots)
        yes = self._arm(ssa.label("then"), then, kind)
        after = self._values.slots
        self._values.slots = before if other is None else dict(before)
        no = None if other is None else self._arm(ssa.label("else"), other, kind)
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

    def _arm(self, label: str, run: Callable[[], None], kind: ScopeKind) -> tuple[str, Scope]:
        scope = Scope(kind, label)
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
