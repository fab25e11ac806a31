"""Index maps and the way back, against all elements counted out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from passes.ir.arith import simplify, substitute
from passes.ir.expr import Const, Dim, Expr, IntLike, Var, index
from passes.schedule.layouts import IndexMap, image_of
from passes.schedule.tree import Refusal
from tests.unit.schedule.steps import program

N, M = Dim("n", 1, 64), Dim("m", 1, 9)
COPY = "y[0] = x[0]"

CASES: dict[str, tuple[IndexMap, list[IntLike]]] = {
    "panels": (lambda i: (i[1] // 16, i[0], i[1] % 16), [N, 64]),
    "panels that do not fill": (lambda i: (i[1] // 12, i[0], i[1] % 12), [N, 50]),
    "rows of four": (lambda i: (i[0] // 4, i[1], i[0] % 4), [N, 5]),
    "fused": (lambda i: (i[0] * 5 + i[1],), [N, 5]),
    "fused by a dim": (lambda i: (i[0] * M + i[1],), [N, M]),
    "fused, then tiled": (lambda i: ((i[0] * 6 + i[1]) // 4, (i[0] * 6 + i[1]) % 4), [N, 6]),
    "fused by a dim, then tiled": (
        lambda i: ((i[0] * M + i[1]) // 4, (i[0] * M + i[1]) % 4), [N, M]),
    "three fused, then tiled": (
        lambda i: (((i[0] * 6 + i[1]) * 3 + i[2]) // 4, ((i[0] * 6 + i[1]) * 3 + i[2]) % 4),
        [N, 6, 3]),
    "two fused, one between": (
        lambda i: ((i[0] * 6 + i[1]) // 4, i[2], (i[0] * 6 + i[1]) % 4), [N, 6, 2]),
    "three digits": (lambda i: (i[0] // 8, i[0] % 8 // 2, i[0] % 2), [N]),
    "tiled by a dim": (lambda i: (i[0] // M, i[0] % M), [N]),
    "every second": (lambda i: (i[0] * 2,), [N]),
    "one on": (lambda i: (i[0] + 1,), [N]),
    "gaps": (lambda i: (i[0] // 4 * 8 + i[0] % 4,), [N]),
    "an axis more": (lambda i: (i[0], 0, i[1]), [N, 3]),
}  # fmt: skip


def _value(e: Expr, values: dict[Expr, Expr]) -> int:
    found = simplify(substitute(e, values))
    assert isinstance(found, Const)
    return int(found.value)


def _points(extents: Sequence[Expr], names: Sequence[Var], dims: dict[Expr, Expr]):
    for point in product(*[range(_value(e, dims)) for e in extents]):
        yield point, {**dims, **{v: index(x) for v, x in zip(names, point, strict=True)}}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n", "m"), [(1, 5), (7, 3)])
def test_the_way_back(name: str, n: int, m: int) -> None:
    layout, sizes = CASES[name]
    dims: dict[Expr, Expr] = {N: index(n), M: index(m)}
    extents = [index(e) for e in sizes]
    axes = [Var("i", k) for k in range(len(sizes))]
    image = image_of(Refusal("test", "here", program(COPY)), layout, axes, extents)
    places = {
        tuple([_value(e, values) for e in image.places]): point
        for point, values in _points(extents, axes, dims)
    }
    assert len(places) == len(list(_points(extents, axes, dims)))
    at = [Var("p", 100 + k) for k in range(len(image.places))]
    back = image.back(at)
    assert back is not None
    element, conditions = back
    for place, values in _points(image.shape, at, dims):
        assert all(_value(c, values) for c in conditions) == (place in places)
        if place in places:
            assert tuple([_value(e, values) for e in element]) == places[place]


def test_no_way_back() -> None:
    axes = [Var("i", 0), Var("j", 1)]
    refuse = Refusal("test", "here", program(COPY))
    image = image_of(refuse, lambda i: (i[0], i[0] + i[1]), axes, [N, index(3)])
    assert image.back([Var("p", 2), Var("q", 3)]) is None
