"""Vector math evaluated in numpy f32, node by node, against f64: special values and errors."""

import math

import numpy as np
import pytest

from passes.codegen import minimax, vector_math
from passes.codegen.vector_math import EXPANDED, expand
from passes.ir import expr
from passes.ir.dtypes import BF16, F16, F32, F64, INDEX
from passes.ir.expr import Expr, Var
from passes.ir.intrinsics import intrinsic
from passes.ir.node import IRError, postorder

X, Y = Var("x", 0, F32), Var("y", 1, F32)
INF, NAN = np.float32(np.inf), np.float32(np.nan)

_OPERATIONS = {
    expr.Add: np.add,
    expr.Sub: np.subtract,
    expr.Mul: np.multiply,
    expr.Div: np.divide,
    expr.Lt: np.less,
    expr.Le: np.less_equal,
    expr.Eq: np.equal,
    expr.Ne: np.not_equal,
    expr.And: np.logical_and,
    expr.Or: np.logical_or,
    expr.BitAnd: np.bitwise_and,
    expr.BitOr: np.bitwise_or,
    expr.BitXor: np.bitwise_xor,
    expr.Shl: np.left_shift,
    expr.Shr: np.right_shift,
    expr.Min: lambda a, b: np.where(a < b, a, b),
    expr.Max: lambda a, b: np.where(a > b, a, b),
}


def evaluated(e: Expr, x, y=None):
    """The value of `e` for many x (and y) at once, every node in its own type."""
    values = {Y: y}
    with np.errstate(all="ignore"):
        for node in postorder(e):
            if node is Y:
                continue
            of = [values[child] for child in node.children]
            match node:
                case Var():
                    found = x
                case expr.Const(number, dtype):
                    found = dtype.numpy.type(number)
                case expr.Call(name, _, _):
                    found = intrinsic(name).meaning(*of)
                case expr.Select():
                    found = np.where(*of)
                case expr.Not():
                    found = np.logical_not(*of)
                case expr.Cast(_, dtype):
                    found = of[0].astype(dtype.numpy)
                case expr.Reinterpret(_, dtype):
                    found = of[0].view(dtype.numpy)
                case expr.Broadcast():
                    found = of[0]
                case _:
                    found = _OPERATIONS[type(node)](*of)
            values[node] = found
    return values[e]


def own(name, x):
    arguments = (X, X) if name == "pow" else (X,)
    found = evaluated(expand(name, arguments), np.asarray(x, np.float32))
    assert found.dtype == np.float32
    return found


EXACT = {
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": lambda x: np.array([math.erf(v) for v in x.tolist()]),
    "rsqrt": lambda x: 1 / np.sqrt(x),
}


def samples(low, high, count=60_000):
    """Points between the ends: spread evenly, and spread evenly over exponents."""
    rng = np.random.default_rng(3)
    even = rng.uniform(low, high, count)
    biggest = np.log(max(abs(low), abs(high)))
    sizes = np.exp(rng.uniform(biggest - 60, biggest, count))
    signed = sizes * rng.choice([-1, 1], count)
    whole = np.concatenate([even, signed]).astype(np.float32)
    ends = np.array([low, high], np.float32)
    return np.concatenate([whole[(whole >= ends[0]) & (whole <= ends[1])], ends])


def units(found, exact):
    """The error in units in the last place of the f32 result."""
    size = np.maximum(np.abs(exact), 2.0**-126)
    unit = 2.0 ** (np.floor(np.log2(size)) - 23)
    return np.abs(found.astype(np.float64) - exact) / unit


@pytest.mark.parametrize(
    ("name", "low", "high", "most"),
    [
        ("exp", -87.3365, 88.7228, 1.0),
        ("log", 1e-37, 3e38, 1.0),
        ("log", 0.4, 2.5, 1.2),
        ("log", 1e-45, 1e-37, 1.0),
        ("tanh", -12, 12, 1.5),
        ("tanh", -1, 1, 1.5),
        ("sigmoid", -80, 90, 2.5),
        ("erf", -5, 5, 1.5),
        ("erf", -1.2, 1.2, 1.5),
        ("rsqrt", 1e-30, 1e30, 1.5),
        ("sin", -3.2, 3.2, 2.0),
        ("cos", -1.5, 1.5, 2.0),
    ],
)
def test_error_in_units_in_the_last_place(name, low, high, most):
    x = samples(low, high)
    error = units(own(name, x), EXACT[name](x.astype(np.float64)))
    assert error.max() <= most, f"{error.max():.3f} at {x[error.argmax()]!r}"


@pytest.mark.parametrize(
    ("limit", "most"), [(10, 1.0e-7), (10_000, 1.0e-7), (131_072, 1.2e-7), (1 << 20, 1.5e-7)]
)
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_absolute_error_of_large_angles(name, limit, most):
    x = samples(-limit, limit)
    multiples = np.arange(-2000, 2000) * (np.pi / 2) * (limit / 4000)
    x = np.concatenate([x, multiples.astype(np.float32)])
    found = own(name, x)
    error = np.abs(found - EXACT[name](x.astype(np.float64)))
    assert error.max() <= most, f"{error.max():.3g} at {x[error.argmax()]!r}"
    assert np.abs(found).max() <= 1


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_relative_error_near_the_zeros(name):
    n = np.arange(-6000, 6000, dtype=np.float64)
    x = ((n + (0.5 if name == "cos" else 0)) * np.pi).astype(np.float32)
    error = units(own(name, x), EXACT[name](x.astype(np.float64)))
    assert error.max() <= 2.0


def powers(x, y):
    found = evaluated(expand("pow", (X, Y)), *[np.asarray(v, np.float32) for v in (x, y)])
    assert found.dtype == np.float32
    return found


def test_error_of_powers_in_units_in_the_last_place():
    rng = np.random.default_rng(5)
    x = np.exp(rng.uniform(-80, 80, 60_000)).astype(np.float32)
    y = (rng.uniform(-87, 88, x.size) / np.log(x.astype(np.float64))).astype(np.float32)
    near = rng.uniform(0.5, 2, x.size).astype(np.float32)
    far = rng.uniform(-120, 120, x.size).astype(np.float32)
    for a, b in ((x, y), (near, far), (near, y[::-1])):
        with np.errstate(over="ignore"):
            exact = np.power(a.astype(np.float64), b.astype(np.float64))
        normal = (exact > 1.2e-38) & (exact < 3.4e38)
        error = units(powers(a, b)[normal], exact[normal])
        assert error.max() <= 1.2, f"{error.max():.3f} at {a[normal][error.argmax()]!r}"


def test_powers_of_special_values():
    values = [0.0, -0.0, 1, -1, INF, -INF, NAN, 2, -2, 0.5, -0.5, 3, -3, 1e30, -1e30, 2.5, -2.5]
    x, y = (v.ravel() for v in np.meshgrid(*[np.array(values, np.float32)] * 2))
    with np.errstate(all="ignore"):
        wanted = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    found = powers(x, y)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(
        np.signbit(found)[~np.isnan(wanted)], np.signbit(wanted)[~np.isnan(wanted)]
    )
    np.testing.assert_allclose(found, wanted, rtol=2e-7)


def test_powers_of_integers_are_as_good_as_products():
    x = np.arange(-40, 41, dtype=np.float32)
    for y in (0, 1, 2, 3, 4, -1, -2, -3):
        exact = np.power(np.where(x == 0, 1, x).astype(np.float64), y)
        assert units(powers(np.where(x == 0, 1, x), np.full_like(x, y)), exact).max() <= 1.0


SPECIAL = np.array([INF, -INF, NAN, 0.0, -0.0], np.float32)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("exp", [INF, 0, NAN, 1, 1]),
        ("log", [INF, NAN, NAN, -INF, -INF]),
        ("sin", [NAN, NAN, NAN, 0, 0]),
        ("cos", [NAN, NAN, NAN, 1, 1]),
        ("tanh", [1, -1, NAN, 0, -0.0]),
        ("sigmoid", [1, 0, NAN, 0.5, 0.5]),
        ("erf", [1, -1, NAN, 0, -0.0]),
        ("rsqrt", [0, NAN, NAN, INF, -INF]),
    ],
)
def test_special_values(name, wanted):
    np.testing.assert_array_equal(own(name, SPECIAL), np.array(wanted, np.float32))


def test_exp_at_the_ends_of_its_range():
    limits = np.array([88.72283, 88.72284, 1e4, 3e38, -87.33654, -87.33655, -104, -1e4, -3e38])
    found = own("exp", limits.astype(np.float32))
    assert 3.4e38 < found[0] < np.inf
    assert 1.17e-38 < found[4] < 1.18e-38
    np.testing.assert_array_equal(found[1:4], INF)
    np.testing.assert_array_equal(found[5:], 0)


def test_tails_are_exact_and_monotone():
    far = np.array([9.5, 20, 88, 89, 1e3, 3e38], np.float32)
    np.testing.assert_array_equal(own("tanh", far), 1)
    np.testing.assert_array_equal(own("tanh", -far), -1)
    np.testing.assert_array_equal(own("erf", far), 1)
    np.testing.assert_array_equal(own("sigmoid", -far[3:]), 0)
    np.testing.assert_array_equal(own("sigmoid", far[1:]), 1)
    beyond = np.array([1.1e6, 1e9, 3e38, -3e38], np.float32)
    assert np.isnan(own("sin", beyond)).all() and np.isnan(own("cos", beyond)).all()
    assert own("log", np.float32(-1)).item() != own("log", np.float32(-1)).item()


@pytest.mark.parametrize("name", sorted(EXPANDED))
def test_vectors_are_expanded_like_scalars(name):
    lanes = expr.Broadcast(X, 16)
    whole = expand(name, (lanes, lanes) if name == "pow" else (lanes,))
    assert whole.dtype == F32.with_lanes(16)
    x = samples(-5, 5, 200)
    np.testing.assert_array_equal(evaluated(whole, x), own(name, x))
    calls = {node.name for node in postorder(whole) if isinstance(node, expr.Call)}
    assert calls <= {"fma", "abs", "sqrt", "floor"}


@pytest.mark.parametrize("kind", [F16, BF16])
def test_narrow_floats_are_computed_in_f32(kind):
    narrow = Var("h", 1, kind)
    x = np.linspace(-4, 4, 33).astype(kind.numpy)
    found = evaluated(expand("exp", (narrow,)), x)
    assert found.dtype == kind.numpy
    np.testing.assert_array_equal(found, own("exp", x.astype(np.float32)).astype(kind.numpy))


def test_what_cannot_be_expanded_is_refused():
    with pytest.raises(IRError, match="no expansion of 'floor'; there are cos, erf, exp"):
        expand("floor", (X,))
    for kind in (F64, INDEX):
        with pytest.raises(IRError, match="only f32 and narrower floats"):
            expand("exp", (Var("v", 0, kind),))


def test_the_coefficients_are_what_the_script_writes():
    pytest.importorskip("mpmath")
    written = vector_math.table.__file__
    with open(written, encoding="utf-8") as file:
        assert file.read() == minimax.source()
