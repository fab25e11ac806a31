"""Branches move to where their condition is first known; those that agree become one.

    for k3 in range(64):                       if i2 < n:
        if i2 < n:                                 for k3 in range(64):
            y1[i2] = y1[i2] + x0[k3]       →           y1[i2] = y1[i2] + x0[k3]
    if i2 < n:                                     y1[i2] = y1[i2]*2.0
        y1[i2] = y1[i2]*2.0

    for k3 in range(64):                       if 0 < n - 8:
        for i2 in range(n - 8):                    for k3 in range(64):
            y1[i2] = y1[i2] + x0[k3]       →           for i2 in range(n - 8): …

Values need no pass: the emitter computes each as far out as its operands and the stores allow.
Exact.
"""

from __future__ import annotations

from functools import reduce

from passes.codegen.lower.walk import NOTHING, Walk, branch
from passes.ir.arith import free_vars, lower_bound
from passes.ir.expr import FALSE, TRUE, And, Const, Expr, FloorDiv, FloorMod, Lt, Not, Or
from passes.ir.loop.nodes import For, Function, If, Load, Seq, Stmt, seq
from passes.ir.node import Node, postorder, rewrite


def place_invariants(function: Function) -> Function:
    """The function with branches as far out as their conditions allow."""
    return function.replace(body=_Invariants(function).stmt(function.body))


class _Invariants(Walk):
    """`_known` are the conditions settled by the branches around the statement at hand."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self._known: dict[Node, Node] = {}

    def stmt(self, stmt: Stmt) -> Stmt:
        whole = super().stmt(stmt)
        if not isinstance(whole, Seq):
            return whole
        done: list[Stmt] = []
        for inner in whole.stmts:
            last = done[-1] if done else None
            if isinstance(inner, If) and isinstance(last, If) and self._agree(last, inner):
                done[-1] = branch(
                    last.cond, seq(last.then, inner.then), seq(last.other, inner.other)
                )
            else:
                done.append(inner)
        return seq(*done)

    def loop(self, loop: For) -> Stmt:
        body = self.inside(loop)
        runs = None if isinstance(body, If) else self._does_something(body)
        if runs is not None and loop.var not in free_vars(runs) and self._is_free(runs):
            return branch(self.simplified(runs), self.rebuilt(loop, loop.extent, body))
        if not isinstance(body, If) or loop.var in free_vars(body.cond):
            return self.rebuilt(loop, loop.extent, body)
        if not self._is_free(body.cond):
            return self.rebuilt(loop, loop.extent, body)
        then = loop.replace(body=body.then)
        other: Stmt = NOTHING
        if body.other is not None:
            other = self.copy(loop.replace(body=body.other), {})
        return branch(body.cond, then, other)

    def _does_something(self, stmt: Stmt) -> Expr | None:
        """The condition under which any loop of the statement runs; None if something else does,
        or it cannot be told."""
        if isinstance(stmt, For):
            least = lower_bound(stmt.extent, self.ranges(free_vars(stmt.extent)))
            return Lt(Const(0, stmt.extent.dtype), stmt.extent) if (least or 0) < 1 else None
        parts = [self._does_something(one) for one in stmt.stmts] if isinstance(stmt, Seq) else []
        some = [part for part in parts if part is not None]
        return reduce(Or, some) if some and len(some) == len(parts) else None

    def branch(self, stmt: If) -> Stmt:
        cond = self.simplified(rewrite(stmt.cond, self._known.get))
        then = NOTHING if cond is FALSE else self._under(cond, True, stmt.then)
        other: Stmt = NOTHING
        if stmt.other is not None and cond is not TRUE:
            other = self._under(cond, False, stmt.other)
        return branch(cond, then, other)

    def _under(self, cond: Expr, holds: bool, stmt: Stmt) -> Stmt:
        """The statement where the condition is known to hold, or not to."""
        before = self._known
        facts = [(fact, value) for fact, value in _facts(cond, holds) if self._is_free(fact)]
        self._known = {**before, **dict(facts)}
        done = self.stmt(stmt)
        self._known = before
        return done

    def _agree(self, first: If, second: If) -> bool:
        return first.cond is second.cond and self._is_free(first.cond)

    def _is_free(self, cond: Expr) -> bool:
        """True if a condition is the same everywhere in its scope, and cannot fail."""
        for node in postorder(cond):
            if isinstance(node, Load):
                return False
            if isinstance(node, FloorDiv | FloorMod):
                least = lower_bound(node.b, self.ranges(free_vars(node.b)))
                if least is None or least <= 0:
                    return False
        return True


def _facts(cond: Expr, holds: bool) -> list[tuple[Expr, Expr]]:
    """What a condition says of its parts where it holds, or does not."""
    if isinstance(cond, Not):
        return _facts(cond.a, not holds)
    if isinstance(cond, And if holds else Or):
        return [*_facts(cond.a, holds), *_facts(cond.b, holds)]
    return [(cond, TRUE if holds else FALSE)]
