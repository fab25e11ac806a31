"""Addresses, loads and stores of a kernel's buffers.

A linear index is split by depth: what changes in outer loops moves a pointer there, the constant
part comes last and folds into the addressing mode. Buffers never alias each other; a load is
repeated only after a store to its buffer, and leaves a loop that does not store to it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from passes.codegen.emit.lanes import lane
from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import memory_type, register_type, vector
from passes.ir.arith.terms import Terms, build, terms
from passes.ir.dtypes import DType
from passes.ir.expr import Expr, Ramp
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError

LOCAL_ALIGN = 64


class Memory:
    """The memory side of one kernel's emission; `evaluate` gives the value of an expression."""

    def __init__(
        self, ssa: Ssa, evaluate: Callable[[Expr], Value], stored: frozenset[Buffer]
    ) -> None:
        self._ssa = ssa
        self._evaluate = evaluate
        self._stored = stored
        self._bases: dict[Buffer, Value] = {}
        self._versions: dict[Buffer, int] = {}

    def define(self, buffer: Buffer, base: str) -> None:
        """Says which pointer a buffer starts at."""
        self._bases[buffer] = Value(base, 0)
        self._versions[buffer] = 0

    def forget(self, buffers: frozenset[Buffer], barrier: bool = False) -> None:
        """What is known of these buffers' content no longer holds (all shared ones: barrier)."""
        for buffer in self._bases:
            if buffer in buffers or (barrier and self._is_shared(buffer)):
                self._versions[buffer] += 1

    def load(self, buffer: Buffer, position: Expr) -> Value:
        """The elements at a scalar or vector position, as a register value."""
        dtype = buffer.dtype.with_lanes(position.dtype.lanes)
        if position.dtype.lanes == 1 or _is_contiguous(position):
            return self.as_register(self.load_raw(buffer, position, memory_type(dtype)), dtype)
        return self._gather(buffer, position, dtype)

    def load_raw(self, buffer: Buffer, position: Expr, spelled: str) -> Value:
        """The bytes at a scalar or contiguous position, read as the LLVM type `spelled`."""
        base = position.base if isinstance(position, Ramp) else position
        pointer, align = self._pointer(buffer, base)
        depth = max(pointer.depth, self._load_depth(buffer))
        text = f"load {spelled}, ptr {pointer.text}, align {align}"
        return self._ssa.op(text, depth, self._versions[buffer])

    def store(self, buffer: Buffer, position: Expr, value: Value) -> None:
        """Stores a register value at a scalar or vector position."""
        dtype = buffer.dtype.with_lanes(position.dtype.lanes)
        if dtype.lanes > 1 and not _is_contiguous(position):
            self._scatter(buffer, position, value, dtype)
            return
        base = position.base if isinstance(position, Ramp) else position
        pointer, align = self._pointer(buffer, base)
        spelled = memory_type(dtype)
        raw = self.as_memory(value, dtype)
        self._ssa.effect(f"store {spelled} {raw.text}, ptr {pointer.text}, align {align}")
        self._versions[buffer] += 1
        loaded = f"load {spelled}, ptr {pointer.text}, align {align}"
        self._ssa.remember(loaded, self._versions[buffer], raw)

    def as_register(self, raw: Value, dtype: DType) -> Value:
        """A value as loaded → as computed with: the bytes of bools become bits."""
        if dtype.name != "bool":
            return raw
        return self._ssa.op(
            f"trunc {memory_type(dtype)} {raw.text} to {register_type(dtype)}", raw.depth
        )

    def as_memory(self, value: Value, dtype: DType) -> Value:
        """The inverse of `as_register`."""
        if dtype.name != "bool":
            return value
        return self._ssa.op(
            f"zext {register_type(dtype)} {value.text} to {memory_type(dtype)}", value.depth
        )

    def _is_shared(self, buffer: Buffer) -> bool:
        return buffer.scope == "global" and buffer in self._stored

    def _load_depth(self, buffer: Buffer) -> int:
        """How far out a load may go: not out of a branch, nor of a loop that stores to it."""
        depth = self._ssa.depth
        while (scope := self._ssa.scopes[depth]).kind == "loop":
            if buffer in scope.stored or (scope.barrier and self._is_shared(buffer)):
                break
            depth -= 1
        return depth

    def _pointer(self, buffer: Buffer, position: Expr) -> tuple[Value, int]:
        pointer = self._bases.get(buffer)
        if pointer is None:
            raise IRError(f"'{buffer.name}{buffer.ordinal}' is neither a parameter nor allocated")
        size = buffer.dtype.bytes
        align = LOCAL_ALIGN if buffer.scope == "local" else size
        constant, by_depth = 0, dict[int, Terms]()
        for factors, coefficient in terms(position).items():
            align = gcd(align, coefficient * size)
            if factors:
                depth = depth_of(*[self._evaluate(factor) for factor in factors])
                by_depth.setdefault(depth, {})[factors] = coefficient
            else:
                constant = coefficient
        for depth in sorted(by_depth):
            offset = self._evaluate(build(by_depth[depth]))
            pointer = self._moved(pointer, offset, buffer.dtype)
        if constant:
            pointer = self._moved(pointer, Value(str(constant), 0), buffer.dtype)
        return pointer, align

    def _moved(self, pointer: Value, offset: Value, dtype: DType) -> Value:
        element = memory_type(dtype)
        text = f"getelementptr {element}, ptr {pointer.text}, i64 {offset.text}"
        return self._ssa.op(text, depth_of(pointer, offset))

    def _gather(self, buffer: Buffer, position: Expr, dtype: DType) -> Value:
        spelled = memory_type(dtype)
        lanes = [self._lane_position(position, number) for number in range(dtype.lanes)]
        window = self._window(lanes)
        if window is not None:
            start, offsets = window
            width = max(offsets) + 1
            narrow = vector(memory_type(dtype.scalar), width)
            raw = self.load_raw(buffer, Ramp(start, 1, width) if width > 1 else start, narrow)
            if width > 1:
                mask = ", ".join(f"i32 {offset}" for offset in offsets)
                text = f"shufflevector {narrow} {raw.text}, {narrow} poison"
                raw = self._ssa.op(f"{text}, <{dtype.lanes} x i32> <{mask}>", raw.depth)
                return self.as_register(raw, dtype)
        whole = Value("poison", 0)
        element = memory_type(dtype.scalar)
        for number, one in enumerate(lanes):
            raw = self.load_raw(buffer, one, element)
            text = f"insertelement {spelled} {whole.text}, {element} {raw.text}, i64 {number}"
            whole = self._ssa.op(text, depth_of(whole, raw))
        return self.as_register(whole, dtype)

    def _scatter(self, buffer: Buffer, position: Expr, value: Value, dtype: DType) -> None:
        spelled = register_type(dtype)
        for number in range(dtype.lanes):
            text = f"extractelement {spelled} {value.text}, i64 {number}"
            one = self._ssa.op(text, value.depth)
            self.store(buffer, self._lane_position(position, number), one)

    def _lane_position(self, position: Expr, number: int) -> Expr:
        found = lane(position, number)
        if found is None:
            raise IRError("a vector of positions must be arithmetic of loop variables, not loads")
        return found

    def _window(self, lanes: list[Expr]) -> tuple[Expr, list[int]] | None:
        """First position and offsets, if the lanes read exactly a contiguous run of elements."""
        constants = [terms(one).get((), 0) for one in lanes]
        moving = [{m: c for m, c in terms(one).items() if m} for one in lanes]
        if any(part != moving[0] for part in moving[1:]):
            return None
        low = min(constants)
        offsets = [constant - low for constant in constants]
        if set(offsets) != set(range(max(offsets) + 1)):
            return None
        return lanes[constants.index(low)], offsets


def _is_contiguous(position: Expr) -> bool:
    return isinstance(position, Ramp) and position.stride == 1
