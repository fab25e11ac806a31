"""Products that are added become fused multiply-adds.

    y = acc + a*b              →   y = fma(a, b, acc)
    y = acc + (a*b + c*d)      →   y = fma(a, b, fma(c, d, acc))

Approximates: one rounding instead of two, and sums of two products are reassociated. Runs before
functions are expanded, whose polynomials already say where they want a fused operation.
"""

from __future__ import annotations

from passes.ir.expr import Add, Call, Expr, Mul
from passes.ir.loop.nodes import Function
from passes.ir.node import Node, rewrite


def contract(function: Function) -> Function:
    """The function with each float sum of products fused."""
    return rewrite(function, _fused)


def _fused(node: Node) -> Node | None:
    if not isinstance(node, Add) or not node.dtype.is_float:
        return None
    for product, rest in ((node.b, node.a), (node.a, node.b)):
        if isinstance(product, Mul):
            return _fma(product.a, product.b, rest)
        # The children are done: a sum of two products is fma(a, b, c*d) by now.
        if isinstance(product, Call) and product.name == "fma":
            a, b, added = product.args
            if isinstance(added, Mul):
                return _fma(a, b, _fma(added.a, added.b, rest))
    return None


def _fma(a: Expr, b: Expr, c: Expr) -> Expr:
    return Call("fma", (a, b, c), c.dtype)
