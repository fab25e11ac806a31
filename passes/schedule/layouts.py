"""Index maps: where they lead, and the way back.

(i, j) → (j//16, i, j%16)     of [n, 64]     reaches [4, n, 16]
back: (a, b, c) → (b, a*16 + c)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import (
    free_vars,
    prove,
    simplify,
    symbolic_max,
    upper_bound,
)
from passes.ir.expr import TRUE, Add, Const, Expr, FloorDiv, FloorMod, Mul, Sub, Var, index
from passes.ir.expr_text import print_expr
from passes.ir.node import postorder, rewrite
from passes.schedule.accesses import Ranges
from passes.schedule.dependence import differ
from passes.schedule.inverse import Inverse, inverse
from passes.schedule.tree import Refusal

IndexMap = Callable[[Sequence[Expr]], Sequence[Expr]]


@dataclass(frozen=True)
class Image:
    """Where the elements 0 … extent-1 along each of `axes` go: to `places`, within `shape`."""

    axes: tuple[Var, ...]
    extents: tuple[Expr, ...]
    places: tuple[Expr, ...]
    shape: tuple[Expr, ...]

    @property
    def simple(self) -> tuple[Expr, ...]:
        """The places, simplified with what is known of the axes."""
        known = _ranges(dict(zip(self.axes, self.extents, strict=True)))
        return tuple([simplify(e, known) for e in self.places])

    def back(self, at: Sequence[Var]) -> tuple[tuple[Expr, ...], list[Expr]] | None:
        """The element that lies at a place, and what holds of the places where one does.

        None if the map is not made of digits of the axes: quotients and remainders by constants
        or dims, put together again.
        """
        extents = dict(zip(self.axes, self.extents, strict=True))
        limits = _ranges(dict(zip(at, self.shape, strict=True)))
        found = _solved(extents, self.places, at, limits)
        if found is None:
            return None
        element = tuple([found.values[axis] for axis in self.axes])
        asked = dict.fromkeys([simplify(e, limits) for e in found.conditions])
        return element, [e for e in asked if e is not TRUE]


def image_of(
    refuse: Refusal, layout: IndexMap, axes: Sequence[Var], extents: Sequence[Expr]
) -> Image:
    """The image of the elements 0 … extent-1 along each axis.

    Raises ScheduleError if two of them may meet in one place, or places have no bounds.
    """
    sizes = dict(zip(axes, extents, strict=True))
    known = _ranges(sizes)
    places = tuple([index(e) for e in layout(axes)])
    simple = [simplify(e, known) for e in places]
    shape: list[Expr] = []
    for e in simple:
        top = symbolic_max(e, sizes)
        if top is None and isinstance(e, FloorMod) and prove(e.b >= 1):
            top = e.b - 1
        high = upper_bound(e, known)
        last = top if top is not None else None if high is None else Const(high, e.dtype)
        if last is None or not prove(e >= 0, known):
            raise refuse(f"the reach of {print_expr(e)} is unknown")
        shape.append(simplify(last + 1))
    image = Image(tuple(axes), tuple(extents), places, tuple(shape))
    apart = differ(tuple(simple), axes, known)
    if not apart and image.back([Var("p", -10_000 - k) for k in range(len(places))]) is None:
        text = f"({', '.join([print_expr(e) for e in simple])})"
        raise refuse(f"two elements may meet in one place of {text}")
    return image


def _ranges(extents: Mapping[Var, Expr]) -> dict[Var, tuple[Expr, Expr]]:
    return {v: (index(0), e - 1) for v, e in extents.items()}


def _solved(
    extents: Mapping[Var, Expr], places: Sequence[Expr], at: Sequence[Expr], known: Ranges
) -> Inverse | None:
    """The axes as expressions of `at`; a sum over several of them that is divided as a whole is
    solved first."""
    fused = _fused(extents, places)
    if fused is None:
        return inverse(places, extents, at, known)
    inner = {v: e for v, e in extents.items() if v in free_vars(fused)}
    outer = {v: e for v, e in extents.items() if v not in inner}
    whole = Var("f", -11_000 - len(extents))
    top = symbolic_max(fused, inner)
    rest = [rewrite(e, lambda node: whole if node is fused else None) for e in places]
    if top is None or any(free_vars(e) & set(inner) for e in rest):
        return None
    one = _solved({**outer, whole: simplify(top + 1)}, rest, at, known)
    two = None if one is None else _solved(inner, [fused], [one.values[whole]], known)
    if one is None or two is None:
        return None
    return Inverse({**one.values, **two.values}, [*one.conditions, *two.conditions])


def _fused(extents: Mapping[Var, Expr], places: Sequence[Expr]) -> Expr | None:
    """A sum over several axes that is divided as a whole."""
    for n in postorder(*places):
        top = n.a if isinstance(n, FloorDiv | FloorMod) else None
        if isinstance(top, Add | Sub | Mul) and len(free_vars(top) & set(extents)) > 1:
            return top
    return None
