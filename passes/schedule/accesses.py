"""Where a program loads and stores: every access with its place and the conditions around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from passes.ir.arith import substitute
from passes.ir.expr import Const, Expr, Not, Var
from passes.ir.loop.nodes import Block, Buffer, For, If, Load, Seq, Stmt, Store
from passes.ir.node import Node, postorder
from passes.schedule.tree import statements

Path = tuple[tuple[Stmt, int], ...]
Ranges = Mapping[Var, tuple[Expr, Expr]]


@dataclass(frozen=True)
class Access:
    """One load or store of a buffer with its indices as expressions of the loops around it.

    `path` leads from the root to it: statements with the number of the part that was entered.
    `conditions` are the predicates and branches on the way.
    """

    buffer: Buffer
    indices: tuple[Expr, ...]
    is_store: bool
    block: Block | None
    path: Path
    conditions: tuple[Expr, ...]

    @property
    def loops(self) -> list[For]:
        """The loops around it, from the root inwards."""
        return [s for s, _ in self.path if isinstance(s, For)]


@lru_cache(maxsize=1 << 8)
def accesses(root: Stmt) -> tuple[Access, ...]:
    """All accesses below `root` in program order, block iterators replaced by their bindings."""
    walk = _Walk()
    walk.stmt(root, (), None, {}, ())
    return tuple(walk.found)


@lru_cache(maxsize=1 << 8)
def ranges(root: Node) -> Ranges:
    """The loops below `root` with their first and last value."""
    found = [s for s in statements(root) if isinstance(s, For)]
    return {s.var: (Const(0, s.var.dtype), s.extent - 1) for s in found}


def precedes(a: Access, b: Access) -> tuple[list[For], bool]:
    """The loops around both, and whether `a` comes first within one iteration of them all."""
    common: list[For] = []
    for (one, at), (other, to) in zip(a.path, b.path, strict=False):
        if one is not other:
            break
        if at != to:
            return common, not isinstance(one, If) and at < to
        if isinstance(one, For):
            common.append(one)
    return common, False


class _Walk:
    def __init__(self) -> None:
        self.found: list[Access] = []

    def exprs(
        self,
        roots: tuple[Expr, ...],
        path: Path,
        block: Block | None,
        values: Mapping[Var, Expr],
        conditions: tuple[Expr, ...],
    ) -> None:
        for e in postorder(*roots):
            if isinstance(e, Load):
                indices = tuple([substitute(i, values) for i in e.indices])
                self.found.append(Access(e.buffer, indices, False, block, path, conditions))

    def stmt(
        self,
        stmt: Stmt,
        path: Path,
        block: Block | None,
        values: Mapping[Var, Expr],
        conditions: tuple[Expr, ...],
    ) -> None:
        here = (*path, (stmt, 0))
        match stmt:
            case Seq(stmts):
                for k, inner in enumerate(stmts):
                    self.stmt(inner, (*path, (stmt, k)), block, values, conditions)
            case For():
                self.exprs((stmt.extent,), path, block, values, conditions)
                self.stmt(stmt.body, here, block, values, conditions)
            case If(cond, then, other):
                self.exprs((cond,), path, block, values, conditions)
                holds = substitute(cond, values)
                self.stmt(then, here, block, values, (*conditions, holds))
                if other is not None:
                    self.stmt(other, (*path, (stmt, 1)), block, values, (*conditions, Not(holds)))
            case Block():
                self.block(stmt, path, values, (block, conditions))
            case Store(buffer, indices, value):
                self.exprs((*indices, value), path, block, values, conditions)
                place = tuple([substitute(i, values) for i in indices])
                self.found.append(Access(buffer, place, True, block, here, conditions))

    def block(
        self,
        block: Block,
        path: Path,
        values: Mapping[Var, Expr],
        outside: tuple[Block | None, tuple[Expr, ...]],
    ) -> None:
        asked = () if block.predicate is None else (block.predicate,)
        around, conditions = outside
        self.exprs((*block.bindings, *asked), path, around, values, conditions)
        pairs = zip(block.iters, block.bindings, strict=True)
        inside = {**values, **{it.var: substitute(e, values) for it, e in pairs}}
        conditions = (*conditions, *[substitute(e, values) for e in asked])
        if block.init is not None:
            self.stmt(block.init, (*path, (block, 0)), block, inside, conditions)
        self.stmt(block.body, (*path, (block, 1)), block, inside, conditions)
