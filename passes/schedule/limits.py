"""What a condition says of one variable: from which value on, and up to where, it may hold."""

from __future__ import annotations

from functools import reduce

from passes.ir.arith import linear, simplify
from passes.ir.expr import Const, Eq, Expr, Lt, Var, index, maximum, minimum
from passes.schedule.accesses import Ranges, loads_in


class Limits:
    """Values of a variable, `extent` of them from 0 on, narrowed by conditions."""

    def __init__(self, extent: Expr) -> None:
        self._lows, self._highs = [index(0)], [extent]

    def narrow(self, condition: Expr, v: Var) -> bool:
        """Takes in a simplified condition that bounds `v`; False if it says something else, or
        reads memory.

            3 <= v*2 + w   →   v from (4 - w)//2 on
        """
        if not isinstance(condition, Lt | Eq) or loads_in(condition):
            return False
        form = linear(condition.b - condition.a, [v])
        step = None if form is None else form[0].get(v)
        if form is None or not isinstance(step, Const):
            return False
        rest, c = form[1], int(step.value)
        if isinstance(condition, Eq):
            if abs(c) != 1:
                return False
            self._lows.append(simplify(-rest * c))
            self._highs.append(simplify(1 - rest * c))
        elif c > 0:
            self._lows.append(simplify((-rest) // c + 1))
        else:
            self._highs.append(simplify((rest - 1) // -c + 1))
        return True

    def low(self, known: Ranges | None = None) -> Expr:
        """The first value."""
        return simplify(reduce(maximum, self._lows), known)

    def high(self, known: Ranges | None = None) -> Expr:
        """What comes after the last one."""
        return simplify(reduce(minimum, self._highs), known)
