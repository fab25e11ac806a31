"""Index maps turned round: which iterators lead to a given element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import linear, prove, simplify, substitute
from passes.ir.expr import TRUE, Const, Expr, Var, index
from passes.schedule.accesses import Ranges
from passes.schedule.coverage import digits


@dataclass(frozen=True)
class Inverse:
    """The iterators that lead to an element, and the conditions under which there are any."""

    values: dict[Var, Expr]
    conditions: list[Expr]


def inverse(
    image: Sequence[Expr], iters: Mapping[Var, Expr], place: Sequence[Expr], known: Ranges
) -> Inverse | None:
    """The iterators (variable: extent) for which `image` is `place`; None if not one-to-one.

    image (h*16 + d) over h < 4, d < 16,  place (j)    →   h = j//16, d = j%16
    image (i//4, i%4) over i < n,  place (a, b)        →   i = a*4 + b   where a*4 + b < n
    image (i*2 + 1) over i < n,  place (j)             →   i = (j - 1)//2   where (j - 1)%2 == 0
    """
    own = [e for e in image if isinstance(e, Var) and e in iters]
    if len(own) == len(image) == len(iters) == len(set(own)):  # the iterators themselves
        at_once = dict(zip(own, place, strict=True))
        return _inverse(
            at_once, [b for v, e in at_once.items() for b in (e >= 0, e < iters[v])], known
        )
    apart = digits(image, iters, known)
    found: dict[Var, Expr] = {}
    asked: list[Expr] = []
    for e, at in zip(apart.exprs, place, strict=True):
        form = linear(e, list(apart.extents), apart.limits)
        order = None if form is None else _descending(form[0], apart.extents, apart.limits)
        if form is None or order is None or set(order) & set(found):
            return None
        rest = at - form[1]
        for digit in order:
            step = form[0][digit]
            found[digit] = rest // step
            rest = rest % step
            asked += [found[digit] >= 0, found[digit] < apart.extents[digit]]
        asked.append(rest.equal(0))
    for digit, extent in apart.extents.items():
        if digit not in found:
            if not prove(extent.equal(1), known):
                return None
            found[digit] = Const(0, digit.dtype)
    asked += [substitute(e, found) for e in apart.spare]
    return _inverse({v: substitute(e, found) for v, e in apart.whole.items()}, asked, known)


def _inverse(values: Mapping[Var, Expr], asked: Sequence[Expr], known: Ranges) -> Inverse:
    conditions = dict.fromkeys(simplify(e, known) for e in asked)
    return Inverse(
        {v: simplify(e, known) for v, e in values.items()},
        [e for e in conditions if e is not TRUE],
    )


def _descending(
    coefficients: Mapping[Var, Expr], extents: Mapping[Var, Expr], known: Ranges
) -> list[Var] | None:
    """The digits, largest strides first, if each stride is beyond what those below it reach."""
    left, order = dict(coefficients), list[Var]()
    reach = index(0)
    while left:
        least = next(
            (
                v
                for v, c in left.items()
                if all(prove(c <= other, known) for other in left.values())
            ),
            None,
        )
        if least is None or not prove(left[least] >= reach + 1, known):
            return None
        reach = reach + left.pop(least) * (extents[least] - 1)
        order.insert(0, least)
    return order
