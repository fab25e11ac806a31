"""What conditions say of dims and of parts of them: the ranges in which they can hold at all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from passes.ir import expr
from passes.ir.arith.intervals import Env, Narrowed, Ranges, interval, interval_of
from passes.ir.arith.simplify import ranges_of
from passes.ir.arith.symbols import Symbol, dims_of, free_vars, symbols_of
from passes.ir.arith.terms import Terms, atoms, constant, plus, scaled, terms
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Dim, Expr, Var


def narrowed(env: Env | None, assuming: Iterable[Expr]) -> Narrowed | None:
    """The environment with ranges cut down to where the conditions may hold.

        n//8*10 >= 2       with 1 <= n <= 64      →      8 <= n <= 64
        n + m <= 20                               →      n <= 19, m <= 19       where both are >= 1
        n//4%2*10 >= 2                            →      1 <= n//4%2 <= 1

    Each is cut on its own, so nothing is kept of how they depend on each other. None if the
    conditions can never hold.
    """
    conditions = tuple(assuming)
    spoken = frozenset[Symbol]().union(*[symbols_of(e) for e in conditions])
    if env and (isinstance(env, Narrowed) or not spoken.isdisjoint(env)):
        return _cut(Narrowed(env), conditions)
    cuts = _cuts(conditions)
    if cuts is None:
        return None
    made = Narrowed({**(env or {}), **cuts})
    made.parts.update(cuts.parts)
    return made


@lru_cache(maxsize=1 << 12)
def _cuts(conditions: tuple[Expr, ...]) -> Narrowed | None:
    """What they say by themselves."""
    return _cut(Narrowed({}), conditions)


def _cut(told: Narrowed, conditions: Iterable[Expr]) -> Narrowed | None:
    for condition in conditions:
        for t in nonnegatives(condition):
            always = interval_of(t, ranges_of(told, condition)).lo
            if always is not None and always >= 0:
                continue
            parts = [a for a in atoms(t) if not isinstance(a, Var | Dim) and not free_vars(a)]
            dims = {d for monomial in t for atom in monomial for d in dims_of(atom)}
            for e in (*sorted(dims, key=lambda d: d.name), *parts):
                limits = _limits(t, e, ranges_of(told, condition))
                if limits is not None and limits[0] > limits[1]:
                    return None
                if limits is not None:
                    cut = Const(limits[0], INDEX), Const(limits[1], INDEX)
                    (told if isinstance(e, Dim) else told.parts)[e] = cut
    return told


def nonnegatives(condition: Expr) -> list[Terms]:
    """Polynomials that are all >= 0 if the condition holds; of other conditions none."""
    match condition:
        case expr.And(a, b):
            return nonnegatives(a) + nonnegatives(b)
        case expr.Lt(a, b) if a.dtype == INDEX:
            return [plus(plus(terms(b), terms(a), -1), constant(-1))]
        case expr.Le(a, b) if a.dtype == INDEX:
            return [plus(terms(b), terms(a), -1)]
        case expr.Eq(a, b) if a.dtype == INDEX:
            difference = plus(terms(b), terms(a), -1)
            return [difference, scaled(difference, -1)]
    return []


def _limits(t: Terms, e: Expr, ranges: Ranges) -> tuple[int, int] | None:
    """The least and greatest value of `e` for which t >= 0 is not excluded; None if unbounded."""
    low, high = interval(e, ranges)
    if low is None or high is None:
        return None
    if t.keys() <= {(e,), ()}:
        factor, rest = t[e,], t.get((), 0)
        return (
            (max(low, -(rest // factor)), high) if factor > 0 else (low, min(high, rest // -factor))
        )

    def possible(start: int, end: int) -> bool:
        cut = Const(start, INDEX), Const(end, INDEX)
        hi = interval_of(t, Ranges({**ranges.known, e: cut})).hi
        return hi is None or hi >= 0

    if not possible(low, high):
        return high + 1, high
    first_possible, last_possible = low, high
    while low < high:  # the least end for which low … end has a value that may do
        middle = (low + high) // 2
        if possible(first_possible, middle):
            high = middle
        else:
            low = middle + 1
    first_possible, low, high = low, low, last_possible
    while low < high:
        middle = (low + high + 1) // 2
        if possible(middle, last_possible):
            low = middle
        else:
            high = middle - 1
    return first_possible, low
