"""What may go wrong with an expression where the program did not evaluate it before."""

from __future__ import annotations

from passes.ir.arith import prove
from passes.ir.expr import Expr, FloorDiv, FloorMod
from passes.ir.expr_text import name_of, print_expr
from passes.ir.node import Node, postorder
from passes.schedule.accesses import Ranges, loads_in


def divisors(root: Node, known: Ranges) -> list[Expr]:
    """The divisors of integers below `root` that may be 0, inner ones first."""
    found = [n.b for n in postorder(root) if isinstance(n, FloorDiv | FloorMod)]
    return [
        e
        for e in dict.fromkeys(found)
        if not e.dtype.is_float and not (prove(e >= 1, known) or prove(e <= -1, known))
    ]


def fault(e: Expr, known: Ranges) -> str | None:
    """Why evaluating `e` may fail: a division by zero, or a load outside a buffer."""
    for divisor in divisors(e, known):
        return f"the divisor {print_expr(divisor)} of what it would still evaluate may be 0"
    for load in loads_in(e):
        for i, extent in zip(load.indices, load.buffer.shape, strict=True):
            if not (prove(i >= 0, known) and prove(i < extent, known)):
                name = name_of(load.buffer)
                return f"'{name}' may not reach as far as what it would still evaluate"
    return None
