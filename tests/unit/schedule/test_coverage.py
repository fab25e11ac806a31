"""Which values bindings take, and index maps turned round: against all small cases."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from passes.ir.arith import substitute
from passes.ir.arith.simplify import simplify
from passes.ir.expr import Const, Dim, Expr, Var, ceildiv, index
from passes.schedule.coverage import in_iterators, runs
from passes.schedule.inverse import inverse
from passes.schedule.tree import get_block, path_to_block
from tests.unit.schedule.steps import program

N = Dim("n", 1, 64)
A, B = Var("a", 0), Var("b", 1)
SIZES = (1, 2, 5, 8)


def value(e: Expr, values: dict[Expr, int]) -> int:
    found = simplify(substitute(e, {k: Const(v, k.dtype) for k, v in values.items()}))
    assert isinstance(found, Const), found
    return int(found.value)


def every(extents: dict[Var, Expr], n: int) -> list[dict[Expr, int]]:
    """All values of the variables."""
    spans = [range(value(e, {N: n})) for e in extents.values()]
    return [{N: n, **dict(zip(extents, point, strict=True))} for point in product(*spans)]


RUNS: list[tuple[list[Expr], dict[Var, Expr], bool]] = [
    ([A], {A: N}, True),
    ([A * 4 + B], {A: ceildiv(N, 4), B: index(4)}, True),
    ([B * N + A], {A: N, B: index(3)}, True),
    ([A // 8, A % 8], {A: N * 8}, True),
    ([A // 6, A // 2 % 3, A % 2], {A: N * 6}, True),
    ([A * 2 + B // 3, B % 3 + 5], {A: N, B: index(6)}, True),
    ([A * 2], {A: N}, False),
    ([A + B], {A: N, B: index(2)}, False),
    ([A // 8], {A: N * 8}, False),
    ([A // 8, A % 8], {A: N}, False),
    ([A], {A: N, B: index(2)}, False),
    ([A, A], {A: N}, False),
    ([A], {A: N, B: index(1)}, True),
    ([B], {A: N, B: A + 1}, False),
]


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_runs_take_each_combination_once(number: int) -> None:
    exprs, loops, expected = RUNS[number]
    found = runs(exprs, loops, {})
    assert (found is not None) == expected
    for n in SIZES if found is not None else ():
        spans = [range(value(r.first, {N: n}), value(r.end, {N: n})) for r in found or []]
        taken = Counter(tuple(value(e, point) for e in exprs) for point in every(loops, n))
        assert taken == Counter(product(*spans))


INVERSES: list[tuple[list[Expr], dict[Var, Expr], bool]] = [
    ([A, B], {A: N, B: index(4)}, True),
    ([B, A + 1], {A: N, B: index(4)}, True),
    ([A * 4 + B], {A: N, B: index(4)}, True),
    ([B * N + A], {A: N, B: index(3)}, True),
    ([A // 4, A % 4], {A: N}, True),
    ([A * 3 + 1], {A: N}, True),
    ([A * 8 + B * 2], {A: N, B: index(3)}, True),
    ([A, index(2)], {A: N}, True),
    ([A // 2 * 4 + B, A % 2], {A: N * 2, B: index(3)}, True),
    ([A], {A: N, B: index(1)}, True),
    ([A, A], {A: N}, False),
    ([A + B], {A: N, B: index(2)}, False),
    ([A], {A: N, B: index(2)}, False),
    ([A // 2], {A: N}, False),
    ([-A + 3], {A: N}, True),
    ([N - 1 - A], {A: N}, True),
    ([N * 2 - A * 2 + 5], {A: N}, True),
    ([A * 4 + 3 - B], {A: N, B: index(4)}, True),
    ([B, 7 - A * 3], {A: N, B: index(2)}, True),
    ([(N - 1 - A) // 4, (N - 1 - A) % 4], {A: N}, True),
    ([(A * 3 + 2 - B) // 2, (A * 3 + 2 - B) % 2], {A: N, B: index(3)}, True),
    ([(N - 1 - A) // 4, (N - 1 - A) % 4, (2 - B) // 2, (2 - B) % 2], {A: N, B: index(3)}, True),
    ([(A - 1) // 4 + 1, (A - 1) % 4], {A: N}, False),
    ([A - B], {A: N, B: index(2)}, False),
    ([A % 4 - A // 4], {A: N}, False),
]


@pytest.mark.parametrize("number", range(len(INVERSES)))
def test_inverses_lead_to_the_iterators(number: int) -> None:
    image, iters, expected = INVERSES[number]
    places = [Var("p", 10 + k) for k in range(len(image))]
    found = inverse(image, iters, places, {})
    assert (found is not None) == expected
    for n in SIZES if found is not None else ():
        assert found is not None
        wanted = {}
        for point in every(iters, n):
            wanted[tuple(value(e, point) for e in image)] = [point[v] for v in iters]
        along = [[at[k] for at in wanted] for k in range(len(image))]
        reach = [range(min(found_at) - 2, max(found_at) + 4) for found_at in along]
        for at in product(*reach):
            here: dict[Expr, int] = {N: n, **dict(zip(places, at, strict=True))}
            holds = all(value(c, here) for c in found.conditions)
            assert holds == (at in wanted)
            if holds:
                assert [value(found.values[v], here) for v in iters] == wanted[at]


def test_random_compositions_of_digits() -> None:
    r = Random(7)
    for _ in range(60):
        widths = [r.choice([2, 3, 4]) for _ in range(r.randint(1, 3))]
        loops: dict[Var, Expr] = {A: N * widths[0]}
        whole: Expr = A
        if r.random() < 0.5:
            loops[B] = index(widths[-1])
            whole = A * widths[-1] + B
        exprs = [whole // widths[0], whole % widths[0] + r.randint(0, 3)]
        found = runs(exprs, loops, {})
        for n in (1, 3) if found is not None else ():
            spans = [range(value(x.first, {N: n}), value(x.end, {N: n})) for x in found or []]
            taken = Counter(tuple(value(e, point) for e in exprs) for point in every(loops, n))
            assert taken == Counter(product(*spans))


def test_predicates_in_terms_of_iterators() -> None:
    function = program("""
for i in range((n + 3)//4):
    for j in range(4):
        for k in range(8):
            with block("one"):
                v = spatial(n + 1, i*4 + j + 1)
                w = spatial(8, k)
                where(i*4 + j < n and k < 5)
                a[v - 1, w] = x[v - 1]
""")
    block = get_block(function, "one", "test")
    loops = path_to_block(function, "one", "test")
    own = frozenset(s.var for s in loops[:-1])  # type: ignore[attr-defined]
    v, w = (it.var for it in block.iters)
    n = function.dims[0]
    assert in_iterators(block, own) == [simplify(v < n + 1), simplify(w < 5)]
    assert in_iterators(block.replace(predicate=block.bindings[0] * 2 < own_loop(own)), own) is None


def own_loop(own: frozenset[Var]) -> Var:
    return next(v for v in own if v.name == "i")
