"""Lower bounds of index polynomials: the proof core.

`least` eliminates one unknown after the other, always replacing it by something that makes the
whole smaller, until a constant interval remains. With i <= n - 1:

    n - i - 1   >=   n - (n - 1) - 1   =   0
"""

from __future__ import annotations

from passes.ir import expr
from passes.ir.arith.intervals import Ranges, interval_of
from passes.ir.arith.symbols import dims_of, free_vars
from passes.ir.arith.terms import (
    Terms,
    atoms,
    collected,
    constant,
    order,
    plus,
    scaled,
    terms,
    times,
)
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Dim, Expr, Var

_FUEL = 16
_BRANCHING = 4
_TOO_MANY_TERMS = 48


def least(t: Terms, ranges: Ranges) -> int | None:
    """A proven lower bound of the polynomial, None if none was found."""
    if len(t) <= 1 and () in t:
        return t[()]
    key = frozenset(t.items())
    if key not in ranges.least:
        ranges.least[key] = _least(t, ranges, _FUEL)
    return ranges.least[key]


def greatest(t: Terms, ranges: Ranges) -> int | None:
    """A proven upper bound of the polynomial, None if none was found."""
    found = least(scaled(t, -1), ranges)
    return None if found is None else -found


def nonnegative(t: Terms, ranges: Ranges) -> bool:
    """True if t >= 0 is proven."""
    lo, hi = interval_of(t, ranges)
    if lo is not None and lo >= 0:
        return True
    if hi is not None and hi < 0:
        return False
    found = least(t, ranges)
    return found is not None and found >= 0


def _least(t: Terms, ranges: Ranges, fuel: int) -> int | None:
    best = interval_of(t, ranges).lo
    if fuel <= 0 or len(t) > _TOO_MANY_TERMS or _is_box(t, ranges):
        return best
    t = _with_digits(t)
    for atom in _candidates(t, ranges):
        inside, rest = collected(t, atom)
        sign = _sign(inside, ranges)
        if isinstance(atom, (expr.Min, expr.Max, expr.Select)):
            found = _by_cases(atom, inside, rest, sign, ranges, fuel)
        elif sign == 0:
            continue
        elif isinstance(atom, expr.FloorDiv):
            found = _by_division(atom, inside, rest, sign, ranges, fuel)
        else:
            found = None
            for bound in _extremes(atom, -sign, ranges):
                replaced = plus(rest, times(inside, bound))
                found = _larger(found, _least(replaced, ranges, fuel - 1))
        return _larger(best, found)
    return best


def _is_box(t: Terms, ranges: Ranges) -> bool:
    """Whether the unknowns do not depend on each other: the interval has the least value then."""
    for monomial in t:
        if len(monomial) > 1:
            return False
        for atom in monomial:
            if not isinstance(atom, (Var, Dim)):
                return False
            for end in ranges.known.get(atom, ()):
                if not isinstance(end, Const):
                    return False
    return True


def _with_digits(t: Terms) -> Terms:
    """c*(x//p) - c*q*(x//(p*q))  ->  c*(x//p % q), which is not negative whatever x is."""
    found = [
        (m, m[0], int(m[0].b.value))
        for m in t
        if len(m) == 1 and isinstance(m[0], expr.FloorDiv) and isinstance(m[0].b, Const)
    ]
    for low, x, p in found:
        for high, y, whole in found:
            q = whole // p if p > 0 else 0
            if x.a is y.a and q > 1 and whole == p * q and t[high] == -t[low] * q:
                digit: Terms = {(expr.FloorMod(x, Const(q, INDEX)),): t[low]}
                return plus({m: c for m, c in t.items() if m not in (low, high)}, digit)
    return t


def _candidates(t: Terms, ranges: Ranges) -> list[Expr]:
    """The atoms in the order of elimination.

    Variables that occur only linearly come first, those whose range speaks of others before the
    others; then what can be split into cases, remainders, quotients; the rest last.
    """
    every = atoms(t)
    nested: set[Expr] = set()
    for atom in every:
        if not isinstance(atom, (Var, Dim)):
            nested |= free_vars(atom) | dims_of(atom)

    def place(atom: Expr) -> tuple[int, int]:
        if isinstance(atom, Var):
            return (4 if atom in nested else 0, -ranges.ranks.get(atom, 0))
        if isinstance(atom, (expr.Min, expr.Max, expr.Select)):
            return (1, 0)
        if isinstance(atom, expr.FloorMod):
            return (2, 0)
        if isinstance(atom, expr.FloorDiv):
            return (3, 0)
        return (6, 0) if atom in nested else (5, 0)

    known = [
        atom
        for atom in every
        if atom in ranges.known
        or isinstance(atom, (Dim, expr.Min, expr.Max, expr.FloorDiv, expr.FloorMod))
        or (isinstance(atom, expr.Select) and atom.dtype == INDEX)
    ]
    return sorted(known, key=lambda atom: (place(atom), order(atom)))


def _sign(t: Terms, ranges: Ranges) -> int:
    """1 if t >= 0, -1 if t <= 0, 0 if neither is known."""
    lo, hi = interval_of(t, ranges)
    return 1 if lo is not None and lo >= 0 else -1 if hi is not None and hi <= 0 else 0


def _larger(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _smaller(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else min(a, b)


def _by_cases(
    atom: Expr, inside: Terms, rest: Terms, sign: int, ranges: Ranges, fuel: int
) -> int | None:
    """Both operands in turn; one that suffices is enough where the atom is beyond either."""
    pair = (atom.then, atom.other) if isinstance(atom, expr.Select) else (atom.a, atom.b)  # type: ignore[attr-defined]
    a, b = [
        _least(plus(rest, times(inside, terms(operand))), ranges, fuel - _BRANCHING)
        for operand in pair
    ]
    beyond = (isinstance(atom, expr.Max) and sign > 0) or (isinstance(atom, expr.Min) and sign < 0)
    return _larger(a, b) if beyond else _smaller(a, b)


def _by_division(
    atom: expr.FloorDiv, inside: Terms, rest: Terms, sign: int, ranges: Ranges, fuel: int
) -> int | None:
    """(x - q + 1)/q <= x//q <= x/q, multiplied through by q."""
    divisor = terms(atom.b)
    numerator = terms(atom.a)
    if sign > 0:
        numerator = plus(plus(numerator, divisor, -1), constant(1))
    if isinstance(atom.b, Const):
        q = int(atom.b.value)
        if q < 1:
            return None
        if all(c % q == 0 for c in inside.values()):
            exact = {m: c // q for m, c in inside.items()}
            return _least(plus(rest, times(exact, numerator)), ranges, fuel - 1)
        found = _least(plus(scaled(rest, q), times(inside, numerator)), ranges, fuel - 1)
        return None if found is None else -(-found // q)
    if (interval_of(divisor, ranges).lo or 0) < 1:
        return None
    whole = plus(times(rest, divisor), times(inside, numerator))
    slack = plus(plus(whole, divisor), constant(-1))
    found = _least(slack, ranges, fuel - 1)
    return 0 if found is not None and found >= 0 else None


def _extremes(atom: Expr, direction: int, ranges: Ranges) -> list[Terms]:
    """Bounds of the atom from above (direction 1) or from below (-1)."""
    if atom in ranges.known:
        low, high = ranges.known[atom]
        return [terms(high if direction > 0 else low)]
    if isinstance(atom, Dim):
        return [constant(atom.hi if direction > 0 else atom.lo)]
    if isinstance(atom, expr.FloorMod):
        divisor = terms(atom.b)
        if (interval_of(divisor, ranges).lo or 0) < 1:
            return []
        if direction < 0:
            return [constant(0)]
        bounds = [plus(divisor, constant(-1))]
        low_end = interval_of(terms(atom.a), ranges).lo
        if low_end is not None and low_end >= 0:
            bounds.append(terms(atom.a))
        return bounds
    return []
