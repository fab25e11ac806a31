"""Index expressions as sums (see `sums`), digits of mixed radix taken apart where that is seen.

(b*48 + o*16 + k)//16   →   b*3 + o          o, k loops, k < 16
(b*48 + o*16 + k)%16    →   k
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from passes.ir.expr import (
    Add,
    Broadcast,
    Call,
    Cast,
    Const,
    Dim,
    Expr,
    FloorDiv,
    FloorMod,
    Max,
    Min,
    Mul,
    Ramp,
    Sub,
    Var,
)
from passes.search.features.sums import Atom, Loop, Rule, Sum, is_digit, plus, scaled
from passes.search.features.tape import Number, Sym, Tape, least, most, quotient

_NONE: frozenset[Loop] = frozenset()


class Forms:
    """The sums of one program, whose variables are bound once. Equal atoms are one object."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._known: dict[Expr, Sum] = {}
        self._atoms: dict[object, Atom] = {}
        self._dims: dict[Dim, Sym] = {}
        self._lanes: dict[int, Loop] = {}

    def loop(self, loop: Loop) -> Sum:
        """The value of a loop's variable."""
        atom = self._atom(loop, "loop", frozenset((loop,)))
        return Sum({atom: 1}, 0)

    def of(self, e: Expr) -> Sum:
        """The sum that an expression of dims and known variables is."""
        found = self._known.get(e)
        if found is None:
            found = self._known[e] = self._of(e)
        return found

    def bind(self, var: Var, value: Sum) -> None:
        """Makes a variable known."""
        self._known[var] = value

    def _of(self, e: Expr) -> Sum:
        match e:
            case Const():
                return Sum({}, int(e.value))
            case Var():
                return self._anything(e, ())
            case Dim():
                return Sum({}, self._dims.setdefault(e, self.tape.dim(e.name)))
            case Add(a, b):
                return plus(self.of(a), self.of(b))
            case Sub(a, b):
                return plus(self.of(a), self.of(b), -1)
            case Mul(a, b):
                left, right = self.of(a), self.of(b)
                if left.terms and right.terms:
                    return self._anything(e, (left, right))
                if left.terms:
                    left, right = right, left
                return scaled(right, left.constant)
            case FloorDiv(a, b) | FloorMod(a, b):
                whole, part = self.of(a), self.of(b)
                if part.terms:
                    return self._anything(e, (whole, part))
                digit = self.remainder if isinstance(e, FloorMod) else self.quotient
                return digit(whole, part.constant)
            case Min(a, b) | Max(a, b):
                rule: Literal["min", "max"] = "min" if isinstance(e, Min) else "max"
                return self._end(rule, self.of(a), self.of(b))
            case Cast(value, _) | Broadcast(value, _):
                return self.of(value)
            case Call("masked", (place, _)):
                return self.of(place)
            case Ramp(base, stride, lanes):
                elements = self._lanes.setdefault(lanes, Loop(lanes, lanes, "lanes"))
                return plus(self.of(base), scaled(self.loop(elements), stride))
            case _:
                below = [child for child in e.children if isinstance(child, Expr)]
                return self._anything(e, [self.of(child) for child in below])

    def quotient(self, whole: Sum, divisor: Number) -> Sum:
        """`whole // divisor`; parts that it divides leave the quotient."""
        outside, rest = self._divided(whole, divisor)
        if not rest.terms:
            return plus(outside, Sum({}, rest.constant // divisor))
        if is_digit(rest, divisor):
            return outside
        key = "//", tuple(rest.terms.items()), rest.constant, divisor
        return plus(outside, Sum({self._atom(key, "//", rest.loops, (rest,), divisor): 1}, 0))

    def remainder(self, whole: Sum, divisor: Number) -> Sum:
        """`whole % divisor`, of the parts that it does not divide."""
        rest = self._divided(whole, divisor)[1]
        if not rest.terms:
            return Sum({}, rest.constant % divisor)
        if is_digit(rest, divisor):
            return rest
        key = "%", tuple(rest.terms.items()), rest.constant, divisor
        return Sum({self._atom(key, "%", rest.loops, (rest,), divisor): 1}, 0)

    def _divided(self, whole: Sum, divisor: Number) -> tuple[Sum, Sum]:
        """(quotient, rest): all multiples of the divisor that are seen, and what is left."""
        outside: dict[Atom, Number] = {}
        rest: dict[Atom, Number] = {}
        for atom, multiple in whole.terms.items():
            part = quotient(multiple, divisor)
            if part is None:
                rest[atom] = multiple
            else:
                outside[atom] = part
        part = quotient(whole.constant, divisor)
        if part is not None:
            return Sum(outside, part), Sum(rest, 0)
        return Sum(outside, 0), Sum(rest, whole.constant)

    def _end(self, rule: Literal["min", "max"], a: Sum, b: Sum) -> Sum:
        if not a.terms and not b.terms:
            return Sum({}, (least if rule == "min" else most)(a.constant, b.constant))
        key = rule, tuple(a.terms.items()), a.constant, tuple(b.terms.items()), b.constant
        return Sum({self._atom(key, rule, a.loops | b.loops, (a, b)): 1}, 0)

    def _anything(self, e: Expr, parts: Sequence[Sum]) -> Sum:
        loops = _NONE.union(*[part.loops for part in parts])
        key = e, tuple([(tuple(part.terms.items()), part.constant) for part in parts])
        return Sum({self._atom(key, "?", loops): 1}, 0)

    def _atom(
        self,
        key: object,
        rule: Rule,
        loops: frozenset[Loop],
        parts: tuple[Sum, ...] = (),
        divisor: Number = 1,
    ) -> Atom:
        found = self._atoms.get(key)
        if found is None:
            found = self._atoms[key] = Atom(rule, loops, parts, divisor)
        return found
