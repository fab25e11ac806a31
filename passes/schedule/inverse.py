"""Index maps turned round: which iterators lead to a given element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    upper_bound,
)
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Add, BitXor, Const, Expr, FloorDiv, FloorMod, Mul, Sub, Var, index
from passes.ir.node import postorder, rewrite
from passes.schedule.accesses import Ranges
from passes.schedule.coverage import digits


@dataclass(frozen=True)
class Inverse:
    """The iterators that lead to an element, and under what `asked` there are any, as far as that
    is not `known`."""

    values: dict[Var, Expr]
    asked: list[Expr]
    known: Ranges

    @property
    def conditions(self) -> list[Expr]:
        """What is asked, but for what always holds."""
        simple = dict.fromkeys([simplify(e, self.known) for e in self.asked])
        return [e for e in simple if e is not TRUE]


def inverse(
    image: Sequence[Expr], iters: Mapping[Var, Expr], place: Sequence[Expr], known: Ranges
) -> Inverse | None:
    """The iterators (variable: extent) for which `image` is `place`; None if not one-to-one, or if
    the place is one of vectors.

    image (h*16 + d) over h < 4, d < 16,  place (j)    →   h = j//16, d = j%16
    image (i//4, i%4) over i < n,  place (a, b)        →   i = a*4 + b   where a*4 + b < n
    image (i*2 + 1) over i < n,  place (j)             →   i = (j - 1)//2   where (j - 1)%2 == 0
    image (n - 1 - i) over i < n,  place (j)           →   i = n - 1 - j
    image ((h*6 + d)//4, (h*6 + d)%4)                  →   of h*6 + d first, then of h and d
    image (i, j ^ (i%4)) over i < n, j < 4             →   of i and j ^ (i%4) first, then of j
    """
    if any(e.dtype.lanes > 1 for e in (*image, *place)):
        return None
    swizzled = _of_swizzles(image, iters, place, known)
    if swizzled is not None:
        return swizzled
    fused = _divided(image, iters, several=True)
    if fused is None:
        found = _of_digits(image, iters, place, known)
        fused = _divided(image, iters, several=False) if found is None else None
        if fused is None:
            return found
    inner = {v: e for v, e in iters.items() if v in free_vars(fused)}
    outer = {v: e for v, e in iters.items() if v not in inner}
    limits = {**known, **{v: (Const(0, v.dtype), e - 1) for v, e in inner.items()}}
    whole = Var("f", min([-11_000, *[v.ordinal for v in iters]]) - 1, fused.dtype)
    top = symbolic_max(fused, inner)
    rest = [rewrite(e, lambda node: whole if node is fused else None) for e in image]
    if top is None or any(free_vars(e) & set(inner) for e in rest) or not prove(fused >= 0, limits):
        return None
    one = inverse(rest, {**outer, whole: simplify(top + 1)}, place, known)
    two = None if one is None else inverse([fused], inner, [one.values[whole]], known)
    if one is None or two is None:
        return None
    values = {v: e for v, e in {**one.values, **two.values}.items() if v is not whole}
    return Inverse(values, [*one.asked, *two.asked], known)


def _divided(image: Sequence[Expr], iters: Mapping[Var, Expr], *, several: bool) -> Expr | None:
    """A sum over `several` iterators, or of one with something else, that is divided as a whole."""
    for n in postorder(*image):
        top = n.a if isinstance(n, FloorDiv | FloorMod) else None
        if isinstance(top, Add | Sub | Mul) and len(free_vars(top) & set(iters)) > several:
            return top
    return None


def _of_swizzles(
    image: Sequence[Expr], iters: Mapping[Var, Expr], place: Sequence[Expr], known: Ranges
) -> Inverse | None:
    """`inverse` where one digit is spoken of only by a swizzle, `d ^ s` or `(d + s) % w`: that is
    another digit first, and gives `d` once all that `s` speaks of is known."""
    spare = min([-11_000, *[v.ordinal for v in iters]]) - 1
    limits = {**known, **{v: (Const(0, v.dtype), e - 1) for v, e in iters.items()}}
    for node, moved, by, width in _swizzles(image, limits):
        if node.dtype != INDEX:
            continue
        new = Var("z", spare)
        rest = [rewrite(e, lambda n, node=node, new=new: new if n is node else None) for e in image]  # type: ignore[misc]
        apart = digits([*rest, moved, by], {**iters, new: width}, known)
        *others, digit, shift = apart.exprs
        elsewhere = frozenset[Var]().union(*[free_vars(e) for e in (*others, shift)])
        if not isinstance(digit, Var) or digit not in apart.extents or digit in elsewhere:
            continue
        names = {v: Var("d", spare - 1 - k) for k, v in enumerate(apart.extents)}
        own = {names[v]: e for v, e in apart.extents.items() if v is not digit}
        renamed = [substitute(e, names) for e in others]
        found = inverse(renamed, own, place, known)
        if found is None:
            continue
        there = {v: found.values[one] for v, one in names.items() if one in found.values}
        turned, back = substitute(apart.whole[new], there), substitute(shift, there)
        there[digit] = turned ^ back if isinstance(node, BitXor) else (turned - back) % width
        asked = [there[digit] >= 0, there[digit] <= apart.extents[digit] - 1]
        asked += [substitute(e, there) for e in apart.spare]
        values = {v: substitute(e, there) for v, e in apart.whole.items() if v is not new}
        return _inverse(values, [*found.asked, *asked], known)
    return None


def _swizzles(image: Sequence[Expr], known: Ranges) -> Iterator[tuple[Expr, Expr, Expr, Expr]]:
    """What may be swizzles in an image: the node, what moves, by what, and within what extent."""
    for node in postorder(*image):
        if isinstance(node, BitXor):
            tops = [upper_bound(e, known) for e in (node.a, node.b)]
            if None in tops or not all(prove(e >= 0, known) for e in (node.a, node.b)):
                continue
            extent = index(1 << max([top for top in tops if top is not None]).bit_length())
            yield node, node.a, node.b, extent
            yield node, node.b, node.a, extent
        elif isinstance(node, FloorMod) and isinstance(node.a, Add | Sub):
            for moved in _summands(node.a):
                if not isinstance(moved, Const):
                    yield node, simplify(moved % node.b, known), node.a - moved, node.b


def _summands(e: Expr) -> list[Expr]:
    if isinstance(e, Add):
        return [*_summands(e.a), *_summands(e.b)]
    return _summands(e.a) if isinstance(e, Sub) else [e]


def _of_digits(
    image: Sequence[Expr], iters: Mapping[Var, Expr], place: Sequence[Expr], known: Ranges
) -> Inverse | None:
    """`inverse` where only single iterators are divided."""
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
        if form is None:
            return None
        falling = [v for v, c in form[0].items() if prove(c <= -1, apart.limits)]
        steps = {v: 0 - c if v in falling else c for v, c in form[0].items()}
        order = _descending(steps, apart.extents, apart.limits)
        if order is None or set(order) & set(found):
            return None
        rest = at - form[1]
        for digit in falling:  # counted from the other end, it rises
            rest = rest + steps[digit] * (apart.extents[digit] - 1)
        for digit in order:
            counted, rest = rest // steps[digit], rest % steps[digit]
            last = apart.extents[digit] - 1
            found[digit] = last - counted if digit in falling else counted
            asked += [counted >= 0, counted <= last]
        asked.append(rest.equal(0))
    for digit, extent in apart.extents.items():
        if digit not in found:
            if not prove(extent.equal(1), known):
                return None
            found[digit] = Const(0, digit.dtype)
    asked += [substitute(e, found) for e in apart.spare]
    return _inverse({v: substitute(e, found) for v, e in apart.whole.items()}, asked, known)


def _inverse(values: Mapping[Var, Expr], asked: list[Expr], known: Ranges) -> Inverse:
    return Inverse({v: simplify(e, known) for v, e in values.items()}, asked, known)


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
