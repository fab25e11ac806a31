"""The walk lowering passes share: statements rebuilt with the ranges of the loops around."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.expr import FALSE, TRUE, Const, Expr, Not, Var
from passes.ir.loop.nodes import (
    Barrier,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    Seq,
    Stmt,
    Store,
    While,
    seq,
)
from passes.ir.node import IRError, Node, postorder

NOTHING = Seq(())


class Walk:
    """Rebuilds a function's body; a pass overrides the statements it changes.

    `env` has the range of each loop variable around the statement at hand, `loops` those loops.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.env: dict[Var, tuple[Expr | int, Expr | int]] = {}
        self.loops: list[For] = []
        self._ordinals = fresh_ordinals(function)

    def stmt(self, stmt: Stmt) -> Stmt:
        """The new form of a statement."""
        if isinstance(stmt, Seq):
            return seq(*[self.stmt(inner) for inner in stmt.stmts])
        if isinstance(stmt, For):
            return self.loop(stmt)
        if isinstance(stmt, If):
            return self.branch(stmt)
        if isinstance(stmt, Block):
            return self.block(stmt)
        if isinstance(stmt, Store):
            return self.store(stmt)
        if isinstance(stmt, While):
            return While(self.expr(stmt.cond), self.stmt(stmt.body))
        if isinstance(stmt, Barrier):
            return stmt
        kind = type(stmt).__name__
        raise IRError(f"kernel '{self.function.name}' has a {kind} statement; only hosts may")

    def loop(self, loop: For) -> Stmt:
        extent = self.expr(loop.extent)
        return self.rebuilt(loop, extent, self.inside(loop))

    def inside(self, loop: For) -> Stmt:
        """The new body of a loop."""
        self.env[loop.var] = (0, loop.extent - 1)
        self.loops.append(loop)
        body = self.stmt(loop.body)
        self.loops.pop()
        del self.env[loop.var]
        return body

    def rebuilt(self, loop: For, extent: Expr, body: Stmt) -> Stmt:
        """The loop with another extent and body; nothing if the body does nothing."""
        return NOTHING if body is NOTHING else loop.replace(extent=extent, body=body)

    def branch(self, stmt: If) -> Stmt:
        cond = self.expr(stmt.cond)
        then = NOTHING if cond is FALSE else self.stmt(stmt.then)
        other = NOTHING if cond is TRUE or stmt.other is None else self.stmt(stmt.other)
        return branch(cond, then, other)

    def block(self, block: Block) -> Stmt:
        raise IRError(f"block '{block.label}' is still there; the pass 'blocks' comes first")

    def store(self, stmt: Store) -> Stmt:
        indices = tuple([self.expr(i) for i in stmt.indices])
        return Store(stmt.buffer, indices, self.expr(stmt.value))

    def expr(self, e: Expr) -> Expr:
        """The new form of an expression."""
        return e

    def simplified(self, e: Expr) -> Expr:
        """`e` simplified with what is known of the loops around that it speaks of."""
        return simplify(e, self.ranges(free_vars(e)))

    def ranges(self, wanted: frozenset[Var]) -> dict[Var, tuple[Expr | int, Expr | int]]:
        """Ranges of the variables, and of those that these ranges speak of, in loop order."""
        needed = set(wanted)
        for loop in reversed(self.loops):
            if loop.var in needed:
                needed |= free_vars(loop.extent)
        return {loop.var: self.env[loop.var] for loop in self.loops if loop.var in needed}

    def renamed(self, var: Var) -> Var:
        """A new variable of the same name."""
        return Var(var.name, next(self._ordinals), var.dtype)

    def copy(self, stmt: Stmt, values: Mapping[Var, Expr]) -> Stmt:
        """`stmt` with variables replaced and those it binds renamed, so that both can stay."""
        bound = [n.var for n in postorder(stmt) if isinstance(n, For | BlockIter)]
        return substitute(stmt, {**values, **{var: self.renamed(var) for var in bound}})


def branch(cond: Expr, then: Stmt, other: Stmt = NOTHING) -> Stmt:
    """`if cond: then else: other`, without what cannot run or does nothing."""
    if cond is TRUE or then is other:
        return then
    if cond is FALSE:
        return other
    if then is NOTHING:
        return If(Not(cond), other)
    return If(cond, then, None if other is NOTHING else other)


def fresh_ordinals(function: Function) -> Iterator[int]:
    """Ordinals that no variable and no buffer of the function has."""
    nodes: list[Node] = postorder(function)
    taken = [node.ordinal for node in nodes if isinstance(node, Var | Buffer)]
    return itertools.count(max(taken, default=-1) + 1)


def constant(e: Expr) -> int | None:
    """The value of an integer constant, else None."""
    return int(e.value) if isinstance(e, Const) else None
