"""Sums in which a quotient and a remainder of the same split meet."""

from __future__ import annotations

from passes.ir import expr
from passes.ir.arith.divide import constant_of, quotient, remainder
from passes.ir.arith.intervals import Ranges
from passes.ir.arith.terms import Terms, constant, joint, plus, terms, times, without
from passes.ir.expr import Expr

_MOST_STEPS = 64


def recombined(t: Terms, ranges: Ranges) -> Terms:
    """Quotients and remainders of one split put together again.

    i//4*4 + i%4              ->  i
    i - i//4*4                ->  i%4
    i//4%8*4 + i%4            ->  i%32
    i%32 - i//4%8*4           ->  i%4
    i//4 - i//8*2             ->  i//4%2
    """
    if len(t) == 1 and all(len(monomial) == 1 == c for monomial, c in t.items()):
        return t  # nothing to meet
    for _ in range(_MOST_STEPS):
        for monomial in t:
            joined = _recombined_at(t, monomial, ranges)
            if joined is not None:
                t = joined
                break
        else:
            break
    return t


def _recombined_at(t: Terms, monomial: tuple[Expr, ...], ranges: Ranges) -> Terms | None:
    for atom in monomial:
        if not isinstance(atom, (expr.FloorDiv, expr.FloorMod)):
            continue
        divisor, top = terms(atom.b), terms(atom.a)
        if len(divisor) != 1:
            continue
        ((factor, q),) = divisor.items()
        cofactor = without(monomial, (atom,))
        assert cofactor is not None
        if isinstance(atom, expr.FloorMod):
            k = t[monomial]
            if (found := _joined_with_quotient(t, atom, (cofactor, k), ranges)) is not None:
                return found
            if (found := _joined_with_remainder(t, atom, (cofactor, k), ranges)) is not None:
                return found
            continue
        if (found := _joined_quotients(t, atom, (cofactor, t[monomial]), ranges)) is not None:
            return found
        others = without(cofactor, factor)
        if others is None or t[monomial] % q:
            continue
        k = -t[monomial] // q
        whole = times({others: k}, top)
        if top and all(not m or t.get(m) == c for m, c in whole.items()):
            rest = plus(t, whole, -1)
            rest = plus(rest, {monomial: t[monomial]}, -1)
            return plus(rest, times({others: k}, remainder(top, divisor, ranges)))
    return None


def _joined_quotients(
    t: Terms, atom: expr.FloorDiv, scale: tuple[tuple[Expr, ...], int], ranges: Ranges
) -> Terms | None:
    """k*(x//p) - k*q*(x//(p*q))  ->  k*(x//p % q)."""
    cofactor, k = scale
    whole = constant_of(terms(atom.b))
    for monomial, c in t.items() if whole is not None and whole > 0 else ():
        left = without(monomial, cofactor)
        if left is None or len(left) != 1 or not isinstance(left[0], expr.FloorDiv):
            continue
        low = left[0]
        p = constant_of(terms(low.b))
        if whole is None or p is None or not 0 < p < whole:
            continue
        if whole % p or k != -c * (whole // p):
            continue
        if terms(low.a) == terms(atom.a):
            rest = plus(t, {monomial: c, joint(cofactor, (atom,)): k}, -1)
            digit = remainder(terms(low), constant(whole // p), ranges)
            return plus(rest, times({cofactor: c}, digit))
    return None


def _joined_with_quotient(
    t: Terms, atom: expr.FloorMod, scale: tuple[tuple[Expr, ...], int], ranges: Ranges
) -> Terms | None:
    """k*(y%q) + k*q*(y//q)  ->  k*y."""
    cofactor, k = scale
    upper = times(
        {cofactor: k}, times(terms(atom.b), quotient(terms(atom.a), terms(atom.b), ranges))
    )
    if not upper or any(t.get(m) != c for m, c in upper.items()):
        return None
    rest = plus(plus(t, upper, -1), {joint(cofactor, (atom,)): k}, -1)
    return plus(rest, times({cofactor: k}, terms(atom.a)))


def _joined_with_remainder(
    t: Terms, atom: expr.FloorMod, scale: tuple[tuple[Expr, ...], int], ranges: Ranges
) -> Terms | None:
    """Two remainders of one split.

    k*p*((x//p) % q) + k*(x%p)         ->  k*(x % (p*q))
    k*(x % (p*q)) - k*p*((x//p) % q)   ->  k*(x%p)
    """
    cofactor, k = scale
    q = constant_of(terms(atom.b))
    if q is None or q < 1:
        return None
    for monomial, c in t.items():
        rest_of = without(monomial, cofactor)
        if rest_of is None or len(rest_of) != 1 or not isinstance(rest_of[0], expr.FloorMod):
            continue
        low = rest_of[0]
        p = constant_of(terms(low.b))
        if p is None or p < 1:
            continue
        if k == c * p:
            step, size = p, p * q
        elif k < 0 < c and -k % c == 0 and p == -k // c * q:
            step = size = -k // c
        elif c < 0 < k and k % -c == 0 and p == k // -c * q:
            step = size = k // -c
        else:
            continue
        if quotient(terms(low.a), constant(step), ranges) == terms(atom.a):
            rest = plus(t, {monomial: c, joint(cofactor, (atom,)): k}, -1)
            whole = remainder(terms(low.a), constant(size), ranges)
            return plus(rest, times({cofactor: c}, whole))
    return None
