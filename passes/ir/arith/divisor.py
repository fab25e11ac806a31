"""What integers divide an expression, whatever the values of its symbols."""

from __future__ import annotations

from math import gcd

from passes.ir import expr
from passes.ir.arith.intervals import Env, Narrowed, Ranges
from passes.ir.arith.simplify import ranges_of, simplified
from passes.ir.arith.terms import Terms, terms
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr


def divisor(e: Expr, env: Env | None = None) -> int:
    """The greatest integer proven to divide an index expression; 0 for 0 itself.

    i*16 + n//8*8          ->  8
    (i*12) // 4 + j*6      ->  3
    n*4                    ->  16      where n % 4 == 0 is known (see `narrowed`)
    """
    return _of_terms(terms(simplified(e, ranges_of(env, e))), ranges_of(env, e), env)


def _of_terms(t: Terms, ranges: Ranges, env: Env | None) -> int:
    whole = 0
    for monomial, factor in t.items():
        part = abs(factor)
        for atom in monomial:
            part *= _of_atom(atom, ranges, env)
        whole = gcd(whole, part)
    return whole


def _of_atom(e: Expr, ranges: Ranges, env: Env | None) -> int:
    if e in ranges.known:
        low, high = ranges.known[e]
        if low is high and isinstance(low, Const):
            return abs(int(low.value))
    match e:
        case expr.FloorDiv(a, Const(q, _)) if int(q) > 0:
            below = _of_terms(terms(a), ranges, env)
            return below // int(q) if below % int(q) == 0 else 1
        case expr.FloorMod(a, b):
            return gcd(_of_terms(terms(a), ranges, env), _of_terms(terms(b), ranges, env))
        case expr.Min(a, b) | expr.Max(a, b):
            return gcd(_of_terms(terms(a), ranges, env), _of_terms(terms(b), ranges, env))
        case expr.Select(_, a, b) if a.dtype == INDEX:
            return gcd(_of_terms(terms(a), ranges, env), _of_terms(terms(b), ranges, env))
    if isinstance(env, Narrowed):
        known = [part for part, (low, high) in env.parts.items() if _is_zero(low, high)]
        for part in known:
            if isinstance(part, expr.FloorMod) and part.a is e and isinstance(part.b, Const):
                return abs(int(part.b.value))
    return 1


def _is_zero(low: Expr | int, high: Expr | int) -> bool:
    return all(x == 0 if isinstance(x, int) else isinstance(x, Const) and x.value == 0
               for x in (low, high))  # fmt: skip
