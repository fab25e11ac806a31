"""Arithmetic facts against brute force: whatever is claimed holds at every point."""

from hypothesis import given, settings

from passes.ir.arith import (
    bounds,
    dims_of,
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
)
from passes.ir.expr import Dim, Var
from tests.toys.index_math import (
    ALL_POINTS,
    ENV,
    POINTS,
    I,
    J,
    K,
    M,
    N,
    conditions,
    index_expressions,
    value,
)

QUICK = settings(max_examples=120, deadline=None)


@QUICK
@given(index_expressions)
def test_simplify_keeps_the_value_and_is_idempotent(e):
    simple = simplify(e, ENV)
    for point in POINTS:
        assert value(simple, point) == value(e, point)
    assert simplify(simple, ENV) is simple


@QUICK
@given(index_expressions)
def test_simplify_without_ranges_holds_for_any_values(e):
    simple = simplify(e)
    for point in POINTS[:30]:
        wild = {**point, I: point[I] * 7 - 20, J: point[J] - 9, K: point[K] * 3}
        assert value(simple, wild) == value(e, wild)


@QUICK
@given(conditions)
def test_conditions_keep_their_value_and_proofs_hold_everywhere(cond):
    simple = simplify(cond, ENV)
    for point in POINTS:
        assert value(simple, point) == value(cond, point)
    assert simplify(simple, ENV) is simple
    if prove(cond, ENV):
        assert all(value(cond, point) for point in ALL_POINTS)


@QUICK
@given(index_expressions)
def test_bounds_contain_every_value(e):
    low, high = bounds(e, ENV)
    for point in POINTS:
        assert low is None or low <= value(e, point)
        assert high is None or high >= value(e, point)


@QUICK
@given(index_expressions)
def test_linear_parts_add_up(e):
    parts = linear(e, (I, J), ENV)
    if parts is None:
        return
    coefficients, rest = parts
    whole = rest
    for var, coefficient in coefficients.items():
        assert not free_vars(coefficient) & {I, J}
        whole = whole + coefficient * var
    assert not free_vars(rest) & {I, J}
    for point in POINTS[:20]:
        assert value(whole, point) == value(e, point)


@QUICK
@given(index_expressions)
def test_symbolic_extremes_are_attained(e):
    over = {I: N, J: M + 1}
    env = {K: (-5, 5)}
    for find, best in ((symbolic_max, max), (symbolic_min, min)):
        found = find(e, over, env)
        if found is None:
            continue
        assert not free_vars(found) & {I, J}
        for n, m, k in ((1, 0, -5), (3, 2, 4), (6, 5, 0)):
            fixed = {N: n, M: m, K: k}
            values = [value(e, {**fixed, I: i, J: j}) for i in range(n) for j in range(m + 1)]
            assert value(found, fixed) == best(values)


@QUICK
@given(index_expressions, index_expressions)
def test_substitution_commutes_with_evaluation(e, replacement):
    replaced = substitute(e, {I: replacement, M: N})
    assert M not in dims_of(replaced) or M in dims_of(replacement)
    for point in POINTS[:20]:
        inner = {**point, I: value(replacement, point), M: point[N]}
        try:
            expected = value(e, inner)
        except ValueError:  # a shift by a negative number
            continue
        assert value(replaced, point) == expected


@QUICK
@given(index_expressions)
def test_symbols_are_those_that_occur(e):
    stack, variables, dims = [e], set(), set()
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        variables |= {node} if isinstance(node, Var) else set()
        dims |= {node} if isinstance(node, Dim) else set()
    assert free_vars(e) == variables
    assert dims_of(e) == dims
