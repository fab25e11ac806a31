"""What statements of a lowered kernel do to memory and to register slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from passes.ir.expr import Call, Const, Expr, Ramp
from passes.ir.loop.nodes import Barrier, Buffer, For, If, Load, Seq, Stmt, Store, While
from passes.ir.node import IRError, Node, postorder


class Slot(NamedTuple):
    """A piece of a register buffer that is always read and written whole."""

    buffer: Buffer
    start: int
    lanes: int


def slot_of(access: Load | Store) -> Slot:
    """The slot a register access names. Raises `IRError` unless its index is constant."""
    position = unmasked(access.indices[0])[0] if len(access.indices) == 1 else None
    if isinstance(position, Const):
        return Slot(access.buffer, int(position.value), 1)
    if isinstance(position, Ramp) and isinstance(position.base, Const) and position.stride == 1:
        return Slot(access.buffer, int(position.base.value), position.lanes)
    name = f"{access.buffer.name}{access.buffer.ordinal}"
    raise IRError(
        f"register buffer '{name}' is accessed by an index that is not a constant; "
        "unroll the loops around the access or give the buffer scope 'local'"
    )


def unmasked(position: Expr) -> tuple[Expr, Expr | None]:
    """The lanes' positions, and the mask of those that access memory (None: all)."""
    if isinstance(position, Call) and position.name == "masked":
        return position.args[0], position.args[1]
    return position, None


@dataclass(frozen=True)
class Effects:
    """`written`: slots, in order; `exposed`: slots read before they are surely written;
    `sure`: slots written on every path; `stored`: memory buffers; `barrier`: holds a Barrier."""

    written: tuple[Slot, ...] = ()
    exposed: frozenset[Slot] = frozenset()
    sure: frozenset[Slot] = frozenset()
    stored: frozenset[Buffer] = frozenset()
    barrier: bool = False


class EffectTable:
    """Effects by statement, computed once each."""

    def __init__(self) -> None:
        self._known: dict[Stmt, Effects] = {}

    def of(self, stmt: Stmt) -> Effects:
        found = self._known.get(stmt)
        if found is None:
            found = self._known[stmt] = self._compute(stmt)
        return found

    def _compute(self, stmt: Stmt) -> Effects:
        if isinstance(stmt, Seq):
            return _in_order([self.of(inner) for inner in stmt.stmts])
        if isinstance(stmt, Store):
            read = slots_read(stmt.value, *stmt.indices)
            if stmt.buffer.scope == "register":
                slot = slot_of(stmt)
                if unmasked(stmt.indices[0])[1] is not None:  # the other lanes stay as they were
                    return Effects((slot,), read | {slot})
                return Effects((slot,), read, frozenset([slot]))
            return Effects(exposed=read, stored=frozenset([stmt.buffer]))
        if isinstance(stmt, For):
            body = self.of(stmt.body)
            runs = isinstance(stmt.extent, Const) and int(stmt.extent.value) > 0
            if stmt.kind == "parallel" or not runs:
                body = _maybe(body)
            return _in_order([Effects(exposed=slots_read(stmt.extent)), body])
        if isinstance(stmt, While):
            return _in_order([Effects(exposed=slots_read(stmt.cond)), _maybe(self.of(stmt.body))])
        if isinstance(stmt, If):
            then = self.of(stmt.then)
            other = Effects() if stmt.other is None else self.of(stmt.other)
            return _in_order([Effects(exposed=slots_read(stmt.cond)), _either(then, other)])
        if isinstance(stmt, Barrier):
            return Effects(barrier=True)
        raise IRError(f"a lowered kernel has no {type(stmt).__name__} statements; lower it first")


def slots_read(*roots: Expr) -> frozenset[Slot]:
    """The slots that expressions read."""
    nodes: list[Node] = postorder(*roots)
    return frozenset(
        [slot_of(n) for n in nodes if isinstance(n, Load) and n.buffer.scope == "register"]
    )


def _union(a: tuple[Slot, ...], b: tuple[Slot, ...]) -> tuple[Slot, ...]:
    return tuple(dict.fromkeys((*a, *b)))


def _maybe(effects: Effects) -> Effects:
    return Effects(effects.written, effects.exposed, frozenset(), effects.stored, effects.barrier)


def _in_order(parts: list[Effects]) -> Effects:
    written: dict[Slot, None] = {}
    exposed: set[Slot] = set()
    sure: set[Slot] = set()
    stored: set[Buffer] = set()
    for part in parts:
        exposed |= part.exposed - sure
        sure |= part.sure
        stored |= part.stored
        written.update(dict.fromkeys(part.written))
    barrier = any(part.barrier for part in parts)
    return Effects(tuple(written), frozenset(exposed), frozenset(sure), frozenset(stored), barrier)


def _either(a: Effects, b: Effects) -> Effects:
    return Effects(
        _union(a.written, b.written),
        a.exposed | b.exposed,
        a.sure & b.sure,
        a.stored | b.stored,
        a.barrier or b.barrier,
    )
