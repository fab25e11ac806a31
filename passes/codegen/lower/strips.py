"""Vectorized loops of any extent become loops over strips of a vector's lanes.

    for i2 in vectorized(n):             for i3 in range((n + 7)//8):
        y1[i2] = x0[i2]            →         for i4 in vectorized(8):
                                                 if i3*8 + i4 < n:
                                                     y1[i3*8 + i4] = x0[i3*8 + i4]

A strip has as many lanes as elements of the widest type inside fit into a vector register. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.facts import CPU, Facts
from passes.codegen.lower.walk import Walk, branch, constant
from passes.ir.arith import substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Lt, ceildiv, const
from passes.ir.loop.nodes import For, Function, Load, Stmt, Store
from passes.ir.node import postorder


def cut_strips(function: Function, facts: Facts = CPU) -> Function:
    """The function whose vectorized loops all have a constant extent."""
    return function.replace(body=_Strips(function, facts).stmt(function.body))


class _Strips(Walk):
    def __init__(self, function: Function, facts: Facts) -> None:
        super().__init__(function)
        self._bytes = facts.vector_bits // 8

    def loop(self, loop: For) -> Stmt:
        around = any(outer.kind == "vectorized" for outer in self.loops)
        fixed = constant(loop.extent) is not None or loop.var.dtype != INDEX
        if loop.kind != "vectorized" or around or fixed:
            return super().loop(loop)
        inside = postorder(loop.body)
        sizes = [node.buffer.dtype.bytes for node in inside if isinstance(node, Load | Store)]
        width = max(1, self._bytes // max(sizes, default=1))
        strip, lane = self.renamed(loop.var), self.renamed(loop.var)
        place = strip * width + lane
        body = branch(Lt(place, loop.extent), substitute(loop.body, {loop.var: place}))
        lanes = loop.replace(var=lane, extent=const(width), body=body)
        return super().loop(For(strip, ceildiv(loop.extent, width), lanes))
