"""What may go wrong with an expression where the program did not evaluate it before."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars, prove
from passes.ir.arith.terms import terms
from passes.ir.expr import Expr, FloorDiv, FloorMod
from passes.ir.expr_text import name_of, print_expr
from passes.ir.node import Node, postorder
from passes.schedule.accesses import Ranges, corners, loads_in


def divisors(root: Node, known: Ranges) -> list[Expr]:
    """The divisors of integers below `root` that may be 0, inner ones first."""
    found = [
        n.b
        for n in postorder(root)
        if isinstance(n, FloorDiv | FloorMod) and not n.dtype.is_float and not _runs(n, known)
    ]
    return [e for e in dict.fromkeys(found) if not (prove(e >= 1, known) or prove(e <= -1, known))]


def _runs(quotient: FloorDiv | FloorMod, known: Ranges) -> bool:
    """Whether a variable that is divided has a multiple of the divisor values: there it has one.

    i // (n//8) where i is in 0 … n//8*4 - 1: some i is there, so n//8 is not 0
    """
    spans = [known[var] for var in free_vars(quotient.a) if var in known]
    return any(_is_multiple(last + 1, quotient.b) and prove(low >= 0, known) for low, last in spans)


def _is_multiple(e: Expr, factor: Expr) -> bool:
    """Whether each term of `e` has all the factors of `factor`, which is a single term."""
    wanted = list(terms(factor))
    if len(wanted) != 1 or not wanted[0]:
        return False
    return all(all(f in factors for f in wanted[0]) for factors in terms(e))


def fault(e: Expr, known: Ranges) -> str | None:
    """Why evaluating `e` may fail: a division by zero, or a load outside a buffer."""
    for divisor in divisors(e, known):
        return f"the divisor {print_expr(divisor)} of what it would still evaluate may be 0"
    for load in loads_in(e):
        if not inside(load.indices, load.buffer.shape, known):
            name = name_of(load.buffer)
            return f"'{name}' may not reach as far as what it would still evaluate"
    return None


def inside(indices: Sequence[Expr], shape: Sequence[Expr], known: Ranges) -> bool:
    """Whether a place, of an element or of a vector, is proven to be inside a buffer."""
    for i, extent in zip(indices, shape, strict=True):
        ends = corners(i)
        if ends is None or not (prove(ends[0] >= 0, known) and prove(ends[1] < extent, known)):
            return False
    return True
