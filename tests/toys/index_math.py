"""Random index expressions, the points they are evaluated at, and an evaluator over ints."""

import random
from itertools import product

from hypothesis import strategies as st

from passes.ir import expr
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Dim, Expr, Var

I, J, K = Var("i", 0), Var("j", 1), Var("k", 2)  # noqa: E741
N, M = Dim("n", 1, 6), Dim("m", 0, 5)
ENV = {I: (0, N - 1), J: (0, 3), K: (-5, I)}

_BINARY = {
    expr.Add: lambda a, b: a + b,
    expr.Sub: lambda a, b: a - b,
    expr.Mul: lambda a, b: a * b,
    expr.FloorDiv: lambda a, b: a // b,
    expr.FloorMod: lambda a, b: a % b,
    expr.Min: min,
    expr.Max: max,
    expr.Lt: lambda a, b: a < b,
    expr.Le: lambda a, b: a <= b,
    expr.Eq: lambda a, b: a == b,
    expr.Ne: lambda a, b: a != b,
    expr.And: lambda a, b: a and b,
    expr.Or: lambda a, b: a or b,
    expr.Shl: lambda a, b: a << b,
    expr.Shr: lambda a, b: a >> b,
    expr.BitAnd: lambda a, b: a & b,
    expr.BitOr: lambda a, b: a | b,
    expr.BitXor: lambda a, b: a ^ b,
}


def value(e, point):
    """The int (or bool) `e` has where the symbols have the values of `point`."""
    match e:
        case Const(number, _):
            return number
        case Var() | Dim():
            return point[e]
        case expr.Not(a):
            return not value(a, point)
        case expr.Select(cond, then, other):
            return value(then if value(cond, point) else other, point)
        case expr.Binary(a, b):
            return _BINARY[type(e)](value(a, point), value(b, point))
    raise AssertionError(e)


def every_point():
    """All values of the symbols that ENV and the dims allow."""
    found = []
    for n, m in product(range(N.lo, N.hi + 1), range(M.lo, M.hi + 1)):
        for i, j in product(range(n), range(4)):
            found.extend({N: n, M: m, I: i, J: j, K: k} for k in range(-5, i + 1))
    return found


ALL_POINTS = every_point()
POINTS = random.Random(7).sample(ALL_POINTS, 60)

leaves = st.one_of(
    st.sampled_from([I, J, K, N, M]), st.integers(-12, 12).map(lambda v: Const(v, INDEX))
)
divisors = st.one_of(
    st.sampled_from([2, 3, 4, 6, 8, 16, -4]).map(lambda v: Const(v, INDEX)),
    st.sampled_from([N, expr.Mul(N, Const(2, INDEX)), expr.Add(M, Const(1, INDEX))]),
)


def _grown(inner):
    scaled = st.tuples(inner, st.sampled_from([2, 3, 4, 8, 16, -1, -4])).map(
        lambda pair: expr.Mul(pair[0], Const(pair[1], INDEX))
    )
    sums = st.tuples(st.sampled_from([expr.Add, expr.Sub]), inner, inner)
    quotients = st.tuples(st.sampled_from([expr.FloorDiv, expr.FloorMod]), inner, divisors)
    others = st.tuples(st.sampled_from([expr.Mul, expr.Min, expr.Max, expr.BitXor]), inner, inner)
    made = st.one_of(sums, sums, quotients, quotients, others).map(lambda t: t[0](t[1], t[2]))
    bits = st.tuples(
        st.sampled_from([expr.Shl, expr.Shr, expr.BitAnd]), inner, st.sampled_from([0, 1, 3])
    ).map(lambda t: t[0](t[1], Const(t[2], INDEX)))
    selects = st.tuples(_compared(inner), inner, inner).map(lambda t: expr.Select(*t))
    return st.one_of(made, made, made, scaled, scaled, bits, selects)


def _compared(inner):
    kinds = st.sampled_from([expr.Lt, expr.Le, expr.Eq, expr.Ne])
    return st.tuples(kinds, inner, inner).map(lambda t: t[0](t[1], t[2]))


index_expressions: st.SearchStrategy[Expr] = st.recursive(leaves, _grown, max_leaves=9)
comparisons: st.SearchStrategy[Expr] = _compared(st.recursive(leaves, _grown, max_leaves=5))
conditions: st.SearchStrategy[Expr] = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from([expr.And, expr.Or]), inner, inner).map(
            lambda t: t[0](t[1], t[2])
        ),
        inner.map(expr.Not),
    ),
    max_leaves=3,
)
