"""Blocks become the statements they stand for.

    for k3 in range(64):                       for k3 in range(64):
        with block("sum"):                         if k3 == 0:
            i4 = spatial(8, i2)                        y1[i2] = 0
            k5 = reduce(64, k3)           →        y1[i2] = y1[i2] + x0[i2, k3]
            with init(): y1[i4] = 0
            y1[i4] = y1[i4] + x0[i4, k5]

A predicate becomes an `if`, dropped where it provably holds. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.walk import NOTHING, Walk, branch
from passes.ir.arith import substitute
from passes.ir.expr import TRUE, Eq, Expr, Var, both, const
from passes.ir.loop.nodes import Block, Function, Stmt, seq


def lower_blocks(function: Function) -> Function:
    """The function without blocks."""
    return function.replace(body=_Blocks(function).stmt(function.body))


class _Blocks(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(e)

    def block(self, block: Block) -> Stmt:
        values: dict[Var, Expr] = {}
        starts: list[Expr] = []
        for iterator, binding in zip(block.iters, block.bindings, strict=True):
            values[iterator.var] = binding
            if iterator.kind == "reduce":
                starts.append(Eq(binding, const(0, binding.dtype)))
        body = self.stmt(substitute(block.body, values))
        first: Stmt = NOTHING
        if block.init is not None:
            init = self.stmt(substitute(block.init, values))
            first = branch(self.simplified(both(*starts) or TRUE), init)
        cond = TRUE if block.predicate is None else self.simplified(block.predicate)
        return branch(cond, seq(first, body))
