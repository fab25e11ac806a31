"""Storages of GGUF's quantised matrices: the fields as they are kept, and what they mean.

A field is the array of one member of the file's block structure, as `block_formats.split` gives
it, so that storing is moving bytes. Codes are unsigned where the format's zero point can be an
offset without losing a bit (Q4_0: (q - 8) * d = q * d - 8 * d, both exact); Q8_0 and Q6_K, where
it cannot, have signed codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from passes.importers.block_formats import FORMATS, BlockFormatError
from passes.ir.dtypes import F16, F32, I8, U8, DType
from passes.ir.expr import Expr, Var, cast, const, index
from passes.ir.loop.builder import load
from passes.ir.loop.nodes import Buffer
from passes.ir.storage import Storage

_ALIGNMENT = 64

Fields = Mapping[str, Buffer]
Part = Callable[[Fields, Expr, Expr], Expr]


@dataclass(frozen=True)
class _Meaning:
    """Fields as (name, dtype, values one entry covers, trailing bytes), and the decode parts.

    `span` values of a row share `bytes` consecutive elements of the field (0: a single one,
    without an axis of its own).
    """

    fields: tuple[tuple[str, DType, int, int], ...]
    block: int
    code: Part
    scale: Part
    offset: Part | None = None


def _nibble(field: str, group: int) -> Part:
    """Four-bit codes of `group` values in group / 2 bytes: low nibbles come first."""
    half = group // 2

    def code(f: Fields, i: Expr, j: Expr) -> Expr:
        byte = load(f[field], i, j // group, j % half)
        return (byte >> cast(j % group // half * 4, U8)) & 15

    return code


def _five_bits(f: Fields, i: Expr, j: Expr) -> Expr:
    top = load(f["qh"], i, j // 32, j % 32 // 8) >> cast(j % 8, U8)
    return _nibble("qs", 32)(f, i, j) | ((top & 1) << 4)


def _six_bits(f: Fields, i: Expr, j: Expr) -> Expr:
    top = load(f["qh"], i, j // 128, j % 32) >> cast(j % 128 // 32 * 2, U8)
    return cast(_nibble("ql", 128)(f, i, j) | ((top & 3) << 4), I8) - 32


def _half(field: str, span: int = 32, factor: float | None = None) -> Part:
    def value(f: Fields, i: Expr, j: Expr) -> Expr:
        found = cast(load(f[field], i, j // span), F32)
        return found if factor is None else found * factor

    return value


def _product(half: str, small: str, span: int, sign: float | None = None) -> Part:
    """A half-precision number a super-block of 256 times a small integer each `span` values."""

    def value(f: Fields, i: Expr, j: Expr) -> Expr:
        whole = _half(half, 256)(f, i, j) * cast(load(f[small], i, j // span), F32)
        return whole if sign is None else whole * sign

    return value


_D, _M, _QS = ("d", F16, 32, 0), ("m", F16, 32, 0), ("qs", U8, 32, 16)

_MEANINGS: dict[str, _Meaning] = {
    "Q4_0": _Meaning((_D, _QS), 32, _nibble("qs", 32), _half("d"), _half("d", 32, -8.0)),
    "Q4_1": _Meaning((_D, _M, _QS), 32, _nibble("qs", 32), _half("d"), _half("m")),
    "Q5_0": _Meaning(
        (_D, ("qh", U8, 32, 4), _QS), 32, _five_bits, _half("d"), _half("d", 32, -16.0)
    ),
    "Q5_1": _Meaning((_D, _M, ("qh", U8, 32, 4), _QS), 32, _five_bits, _half("d"), _half("m")),
    "Q8_0": _Meaning(
        (_D, ("qs", I8, 32, 32)), 32, lambda f, i, j: load(f["qs"], i, j // 32, j % 32), _half("d")
    ),
    "Q4_K": _Meaning(
        (
            ("d", F16, 256, 0), ("dmin", F16, 256, 0),
            ("sc", U8, 32, 0), ("mn", U8, 32, 0), ("qs", U8, 64, 32),
        ),
        32,
        _nibble("qs", 64),
        _product("d", "sc", 32),
        _product("dmin", "mn", 32, -1.0),
    ),
    "Q6_K": _Meaning(
        (("d", F16, 256, 0), ("scales", I8, 16, 0), ("ql", U8, 128, 64), ("qh", U8, 128, 32)),
        16,
        _six_bits,
        _product("d", "scales", 16),
    ),
}  # fmt: skip


def is_plain(type_name: str) -> bool:
    """True for the float types, which need no storage."""
    return type_name in ("F32", "F16", "BF16")


def storage_of(type_name: str, rows: int, columns: int) -> Storage:
    """The storage of a quantised matrix [rows, columns]; fields lie one after another, aligned.

    Raises BlockFormatError if the type is plain or unknown, or a row is not whole blocks.
    """
    if type_name not in _MEANINGS:
        raise BlockFormatError(f"tensor type {type_name!r} has no storage")
    FORMATS[type_name].nbytes((rows, columns))
    meaning = _MEANINGS[type_name]
    axes = (Var("i", 0), Var("j", 1))
    buffers: list[Buffer] = []
    offsets: list[int] = []
    end = 0
    for number, (name, dtype, span, trailing) in enumerate(meaning.fields):
        shape = (rows, columns // span, *([trailing] if trailing else []))
        buffers.append(Buffer(name, number + 2, tuple(map(index, shape)), dtype))
        offsets.append(-(-end // _ALIGNMENT) * _ALIGNMENT)
        count = rows * (columns // span) * max(1, trailing)
        end = offsets[-1] + count * dtype.bytes
    fields = {buffer.name: buffer for buffer in buffers}
    i, j = axes
    return Storage(
        f"{type_name} [{rows}, {columns}]",
        axes,
        tuple(buffers),
        tuple(offsets),
        end,
        meaning.block,
        meaning.code(fields, i, j),
        meaning.scale(fields, i, j),
        const(0, F32) if meaning.offset is None else meaning.offset(fields, i, j),
    )
