"""Element types: `f32`, `i8`, `bool`, `index`, and their short vectors `f32x16`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

_SCALARS = {
    "f64": 64, "f32": 32, "f16": 16, "bf16": 16,
    "i64": 64, "i32": 32, "i16": 16, "i8": 8,
    "u64": 64, "u32": 32, "u16": 16, "u8": 8,
    "bool": 1,
    "index": 64,
}  # fmt: skip


_TYPES: dict[tuple[str, int], DType] = {}


@dataclass(frozen=True, eq=False)
class DType:
    """A scalar type name and a number of lanes; `index` is the unbounded integer of shapes.

    There is one object of each type, so that comparing them costs nothing.
    """

    name: str
    lanes: int = 1

    def __new__(cls, name: str, lanes: int = 1) -> DType:
        return _TYPES.setdefault((name, lanes), super().__new__(cls))

    def __getnewargs__(self) -> tuple[str, int]:
        return self.name, self.lanes

    def __post_init__(self) -> None:
        if self.name not in _SCALARS:
            raise ValueError(f"unknown element type '{self.name}'; known: {', '.join(_SCALARS)}")

    @property
    def bits(self) -> int:
        """Bits of one lane."""
        return _SCALARS[self.name]

    @property
    def bytes(self) -> int:
        """Bytes of one lane in memory (bool takes one)."""
        return max(1, self.bits // 8)

    @property
    def is_float(self) -> bool:
        return self.name in ("f64", "f32", "f16", "bf16")

    @property
    def is_int(self) -> bool:
        """True for fixed-width integers and `index`, not for bool."""
        return not self.is_float and self.name != "bool"

    @property
    def is_signed(self) -> bool:
        return self.is_float or self.name.startswith("i")

    @property
    def scalar(self) -> DType:
        """The type of one lane."""
        return self if self.lanes == 1 else DType(self.name)

    def with_lanes(self, lanes: int) -> DType:
        return self if lanes == self.lanes else DType(self.name, lanes)

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type of one lane (bfloat16 from ml_dtypes, index as int64)."""
        if self.name == "bf16":
            import ml_dtypes

            found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return found
        special = {"index": "int64", "bool": "bool"}
        kind = {"f": "float", "i": "int", "u": "uint", "b": ""}[self.name[0]]
        return np.dtype(special.get(self.name, f"{kind}{self.bits}"))

    def __str__(self) -> str:
        return self.name if self.lanes == 1 else f"{self.name}x{self.lanes}"

    def __repr__(self) -> str:
        return str(self)


@cache
def dtype(text: str) -> DType:
    """`"f32"` or `"f32x16"` → DType. Raises ValueError for anything else."""
    match = re.fullmatch(r"(bool|index|[a-z]+\d+)(?:x([1-9]\d*))?", text)
    if match is None:
        raise ValueError(f"'{text}' is not an element type; examples: f32, i8, bool, index, f32x16")
    return DType(match[1], int(match[2] or 1))


F32, F16, BF16, F64 = DType("f32"), DType("f16"), DType("bf16"), DType("f64")
I8, U8, I16, I32, I64, U32 = (DType(n) for n in ("i8", "u8", "i16", "i32", "i64", "u32"))
BOOL, INDEX = DType("bool"), DType("index")
