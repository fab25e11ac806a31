"""Questions about index expressions: bounds, proofs, linear parts, extreme values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from passes.ir import expr
from passes.ir.arith.compare import holds
from passes.ir.arith.intervals import Env, Interval, Ranges, interval, interval_of
from passes.ir.arith.least import greatest, least, nonnegative
from passes.ir.arith.narrow import narrowed, nonnegatives
from passes.ir.arith.simplify import ranges_of, simplified
from passes.ir.arith.symbols import free_vars, substitute
from passes.ir.arith.terms import Terms, build, is_plain, plus, terms
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Expr, Var, both

_MOST_ASSUMPTIONS = 3  # added up in one proof


def bounds(e: Expr, env: Env | None = None) -> Interval:
    """The smallest and largest value proven for an integer expression; None is unbounded.

    Dims have their declared bounds, variables those of `env` (inclusive), loads their type's.
    """
    return _bounds(e, ranges_of(env, e))


def lower_bound(e: Expr, env: Env | None = None) -> int | None:
    """The `lo` of `bounds`."""
    return bounds(e, env).lo


def upper_bound(e: Expr, env: Env | None = None) -> int | None:
    """The `hi` of `bounds`."""
    return bounds(e, env).hi


def _bounds(e: Expr, ranges: Ranges) -> Interval:
    if e.dtype != INDEX:
        return interval(e, ranges)
    t = terms(simplified(e, ranges))
    return Interval(least(t, ranges), greatest(t, ranges))


def prove(cond: Expr, env: Env | None = None, assuming: Sequence[Expr] = ()) -> bool:
    """True only if `cond` holds for all values of dims, variables in range, and loads.

    Of those values, only where the conditions `assuming` hold:

        n - 1 < 20 - m     assuming n + m <= 20
    """
    if cond is TRUE:
        return True
    if assuming:
        env = narrowed(env, assuming)
        if env is None:
            return True
    ranges = ranges_of(env, cond)
    proved = ranges.proved.get(cond)
    if proved is None:
        proved = ranges.proved[cond] = _proved(cond, ranges)
    return proved or (bool(assuming) and _follows(cond, assuming, env))


def _follows(cond: Expr, assuming: Sequence[Expr], env: Env | None) -> bool:
    """Whether all that `cond` says is a sum of assumptions and of something proven."""
    if isinstance(cond, expr.And):
        return _follows(cond.a, assuming, env) and _follows(cond.b, assuming, env)
    wanted = nonnegatives(cond)
    given = [t for one in assuming for t in nonnegatives(one)]
    ranges = ranges_of(env, both(cond, *assuming) or cond)
    return bool(wanted) and all(_sums_to(t, given, ranges, _MOST_ASSUMPTIONS) for t in wanted)


def _sums_to(t: Terms, given: Sequence[Terms], ranges: Ranges, fuel: int) -> bool:
    if nonnegative(t, ranges):
        return True
    for number, fact in enumerate(given) if fuel else ():
        shares = [t[m] // c for m, c in fact.items() if m and m in t and t[m] % c == 0]
        for times in sorted({k for k in shares if k > 0}):
            if _sums_to(plus(t, fact, -times), given[number:], ranges, fuel - 1):
                return True
    return False


def _proved(cond: Expr, ranges: Ranges) -> bool:
    if isinstance(cond, expr.And):
        return _proved(cond.a, ranges) and _proved(cond.b, ranges)
    if isinstance(cond, (expr.Lt, expr.Le, expr.Eq)) and cond.a.dtype == INDEX:
        difference = plus(terms(cond.b), terms(cond.a), -1)
        if holds(type(cond), difference, ranges):
            return True
        if is_plain(difference):
            return False
    simple = simplified(cond, ranges)
    return simple is TRUE or (isinstance(simple, expr.And) and _proved(simple, ranges))


def linear(
    e: Expr, variables: Iterable[Var], env: Env | None = None
) -> tuple[dict[Var, Expr], Expr] | None:
    """(coefficients, rest) with e = sum of coefficient*variable + rest, or None.

    Coefficients and rest are free of `variables`; those that do not occur have no coefficient.
    A vector has no such form.
    """
    if e.dtype.lanes > 1:
        return None
    wanted = frozenset(variables)
    coefficients: dict[Var, Terms] = {}
    rest: Terms = {}
    for monomial, c in terms(simplified(e, ranges_of(env, e))).items():
        here = [atom for atom in monomial if atom in wanted]
        others = tuple([atom for atom in monomial if atom not in wanted])
        if len(here) > 1 or any(free_vars(atom) & wanted for atom in others):
            return None
        if here:
            var = here[0]
            assert isinstance(var, Var)
            coefficients.setdefault(var, {})[others] = c
        else:
            rest[monomial] = c
    return {var: build(t) for var, t in coefficients.items()}, build(rest)


def symbolic_max(e: Expr, over: Mapping[Var, Expr], env: Env | None = None) -> Expr | None:
    """The largest value of `e` while each variable runs over 0 … extent-1; None if not monotone.

        i*4 + j, {i: n, j: 4}  ->  n*4 - 1

    An extent may speak of other variables of `over`, as in a triangle.
    """
    return _extreme_value(e, over, env, 1)


def symbolic_min(e: Expr, over: Mapping[Var, Expr], env: Env | None = None) -> Expr | None:
    """The smallest value of `e` in the same sense."""
    return _extreme_value(e, over, env, -1)


def _extreme_value(e: Expr, over: Mapping[Var, Expr], env: Env | None, sign: int) -> Expr | None:
    ranges = ranges_of(env, e, over)
    e = simplified(e, ranges)
    for var in sorted(
        over.keys() & ranges.known.keys(), key=lambda v: (-ranges.ranks[v], v.ordinal, v.name)
    ):
        if var not in free_vars(e):
            continue
        direction = _direction(e, var, ranges)
        if direction is None:
            return None
        end = ranges.known[var][1 if direction == sign else 0]
        e = simplified(substitute(e, {var: end}), ranges)
    return e


def _direction(e: Expr, var: Var, ranges: Ranges) -> int | None:
    """1 if `e` never falls as `var` grows, -1 if it never rises, 0 if constant, else None."""
    if var not in free_vars(e):
        return 0
    match e:
        case Var():
            return 1
        case expr.Add() | expr.Sub() | expr.Mul():
            return _common_direction(
                [_direction_of_term(m, c, var, ranges) for m, c in terms(e).items()]
            )
        case expr.Min(a, b) | expr.Max(a, b):
            return _common_direction([_direction(a, var, ranges), _direction(b, var, ranges)])
        case expr.FloorDiv(a, b) if var not in free_vars(b):
            lo = interval(b, ranges).lo
            return _direction(a, var, ranges) if lo is not None and lo > 0 else None
    return None


def _direction_of_term(
    monomial: tuple[Expr, ...], coefficient: int, var: Var, ranges: Ranges
) -> int | None:
    moving = [atom for atom in monomial if var in free_vars(atom)]
    if not moving:
        return 0
    if len(moving) > 1:
        return None
    rest = list(monomial)
    rest.remove(moving[0])
    lo, hi = interval_of({tuple(rest): coefficient}, ranges)
    direction = _direction(moving[0], var, ranges)
    if direction is None:
        return None
    if lo is not None and lo >= 0:
        return direction
    return -direction if hi is not None and hi <= 0 else None


def _common_direction(found: list[int | None]) -> int | None:
    if None in found:
        return None
    moving = {d for d in found if d}
    return None if len(moving) > 1 else moving.pop() if moving else 0
