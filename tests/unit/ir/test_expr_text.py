"""The text of expressions: print and parse are each other's inverse, errors name their place."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir import expr
from passes.ir.dtypes import BOOL, F16, F32, F64, I8, I16, I32, INDEX, U8, DType
from passes.ir.expr import Call, Const, Dim, Expr, Var
from passes.ir.expr_text import parse_expr, print_expr
from passes.ir.intrinsics import call
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError, postorder

I, A, B = Var("i", 0), Var("a", 1, I32), Var("long_name", 2, F32)  # noqa: E741
N = Dim("n", 1, 512)
X = Buffer("x", 3, (N, N), F32)
Q = Buffer("q", 4, (N,), U8, strides=(N,))
SCALAR = Buffer("s", 5, (), F16)
NAMES = {"i0": I, "a1": A, "long_name2": B, "n": N, "x3": X, "q4": Q, "s5": SCALAR}

LT, EQ = I < N, expr.Eq(I, N)
LOADED = Load(X, (I, N - 1))
BYTES = Load(Q, (expr.Ramp(I, 1, 16),))

SAMPLES = {
    "i0 + n - 3": expr.Sub(expr.Add(I, N), Const(3, INDEX)),
    "i0 - (n - 3)": expr.Sub(I, expr.Sub(N, Const(3, INDEX))),
    "i0*n//3%2": (I * N) // 3 % 2,
    "i0*(n//3)": I * (N // 3),
    "-3": Const(-3, INDEX),
    "-1*i0": expr.Mul(Const(-1, INDEX), I),
    "i0 - -1": expr.Sub(I, Const(-1, INDEX)),
    "0 - i0": expr.Sub(Const(0, INDEX), I),
    "True": Const(True, BOOL),
    "f32(0.5)": Const(0.5, F32),
    "f32(-0.0)": Const(-0.0, F32),
    'f32("-inf")': Const(float("-inf"), F32),
    'f64("nan")': Const(float("nan"), F64),
    "f64(1e-310)": Const(1e-310, F64),
    "i8(-128)": Const(-128, I8),
    "u8(255)": Const(255, U8),
    "a1 << i32(2) | a1 & i32(3) ^ a1 >> i32(1)": (A << 2) | ((A & 3) ^ (A >> 1)),
    "(a1 | i32(3)) & a1": (A | 3) & A,
    "long_name2/x3[i0, n - 1]": expr.Div(B, LOADED),
    "s5[()]": Load(SCALAR, ()),
    "q4[ramp(i0, 1, 16)]": BYTES,
    "i0 < n and i0 <= n and i0 == n": expr.And(expr.And(LT, I <= N), EQ),
    "i0 < n and (i0 <= n and i0 != n)": expr.And(LT, expr.And(I <= N, expr.Ne(I, N))),
    "(i0 < n or i0 == n) and not i0 < n": expr.And(expr.Or(LT, EQ), expr.Not(LT)),
    "not (i0 < n or i0 == n)": expr.Not(expr.Or(LT, EQ)),
    "(i0 < n) == (i0 == n)": expr.Eq(LT, EQ),
    "(not i0 < n) == (i0 < n)": expr.Eq(expr.Not(LT), LT),
    "select(i0 < n, min(i0, n), max(i0, 1))": expr.Select(
        LT, expr.Min(I, N), expr.Max(I, Const(1, INDEX))
    ),
    "cast(i0, f32)": expr.Cast(I, F32),
    "cast(q4[ramp(i0, 1, 16)], i32x16)": expr.Cast(BYTES, I32.with_lanes(16)),
    "reinterpret(q4[ramp(i0, 1, 16)], i32x4)": expr.Reinterpret(BYTES, I32.with_lanes(4)),
    "broadcast(f32(2.0), 8)": expr.Broadcast(Const(2.0, F32), 8),
    "exp(x3[i0, n - 1])": call("exp", LOADED),
    'call("exp", f64, x3[i0, n - 1])': Call("exp", (LOADED,), F64),
    'call("x86.pmaddwd", i32x4, broadcast(i16(1), 8), broadcast(i16(1), 8))': call(
        "x86.pmaddwd", *[expr.Broadcast(Const(1, I16), 8)] * 2
    ),
    "thread_id()": call("thread_id"),
}


@pytest.mark.parametrize("text", SAMPLES)
def test_text_and_back(text):
    assert print_expr(SAMPLES[text]) == text
    assert parse_expr(text, NAMES) is SAMPLES[text]


def test_the_samples_hold_every_kind_of_expression():
    def kinds(kind):
        below = kind.__subclasses__()
        return {k for k in below if not k.__subclasses__()}.union(*[kinds(k) for k in below])

    shown = {type(node) for node in postorder(*SAMPLES.values())}
    assert {kind for kind in kinds(Expr) if kind.__module__.startswith("passes.")} <= shown


SCALARS = [INDEX, BOOL, F32, I32]


def _constants(kind: DType):
    if kind == BOOL:
        return st.booleans().map(lambda v: Const(v, BOOL))
    if kind.is_float:
        return st.floats(width=64).map(lambda v: Const(v, kind))
    return st.integers(-100, 100).map(lambda v: Const(v, kind))


def _leaves(kind: DType):
    known = [node for node in (I, A, B, N) if node.dtype == kind]
    return st.one_of(_constants(kind), *([st.sampled_from(known)] if known else []))


@cache
def expressions(kind: DType, depth: int):
    """Random expressions of one type, of every node kind that can have it."""
    if depth == 0:
        return _leaves(kind)
    same = st.deferred(lambda: expressions(kind, depth - 1))
    places = st.deferred(lambda: expressions(INDEX, depth - 1))
    conditions = st.deferred(lambda: expressions(BOOL, depth - 1))
    pair = st.tuples(same, same)
    made = [_leaves(kind), st.builds(expr.Select, conditions, same, same)]
    if kind == BOOL:
        operands = st.sampled_from([INDEX, F32, BOOL]).flatmap(
            lambda k: st.tuples(*[expressions(k, depth - 1)] * 2)
        )
        compares = st.sampled_from([expr.Lt, expr.Le, expr.Eq, expr.Ne])
        made.append(st.builds(lambda k, ab: k(*ab), compares, operands))
        logic = st.sampled_from([expr.And, expr.Or])
        made += [st.builds(lambda k, ab: k(*ab), logic, pair), st.builds(expr.Not, same)]
        return st.one_of(made)
    operators = [expr.Add, expr.Sub, expr.Mul, expr.Min, expr.Max]
    if kind.is_float:
        operators.append(expr.Div)
        made.append(st.builds(lambda i, j: Load(X, (i, j)), places, places))
        made.append(st.builds(lambda a: call("exp", a), same))
        made.append(st.builds(lambda a: Call("other.name", (a,), kind), same))
    else:
        operators += [expr.FloorDiv, expr.FloorMod, expr.Shl, expr.Shr]
        operators += [expr.BitAnd, expr.BitOr, expr.BitXor]
    made.append(st.builds(lambda k, ab: k(*ab), st.sampled_from(operators), pair))
    made.append(
        st.sampled_from(SCALARS).flatmap(
            lambda k: expressions(k, depth - 1).map(lambda e: expr.Cast(e, kind))
        )
    )
    return st.one_of(made)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SCALARS).flatmap(lambda kind: expressions(kind, 3)))
def test_any_expression_survives_its_text(e):
    assert parse_expr(print_expr(e), NAMES) is e


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i0 +", "not an expression: invalid syntax"),
        ("i0 + k9", "line 1, column 6: 'k9' is not defined here"),
        ("x3", "line 1, column 1: 'x3' is a buffer; read an element of it, as in x3[0]"),
        ("i0[1]", "line 1, column 1: 'i0' is not a buffer"),
        ("x3[i0]", "line 1, column 1: 'x3' has 2 axes but is accessed by 1"),
        ("1.5", "line 1, column 1: a float constant needs its type, as in f32(1.5)"),
        ("i0 < n < 3", "line 1, column 1: comparisons do not chain; join them with 'and'"),
        ("f32(1)", "line 1, column 5: a float literal is needed here, not '1'"),
        ("u8(256)", "line 1, column 1: constant 256 does not fit type u8"),
        ("i0 + f32(1.0)", "line 1, column 1: Add of different types index and f32"),
        ("foo(i0)", "line 1, column 1: 'foo' is not a function with 1 arguments"),
        ("exp(i0)", "line 1, column 1: 'exp' does not take (index)"),
        ("exp(a1, a1)", "line 1, column 1: 'exp' takes 1 arguments, not 2"),
        ("cast(i0, f31)", "line 1, column 10: unknown element type 'f31'"),
        ("cast(i0, 3)", "line 1, column 10: a type is needed here, not '3'"),
        ("ramp(i0, 1, 0)", "line 1, column 13: a vector has at least one lane, not 0"),
        ("ramp(i0, n, 4)", "line 1, column 10: an integer literal is needed here, not 'n'"),
        ("i0 ** 2", "line 1, column 1: the operator of 'i0 ** 2' is not in the language"),
        ("-i0", "line 1, column 1: '-i0' is not part of the expression language"),
        ("-True", "line 1, column 1: an integer literal is needed here, not '-True'"),
        ("i0.real", "line 1, column 1: 'i0.real' is not part of the expression language"),
        ("min(i0, n, 3)", "line 1, column 1: 'min' is not a function with 3 arguments"),
        ("index(3)", "line 1, column 1: a constant is written as in f32(0.5), 3 or True"),
        ("(" * 300 + "1" + ")" * 300, "not an expression: too many nested parentheses"),
        ("i0\0", "source code string cannot contain null bytes"),
        ("9" * 5000, "not an expression"),
    ],
)
def test_errors_name_the_place(text, message):
    with pytest.raises(IRError) as caught:
        parse_expr(text, NAMES)
    assert message in str(caught.value)


def test_a_call_with_a_strange_name_has_no_text():
    with pytest.raises(IRError, match="a call's name is letters, digits"):
        print_expr(Call('x")', (), F32))
