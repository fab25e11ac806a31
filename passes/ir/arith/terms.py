"""Index expressions as polynomials: sums of an integer times a product of atoms.

    i*4 + n*j - 3   =   {(i,): 4, (j, n): 1, (): -3}

An atom is anything that is not a sum, product or constant. `build` gives one expression for a
polynomial, whatever expression it came from: largest strides first, the constant last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from passes.ir.dtypes import INDEX
from passes.ir.expr import Add, Const, Dim, Expr, Mul, Sub, Var

Monomial: TypeAlias = "tuple[Expr, ...]"
Terms: TypeAlias = "dict[Monomial, int]"

_LARGEST_PRODUCT = 64


def constant(value: int) -> Terms:
    return {(): value} if value else {}


def terms(e: Expr) -> Terms:
    """The polynomial of a scalar index expression; not to be mutated."""
    if not isinstance(e, (Add, Sub, Mul)) or e.dtype != INDEX:
        return _leaf(e)
    found: Terms | None = e.__dict__.get("_terms")
    if found is not None:
        return found
    whole: Terms = {}
    stack: list[tuple[Expr, int]] = [(e, 1)]
    while stack:
        item, factor = stack.pop()
        if isinstance(item, (Add, Sub)):
            stack.append((item.b, factor if isinstance(item, Add) else -factor))
            stack.append((item.a, factor))
        else:
            part = _product(item) if isinstance(item, Mul) else _leaf(item)
            _accumulate(whole, part, factor)
    e.__dict__["_terms"] = whole
    return whole


def is_plain(t: Terms) -> bool:
    """Whether all atoms are variables and dims."""
    return all(isinstance(atom, (Var, Dim)) for monomial in t for atom in monomial)


def _leaf(e: Expr) -> Terms:
    if isinstance(e, Const):
        return constant(int(e.value))
    return {(e,): 1}


def _product(e: Mul) -> Terms:
    a, b = terms(e.a), terms(e.b)
    if len(a) * len(b) > _LARGEST_PRODUCT:
        return {(e,): 1}
    return times(a, b)


def _accumulate(whole: Terms, part: Terms, factor: int) -> None:
    for monomial, coefficient in part.items():
        total = whole.get(monomial, 0) + coefficient * factor
        if total:
            whole[monomial] = total
        else:
            whole.pop(monomial, None)


def plus(a: Terms, b: Terms, factor: int = 1) -> Terms:
    """a + factor*b."""
    whole = dict(a)
    _accumulate(whole, b, factor)
    return whole


def scaled(a: Terms, factor: int) -> Terms:
    return {m: c * factor for m, c in a.items()} if factor else {}


def times(a: Terms, b: Terms) -> Terms:
    whole: Terms = {}
    for left, x in a.items():
        for right, y in b.items():
            joined = joint(left, right)
            total = whole.get(joined, 0) + x * y
            if total:
                whole[joined] = total
            else:
                whole.pop(joined, None)
    return whole


def joint(a: Monomial, b: Monomial) -> Monomial:
    """The product of two monomials."""
    if not a or not b:
        return a or b
    return tuple(sorted(a + b, key=order))


def without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """`monomial / part`, or None where it does not divide."""
    left = list(monomial)
    for atom in part:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def atoms(t: Terms) -> list[Expr]:
    """The distinct atoms in a fixed order."""
    found = {atom for monomial in t for atom in monomial}
    return sorted(found, key=order) if len(found) > 1 else [*found]


def collected(t: Terms, atom: Expr) -> tuple[Terms, Terms]:
    """(c, rest) with t = c*atom + rest; c still has `atom` where it occurs squared."""
    inside: Terms = {}
    rest: Terms = {}
    for monomial, coefficient in t.items():
        if atom in monomial:
            left = list(monomial)
            left.remove(atom)
            inside[tuple(left)] = coefficient
        else:
            rest[monomial] = coefficient
    return inside, rest


def order(atom: Expr) -> tuple[int, int, str]:
    """A sorting key that depends on content only: variables, then dims, then the rest."""
    if isinstance(atom, Var):
        return (0, atom.ordinal, atom.name)
    if isinstance(atom, Dim):
        return (1, 0, atom.name)
    return (2, 0, atom.digest)


def build(t: Terms) -> Expr:
    """The expression of a polynomial: positive terms, then negative ones, then the constant."""
    offset = t.get((), 0)
    rest = [item for item in t.items() if item[0]]
    if len(rest) > 1:
        rest.sort(key=_term_order)
    if not rest:
        return Const(offset, INDEX)
    whole: Expr | None = None
    if offset > 0 and rest[0][1] < 0:
        whole, offset = Const(offset, INDEX), 0
    for monomial, coefficient in rest:
        if whole is None:
            whole = _scaled_product(monomial, coefficient)
        elif coefficient > 0:
            whole = Add(whole, _scaled_product(monomial, coefficient))
        else:
            whole = Sub(whole, _scaled_product(monomial, -coefficient))
    assert whole is not None
    if offset:
        kind = Add if offset > 0 else Sub
        whole = kind(whole, Const(abs(offset), INDEX))
    return whole


def _term_order(item: tuple[Monomial, int]) -> tuple[bool, int, int, Iterable[object]]:
    monomial, coefficient = item
    return (coefficient < 0, -len(monomial), -abs(coefficient), [order(a) for a in monomial])


def _scaled_product(monomial: Monomial, coefficient: int) -> Expr:
    whole = monomial[0]
    for atom in monomial[1:]:
        whole = Mul(whole, atom)
    return whole if coefficient == 1 else Mul(whole, Const(coefficient, INDEX))
