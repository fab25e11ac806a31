"""Where along a loop a condition holds: from its beginning up to a point, or from a point on.

4*i + j < n, j = 0…3       holds for all j where i < n//4, for no j where (n + 3)//4 <= i
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.codegen.lower.walk import constant
from passes.ir.arith import Env, linear, prove, simplify, symbolic_max, symbolic_min
from passes.ir.dtypes import INDEX
from passes.ir.expr import And, Const, Eq, Expr, Le, Lt, Not, Or, Var, const, floordiv
from passes.ir.loop.nodes import If, Stmt
from passes.ir.node import postorder


@dataclass(frozen=True)
class Span:
    """A condition holds before `sure` and nowhere from `never` on; if it is `late`, it holds from
    `sure` on and nowhere before `never`. The points may lie outside the loop."""

    late: bool
    sure: Expr
    never: Expr

    def known(self, lows: Sequence[Expr], highs: Sequence[Expr], env: Env) -> bool | None:
        """Whether it holds wherever `low <= i < high` for all those, or nowhere; None: neither."""
        after, before = (self.sure, self.never) if self.late else (self.never, self.sure)
        if any(prove(Le(after, low), env) for low in lows):
            return self.late
        if any(prove(Le(high, before), env) for high in highs):
            return not self.late
        return None


def atoms(stmt: Stmt) -> list[Expr]:
    """The comparisons that branches inside a statement test, each once, in order."""
    found: dict[Expr, None] = {}
    for node in postorder(stmt):
        if isinstance(node, If):
            stack = [node.cond]
            while stack:
                cond = stack.pop()
                if isinstance(cond, And | Or):
                    stack += [cond.b, cond.a]
                elif isinstance(cond, Not):
                    stack.append(cond.a)
                else:
                    found[cond] = None
    return list(found)


def span(cond: Expr, var: Var, inner: Mapping[Var, Expr], env: Env) -> Span | None:
    """Where along loop `var` a comparison holds, whatever the loops inside are at; None if that
    is not known. `inner` has their extents, `env` the ranges of all the loops."""
    if not isinstance(cond, Lt | Le | Eq) or cond.a.dtype != INDEX:
        return None
    gap = simplify(cond.b - cond.a, env)
    if isinstance(cond, Eq):
        # only `e == 0` of what is never negative, as at the start of reductions
        if prove(const(0) <= gap, env):
            gap = simplify(const(0) - gap, env)
        elif not prove(gap <= 0, env):
            return None
    elif isinstance(cond, Lt):
        gap = simplify(gap - 1, env)
    # now the condition is 0 <= gap
    outside = {v: r for v, r in env.items() if v is not var and v not in inner}
    split = linear(gap, [var])
    step = constant(split[0].get(var, const(0))) if split is not None else None
    if split is None or not step:
        return None
    low, high = symbolic_min(split[1], inner, outside), symbolic_max(split[1], inner, outside)
    if low is None or high is None:
        return None
    by: Const = const(abs(step))
    if step < 0:  # i <= rest // by
        sure, never = floordiv(low, by) + 1, floordiv(high, by) + 1
    else:  # -rest // by rounded up <= i
        sure = floordiv(const(by.value - 1) - low, by)
        never = floordiv(const(by.value - 1) - high, by)
    return Span(step > 0, simplify(sure, outside), simplify(never, outside))
