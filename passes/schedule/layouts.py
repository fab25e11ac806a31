"""Index maps: where they lead, and the way back.

(i, j) → (j//16, i, j%16)     of [n, 64]     reaches [4, n, 16]
back: (a, b, c) → (b, a*16 + c)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import dims_of, free_vars, prove, simplify, symbolic_max, upper_bound
from passes.ir.expr import TRUE, BitXor, Const, Expr, FloorMod, Var, index
from passes.ir.expr_text import print_expr
from passes.ir.node import IRError, Node, postorder, rewrite
from passes.schedule.dependence import differ
from passes.schedule.inverse import inverse
from passes.schedule.tree import Refusal, loaded

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
        found = inverse(self.places, extents, at, limits)
        if found is None:
            return None
        element = tuple([found.values[axis] for axis in self.axes])
        asked = dict.fromkeys([simplify(e, limits) for e in found.conditions])
        return element, [e for e in asked if e is not TRUE]


def places_of(refuse: Refusal, layout: IndexMap, axes: Sequence[Var]) -> tuple[Expr, ...]:
    """Where the layout leads. Raises ScheduleError if it is no function of such a list."""
    try:
        places = tuple([index(e) for e in layout(axes)])
    except (TypeError, ValueError, LookupError, AttributeError, IRError) as error:
        kind = f"a function of the list of {len(axes)} indices"
        reason = f"the layout, {kind}, fails: {type(error).__name__}: {error}"
        raise refuse(reason) from error
    for e in places:
        strangers = (dims_of(e) - {*refuse.function.dims}) | (free_vars(e) - {*axes})
        if strangers or loaded(e):
            raise refuse(
                f"the layout leads to {print_expr(e)}, which says more than indices and dims"
            )
    return places


def image_of(
    refuse: Refusal, layout: IndexMap, axes: Sequence[Var], extents: Sequence[Expr]
) -> Image:
    """The image of the elements 0 … extent-1 along each axis.

    Raises ScheduleError if two of them may meet in one place, or places have no bounds.
    """
    sizes = dict(zip(axes, extents, strict=True))
    known = _ranges(sizes)
    places = places_of(refuse, layout, axes)
    simple = [simplify(e, known) for e in places]
    shape: list[Expr] = []
    for e in simple:
        top = symbolic_max(*_bounded(e, sizes, known))
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


def _bounded(
    e: Expr, sizes: Mapping[Var, Expr], known: Mapping[Var, tuple[Expr, Expr]]
) -> tuple[Expr, dict[Var, Expr]]:
    """The expression with variables, of their own extents, in the place of what bits are mixed in;
    all extents."""
    extents, names = dict(sizes), dict[Node, Node]()
    for node in (n for n in postorder(e) if isinstance(n, BitXor)):
        high = upper_bound(node, known)
        if high is not None and prove(node >= 0, known):
            extents[Var("z", -12_000 - len(names))] = index(high + 1)
            names[node] = Var("z", -12_000 - len(names))
    return rewrite(e, names.get), extents


def _ranges(extents: Mapping[Var, Expr]) -> dict[Var, tuple[Expr, Expr]]:
    return {v: (index(0), e - 1) for v, e in extents.items()}
