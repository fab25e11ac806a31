"""Addresses, loads and stores of a kernel's buffers.

A linear index is split by depth: what changes in outer loops moves a pointer there, multiples that
a loop counts follow, the constant part comes last and folds into the addressing mode. Buffers never
alias each other; a load is repeated only after a store to its buffer, and leaves a loop that does
not store to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from passes.codegen.emit.arithmetic import reinterpret
from passes.codegen.emit.effects import unmasked
from passes.codegen.emit.lanes import lane
from passes.codegen.emit.shuffles import collected, interleaved, windows
from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import memory_type, register_type, vector
from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.arith.terms import Terms, build, terms
from passes.ir.dtypes import DType
from passes.ir.expr import Expr, Ramp, Var
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError

LOCAL_ALIGN = 64


class Memory:
    """The memory side of one kernel's emission; `evaluate` gives the value of an expression,
    `is_inside` whether a position is known to lie in a buffer."""

    def __init__(
        self,
        ssa: Ssa,
        evaluate: Callable[[Expr], Value],
        is_inside: Callable[[Buffer, Expr], bool],
        stored: frozenset[Buffer],
    ) -> None:
        self._ssa = ssa
        self._evaluate = evaluate
        self._is_inside = is_inside
        self._stored = stored
        self._bases: dict[Buffer, Value] = {}
        self._versions: dict[Buffer, int] = {}
        self.ahead: dict[Var, Expr] = {}  # what loops count, in the iteration to fetch ahead for
        self.products: dict[Var, Expr] = {}  # the multiples of loop variables, spelled out

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
        place, mask = unmasked(position)
        if mask is not None:
            return self._masked_load(buffer, place, mask)
        if position.dtype.lanes == 1 or _is_contiguous(position):
            self._prefetch(buffer, position)
            return self.as_register(self.load_raw(buffer, position, memory_type(dtype)), dtype)
        return self._gather(buffer, position, dtype)

    def load_raw(self, buffer: Buffer, position: Expr, spelled: str) -> Value:
        """The bytes at a scalar or contiguous position, read as the LLVM type `spelled`."""
        base = position.base if isinstance(position, Ramp) else position
        pointer, align = self._pointer(buffer, base)
        depth = self._load_depth(buffer, position, pointer.depth)
        text = f"load {spelled}, ptr {pointer.text}, align {align}"
        return self._ssa.op(text, depth, self._versions[buffer])

    def store(self, buffer: Buffer, position: Expr, value: Value) -> None:
        """Stores a register value at a scalar or vector position."""
        dtype = buffer.dtype.with_lanes(position.dtype.lanes)
        place, mask = unmasked(position)
        if mask is not None:
            self._masked_store(buffer, place, mask, value)
            return
        if dtype.lanes > 1 and not _is_contiguous(position):
            self._scatter(buffer, position, value, dtype)
            return
        base = position.base if isinstance(position, Ramp) else position
        self._store_raw(buffer, base, memory_type(dtype), self.as_memory(value, dtype))

    def store_interleaved(
        self, buffer: Buffer, positions: Sequence[Expr], values: Sequence[Value]
    ) -> None:
        """Stores vectors whose lanes, taken in turn, fill the memory from the first position on."""
        first = positions[0]
        assert isinstance(first, Ramp)
        element, dtype = _in_vectors(buffer.dtype), buffer.dtype.with_lanes(first.lanes)
        spelled = vector(element, first.lanes)
        raws = [reinterpret(self._ssa, one, register_type(dtype), spelled) for one in values]
        size = buffer.dtype.bytes
        runs, lanes = interleaved(self._ssa, raws, element, first.lanes, size)
        for number, run in enumerate(runs):
            base = first.base + number * lanes
            self._store_raw(buffer, base, vector(element, lanes), run)

    def _store_raw(self, buffer: Buffer, base: Expr, spelled: str, raw: Value) -> None:
        pointer, align = self._pointer(buffer, base)
        self._ssa.effect(f"store {spelled} {raw.text}, ptr {pointer.text}, align {align}")
        self._versions[buffer] += 1
        loaded = f"load {spelled}, ptr {pointer.text}, align {align}"
        self._ssa.remember(loaded, self._versions[buffer], raw)

    def _prefetch(self, buffer: Buffer, position: Expr) -> None:
        """Asks for the vector that a later iteration of a loop will read here.

        It is brought as far as the second cache: of the first one, rows that lie a power of two
        apart would use a few sets only.
        """
        if not isinstance(position, Ramp) or buffer.scope != "global" or buffer in self._stored:
            return
        later = {v: e for v, e in self.ahead.items() if v in free_vars(position.base)}
        if later:
            pointer, _ = self._pointer(buffer, simplify(substitute(position.base, later)))
            name = self._ssa.declare("void", "llvm.prefetch.p0", ["ptr", "i32", "i32", "i32"])
            text = f"call void {name}(ptr {pointer.text}, i32 0, i32 2, i32 1)"
            self._ssa.hint(text, pointer.depth)

    def _masked_load(self, buffer: Buffer, position: Expr, mask: Expr) -> Value:
        """Lanes that the mask leaves out are zero."""
        dtype, spelled, pointer = self._masked_access(buffer, position)
        chosen = self._evaluate(mask)
        lanes = vector("i1", dtype.lanes)
        name = self._ssa.declare(
            spelled, f"llvm.masked.load.{_suffix(spelled)}", ["ptr", lanes, spelled]
        )
        text = f"call {spelled} {name}({pointer.text}, {lanes} {chosen.text}"
        text = f"{text}, {spelled} zeroinitializer)"
        depth = self._load_depth(buffer, position, max(pointer.depth, chosen.depth))
        return self._from_vector(self._ssa.op(text, depth, self._versions[buffer]), dtype)

    def _masked_store(self, buffer: Buffer, position: Expr, mask: Expr, value: Value) -> None:
        dtype, spelled, pointer = self._masked_access(buffer, position)
        if dtype.name == "bool":
            raw = self.as_memory(value, dtype)
        else:
            raw = reinterpret(self._ssa, value, register_type(dtype), spelled)
        chosen = self._evaluate(mask)
        lanes = vector("i1", dtype.lanes)
        name = self._ssa.declare(
            "void", f"llvm.masked.store.{_suffix(spelled)}", [spelled, "ptr", lanes]
        )
        self._ssa.effect(
            f"call void {name}({spelled} {raw.text}, {pointer.text}, {lanes} {chosen.text})"
        )
        self._versions[buffer] += 1

    def _masked_access(self, buffer: Buffer, position: Expr) -> tuple[DType, str, Value]:
        """The type of the elements, as it is spelled here, and the pointer to the first of them."""
        if not isinstance(position, Ramp) or position.stride != 1:
            name = f"{buffer.name}{buffer.ordinal}"
            raise IRError(f"'{name}' is accessed under a mask, but not at neighbouring places")
        dtype = buffer.dtype.with_lanes(position.lanes)
        spelled = vector(_in_vectors(dtype), position.lanes)
        pointer, align = self._pointer(buffer, position.base)
        return dtype, spelled, Value(f"ptr align {align} {pointer.text}", pointer.depth)

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

    def _from_vector(self, raw: Value, dtype: DType) -> Value:
        """A vector of `_in_vectors` elements as a register value."""
        if dtype.name == "bool":
            return self.as_register(raw, dtype)
        before = vector(_in_vectors(dtype), dtype.lanes)
        return reinterpret(self._ssa, raw, before, register_type(dtype))

    def _is_shared(self, buffer: Buffer) -> bool:
        return buffer.scope == "global" and buffer in self._stored

    def _load_depth(self, buffer: Buffer, position: Expr, least: int) -> int:
        """How far out a load may go: not out of a branch, nor of a loop that stores to it.

        The guard of a loop is no obstacle to a scalar that is in bounds in any case. (Vectors
        stay: kept for longer than one loop, they would take registers from another.)
        """
        depth = self._ssa.depth
        while depth > least:
            scope = self._ssa.scopes[depth]
            if scope.kind == "loop":
                stays = buffer in scope.stored or (scope.barrier and self._is_shared(buffer))
            else:
                stays = scope.kind != "guard" or position.dtype.lanes > 1
                stays = stays or not self._is_inside(buffer, position)
            if stays:
                break
            depth -= 1
        return depth

    def _pointer(self, buffer: Buffer, position: Expr) -> tuple[Value, int]:
        pointer = self._bases.get(buffer)
        if pointer is None:
            raise IRError(f"'{buffer.name}{buffer.ordinal}' is neither a parameter nor allocated")
        constant, by_depth = 0, dict[int, Terms]()
        counted: list[Terms] = []
        for factors, coefficient in terms(position).items():
            if not factors:
                constant = coefficient
            elif factors[0] in self.products:
                counted.append({factors: coefficient})
            else:
                depth = depth_of(*[self._evaluate(factor) for factor in factors])
                by_depth.setdefault(depth, {})[factors] = coefficient
        element = memory_type(buffer.dtype)
        for part in [*[by_depth[depth] for depth in sorted(by_depth)], *counted]:
            pointer = self._moved(pointer, self._evaluate(build(part)), element)
        if constant:
            pointer = self._moved(pointer, Value(str(constant), 0), element)
        return pointer, self._align(buffer, position)

    def _align(self, buffer: Buffer, position: Expr) -> int:
        """Bytes that an element's address is a multiple of."""
        size = buffer.dtype.bytes
        if buffer.scope != "local":
            return size
        parts = terms(substitute(position, self.products))
        return gcd(LOCAL_ALIGN, *[coefficient * size for coefficient in parts.values()])

    def _moved(self, pointer: Value, offset: Value, element: str) -> Value:
        text = f"getelementptr {element}, ptr {pointer.text}, i64 {offset.text}"
        return self._ssa.op(text, depth_of(pointer, offset))

    def _gather(self, buffer: Buffer, position: Expr, dtype: DType) -> Value:
        """Lanes from here and there: vectors that hold them all, shuffled, or one by one."""
        places = [self._lane_position(position, number) for number in range(dtype.lanes)]
        element = _in_vectors(dtype.scalar)
        spelled = vector(element, dtype.lanes)
        found = windows(places)
        if found is None:
            whole = Value("poison", 0)
            for number, one in enumerate(places):
                raw = self.load_raw(buffer, one, element)
                text = f"insertelement {spelled} {whole.text}, {element} {raw.text}, i64 {number}"
                whole = self._ssa.op(text, depth_of(whole, raw))
        else:
            parts = []
            for window in found:
                run = Ramp(window.start, 1, window.width) if window.width > 1 else window.start
                parts.append(self.load_raw(buffer, run, vector(element, window.width)))
            whole = collected(self._ssa, found, parts, element, dtype.lanes)
        return self._from_vector(whole, dtype)

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


def _in_vectors(dtype: DType) -> str:
    """The LLVM type of elements that are moved about in vectors: integers for those narrower than
    f32, which LLVM would convert lane by lane."""
    return "i16" if dtype.bits == 16 else memory_type(dtype.scalar)


def _suffix(spelled: str) -> str:
    """`<16 x float>` → `v16f32.p0`, LLVM's name for a vector in memory."""
    lanes, scalar = spelled.strip("<>").split(" x ")
    return f"v{lanes}{ {'float': 'f32', 'double': 'f64'}.get(scalar, scalar) }.p0"


def _is_contiguous(position: Expr) -> bool:
    return isinstance(position, Ramp) and position.stride == 1
