"""Whether two linear accesses meet, decided from their strides alone.

    y[t*4 + j] and y[u*4 + k], j, k < 4, at t < u:   the distance is at least 4 + 0 - 3 = 1

Most indices of real programs are sums of loops with constant strides. For those this gives the
answer of the general proof (see dependence) at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import gcd

from passes.ir.arith import free_vars
from passes.ir.arith.terms import Terms, terms
from passes.ir.expr import Const, Expr, Var

Ends = tuple[int | None, int | None]


def distinct(
    first: tuple[Expr, ...],
    second: tuple[Expr, ...],
    var: Var,
    free: frozenset[Var],
    known: Mapping[Var, tuple[Expr, Expr]],
) -> bool | None:
    """Whether `first` at some iteration of `var` and `second` at a later one always differ.

    The loops `free` run independently for both. False only where bounds of the distance along
    each axis prove nothing; None where they are not found here.
    """
    top = known[var][1] if var in known else None
    if isinstance(top, Const) and top.value < 1:
        return True
    last = int(top.value) if isinstance(top, Const) else None
    answers = [_differ(a, b, var, last, free, known) for a, b in zip(first, second, strict=True)]
    if True in answers:
        return True
    return None if None in answers else False


def _differ(
    a: Expr,
    b: Expr,
    var: Var,
    last: int | None,
    free: frozenset[Var],
    known: Mapping[Var, tuple[Expr, Expr]],
) -> bool | None:
    """`distinct` along one axis; `last` is the last value of `var`, where it is known."""
    mine, theirs = _parts(a, var, free), _parts(b, var, free)
    if mine is None or theirs is None:
        return None
    stride, moving, rest = mine
    if a is b and not stride:
        return False
    other_stride, other_moving, other_rest = theirs
    if stride != other_stride or {**other_rest, (): 0} != {**rest, (): 0}:
        return None
    # The distance: stride times 1 … last, and each free loop once for either access.
    shift = other_rest.get((), 0) - rest.get((), 0)
    parts: list[tuple[int, Ends]] = [(stride, (1, last))] if stride else []
    parts += [(factor, _ends(one, known)) for one, factor in other_moving.items()]
    parts += [(-factor, _ends(one, known)) for one, factor in moving.items()]
    low, high = _span(parts, shift)
    if (low is not None and low >= 1) or (high is not None and high <= -1):
        return True
    strides = [abs(factor) for factor, _ in parts]
    if shift % (gcd(*strides) or 1):
        return True  # i*4 + 2 and j*2 + 1
    if any(_never_a_multiple(parts, shift, width) for width in strides if width > 1):
        return True
    return None if any(None in ends for _, ends in parts) else False


def _never_a_multiple(parts: list[tuple[int, Ends]], shift: int, width: int) -> bool:
    """Whether what is left of a multiple of `width` is too small to reach the next.

    i*8 + j, j < 8:  other j give other elements, whatever i is
    """
    left = [part for part in parts if part[0] % width]
    low, high = _span(left, shift if shift % width else 0)
    if low is None or high is None:
        return False
    return 0 < low <= high < width or -width < low <= high < 0


def _span(parts: list[tuple[int, Ends]], shift: int) -> Ends:
    """The least and greatest value of a sum of factors times ranges."""
    low: int | None = shift
    high: int | None = shift
    for factor, (first, last) in parts:
        ends = [None if end is None else factor * end for end in (first, last)]
        down, up = ends if factor > 0 else reversed(ends)
        low = None if low is None or down is None else low + down
        high = None if high is None or up is None else high + up
    return low, high


@lru_cache(maxsize=1 << 13)
def _parts(e: Expr, var: Var, free: frozenset[Var]) -> tuple[int, dict[Var, int], Terms] | None:
    """The stride of `var`, those of the free loops, and the rest; None if it is not linear. Not
    to be mutated."""
    stride = 0
    moving: dict[Var, int] = {}
    rest: Terms = {}
    for monomial, factor in terms(e).items():
        atom = monomial[0] if len(monomial) == 1 else None
        if atom is var:
            stride = factor
        elif isinstance(atom, Var):
            if atom in free:
                moving[atom] = factor
            else:
                rest[monomial] = factor
        elif any(_varies(one, var, free) for one in monomial):
            return None
        else:
            rest[monomial] = factor
    return stride, moving, rest


def _varies(atom: Expr, var: Var, free: frozenset[Var]) -> bool:
    used = free_vars(atom)
    return var in used or not used.isdisjoint(free)


def _ends(var: Var, known: Mapping[Var, tuple[Expr, Expr]]) -> Ends:
    """The first and last value of a loop, where they are constants and the loop runs."""
    low, high = known.get(var, (None, None))
    if not isinstance(low, Const) or not isinstance(high, Const) or low.value > high.value:
        return None, None
    return int(low.value), int(high.value)
