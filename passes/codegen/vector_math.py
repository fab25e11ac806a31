"""Mathematical functions as f32 arithmetic on any number of lanes.

`expand` replaces a call by polynomials, fused multiply-adds and bit tricks, which every target
has as vector instructions; calling a math library would take one call a lane. Largest errors
measured, in units in the last place: exp 0.9, log 1.1, tanh 1.4, erf 1.3, rsqrt 1.5, sigmoid 2.2,
pow 1.1; sin and cos have an absolute error below 1.2e-7 (1.8 units around 0).

NaN gives NaN (but pow(x, 0) and pow(1, y) are 1). Results below the smallest normal number may be
flushed to zero; exp(-inf) is 0 exactly. sin and cos are defined up to |x| = 2**20, NaN beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from passes.codegen import coefficients as table
from passes.ir.dtypes import F32, I32, DType
from passes.ir.expr import (
    And,
    BitAnd,
    BitOr,
    BitXor,
    Broadcast,
    Const,
    Div,
    Eq,
    Expr,
    Le,
    Lt,
    Min,
    Ne,
    Not,
    Or,
    Reinterpret,
    Select,
    Shl,
    Shr,
    cast,
)
from passes.ir.intrinsics import call
from passes.ir.node import IRError

_ROUNDER = 1.5 * 2**23
"""Added to a small f32, it leaves the nearest integer in the low bits of the mantissa."""
_SIGN = -(1 << 31)
_INFINITY, _NAN = float("inf"), float("nan")
_LARGEST_ANGLE = float(1 << 20)
_SMALLEST_NORMAL = 2.0**-126
_ROOT_HALF_BITS = 0x3F3504F3


def expand(name: str, args: Sequence[Expr]) -> Expr:
    """The value of `name(*args)` without calls, but for fma, sqrt and abs.

    rsqrt(x)  ->  1/sqrt(x)

    Types narrower than f32 are computed in f32. Raises IRError for a name that is not in
    `EXPANDED` and for f64.
    """
    if name not in EXPANDED:
        raise IRError(f"no expansion of '{name}'; there are {', '.join(sorted(EXPANDED))}")
    dtype = args[0].dtype
    if not dtype.is_float or dtype.name == "f64":
        raise IRError(f"'{name}' of {dtype} cannot be expanded: only f32 and narrower floats")
    return cast(EXPANDED[name](*[cast(x, F32) for x in args]), dtype)


def _of(dtype: DType, value: float, like: Expr) -> Expr:
    scalar = Const(value, dtype)
    lanes = like.dtype.lanes
    return scalar if lanes == 1 else Broadcast(scalar, lanes)


def _real(value: float, like: Expr) -> Expr:
    return _of(F32, value, like)


def _bits(x: Expr) -> Expr:
    return Reinterpret(x, I32.with_lanes(x.dtype.lanes))


def _from_bits(x: Expr) -> Expr:
    return Reinterpret(x, F32.with_lanes(x.dtype.lanes))


def _fma(a: Expr, b: Expr | float, c: Expr | float) -> Expr:
    """a*b + c."""
    b = b if isinstance(b, Expr) else _real(b, a)
    c = c if isinstance(c, Expr) else _real(c, a)
    return call("fma", a, b, c)


def _polynomial(x: Expr, coefficients: Iterable[float]) -> Expr:
    """Horner's scheme; coefficients from the lowest power."""
    highest, *others = reversed(tuple(coefficients))
    whole = _real(highest, x)
    for c in others:
        whole = _fma(whole, x, c)
    return whole


def _less_multiple(x: Expr, n: Expr, constant: Iterable[float]) -> Expr:
    """x - n*constant, the constant in parts of which the first product cancels exactly."""
    for part in constant:
        x = _fma(n, -part, x)
    return x


def _with_sign_of(magnitude: Expr, x: Expr) -> Expr:
    sign = BitAnd(_bits(x), _of(I32, _SIGN, x))
    return _from_bits(BitOr(_bits(magnitude), sign))


def _exp_in_range(x: Expr, rest: Expr | None = None) -> Expr:
    """exp(x + rest) = 2**n * exp(r), where n = round(x / ln 2); the exponent stays normal."""
    shifted = _fma(x, table.LOG2_E, _ROUNDER)
    r = _less_multiple(x, shifted - _ROUNDER, table.LN2)
    r = r if rest is None else r + rest
    p = _fma(_fma(_polynomial(r, table.EXP), r, 1.0), r, 1.0)
    return _from_bits(_bits(p) + Shl(_bits(shifted), _of(I32, 23, x)))


def _exp(x: Expr, rest: Expr | None = None) -> Expr:
    whole = _exp_in_range(x, rest)
    zero_or = Select(Lt(x, _real(table.LOG_OF_SMALLEST, x)), _real(0.0, x), whole)
    # x + inf is inf where x is too large, and NaN where it is NaN.
    inside = Le(x, _real(table.LOG_OF_LARGEST, x))
    return Select(inside, zero_or, x + _INFINITY)


def _sigmoid(x: Expr) -> Expr:
    return Div(_real(1.0, x), _exp(x * -1.0) + 1.0)


def _tanh(x: Expr) -> Expr:
    a = call("abs", x)
    s = x * x
    near = _fma(x * s, _polynomial(s, table.TANH), x)
    far = _fma(Div(_real(1.0, x), _exp(a + a) + 1.0), -2.0, 1.0)
    return Select(Lt(a, _real(0.6, x)), near, _with_sign_of(far, x))


def _erf(x: Expr) -> Expr:
    a = call("abs", x)
    near = _fma(x, _polynomial(x * x, table.ERF), x)
    # erfc(4) is below half a unit of 1.
    bounded = Min(_real(4.0, x), a)
    far = _real(1.0, x) - _exp_in_range(_polynomial(bounded, table.LOG_ERFC))
    nan_kept = Select(Le(a, _real(_INFINITY, x)), far, x)
    return Select(Lt(a, _real(0.95, x)), near, _with_sign_of(nan_kept, x))


def _exponent(x: Expr) -> tuple[Expr, Expr]:
    """(n, f) with x = 2**n * (1 + f), where 1 + f lies around 1; x is positive."""
    tiny = Lt(x, _real(_SMALLEST_NORMAL, x))
    normal = Select(tiny, x * 2.0**23, x)
    start = _of(I32, _ROOT_HALF_BITS, x)
    e = Shr(_bits(normal) - start, _of(I32, 23, x))
    f = _from_bits(_bits(normal) - Shl(e, _of(I32, 23, x))) - 1.0
    return cast(e, F32) - Select(tiny, _real(23.0, x), _real(0.0, x)), f


def _log(x: Expr) -> Expr:
    """n*ln 2 + log(1 + f)."""
    n, f = _exponent(x)
    s = f * f
    y = _polynomial(f, table.LOG) * (f * s)
    y = _fma(n, table.LN2[1], y)
    y = f + _fma(s, -0.5, y)
    y = _fma(n, table.LN2[0], y)
    positive = Lt(_real(0.0, x), x)
    at_most_zero = Select(Le(_real(0.0, x), x), _real(-_INFINITY, x), _real(_NAN, x))
    finite = Lt(x, _real(_INFINITY, x))
    return Select(positive, Select(finite, y, x), at_most_zero)


def _sin_of_rest(x: Expr, n: Expr, shifted: Expr) -> Expr:
    """sin(x - n*pi), its sign turned where the lowest bit of `shifted` is set; |x| guarded."""
    r = _less_multiple(x, n, table.PI)
    s = r * r
    y = _fma(r * s, _polynomial(s, table.SIN), r)
    turned = _from_bits(BitXor(_bits(y), Shl(_bits(shifted), _of(I32, 31, x))))
    known = Le(call("abs", x), _real(_LARGEST_ANGLE, x))
    return Select(known, turned, _real(_NAN, x))


def _sin(x: Expr) -> Expr:
    shifted = _fma(x, table.INVERSE_PI, _ROUNDER)
    return _sin_of_rest(x, shifted - _ROUNDER, shifted)


def _cos(x: Expr) -> Expr:
    """-(-1)**n * sin(x - (n + 1/2)*pi); the odd rounder turns the sign."""
    rounder = _ROUNDER + 1
    shifted = _fma(x, table.INVERSE_PI, -0.5) + rounder
    return _sin_of_rest(x, shifted - rounder + 0.5, shifted)


def _rsqrt(x: Expr) -> Expr:
    return Div(_real(1.0, x), call("sqrt", x))


def _sum(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """a + b as a number and what its rounding lost, where |a| >= |b| or a is 0."""
    whole = a + b
    return whole, b - (whole - a)


def _precise_log(x: Expr) -> tuple[Expr, Expr]:
    """log(x) as a sum of two numbers, good to some 32 bits; x is positive and finite.

    log(1 + f) is 2*atanh(q) with q = f/(2 + f), of which both the quotient and its remainder count.
    """
    n, f = _exponent(x)
    divisor = f + 2.0
    left = f - (divisor - 2.0)
    q = Div(f, divisor)
    q_rest = Div(_fma(q * -1.0, left, _fma(q * -1.0, divisor, f)), divisor)
    s = q * q
    cube = s * q
    s_rest = _fma(q, q, s * -1.0) + q * (q_rest + q_rest)
    cube_rest = _fma(s, q, cube * -1.0) + _fma(s_rest, q, s * q_rest)
    weight = _polynomial(s, [2.0 / (2 * k + 3) for k in range(5)])
    series = cube * weight
    series_rest = _fma(cube, weight, series * -1.0) + cube_rest * weight
    high, lost = _sum(n * table.LN2_SHORT[0], q + q)
    low = lost + _fma(n, table.LN2_SHORT[1], q_rest + q_rest + series_rest)
    high, lost = _sum(high, series)
    return _sum(high, lost + low)


def _pow(x: Expr, y: Expr) -> Expr:
    """exp(y*log |x|), the product in two numbers, with the sign of x where y is odd."""
    one, zero, infinity = (_real(v, x) for v in (1.0, 0.0, _INFINITY))
    a = call("abs", x)
    high, low = _precise_log(a)
    high = Select(Eq(a, zero), _real(-_INFINITY, x), Select(Eq(a, infinity), infinity, high))
    product = y * high
    size = _exp(product, _fma(y, low, _fma(y, high, product * -1.0)))
    # 1 ** inf, of which the product is NaN
    size = Select(And(Eq(a, one), Eq(y, y)), one, Select(Eq(a, a), size, x))
    half = y * 0.5
    whole = Eq(call("floor", y), y)
    odd = And(whole, Ne(call("floor", half), half))
    signed = Select(odd, _with_sign_of(size, x), size)
    outside = And(And(Lt(x, zero), Not(whole)), Lt(a, infinity))
    result = Select(outside, _real(_NAN, x), signed)
    return Select(Or(Eq(y, zero), Eq(x, one)), one, result)


EXPANDED: dict[str, Callable[..., Expr]] = {
    "exp": _exp,
    "log": _log,
    "sin": _sin,
    "cos": _cos,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "rsqrt": _rsqrt,
    "pow": _pow,
}
"""The functions `expand` knows."""
