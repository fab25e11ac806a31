"""Strength reduction of addresses: products are counted along instead of multiplied anew.

    for k3 in range(n):                        for k3, p4 in multiples(range(n), m*16):
        y1[k3] = x0[k3*m*16 + j2]       →          y1[k3] = x0[p4 + j2]

In innermost loops, for steps of dims and constants. What the addressing mode multiplies for nothing
(by 2, 4 or 8, the size of an element included) stays a product, also of a multiple. What does not
move with the loop needs no pass: the emitter computes it outside. Exact.
"""

from __future__ import annotations

from collections.abc import Callable

from passes.codegen.lower.walk import Walk
from passes.ir.arith.terms import Monomial, Terms, build, terms
from passes.ir.dtypes import INDEX
from passes.ir.expr import Add, Broadcast, Call, Const, Dim, Expr, Ramp, Sub, Var
from passes.ir.loop.nodes import For, Function, Load, Multiple, Stmt, Store, While
from passes.ir.node import Node, postorder, rewrite

MOST_MULTIPLES = 6
"""Counted multiples of one loop; each takes an integer register."""
_SCALES = (1, 2, 4, 8)

Step = tuple[Monomial, int]
"""The dims and the number that a loop's variable is multiplied by."""


def reduce_strength(function: Function) -> Function:
    """The function with multiples of the variables of innermost loops counted along."""
    return function.replace(body=_Strength(function).stmt(function.body))


class _Strength(Walk):
    def loop(self, loop: For) -> Stmt:
        if any(isinstance(node, For | While) for node in postorder(loop.body)):
            return super().loop(loop)
        counted = _Counted(loop.var, lambda: self.renamed(Var("p", 0)))
        _with_places(loop.body, counted.note)
        counted.choose()
        body = _with_places(loop.body, counted.placed)
        return loop.replace(body=body, multiples=tuple(counted.chosen.values()))


class _Counted:
    """The multiples of one loop's variable: first `note` all places, then `choose`, then `placed`
    gives the places with multiples in them."""

    def __init__(self, var: Var, fresh: Callable[[], Var]) -> None:
        self.chosen: dict[Step, Multiple] = {}
        self._var, self._fresh = var, fresh
        self._sizes: dict[Step, int] = {}  # of the largest element that it is a step of

    def note(self, place: Expr, size: int) -> Expr:
        for factors, number in terms(place).items():
            step = self._step(factors, number)
            if step is not None and (step[0] or abs(number) * size not in _SCALES):
                self._sizes[step] = max(self._sizes.get(step, 0), size)
        return place

    def choose(self) -> None:
        """Small steps first: larger ones may be scaled from them."""
        for step, size in sorted(self._sizes.items(), key=lambda item: abs(item[0][1])):
            if len(self.chosen) < MOST_MULTIPLES and self._scaled(step, size) is None:
                self.chosen[step] = Multiple(self._fresh(), build({step[0]: step[1]}))

    def placed(self, place: Expr, size: int) -> Expr:
        kept: Terms = {}
        counted: Terms = {}
        for factors, number in terms(place).items():
            step = self._step(factors, number)
            scaled = None if step is None else self._scaled(step, size)
            if scaled is None:
                kept[factors] = number
            else:
                counted[(scaled[0],)] = scaled[1]
        return build({**kept, **counted}) if counted else place

    def _step(self, factors: Monomial, number: int) -> Step | None:
        """What a term multiplies the variable by; None if by nothing that stays the same."""
        rest = tuple([factor for factor in factors if factor is not self._var])
        fits = len(rest) == len(factors) - 1 and all(isinstance(factor, Dim) for factor in rest)
        return (rest, number) if fits else None

    def _scaled(self, step: Step, size: int) -> tuple[Var, int] | None:
        """A multiple, and how many times it the step is: as often as an address can take it."""
        rest, number = step
        for times in _SCALES:
            if number % times == 0 and times * size in _SCALES:
                found = self.chosen.get((rest, number // times))
                if found is not None:
                    return found.var, times
        return None


def _with_places(stmt: Stmt, change: Callable[[Expr, int], Expr]) -> Stmt:
    """The statement with the scalars that positions in memory are made of changed; `change` is
    told the bytes of an element, too."""

    def rule(node: Node) -> Node | None:
        if not isinstance(node, Load | Store) or node.buffer.scope == "register":
            return None
        indices = [_position(e, lambda e: change(e, node.buffer.dtype.bytes)) for e in node.indices]
        return node.replace(indices=tuple(indices))

    return rewrite(stmt, rule)


def _position(position: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The position of an element, or of several, with its scalars changed."""
    match position:
        case Const():
            return position
        case Expr() if position.dtype == INDEX:
            return change(position)
        case Ramp(base, stride, lanes):
            return Ramp(_position(base, change), stride, lanes)
        case Broadcast(value, lanes):
            return Broadcast(_position(value, change), lanes)
        case Call("masked", (place, mask)):
            return position.replace(args=(_position(place, change), mask))
        case Add(a, b) | Sub(a, b):
            return type(position)(_position(a, change), _position(b, change))
    return position
