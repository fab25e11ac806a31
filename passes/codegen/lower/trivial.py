"""Loops of one iteration disappear, parallel ones too.

    for i2 in parallel(1):         →     y1[0] = x0[0]
        y1[i2] = x0[i2]

Done before private temporaries are looked at: one iteration divides nothing between threads.
Exact.
"""

from __future__ import annotations

from passes.codegen.lower.walk import Walk, constant
from passes.ir.arith import substitute
from passes.ir.expr import Const, Expr
from passes.ir.loop.nodes import For, Function, Stmt


def drop_trivial_loops(function: Function) -> Function:
    """The function without loops whose extent is constant 1."""
    return function.replace(body=_Trivial(function).stmt(function.body))


class _Trivial(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(e)

    def loop(self, loop: For) -> Stmt:
        extent = self.expr(loop.extent)
        if constant(extent) != 1:
            return self.rebuilt(loop, extent, self.inside(loop))
        return self.stmt(substitute(loop.body, {loop.var: Const(0, loop.var.dtype)}))
