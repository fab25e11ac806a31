"""Unrolled loops become straight-line statements; loops of one iteration disappear.

    for i2 in unrolled(2):             y1[0] = x0[0]*2.0
        y1[i2] = x0[i2]*2.0      →     y1[1] = x0[1]*2.0

Only a constant extent can be unrolled; a loop with another one becomes serial. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.walk import Walk, constant
from passes.ir.expr import Const, Expr
from passes.ir.loop.nodes import For, Function, Stmt, seq


def unroll(function: Function) -> Function:
    """The function without unrolled loops."""
    return function.replace(body=_Unroll(function).stmt(function.body))


class _Unroll(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(e)

    def loop(self, loop: For) -> Stmt:
        extent = self.expr(loop.extent)
        count = constant(extent)
        if count is None or loop.kind == "parallel" or (loop.kind != "unrolled" and count != 1):
            kind = "serial" if loop.kind == "unrolled" else loop.kind
            return self.rebuilt(loop.replace(kind=kind), extent, self.inside(loop))
        copies = [self.copy(loop.body, {loop.var: Const(i, loop.var.dtype)}) for i in range(count)]
        return seq(*[self.stmt(one) for one in copies])
