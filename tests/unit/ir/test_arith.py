"""The normal form, bounds and proofs on the shapes that schedules make."""

import pytest

from passes.ir import expr
from passes.ir.arith import (
    bounds,
    dims_of,
    divisor,
    free_vars,
    linear,
    lower_bound,
    narrowed,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
    upper_bound,
)
from passes.ir.dtypes import F32, I32, INDEX, U8
from passes.ir.expr import FALSE, TRUE, Broadcast, Const, Dim, Ramp, Var, index, minimum
from passes.ir.expr_text import parse_expr, print_expr
from passes.ir.loop.nodes import Block, BlockIter, Buffer, For, Load, Store
from passes.ir.node import IRError

I, J, K, P = Var("i", 0), Var("j", 1), Var("k", 2), Var("p", 3)  # noqa: E741
N, M = Dim("n", 1, 512), Dim("m", 0, 1535)
X = Buffer("x", 4, (N, M), F32)
TOKENS = Buffer("t", 5, (N,), I32)
NAMES = {"i0": I, "j1": J, "k2": K, "n": N, "m": M, "x4": X, "t5": TOKENS}
ENV = {I: (0, N - 1), J: (0, 3), K: (0, 7)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(i0*4 + j1)//4", "i0"),
        ("(i0*4 + j1)%4", "j1"),
        ("(i0*8 + k2)//16", "i0//2"),
        ("(i0*8 + k2)%16", "i0%2*8 + k2"),
        ("i0//4*4 + i0%4", "i0"),
        ("i0 - i0//4*4", "i0%4"),
        ("i0//4%8*4 + i0%4", "i0%32"),
        ("i0//64*64 + i0//4%16*4 + i0%4", "i0"),
        ("i0%32 - i0//4%8*4", "i0%4"),
        ("i0//4 - i0//8*2", "i0//4%2"),
        ("n%8 - n%8//4*4", "n%4"),
        ("i0//4//4", "i0//16"),
        ("i0%16//4", "i0//4%4"),
        ("i0%16%4", "i0%4"),
        ("(i0*n + i0)//n", "i0"),
        ("(j1*n + i0)%n", "i0"),
        ("(j1*(n + 2) + i0)//(n + 2)", "j1"),
        ("(j1*(n + 2) + i0)%(n + 2)", "i0"),
        ("(n*2 + 3)//(n + 2)", "1"),
        ("n - n//32*32", "n%32"),
        ("j1 - n + j1 + 3 - 5", "j1*2 - n - 2"),
        ("(i0 + 2)*(i0 - 2)", "i0*i0 - 4"),
        ("min(i0*4 + j1, n*4)", "i0*4 + j1"),
        ("max(0, i0)", "i0"),
        ("min(min(n, m), min(n + 1, 9))", "min(min(m, n), 9)"),
        ("select(i0 < n, j1, k2)", "j1"),
        ("i0 + 4 < n + 4", "True"),
        ("n + 4 <= i0 + 4", "False"),
        ("i0*4 + 4 <= m*4", "i0 < m"),
        ("not i0 < m", "m < i0 + 1"),
        ("i0*2 == j1*2 + 1", "False"),
        ("i0 << 3", "i0*8"),
        ("i0 >> 2 & 3", "i0//4%4"),
        ("cast(cast(i0, i32), index)", "i0"),
        ("cast(cast(i0, i8), index)", "cast(cast(i0, i8), index)"),
        ("x4[(i0*4 + j1)//4, 0 + m] + x4[i0, m]*f32(1.0)", "x4[i0, m] + x4[i0, m]*f32(1.0)"),
        ("ramp(i0*2//2, 1, 4) + broadcast(j1 + 1, 4)", "ramp(i0 + j1 + 1, 1, 4)"),
        ("ramp(i0, 2, 4)*broadcast(3, 4)", "ramp(i0*3, 6, 4)"),
        ("broadcast(i0, 4) - broadcast(i0, 4)", "broadcast(0, 4)"),
        ("ramp(i0, 2, 4) - ramp(j1, 2, 4)", "broadcast(i0 - j1, 4)"),
    ],
)
def test_normal_form(before, after):
    simple = simplify(parse_expr(before, NAMES), ENV)
    assert print_expr(simple) == after
    assert simplify(simple, ENV) is simple


def test_division_by_zero_stays():
    e = parse_expr("i0//0 + i0%0", NAMES)
    assert bounds(e, ENV) == (None, None)
    assert "//0" in print_expr(simplify(e, ENV))


def test_fixed_width_arithmetic_is_not_rearranged():
    a, b = Var("a", 8, I32), Var("b", 9, I32)
    e = expr.Sub(expr.Add(a, b), b)
    assert simplify(e) is e
    assert simplify(expr.Mul(Const(2**30, I32), Const(4, I32))) is Const(0, I32)


def test_fixed_width_comparisons_use_the_type():
    byte = expr.Cast(Var("b", 9, U8), I32)
    assert simplify(byte < 256) is TRUE
    assert simplify(byte < 0) is FALSE
    assert bounds(expr.Add(byte, Const(2**31 - 1, I32))) == (-(2**31), 2**31 - 1)


def test_a_very_long_sum_is_no_problem():
    e = I
    for _ in range(5000):
        e = expr.Add(e, expr.Sub(J, I))
    assert print_expr(simplify(e)) == "j1*5000 - i0*4999"


def test_bounds_use_dims_ranges_and_types():
    assert bounds(N * 4 - I * 4 - J, ENV) == (1, 2048)
    assert bounds(I) == (None, None)
    assert (lower_bound(I, ENV), upper_bound(I, ENV)) == (0, 511)
    token = expr.Cast(Load(TOKENS, (I,)), INDEX)
    assert bounds(token, ENV) == (-(2**31), 2**31 - 1)
    assert bounds(expr.Call("num_threads", (), INDEX)).lo == 1


def test_proofs_put_quotients_and_remainders_together():
    assert prove(N % 8 // 4 * 4 <= N % 8)
    assert not prove(N % 8 // 4 * 4 < N % 8)


def test_proofs_follow_ranges_that_speak_of_others():
    env = {I: (0, (N + 15) // 16 - 1), J: (0, minimum(N - I * 16, 16) - 1)}
    assert prove(I * 16 + J < N, env)
    assert not prove(I * 16 + J < N - 1, env)
    assert prove(parse_expr("0 <= i0 and i0 <= n", NAMES), env)


def test_a_range_that_speaks_of_itself_is_refused():
    with pytest.raises(IRError, match="the range of i0 depends on itself"):
        prove(I < N, {I: (0, J), J: (0, I)})


def test_linear():
    coefficients, rest = linear(I * 4 * N + J * 3 + M - 1, (I, J, K))
    assert coefficients == {I: N * 4, J: Const(3, INDEX)}
    assert rest is M - 1
    assert linear(I * J, (I, J)) is None
    assert linear(I // 2, (I,)) is None
    assert linear(I * J, (I,)) == ({I: J}, Const(0, INDEX))


@pytest.mark.parametrize(
    ("e", "wanted"),
    [
        (I * 16 + N // 8 * 8, 8),
        (I * 4 * N * 6, 24),
        ((I * 12) // 4 + N * 6, 3),
        ((I * 12) % 18, 6),
        (I * 8 + 4, 4),
        (I * 4 + 3, 1),
        (index(0), 0),
    ],
)
def test_divisors(e, wanted):
    assert divisor(e) == wanted


def test_divisors_of_what_is_known_to_divide():
    env = narrowed(None, [(N % 4).equal(0)])
    assert divisor(N * 3, env) == 12
    assert divisor(I * 8, {I: (Const(3, INDEX), Const(3, INDEX))}) == 24


def test_symbolic_extremes():
    over = {I: N, J: Const(4, INDEX)}
    assert print_expr(symbolic_max(I * 4 + J, over)) == "n*4 - 1"
    assert print_expr(symbolic_min(J - I, over)) == "1 - n"
    assert print_expr(symbolic_max(I + J, {I: N, J: I + 1})) == "n*2 - 2"
    assert print_expr(symbolic_max((I + 3) // 4, {I: N})) == "(n + 2)//4"
    assert symbolic_max(I % 4, {I: N}) is None
    assert symbolic_max(I * (N - 5), {I: N}) is None


def test_substitute_folds_and_renames():
    assert substitute(I * 4 + J, {I: Const(0, INDEX)}) is J
    assert substitute(Load(X, (I, J)), {J: I}) is Load(X, (I, I))
    loop = For(I, N, Store(TOKENS, (I,), Const(0, I32)))
    assert substitute(loop, {I: P}) is For(P, N, Store(TOKENS, (P,), Const(0, I32)))
    with pytest.raises(IRError, match="cannot substitute a value for i0: the statement binds it"):
        substitute(loop, {I: J + 1})
    select = expr.Select(I < N, Load(X, (I, J)), Const(0.0, F32))
    assert substitute(select, {I: Const(0, INDEX), N: Const(4, INDEX)}).dtype == F32
    assert substitute(select, {I: Const(9, INDEX), N: Const(4, INDEX)}) is Const(0.0, F32)


def test_free_variables_are_those_not_bound():
    store = Store(TOKENS, (K,), expr.Cast(J, I32))
    block = Block("b", (BlockIter(K, N),), (I + P,), store)
    assert free_vars(block) == {I, J, P}
    assert free_vars(For(I, N, block)) == {J, P}
    assert dims_of(For(I, M, block)) == {N, M}
    assert free_vars(Ramp(I, 1, 4)) == {I} == free_vars(Broadcast(I, 4))
