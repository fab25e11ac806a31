"""Expressions → SSA values."""

from __future__ import annotations

from passes.codegen.emit.arithmetic import Known, binary, cast, divide, reinterpret, select
from passes.codegen.emit.calls import call
from passes.codegen.emit.effects import Slot, slot_of
from passes.codegen.emit.memory import Memory
from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import literal, memory_type, register_type, splat, vector
from passes.ir.arith import lower_bound, prove, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import (
    And,
    Binary,
    BitAnd,
    BitOr,
    BitXor,
    Broadcast,
    Call,
    Cast,
    Const,
    Dim,
    Expr,
    FloorDiv,
    FloorMod,
    Le,
    Lt,
    Not,
    Ramp,
    Reinterpret,
    Select,
    Var,
    const,
    product,
)
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError


class Values:
    """Evaluates expressions in the innermost open scope, hoisting what may be hoisted.

    `variables` and `slots` say what loop variables and register slots hold at the moment;
    `env` gives the range of each loop variable.
    """

    def __init__(self, ssa: Ssa, stored: frozenset[Buffer]) -> None:
        self._ssa = ssa
        self.memory = Memory(ssa, self.of, self._is_inside, stored)
        self.variables: dict[Expr, Value] = {}
        self.slots: dict[Slot, Value] = {}
        self.env: dict[Var, tuple[Expr | int, Expr | int]] = {}
        self._known: dict[Expr, Value] = {}
        self._inside: dict[tuple[Buffer, Expr], bool] = {}

    def of(self, e: Expr) -> Value:
        """The value of `e` here and now."""
        known = self._known
        stack: list[tuple[Expr, bool]] = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if node in known:
                continue
            if ready:
                known[node] = self._compute(node)
                continue
            stack.append((node, True))
            left = [child for child in reversed(_operands(node)) if child not in known]
            stack.extend((child, False) for child in left)
        return known[e]

    def _is_inside(self, buffer: Buffer, position: Expr) -> bool:
        """Whether a scalar or contiguous position is known to lie in the buffer."""
        key = buffer, position
        if key not in self._inside:
            place: Expr = substitute(position, self.memory.products)
            first = last = place
            if isinstance(place, Ramp):
                first, last = place.base, place.base + (place.lanes - 1)
            inside = And(Le(const(0), first), Lt(last, product(buffer.shape)))
            self._inside[key] = first.dtype == INDEX and prove(inside, self.env)
        return self._inside[key]

    def settle(self) -> None:
        """To be called when memory, slots or scopes have changed."""
        self._known.clear()

    def _compute(self, node: Expr) -> Value:
        ssa, known, dtype = self._ssa, self._known, node.dtype
        if isinstance(node, Const):
            return Value(literal(node.value, dtype), 0)
        if isinstance(node, Var | Dim):
            return self._variable(node)
        if isinstance(node, FloorDiv | FloorMod):
            return self._divide(node)
        if isinstance(node, Binary):
            return binary(ssa, type(node), node.a.dtype, known[node.a], known[node.b])
        if isinstance(node, Load):
            return self._load(node)
        if isinstance(node, Not):
            true = "true" if dtype.lanes == 1 else "splat (i1 true)"
            value = known[node.a]
            return ssa.op(f"xor {register_type(dtype)} {value.text}, {true}", value.depth)
        if isinstance(node, Select):
            chosen = (known[node.cond], known[node.then], known[node.other])
            return select(ssa, *chosen, dtype, node.cond.dtype.lanes)
        if isinstance(node, Cast):
            return cast(ssa, known[node.value], node.value.dtype, dtype)
        if isinstance(node, Call):
            return call(ssa, node, [known[argument] for argument in node.args])
        if isinstance(node, Reinterpret):
            return self._bits(node.value, register_type(dtype))
        if isinstance(node, Broadcast):
            return self._broadcast(node)
        if isinstance(node, Ramp):
            return self._ramp(node)
        raise IRError(f"the emitter knows no expression {type(node).__name__}")

    def _variable(self, node: Var | Dim) -> Value:
        found = self.variables.get(node)
        if found is None:
            name = node.name if isinstance(node, Dim) else f"{node.name}{node.ordinal}"
            raise IRError(f"'{name}' is used where neither a loop nor the function binds it")
        return found

    def _load(self, node: Load) -> Value:
        if node.buffer.scope != "register":
            return self.memory.load(node.buffer, _position(node))
        found = self.slots.get(slot_of(node))
        if found is None:
            name = f"{node.buffer.name}{node.buffer.ordinal}"
            raise IRError(f"register buffer '{name}' is read before anything is stored there")
        return found

    def _divide(self, node: FloorDiv | FloorMod) -> Value:
        by = _constant(node.b)
        scalar = node.dtype == INDEX
        low = lower_bound(node.a, self.env) if scalar else None
        least = by if by is not None else lower_bound(node.b, self.env) if scalar else None
        positive = least is not None and least > 0
        unsigned = not node.dtype.is_signed or (positive and low is not None and low >= 0)
        a, b = self._known[node.a], self._known[node.b]
        known = Known(by, unsigned, positive or bool(by))
        return divide(self._ssa, type(node), node.dtype, a, b, known)

    def _bits(self, value: Expr, spelled: str) -> Value:
        """The bits of `value` as LLVM type `spelled`; a load is done in that type at once."""
        if _is_plain_load(value):
            assert isinstance(value, Load)
            return self.memory.load_raw(value.buffer, _position(value), spelled)
        return reinterpret(self._ssa, self.of(value), register_type(value.dtype), spelled)

    def _broadcast(self, node: Broadcast) -> Value:
        spread = _spread(node)
        if spread is not None:
            return self._known[spread]
        value, lanes = node.value, node.lanes
        width = value.dtype.bits * value.dtype.lanes
        if value.dtype.lanes == 1:
            if isinstance(value, Const):
                return Value(splat(self._known[value].text, value.dtype, lanes), 0)
            return self._splat(self._known[value], register_type(value.dtype), lanes)
        if width in (16, 32, 64) and value.dtype.name != "bool":
            word = self._bits(value, f"i{width}")
            whole = self._splat(word, f"i{width}", lanes)
            return reinterpret(
                self._ssa, whole, vector(f"i{width}", lanes), register_type(node.dtype)
            )
        short, spelled = self.of(value), register_type(value.dtype)
        mask = ", ".join(f"i32 {number % value.dtype.lanes}" for number in range(node.dtype.lanes))
        text = f"shufflevector {spelled} {short.text}, {spelled} poison"
        return self._ssa.op(f"{text}, <{node.dtype.lanes} x i32> <{mask}>", short.depth)

    def _splat(self, value: Value, spelled: str, lanes: int) -> Value:
        whole = vector(spelled, lanes)
        first = f"insertelement {whole} poison, {spelled} {value.text}, i64 0"
        text = f"shufflevector {whole} {self._ssa.op(first, value.depth).text}, {whole} poison"
        return self._ssa.op(f"{text}, <{lanes} x i32> zeroinitializer", value.depth)

    def _ramp(self, node: Ramp) -> Value:
        dtype, scalar = node.dtype, node.dtype.scalar
        start = int(node.base.value) if isinstance(node.base, Const) else 0
        steps = [literal(start + node.stride * i, scalar) for i in range(node.lanes)]
        spelled = register_type(scalar)
        constant = Value(f"<{', '.join(f'{spelled} {step}' for step in steps)}>", 0)
        if isinstance(node.base, Const):
            return constant
        base = self._splat(self._known[node.base], spelled, node.lanes)
        text = f"add {register_type(dtype)} {base.text}, {constant.text}"
        return self._ssa.op(text, depth_of(base))


def _operands(node: Expr) -> list[Expr]:
    """What must be evaluated before a node: not positions, nor what is loaded in another type."""
    if isinstance(node, Load):
        return []
    if isinstance(node, Broadcast) and (spread := _spread(node)) is not None:
        return [spread]
    if isinstance(node, Reinterpret | Broadcast) and node.value.dtype.lanes > 1:
        return [] if _is_plain_load(node.value) else [node.value]
    if isinstance(node, Reinterpret) and _is_plain_load(node.value):
        return []
    return [child for child in node.children if isinstance(child, Expr)]


def _spread(node: Broadcast) -> Expr | None:
    """Bits of an integer just loaded, changed by a constant: as an operation on vectors, which the
    processor loads into all lanes at once. From a general register it would have to be moved."""
    e = node.value
    if not isinstance(e, BitAnd | BitOr | BitXor) or not isinstance(e.b, Const):
        return None
    value = e.a.value if isinstance(e.a, Reinterpret) else e.a
    if e.dtype.lanes > 1 or e.dtype.bits < 32 or not _is_plain_load(value):
        return None
    return type(e)(Broadcast(e.a, node.lanes), Broadcast(e.b, node.lanes))


def _is_plain_load(value: Expr) -> bool:
    """A load of adjacent bytes from memory, whose elements are computed with as they lie there."""
    if not isinstance(value, Load) or value.buffer.scope == "register":
        return False
    position = _position(value)
    contiguous = position.dtype.lanes == 1 or (isinstance(position, Ramp) and position.stride == 1)
    return contiguous and memory_type(value.dtype) == register_type(value.dtype)


def _position(node: Load) -> Expr:
    if len(node.indices) != 1:
        name = f"{node.buffer.name}{node.buffer.ordinal}"
        raise IRError(f"'{name}' has {len(node.indices)} axes; the pass 'flatten' makes it 1-D")
    return node.indices[0]


def _constant(e: Expr) -> int | None:
    if isinstance(e, Broadcast):
        return _constant(e.value)
    return int(e.value) if isinstance(e, Const) else None
