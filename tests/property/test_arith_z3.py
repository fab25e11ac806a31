"""Arithmetic facts against an SMT solver: all integers, not only sampled points."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir import expr
from passes.ir.arith import prove, simplify
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Dim, Expr, Lt, Var, ceildiv, compare
from passes.ir.expr_text import print_expr

z3 = pytest.importorskip("z3")

I, J, K = Var("i", 0), Var("j", 1), Var("k", 2)  # noqa: E741
N = Dim("n", 1, 512)
ENV = {I: (0, N - 1), J: (0, 3), K: (0, 15)}

_SAME = {
    expr.Add: lambda a, b: a + b,
    expr.Sub: lambda a, b: a - b,
    expr.Mul: lambda a, b: a * b,
    expr.FloorDiv: lambda a, b: a / b,
    expr.FloorMod: lambda a, b: a % b,
    expr.Lt: lambda a, b: a < b,
    expr.Le: lambda a, b: a <= b,
    expr.Eq: lambda a, b: a == b,
    expr.Ne: lambda a, b: a != b,
    expr.Min: lambda a, b: z3.If(a < b, a, b),
    expr.Max: lambda a, b: z3.If(a > b, a, b),
}


def as_z3(e):
    """The solver's term; its integer division rounds down for the positive divisors used here."""
    match e:
        case Const(value, dtype):
            return z3.IntVal(value) if dtype == INDEX else z3.BoolVal(value)
        case Var() | Dim():
            return z3.Int(e.name)
        case expr.Not(a):
            return z3.Not(as_z3(a))
        case expr.And(a, b):
            return z3.And(as_z3(a), as_z3(b))
    return _SAME[type(e)](as_z3(e.a), as_z3(e.b))


def refuted(claim):
    """True if the solver finds values in range for which the claim fails."""
    solver = z3.Solver()
    solver.set("rlimit", 60_000)
    i, j, k, n = z3.Ints("i j k n")
    solver.add(i >= 0, i < n, j >= 0, j < 4, k >= 0, k < 16, n >= 1, n <= 512)
    solver.add(z3.Not(claim))
    return solver.check() == z3.sat


leaves = st.one_of(
    st.sampled_from([I, J, K, N]), st.integers(-8, 40).map(lambda v: Const(v, INDEX))
)
factors = st.sampled_from([2, 4, 8, 16]).map(lambda v: Const(v, INDEX))


def _grown(inner):
    sums = st.tuples(st.sampled_from([expr.Add, expr.Sub]), inner, inner)
    by_constant = st.tuples(
        st.sampled_from([expr.Mul, expr.FloorDiv, expr.FloorMod]), inner, factors
    )
    extremes = st.tuples(st.sampled_from([expr.Min, expr.Max]), inner, inner)
    return st.one_of(sums, by_constant, extremes).map(lambda t: t[0](t[1], t[2]))


expressions = st.recursive(leaves, _grown, max_leaves=6)
kinds = st.sampled_from([expr.Lt, expr.Le, expr.Eq, expr.Ne])
CHECKED = settings(max_examples=120, deadline=None)


@CHECKED
@given(expressions)
def test_normal_forms_are_equal_for_all_integers(e: Expr):
    assert not refuted(as_z3(e) == as_z3(simplify(e, ENV)))


@CHECKED
@given(kinds, expressions, expressions)
def test_no_proof_is_refuted(kind, a, b):
    claim = kind(a, b)
    simple = simplify(claim, ENV)
    assert not refuted(as_z3(claim) == as_z3(simple))
    if prove(claim, ENV):
        assert not refuted(as_z3(claim))


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.integers(-9, 9)] * 3), st.integers(-80, 80), st.sampled_from([expr.Lt, expr.Le])
)
def test_affine_claims_over_boxes_are_decided(coefficients, offset, kind):
    a, b, c = coefficients
    claim = kind(J * a + K * b + N * c, Const(offset, INDEX))
    assert prove(claim, ENV) == (not refuted(as_z3(claim)))


@pytest.mark.parametrize(
    "claim",
    [
        I < N,
        I * 4 + J < N * 4,
        compare(Lt, I // 4, ceildiv(N, 4)),
        I // 16 * 16 + I % 16 < N,
        I % 16 <= I,
        expr.minimum(N - I // 16 * 16, 16) <= 16,
        expr.Le(Const(1, INDEX), expr.minimum(N - I // 16 * 16, 16)),
        ceildiv(N, 16) * 16 < N + 16,
        ceildiv(N, 16) * 16 >= N,
        (I * 16 + K) // 16 < N,
        expr.maximum(I, J) < N + 4,
        compare(Lt, (N - 1 - I) // 8, ceildiv(N, 8)),
    ],
    ids=print_expr,
)
def test_shapes_of_schedules_are_proven(claim):
    assert prove(claim, ENV)
    assert not refuted(as_z3(claim))
