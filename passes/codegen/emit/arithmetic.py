"""The LLVM instruction of each arithmetic node, given its operands as values."""

from __future__ import annotations

from typing import NamedTuple

from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import literal, register_type, splat, vector
from passes.ir.dtypes import F32, DType
from passes.ir.expr import (
    Add,
    And,
    Binary,
    BitAnd,
    BitOr,
    BitXor,
    Compare,
    Div,
    Eq,
    Expr,
    FloorDiv,
    Le,
    Lt,
    Max,
    Min,
    Mul,
    Ne,
    Or,
    Shl,
    Shr,
    Sub,
)
from passes.ir.node import IRError

_FLOAT: dict[type[Expr], str] = {Add: "fadd", Sub: "fsub", Mul: "fmul", Div: "fdiv"}
_WRAPPING: dict[type[Expr], str] = {Add: "add", Sub: "sub", Mul: "mul"}
_BITS: dict[type[Expr], str] = {
    BitAnd: "and", BitOr: "or", BitXor: "xor", And: "and", Or: "or", Shl: "shl",
}  # fmt: skip
_FLOAT_TESTS: dict[type[Expr], str] = {Lt: "olt", Le: "ole", Eq: "oeq", Ne: "une"}
_SIGNED_TESTS: dict[type[Expr], str] = {Lt: "slt", Le: "sle", Eq: "eq", Ne: "ne"}
_UNSIGNED_TESTS: dict[type[Expr], str] = {Lt: "ult", Le: "ule", Eq: "eq", Ne: "ne"}


def binary(ssa: Ssa, kind: type[Binary], dtype: DType, a: Value, b: Value) -> Value:
    """The value of a two-operand node whose operands have type `dtype` (division: see below)."""
    if dtype.name in ("f16", "bf16"):
        wide = F32.with_lanes(dtype.lanes)
        inner = binary(ssa, kind, wide, cast(ssa, a, dtype, wide), cast(ssa, b, dtype, wide))
        return inner if issubclass(kind, Compare) else cast(ssa, inner, wide, dtype)
    if issubclass(kind, Compare):
        return _op(ssa, f"{_test(kind, dtype)} {register_type(dtype)}", a, b)
    if kind in (Min, Max):
        first, second = (a, b) if kind is Min else (b, a)
        # x86's minps and maxps, which instruction selection finds: the second operand on NaN
        test = _test(Lt, dtype)
        if kind is Max and dtype.is_float:
            first, second, test = a, b, "fcmp ogt"
        smaller = _op(ssa, f"{test} {register_type(dtype)}", first, second)
        return select(ssa, smaller, a, b, dtype, dtype.lanes)
    return _op(ssa, f"{_instruction(kind, dtype)} {register_type(dtype)}", a, b)


class Known(NamedTuple):
    """What is known of a division: its constant divisor, that no operand is negative, that the
    divisor is not zero."""

    by: int | None
    unsigned: bool
    safe: bool


def divide(ssa: Ssa, kind: type[Binary], dtype: DType, a: Value, b: Value, known: Known) -> Value:
    """`a // b` or `a % b`, rounding down."""
    by, unsigned, safe = known
    spelled = register_type(dtype)
    quotient = kind is FloorDiv
    if dtype.is_float or not dtype.is_int:
        raise IRError(f"'{kind.symbol}' divides integers, not {dtype}")
    if by is not None and by > 0 and by & (by - 1) == 0:
        shift = "ashr" if dtype.is_signed else "lshr"
        amount = by.bit_length() - 1 if quotient else by - 1
        right = literal(amount, dtype.scalar)
        text = right if dtype.lanes == 1 else splat(right, dtype, dtype.lanes)
        return _op(ssa, f"{shift if quotient else 'and'} {spelled}", a, Value(text, 0))
    # a division by zero traps, so it must not run earlier than the program says
    depth = depth_of(a, b) if safe else max(ssa.sure_depth, a.depth, b.depth)
    # one division serves both: the rest is what is left of it
    ratio = ssa.op(f"{'udiv' if unsigned else 'sdiv'} {spelled} {a.text}, {b.text}", depth)
    if unsigned and quotient:
        return ratio
    rest = _op(ssa, f"sub {spelled}", a, _op(ssa, f"mul {spelled}", ratio, b))
    if unsigned:
        return rest
    zero = Value("0" if dtype.lanes == 1 else "zeroinitializer", 0)
    inexact = _op(ssa, f"icmp ne {spelled}", rest, zero)
    differs = _op(ssa, f"icmp slt {spelled}", _op(ssa, f"xor {spelled}", rest, b), zero)
    down = _op(ssa, f"and {vector('i1', dtype.lanes)}", inexact, differs)
    if quotient:
        text = f"sext {vector('i1', dtype.lanes)} {down.text} to {spelled}"
        return _op(ssa, f"add {spelled}", ratio, ssa.op(text, down.depth))
    return select(ssa, down, _op(ssa, f"add {spelled}", rest, b), rest, dtype, dtype.lanes)


def select(
    ssa: Ssa, cond: Value, then: Value, other: Value, dtype: DType, cond_lanes: int
) -> Value:
    """`then` where `cond`, else `other`; a scalar condition chooses whole vectors."""
    spelled = register_type(dtype)
    text = f"select {vector('i1', cond_lanes)} {cond.text}"
    text = f"{text}, {spelled} {then.text}, {spelled} {other.text}"
    return ssa.op(text, depth_of(cond, then, other))


def cast(ssa: Ssa, value: Value, before: DType, after: DType) -> Value:
    """Numeric conversion between types of equal lanes."""
    if before == after or {before.name, after.name} <= {"i64", "index"}:
        return value
    if after.name == "bool":
        test = "fcmp une" if before.is_float else "icmp ne"
        zero = literal(0, before.scalar)
        text = zero if before.lanes == 1 else "zeroinitializer"
        return _op(ssa, f"{test} {register_type(before)}", value, Value(text, 0))
    if "bf16" in (before.name, after.name):
        return _cast_bf16(ssa, value, before, after)
    return _convert(ssa, _conversion(before, after), value, before, after)


def reinterpret(ssa: Ssa, value: Value, before: str, after: str) -> Value:
    """The same bits as another LLVM type."""
    if before == after:
        return value
    return ssa.op(f"bitcast {before} {value.text} to {after}", value.depth)


def _conversion(before: DType, after: DType) -> str:
    if before.is_float and after.is_float:
        return "fpext" if after.bits > before.bits else "fptrunc"
    if before.is_float:
        return "fptosi" if after.is_signed else "fptoui"
    signed = before.is_signed and before.name != "bool"
    if after.is_float:
        return "sitofp" if signed else "uitofp"
    if after.bits < before.bits:
        return "trunc"
    if after.bits == before.bits:
        return "bitcast"
    return "sext" if signed else "zext"


def _cast_bf16(ssa: Ssa, value: Value, before: DType, after: DType) -> Value:
    """Through f32 and integer arithmetic: the same result on targets with and without bf16."""
    lanes = before.lanes
    wide, narrow, half = (DType(name, lanes) for name in ("f32", "u32", "u16"))
    float_, word, short = (register_type(kind) for kind in (wide, narrow, half))
    bfloat = vector("bfloat", lanes)

    def constant(number: int) -> Value:
        return Value(str(number) if lanes == 1 else f"splat (i32 {number})", 0)

    if before.name == "bf16":
        bits = reinterpret(ssa, value, bfloat, short)
        bits = ssa.op(f"zext {short} {bits.text} to {word}", bits.depth)
        value = reinterpret(ssa, _op(ssa, f"shl {word}", bits, constant(16)), word, float_)
        return cast(ssa, value, wide, after)
    value = cast(ssa, value, before, wide)
    bits = reinterpret(ssa, value, float_, word)
    odd = _op(ssa, f"and {word}", _op(ssa, f"lshr {word}", bits, constant(16)), constant(1))
    rounded = _op(ssa, f"add {word}", _op(ssa, f"add {word}", bits, constant(0x7FFF)), odd)
    quiet = _op(ssa, f"or {word}", bits, constant(0x400000))
    nan = _op(ssa, f"fcmp uno {float_}", value, value)
    bits = select(ssa, nan, quiet, rounded, narrow, lanes)
    bits = _op(ssa, f"lshr {word}", bits, constant(16))
    bits = ssa.op(f"trunc {word} {bits.text} to {short}", bits.depth)
    return reinterpret(ssa, bits, short, bfloat)


def _convert(ssa: Ssa, operation: str, value: Value, before: DType, after: DType) -> Value:
    if operation == "bitcast" and register_type(before) == register_type(after):
        return value
    text = f"{operation} {register_type(before)} {value.text} to {register_type(after)}"
    return ssa.op(text, value.depth)


def _instruction(kind: type[Binary], dtype: DType) -> str:
    if dtype.is_float:
        found = _FLOAT.get(kind)
    elif kind in _WRAPPING:
        found = _WRAPPING[kind] + (" nsw" if dtype.name == "index" else "")
    elif kind is Shr:
        found = "ashr" if dtype.is_signed and dtype.name != "bool" else "lshr"
    else:
        found = _BITS.get(kind)
    if found is None:
        raise IRError(f"{kind.__name__} is not defined for {dtype}")
    return found


def _test(kind: type[Binary], dtype: DType) -> str:
    if dtype.is_float:
        return f"fcmp {_FLOAT_TESTS[kind]}"
    signed = dtype.is_signed and dtype.name != "bool"
    return f"icmp {(_SIGNED_TESTS if signed else _UNSIGNED_TESTS)[kind]}"


def _op(ssa: Ssa, start: str, a: Value, b: Value) -> Value:
    return ssa.op(f"{start} {a.text}, {b.text}", depth_of(a, b))
