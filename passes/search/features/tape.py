"""Numbers that are not known yet: arithmetic is noted once, and done for many values at a time.

    tape = Tape()
    t = tape.dim("t")
    n = ceildiv(1024, t) * 8                 a note, as each subterm is, once; 3 * 8 is just 24
    tape.run([n], {"t": array})              one array operation a note

Numbers are whole, or shares of one; integer division rounds down. They are kept as 64-bit floats
where they are evaluated: exact up to 2**53.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
Number: TypeAlias = "int | float | Sym"


def _floordiv(a: Array, b: Array) -> Array:
    whole: Array = np.floor(np.true_divide(a, b))
    return whole


def _gcd(a: Array, b: Array) -> NDArray[np.int64]:
    whole: NDArray[np.int64] = np.gcd(np.asarray(a, np.int64), np.asarray(b, np.int64))
    return whole


_RULES: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": _floordiv,
    "%": np.mod, "min": np.minimum, "max": np.maximum, "<=": np.less_equal, "?": np.where,
    "gcd": _gcd,
}  # fmt: skip


class Tape:
    """The notes: what is computed, operands before results, each once."""

    def __init__(self) -> None:
        self._notes: list[tuple[str, tuple[Any, ...]]] = []
        self._known: dict[tuple[Any, ...], Sym] = {}

    def dim(self, name: str) -> Sym:
        """The number that is called so where the tape is run."""
        return self.note("dim", name)

    def note(self, rule: str, *operands: Any) -> Sym:
        """The result of a rule, the same for the same operands."""
        key = (rule, *operands)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Sym(self, len(self._notes))
            self._notes.append((rule, operands))
        return found

    def factors(self, sym: Sym) -> tuple[Number, Number] | None:
        """The two numbers that a number is noted as the product of."""
        rule, operands = self._notes[sym.slot]
        return (operands[0], operands[1]) if rule == "*" else None

    def run(self, wanted: Sequence[Sym], values: Mapping[str, NDArray[Any]]) -> list[Array]:
        """The wanted numbers, one for each value of the dims; infinite, or none at all, where a
        divisor is 0. Raises KeyError for a dim without values."""
        done: list[Any] = [None] * len(self._notes)
        with np.errstate(divide="ignore", invalid="ignore"):
            for slot in self._needed(wanted):
                rule, operands = self._notes[slot]
                if rule == "dim":
                    done[slot] = np.asarray(values[operands[0]], np.float64)
                    continue
                given = [done[o.slot] if type(o) is Sym else o for o in operands]
                done[slot] = _RULES[rule](*given)
        return [done[sym.slot] for sym in wanted]

    def _needed(self, wanted: Sequence[Sym]) -> list[int]:
        """The notes that others need, in order."""
        needed = [False] * len(self._notes)
        for sym in wanted:
            needed[sym.slot] = True
        for slot in range(len(self._notes) - 1, -1, -1):
            if needed[slot]:
                for operand in self._notes[slot][1]:
                    if type(operand) is Sym:
                        needed[operand.slot] = True
        return [slot for slot, is_needed in enumerate(needed) if is_needed]


class Sym:
    """A number on a tape, equal to itself alone."""

    __slots__ = ("slot", "tape")

    def __init__(self, tape: Tape, slot: int) -> None:
        self.tape, self.slot = tape, slot

    def __add__(self, other: Number) -> Number:
        if type(other) is Sym:
            return self._with("+", other)
        return self if other == 0 else self.tape.note("+", self, other)

    def __sub__(self, other: Number) -> Number:
        if other is self:
            return 0
        return self if other == 0 else self.tape.note("-", self, other)

    def __rsub__(self, other: Number) -> Number:
        return self.tape.note("-", other, self)

    def __mul__(self, other: Number) -> Number:
        if type(other) is Sym:
            return self._with("*", other)
        return 0 if other == 0 else self if other == 1 else self.tape.note("*", self, other)

    def __truediv__(self, other: Number) -> Number:
        return self if other == 1 else self.tape.note("/", self, other)

    def __rtruediv__(self, other: Number) -> Number:
        return 0 if other == 0 else self.tape.note("/", other, self)

    def __floordiv__(self, other: Number) -> Number:
        if other is self:
            return 1
        return self if other == 1 else self.tape.note("//", self, other)

    def __rfloordiv__(self, other: Number) -> Number:
        return 0 if other == 0 else self.tape.note("//", other, self)

    def __mod__(self, other: Number) -> Number:
        return 0 if other == 1 or other is self else self.tape.note("%", self, other)

    def __rmod__(self, other: Number) -> Number:
        return 0 if other == 0 else self.tape.note("%", other, self)

    def __neg__(self) -> Number:
        return self.tape.note("-", 0, self)

    __radd__, __rmul__ = __add__, __mul__

    def _with(self, rule: str, other: Sym) -> Sym:
        """A rule whose operands may change places."""
        first, second = (other, self) if other.slot < self.slot else (self, other)
        return self.tape.note(rule, first, second)


def least(a: Number, b: Number) -> Number:
    """The smaller number."""
    return _either("min", a, b) if type(a) is Sym or type(b) is Sym else min(a, b)  # type: ignore[type-var]


def most(a: Number, b: Number) -> Number:
    """The larger number."""
    return _either("max", a, b) if type(a) is Sym or type(b) is Sym else max(a, b)  # type: ignore[type-var]


def _either(rule: str, a: Number, b: Number) -> Number:
    if not isinstance(a, Sym):
        a, b = b, a
    assert isinstance(a, Sym)
    if isinstance(b, Sym):
        return a if a is b else a._with(rule, b)
    return a.tape.note(rule, a, b)


def at_most(a: Number, b: Number) -> Number:
    """Whether a <= b, as a number to `choose` by."""
    if type(a) is Sym:
        return a.tape.note("<=", a, b)
    return b.tape.note("<=", a, b) if type(b) is Sym else int(a <= b)  # type: ignore[operator]


def common(a: Number, b: int) -> Number:
    """The greatest common divisor of whole numbers."""
    return a.tape.note("gcd", a, b) if type(a) is Sym else gcd(int(a), b)  # type: ignore[arg-type]


def choose(condition: Number, then: Number, other: Number) -> Number:
    """`then` where the condition holds, else `other`."""
    if type(condition) is not Sym:
        return then if condition else other
    return then if then is other else condition.tape.note("?", condition, then, other)


def ceildiv(a: Number, b: Number) -> Number:
    """`a / b` rounded up."""
    return a if type(b) is int and b == 1 else (a + (b - 1)) // b


def times(factors: Sequence[Number]) -> Number:
    """The product; 1 of nothing."""
    whole: Number = 1
    for factor in factors:
        whole = whole * factor
    return whole


def quotient(a: Number, b: Number) -> Number | None:
    """`a / b` where it is seen to be whole."""
    if type(a) is not Sym:
        if type(a) is int and type(b) is int:
            return None if b == 0 or a % b else a // b
        return 0 if a == 0 else None
    if a is b:
        return 1
    if type(b) is int and b == 1:
        return a
    if type(b) is Sym and (parts := b.tape.factors(b)) is not None:
        first = quotient(a, parts[0])
        return None if first is None else quotient(first, parts[1])
    pair = a.tape.factors(a)
    if pair is None:
        return None
    for one, other in (pair, pair[::-1]):
        part = quotient(one, b)
        if part is not None:
            return part * other
    return None
