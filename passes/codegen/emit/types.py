"""How element types and constants are spelled in LLVM text."""

from __future__ import annotations

import math
import struct

from passes.ir.dtypes import DType

_NAMES = {
    "f64": "double", "f32": "float", "f16": "half", "bf16": "bfloat", "bool": "i1",
}  # fmt: skip


def vector(scalar: str, lanes: int) -> str:
    """`float`, 16 → `<16 x float>`; one lane is the scalar itself."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def register_type(dtype: DType) -> str:
    """The type of an SSA value: `f32x16` → `<16 x float>`, `bool` → `i1`, `index` → `i64`."""
    return vector(_NAMES.get(dtype.name) or f"i{dtype.bits}", dtype.lanes)


def memory_type(dtype: DType) -> str:
    """The type as it lies in memory: like `register_type`, but a bool takes a byte."""
    return vector("i8", dtype.lanes) if dtype.name == "bool" else register_type(dtype)


def literal(value: bool | int | float, dtype: DType) -> str:
    """A scalar constant of `dtype`; floats are rounded to it and spelled by their bits."""
    if dtype.name == "bool":
        return "true" if value else "false"
    if dtype.is_float:
        return _float(float(value), dtype.name)
    number = int(value)
    if number >> (dtype.bits - 1) > 0:
        number -= 1 << dtype.bits
    return str(number)


def splat(text: str, dtype: DType, lanes: int) -> str:
    """A vector constant with `lanes` copies of the scalar constant `text`."""
    if text in ("0", "false", _float(0.0, "f32")):
        return "zeroinitializer"
    return f"splat ({register_type(dtype.scalar)} {text})"


def _float(value: float, name: str) -> str:
    if name == "f16":
        return f"0xH{_bits('<e', '<H', value):04X}"
    if name == "bf16":
        bits = _bits("<f", "<I", value)
        if value == value:  # round to nearest even; a NaN keeps its upper half
            bits += 0x7FFF + (bits >> 16 & 1)
        return f"0xR{bits >> 16 & 0xFFFF:04X}"
    if name == "f32":
        value = struct.unpack("<f", struct.pack("<I", _bits("<f", "<I", value)))[0]
    return f"0x{_bits('<d', '<Q', value):016X}"


def _bits(kind: str, same: str, value: float) -> int:
    """The bits of the nearest number of a format; infinity beyond its largest."""
    try:
        packed = struct.pack(kind, value)
    except OverflowError:
        packed = struct.pack(kind, math.copysign(math.inf, value))
    found: int = struct.unpack(same, packed)[0]
    return found
