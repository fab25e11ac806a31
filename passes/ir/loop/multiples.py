"""Multiples of loop variables spelled out again.

for k3, p4 in multiples(range(8), n):         for k3 in range(8):
    y1[k3] = x0[p4 + 1]                →          y1[k3] = x0[k3*n + 1]
"""

from __future__ import annotations

from passes.ir.arith import substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import For, Stmt
from passes.ir.node import Node, rewrite


def spelled_out(stmt: Stmt) -> Stmt:
    """The statement without multiples."""
    return rewrite(stmt, _spelled)


def products(loop: For) -> dict[Var, Expr]:
    """What the multiples of a loop stand for."""
    return {multiple.var: loop.var * multiple.step for multiple in loop.multiples}


def _spelled(node: Node) -> Node | None:
    if not isinstance(node, For) or not node.multiples:
        return None
    return node.replace(body=substitute(node.body, products(node)), multiples=())
