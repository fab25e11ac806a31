"""Index maps and the way back, against all elements counted out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from passes.ir.arith import simplify, substitute
from passes.ir.expr import Const, Dim, Expr, IntLike, Var, index
from passes.ir.expr_text import print_expr
from passes.schedule.layouts import IndexMap, image_of
from passes.schedule.tree import Refusal, ScheduleError
from tests.unit.codegen.running import check_lowering
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program

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
    "backwards": (lambda i: (N - 1 - i[0],), [N]),
    "backwards by rows": (lambda i: (i[0], 4 - i[1]), [N, 5]),
    "fused backwards": (lambda i: (N * 5 - 1 - (i[0] * 5 + i[1]),), [N, 5]),
    "fused, one backwards": (lambda i: (i[0] * 5 + (4 - i[1]),), [N, 5]),
    "fused by a dim, one backwards": (lambda i: ((N - 1 - i[0]) * M + i[1],), [N, M]),
    "backwards, then tiled": (lambda i: ((N - 1 - i[0]) // 4, (N - 1 - i[0]) % 4), [N]),
    "tiled, then backwards": (lambda i: ((N - 1) // 4 - i[0] // 4, i[0] % 4), [N]),
    "tiles backwards inside": (lambda i: (i[0] // 4, 3 - i[0] % 4), [N]),
    "every third, backwards": (lambda i: ((N - 1 - i[0]) * 3 + 2,), [N]),
    "two names of one digit": (lambda i: (i[0] * 2 // 4, i[0] % 2), [N]),
    "an axis more": (lambda i: (i[0], 0, i[1]), [N, 3]),
    "swizzle": (lambda i: (i[0], i[1] ^ (i[0] % 4)), [N, 8]),
    "swizzle, the other way round": (lambda i: (i[0], (i[0] % 4) ^ i[1]), [N, 4]),
    "swizzle that leaves gaps": (lambda i: (i[0], i[1] ^ (i[0] % 4)), [N, 6]),
    "swizzle of few": (lambda i: (i[0], i[1] ^ (i[0] % 4)), [N, 3]),
    "swizzle by rows": (lambda i: (i[0], i[1] ^ i[0]), [N, 4]),
    "swizzled vectors": (lambda i: (i[0], (i[1] // 4 ^ i[0] % 8) * 4 + i[1] % 4), [N, 32]),
    "swizzled vectors, apart": (lambda i: (i[0], i[1] // 4 ^ i[0] % 2, i[1] % 4), [N, 10]),
    "swizzled rows in panels": (
        lambda i: (i[0] // 8, i[0] % 8, i[1] // 2 ^ i[0] % 8 // 2, i[1] % 2), [N, 8]),
    "fused and swizzled": (lambda i: (i[0] * 8 + (i[1] ^ i[0] % 8),), [N, 8]),
    "two swizzles": (lambda i: (i[0], i[1] ^ i[0] % 2, i[2] ^ i[1]), [N, 2, 4]),
    "swizzled twice": (lambda i: (i[0], i[1], i[2] ^ i[1] ^ i[0] % 4), [N, 2, 4]),
    "turned": (lambda i: (i[0], (i[1] + i[0]) % 4), [N, 4]),
    "turned inside": (lambda i: (i[0], i[1] // 4, (i[1] % 4 + i[0]) % 4), [N, 8]),
    "turned inside, gaps": (lambda i: (i[0], i[1] // 4, (i[0] + i[1]) % 4), [N, 6]),
    "turned back": (lambda i: (i[0], (i[1] - i[0]) % 5), [N, 5]),
    "turned by a dim": (lambda i: (i[0], (i[1] + i[0] * 3) % M), [N, M]),
    "turned by two": (lambda i: (i[0], i[1], (i[0] + i[2] + i[1]) % 4), [N, 3, 4]),
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
    image = image_of(
        Refusal("test", "here", program(COPY).replace(dims=(N, M))), layout, axes, extents
    )
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


MEETING: dict[str, tuple[IndexMap, list[IntLike]]] = {
    "swizzled by each other": (lambda i: (i[0] ^ i[1], i[1] ^ i[0]), [4, 4]),
    "swizzle of what is nowhere else": (lambda i: (i[0] ^ i[1],), [4, 4]),
    "turned too far": (lambda i: (i[0], (i[1] + i[0]) % 4), [4, 5]),
    "turned twice as fast": (lambda i: (i[0], (i[1] * 2 + i[0]) % 4), [4, 4]),
    "turned by itself": (lambda i: (i[0], (i[1] + i[1]) % 4), [4, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", MEETING)
def test_elements_that_may_meet(name: str) -> None:
    layout, sizes = MEETING[name]
    axes = [Var("i", k) for k in range(len(sizes))]
    with pytest.raises(ScheduleError, match="two elements may meet in one place"):
        image_of(Refusal("test", "here", program(COPY)), layout, axes, [index(e) for e in sizes])


SWIZZLES: dict[str, IndexMap] = {
    "swizzle": lambda i: (i[0], i[1] ^ (i[0] % 4)),
    "swizzled vectors": lambda i: (i[0], (i[1] // 2 ^ i[0] % 4) * 2 + i[1] % 2),
    "fused and swizzled": lambda i: (i[0] * 8 + (i[1] ^ i[0] % 8),),
    "turned": lambda i: (i[0], i[1] // 4, (i[1] % 4 + i[0]) % 4),
}
TURNED = """
t = alloc(f32[n, 6])
for i in range(n):
    for j in range(6):
        with block("fill"):
            v = spatial(n, i)
            u = spatial(6, j)
            t[v, u] = x[v] + a[v, u]
for i in range(n):
    for j in range(6):
        with block("use"):
            v = spatial(n, i)
            u = spatial(6, j)
            a[v, u] = t[v, 5 - u]
"""


@pytest.mark.parametrize("name", SWIZZLES)
@pytest.mark.parametrize("pad", [None, 7.0])
def test_swizzled_buffers_and_blocks(name: str, pad: float | None) -> None:
    before = program(TURNED)
    for step in (
        lambda s: s.transform_layout("t", SWIZZLES[name], pad),
        lambda s: s.transform_block_layout("fill", SWIZZLES[name]),
    ):
        steps = Steps(before)
        step(steps.s)
        steps.s.parallel(steps.s.loops("use")[0])
        assert_same_meaning(before, steps.s.function, (1, 3, 8, 9))
        check_lowering(steps.s.function, {"n": 7})


def test_a_swizzle_reaches_no_further_than_the_rows() -> None:
    axes = [Var("i", 0), Var("i", 1)]
    refuse = Refusal("test", "here", program(COPY))
    image = image_of(refuse, SWIZZLES["fused and swizzled"], axes, [N, index(6)])
    assert [print_expr(e) for e in image.shape] == ["n*8"]
