"""The expression language of both IRs: symbolic dims and scalar (or short-vector) arithmetic.

    e ::= Const | Dim | Var | Load(buffer, indices)                      (Load lives in loop/nodes)
        | Add | Sub | Mul | Div | FloorDiv | FloorMod | Min | Max
        | BitAnd | BitOr | BitXor | Shl | Shr
        | Lt | Le | Eq | Ne | And | Or | Not | Select(cond, then, other)
        | Cast(value, dtype) | Reinterpret(value, dtype) | Call(name, args, dtype)
        | Ramp(base, stride, lanes) | Broadcast(value, lanes)

`index` arithmetic is unbounded; fixed-width integers wrap; `//` and `%` round towards minus
infinity. The classes build exactly what they are given; the Python operators (`a + 1`, `a // b`,
`a < b`) fold constants and neutral elements of integers on the way. Float arithmetic is never
folded here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cached_property
from keyword import iskeyword
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from passes.ir.dtypes import BOOL, INDEX, DType
from passes.ir.node import IRError, Node

IntLike: TypeAlias = "Expr | int"
Scalar: TypeAlias = "Expr | int | float | bool"


class Expr(Node):
    """A scalar or short-vector value."""

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...

    def __add__(self, other: Scalar) -> Expr:
        return add(self, _like(other, self))

    def __radd__(self, other: Scalar) -> Expr:
        return add(_like(other, self), self)

    def __sub__(self, other: Scalar) -> Expr:
        return sub(self, _like(other, self))

    def __rsub__(self, other: Scalar) -> Expr:
        return sub(_like(other, self), self)

    def __mul__(self, other: Scalar) -> Expr:
        return mul(self, _like(other, self))

    def __rmul__(self, other: Scalar) -> Expr:
        return mul(_like(other, self), self)

    def __truediv__(self, other: Scalar) -> Expr:
        return Div(self, _like(other, self))

    def __rtruediv__(self, other: Scalar) -> Expr:
        return Div(_like(other, self), self)

    def __floordiv__(self, other: Scalar) -> Expr:
        return floordiv(self, _like(other, self))

    def __rfloordiv__(self, other: Scalar) -> Expr:
        return floordiv(_like(other, self), self)

    def __mod__(self, other: Scalar) -> Expr:
        return floormod(self, _like(other, self))

    def __rmod__(self, other: Scalar) -> Expr:
        return floormod(_like(other, self), self)

    def __and__(self, other: Scalar) -> Expr:
        return BitAnd(self, _like(other, self))

    def __or__(self, other: Scalar) -> Expr:
        return BitOr(self, _like(other, self))

    def __xor__(self, other: Scalar) -> Expr:
        return BitXor(self, _like(other, self))

    def __lshift__(self, other: Scalar) -> Expr:
        return Shl(self, _like(other, self))

    def __rshift__(self, other: Scalar) -> Expr:
        return Shr(self, _like(other, self))

    def __lt__(self, other: Scalar) -> Expr:
        return compare(Lt, self, _like(other, self))

    def __le__(self, other: Scalar) -> Expr:
        return compare(Le, self, _like(other, self))

    def __gt__(self, other: Scalar) -> Expr:
        return compare(Lt, _like(other, self), self)

    def __ge__(self, other: Scalar) -> Expr:
        return compare(Le, _like(other, self), self)

    def __neg__(self) -> Expr:
        return sub(_like(0, self), self)

    def equal(self, other: Scalar) -> Expr:
        """`self == other` as an expression (Python's `==` stays identity)."""
        return compare(Eq, self, _like(other, self))


class Const(Expr):
    """A literal; `value` is a bool, int or float according to `dtype` (always a scalar type)."""

    value: bool | int | float
    dtype: DType

    def check(self) -> None:
        wanted = bool if self.dtype == BOOL else float if self.dtype.is_float else int
        if type(self.value) is not wanted or self.dtype.lanes != 1:
            raise IRError(f"constant {self.value!r} does not fit type {self.dtype}")
        if wanted is int and self.dtype != INDEX:
            bits, signed = self.dtype.bits, self.dtype.is_signed
            low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
            if not low <= self.value < high:
                raise IRError(f"constant {self.value} does not fit type {self.dtype}")


class Dim(Expr):
    """A symbolic dimension of a module, the same object in every function; lo <= value <= hi."""

    name: str
    lo: int
    hi: int

    @property
    def dtype(self) -> DType:
        return INDEX

    def check(self) -> None:
        named = self.name.isidentifier() and not iskeyword(self.name)
        if not named or not 0 <= self.lo <= self.hi:
            raise IRError(f"dim '{self.name}' needs a name and bounds 0 <= lo <= hi")


class Var(Expr):
    """A variable bound once in its function: by a loop, or by a block iterator.

    `ordinal` makes it unique there; text shows `name` and `ordinal` run together (`i3`), so a
    name has ASCII letters and underscores only.
    """

    name: str
    ordinal: int
    dtype: DType = INDEX

    def check(self) -> None:
        if not (self.name.isascii() and self.name.replace("_", "a").isalpha()):
            raise IRError(f"variable name '{self.name}' must be ASCII letters and underscores")


class Binary(Expr):
    """Two operands of one type; subclasses name the operation and its Python symbol."""

    a: Expr
    b: Expr
    symbol: ClassVar[str] = ""

    def check(self) -> None:
        dtype = self.a.dtype
        if dtype is not self.b.dtype:
            kind = type(self).__name__
            raise IRError(f"{kind} of different types {dtype} and {self.b.dtype}")
        self.__dict__["dtype"] = dtype


class Add(Binary):
    symbol = "+"


class Sub(Binary):
    symbol = "-"


class Mul(Binary):
    symbol = "*"


class Div(Binary):
    """Floating-point division."""

    symbol = "/"

    def check(self) -> None:
        super().check()
        if not self.dtype.is_float:
            raise IRError(f"'/' divides floats, not {self.a.dtype}; use '//'")


class FloorDiv(Binary):
    symbol = "//"


class FloorMod(Binary):
    symbol = "%"


class Min(Binary):
    """The smaller operand; for floats, `b` where either is NaN (x86 minps)."""


class Max(Binary):
    """The larger operand; for floats, `b` where either is NaN (x86 maxps)."""


class BitAnd(Binary):
    symbol = "&"


class BitOr(Binary):
    symbol = "|"


class BitXor(Binary):
    symbol = "^"


class Shl(Binary):
    symbol = "<<"


class Shr(Binary):
    """Right shift: arithmetic for signed operands, logical for unsigned ones."""

    symbol = ">>"


class Compare(Binary):
    """A comparison; gives bool (with the operands' lanes)."""

    def check(self) -> None:
        super().check()
        self.__dict__["dtype"] = BOOL.with_lanes(self.a.dtype.lanes)


class Lt(Compare):
    symbol = "<"


class Le(Compare):
    symbol = "<="


class Eq(Compare):
    symbol = "=="


class Ne(Compare):
    symbol = "!="


class And(Binary):
    symbol = "and"


class Or(Binary):
    symbol = "or"


class Not(Expr):
    a: Expr

    @cached_property
    def dtype(self) -> DType:
        return self.a.dtype


class Select(Expr):
    """`then` where `cond` holds, else `other`; both are evaluated (loads must be in bounds)."""

    cond: Expr
    then: Expr
    other: Expr

    @cached_property
    def dtype(self) -> DType:
        return self.then.dtype

    def check(self) -> None:
        if self.then.dtype != self.other.dtype or self.cond.dtype.scalar != BOOL:
            raise IRError(f"select of {self.cond.dtype}, {self.then.dtype}, {self.other.dtype}")


class Cast(Expr):
    """Numeric conversion; float → int truncates, out-of-range is undefined."""

    value: Expr
    dtype: DType

    def check(self) -> None:
        if self.value.dtype.lanes != self.dtype.lanes:
            raise IRError(f"cast of {self.value.dtype} to {self.dtype} changes the lanes")


class Reinterpret(Expr):
    """The same bits read as another type of the same total width (`i8x4` ↔ `i32`)."""

    value: Expr
    dtype: DType

    def check(self) -> None:
        before, after = self.value.dtype, self.dtype
        if before.bits * before.lanes != after.bits * after.lanes:
            raise IRError(f"reinterpret of {before} as {after} changes the width")


class Call(Expr):
    """A named scalar function or hardware instruction; its meaning is in `intrinsics`."""

    name: str
    args: tuple[Expr, ...]
    dtype: DType


class Ramp(Expr):
    """The vector base, base + stride, … (lanes of them); `base` is a scalar integer."""

    base: Expr
    stride: int
    lanes: int

    @cached_property
    def dtype(self) -> DType:
        return self.base.dtype.with_lanes(self.lanes)


class Broadcast(Expr):
    """`lanes` copies of a value: a scalar, or a short vector repeated as a whole."""

    value: Expr
    lanes: int

    @cached_property
    def dtype(self) -> DType:
        return self.value.dtype.with_lanes(self.value.dtype.lanes * self.lanes)


class SymbolicInt(int):
    """An int that index expressions keep as `expr`, so that its value may be chosen anew."""

    expr: Expr


# Made again and again; other constants go when nobody holds them
_KEPT = {value: Const(value, INDEX) for value in range(-64, 257)}


def const(value: bool | int | float, dtype: DType = INDEX) -> Const:
    """A literal of `dtype`, converting an int to float where the type asks for it."""
    if dtype is INDEX and type(value) is int:
        return _KEPT.get(value) or Const(value, INDEX)
    if dtype.is_float:
        return Const(float(value), dtype)
    return Const(value, dtype)


def index(value: IntLike) -> Expr:
    """An int as an index constant; expressions pass through. Raises IRError for anything else."""
    if isinstance(value, SymbolicInt):
        return value.expr
    if isinstance(value, Expr):
        return value
    try:
        return const(operator.index(value))
    except TypeError:
        raise IRError(f"an index is an integer or an expression, not {value!r}") from None


def _like(value: Scalar, other: Expr) -> Expr:
    if isinstance(value, Expr):
        return value
    if isinstance(value, SymbolicInt):
        value = value.expr if other.dtype == INDEX else int(value)
        return _like(value, other)
    scalar = const(value, other.dtype.scalar)
    return scalar if other.dtype.lanes == 1 else Broadcast(scalar, other.dtype.lanes)


def _both(a: Expr, b: Expr) -> tuple[int, int] | None:
    """The two values if both are integer constants."""
    if isinstance(a, Const) and isinstance(b, Const) and type(a.value) is int:
        return a.value, int(b.value)
    return None


def _is(e: Expr, value: int) -> bool:
    return isinstance(e, Const) and type(e.value) is int and e.value == value


def _wrapped(value: int, dtype: DType) -> Const:
    if dtype != INDEX:
        value &= (1 << dtype.bits) - 1
        if dtype.is_signed and value >> (dtype.bits - 1):
            value -= 1 << dtype.bits
    return Const(value, dtype)


def add(a: Expr, b: Expr) -> Expr:
    if (pair := _both(a, b)) is not None:
        return _wrapped(pair[0] + pair[1], a.dtype)
    return b if _is(a, 0) else a if _is(b, 0) else Add(a, b)


def sub(a: Expr, b: Expr) -> Expr:
    if (pair := _both(a, b)) is not None:
        return _wrapped(pair[0] - pair[1], a.dtype)
    if a is b and a.dtype.is_int and a.dtype.lanes == 1:
        return Const(0, a.dtype)
    return a if _is(b, 0) else Sub(a, b)


def mul(a: Expr, b: Expr) -> Expr:
    if (pair := _both(a, b)) is not None:
        return _wrapped(pair[0] * pair[1], a.dtype)
    return a if _is(a, 0) or _is(b, 1) else b if _is(a, 1) or _is(b, 0) else Mul(a, b)


def floordiv(a: Expr, b: Expr) -> Expr:
    pair = _both(a, b)
    if pair is not None and pair[1] != 0:
        return _wrapped(pair[0] // pair[1], a.dtype)
    return a if _is(b, 1) or _is(a, 0) else FloorDiv(a, b)


def floormod(a: Expr, b: Expr) -> Expr:
    pair = _both(a, b)
    if pair is not None and pair[1] != 0:
        return _wrapped(pair[0] % pair[1], a.dtype)
    return Const(0, a.dtype) if _is(b, 1) or _is(a, 0) else FloorMod(a, b)


def minimum(a: Expr, b: IntLike) -> Expr:
    b = _like(b, a)
    pair = _both(a, b)
    return _wrapped(min(pair), a.dtype) if pair is not None else a if a is b else Min(a, b)


def maximum(a: Expr, b: IntLike) -> Expr:
    b = _like(b, a)
    pair = _both(a, b)
    return _wrapped(max(pair), a.dtype) if pair is not None else a if a is b else Max(a, b)


def ceildiv(a: IntLike, b: int) -> Expr:
    """`a / b` rounded up, for positive `b`."""
    return (index(a) + (b - 1)) // b


_COMPARE: dict[type[Compare], Callable[[int, int], bool]] = {
    Lt: int.__lt__,
    Le: int.__le__,
    Eq: int.__eq__,
    Ne: int.__ne__,
}


def compare(kind: type[Compare], a: Expr, b: Expr) -> Expr:
    pair = _both(a, b)
    if pair is not None:
        return Const(bool(_COMPARE[kind](*pair)), BOOL)
    return kind(a, b)


TRUE, FALSE = Const(True, BOOL), Const(False, BOOL)


def both(*conditions: Expr | None) -> Expr | None:
    """The conjunction of the conditions that are there and not constant true; None if none is."""
    whole: Expr | None = None
    for condition in conditions:
        if condition is None or condition is TRUE:
            continue
        whole = condition if whole is None else And(whole, condition)
    return whole


def cast(value: Expr, dtype: DType) -> Expr:
    """`value` converted to the scalar type of `dtype`, keeping its lanes; free if it has it."""
    dtype = dtype.with_lanes(value.dtype.lanes)
    if value.dtype == dtype:
        return value
    if isinstance(value, Const) and value.dtype.is_int and dtype.is_int:
        return _wrapped(int(value.value), dtype)
    return Cast(value, dtype)


def product(factors: Iterable[IntLike]) -> Expr:
    """The product of the factors; 1 if there are none."""
    whole: Expr = Const(1, INDEX)
    for factor in factors:
        whole = whole * factor
    return whole
