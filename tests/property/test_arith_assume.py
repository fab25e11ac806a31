"""Proofs under assumptions, against all points where the assumptions hold, and against a solver."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from passes.ir.arith import narrowed, prove
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Dim, Expr, Le, Lt, Var, both
from tests.toys.index_math import ALL_POINTS, ENV, comparisons, value

quiet = settings(deadline=None)
SOME = Random(3).sample(ALL_POINTS, 250)
N, M = Dim("n", 1, 4096), Dim("m", 0, 4096)


@settings(quiet, max_examples=200)
@given(st.lists(comparisons, min_size=1, max_size=2), comparisons)
def test_what_is_proved_holds_wherever_the_assumptions_do(given_: list[Expr], claim: Expr) -> None:
    proved = prove(claim, ENV, given_)
    env = narrowed(ENV, given_)
    try:
        points = [p for p in SOME if all(value(e, p) for e in given_)]
    except ZeroDivisionError:
        assume(False)
    if env is None:
        assert not points
        return
    for point in points:
        for e, (low, high) in (*env.items(), *env.parts.items()):
            low, high = [value(x, point) if isinstance(x, Expr) else x for x in (low, high)]
            assert low <= value(e, point) <= high
    if proved:
        assert all(value(claim, point) for point in points)


I, J = Var("i", 0), Var("j", 1)  # noqa: E741
NAMED = {
    "capacity": (N + M - 1 < 128, {}, [N + M <= 128]),
    "position": (M + I < 128, {I: (0, N - 1)}, [N + M <= 128]),
    "scaled": (N * 2 + M * 2 <= 256, {}, [N + M <= 128]),
    "two facts": (N + M * 2 <= 192, {}, [N + M <= 128, M <= 64]),
    "quotient": (N // 8 >= 1, {}, [N // 8 * 10 >= 1]),
    "part": (N // 4 % 2 >= 1, {}, [N // 4 % 2 * 10 >= 1]),
    "rows": (I % (N // 8) < N // 8, {I: (0, N // 8 * 10 - 1)}, [N // 8 * 10 >= 1]),
    "never": (N < 0, {}, [N * 2 > 9000]),
    "both": (N + M - 1 < 128, {}, [both(N + M <= 128, M <= 7)]),
    "divided": ((N % 8).equal(0), {}, [(N % 8).equal(0)]),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_proofs(name: str) -> None:
    claim, env, facts = NAMED[name]
    assert prove(claim, env, facts)
    assert not prove(claim, env) or name == "rows"


def test_dims_are_cut_to_where_conditions_can_hold() -> None:
    env = narrowed(None, [N // 8 * 10 >= 2, N + M <= 20])
    assert env is not None
    assert env[N] == (Const(8, INDEX), Const(20, INDEX))
    assert env[M] == (Const(0, INDEX), Const(12, INDEX))


@settings(quiet, max_examples=80)
@given(st.data())
def test_proofs_by_sums_agree_with_a_solver(data: st.DataObject) -> None:
    z3 = pytest.importorskip("z3")
    numbers = st.integers(-3, 3)
    symbols = (N, M, I, J)

    def form() -> tuple[list[int], int]:
        return [data.draw(numbers) for _ in symbols], data.draw(st.integers(-40, 40))

    def built(factors: list[int], rest: int) -> Expr:
        whole: Expr = Const(rest, INDEX) + 0
        for symbol, factor in zip(symbols, factors, strict=True):
            whole = whole + symbol * factor
        return whole

    facts, claim = [form(), form()], form()
    zero = Const(0, INDEX)
    env = {I: (0, N - 1), J: (0, 7)}
    if not prove(Lt(built(*claim), zero), env, [Le(zero, built(*fact)) for fact in facts]):
        return
    names = z3.Ints("n m i j")
    n, m, i, j = names
    solver = z3.Solver()
    solver.add(n >= 1, n <= 4096, m >= 0, m <= 4096, i >= 0, i < n, j >= 0, j <= 7)

    def term(factors: list[int], rest: int) -> object:
        return sum([f * x for f, x in zip(factors, names, strict=True)], z3.IntVal(rest))

    for fact in facts:
        solver.add(term(*fact) >= 0)
    solver.add(term(*claim) >= 0)
    assert solver.check() == z3.unsat
