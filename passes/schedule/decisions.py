"""Values that follow from decisions, in the hands of whoever writes a schedule.

They are used like ints and loops, and remember which decision they come from, so that a trace can
be replayed with another one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from passes.ir.expr import Expr, SymbolicInt, Var, index

Place: TypeAlias = "Var | Literal['inline', 'root']"


def _kept(operation: Callable[[Any, Any], Any]) -> Any:
    def method(self: Decision, other: object) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        value = operation(int(self), int(other))
        return Decision(value, operation(self.expr, index(other)))

    return method


def _turned(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: operation(b, a)


class Decision(SymbolicInt):
    """A number that was decided, or computed from such: `expr`, over the decisions' symbols.

    With the arithmetic of indices (`+ - * // %`) it stays one; everything else, as comparing,
    sees the number as it is now.
    """

    def __new__(cls, value: int, expr: Expr) -> Decision:
        self = super().__new__(cls, value)
        self.expr = expr
        return self

    __add__ = _kept(operator.add)
    __radd__ = _kept(_turned(operator.add))
    __sub__ = _kept(operator.sub)
    __rsub__ = _kept(_turned(operator.sub))
    __mul__ = _kept(operator.mul)
    __rmul__ = _kept(_turned(operator.mul))
    __floordiv__ = _kept(operator.floordiv)
    __rfloordiv__ = _kept(_turned(operator.floordiv))
    __mod__ = _kept(operator.mod)
    __rmod__ = _kept(_turned(operator.mod))


@dataclass(frozen=True)
class Location:
    """Where a block was decided to be computed: a loop, "inline" or "root"."""

    symbol: Var
    place: Place
