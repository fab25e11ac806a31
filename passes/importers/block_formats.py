"""The tensor types of GGUF as data: how a block's bytes split into fields, and what those mean.

A quantised GGUF tensor is an array of structures: `block` consecutive values of a row share one
little structure (packed codes and their scales). `split` turns it into a structure of arrays, one
array a field, which is what storages, kernels and tests want; `dequantise` gives the field arrays
their meaning in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Fields = Mapping[str, Array]


class BlockFormatError(ValueError):
    """A tensor's bytes, shape or fields do not fit its type."""


@dataclass(frozen=True)
class BlockFormat:
    """One tensor type: its number in the file, its block, and the meaning of the block's fields.

    `record` is the block's structure exactly as it lies in the file. `unpack`, where a type has
    one, rewrites stored fields that are packed themselves; `decode` gives the values.
    """

    name: str
    number: int
    block: int
    record: np.dtype[Any]
    decode: Callable[[Fields], Array]
    unpack: Callable[[dict[str, Array]], dict[str, Array]] | None = None

    @property
    def block_bytes(self) -> int:
        """The number of bytes of one block in the file."""
        return self.record.itemsize

    def nbytes(self, shape: Sequence[int]) -> int:
        """The number of bytes of a tensor of this shape (outermost dim first).

        Raises BlockFormatError if a row is not a whole number of blocks.
        """
        if shape[-1] % self.block:
            raise BlockFormatError(
                f"a row of {shape[-1]} values is not a whole number of {self.name} blocks "
                f"({self.block} values each)"
            )
        return math.prod(shape) // self.block * self.block_bytes


def _nibbles(codes: Array, half: int) -> Array:
    """[.., g * half] bytes -> [.., g, 2, half] codes: low nibbles come first, then high ones."""
    grouped = codes.reshape(*codes.shape[:-1], -1, 1, half)
    return (grouped >> np.array([[0], [4]], np.uint8)) & np.uint8(15)


def _low_then_high(codes: Array) -> Array:
    """[.., 16] bytes -> [.., 32] four-bit codes of a 32-value block."""
    return _nibbles(codes, 16).reshape(*codes.shape[:-1], 32)


def _five_bits(fields: Fields) -> Array:
    """qs, qh -> [.., 32] five-bit codes: bit i of the 32-bit qh is the top bit of value i."""
    top = np.unpackbits(np.ascontiguousarray(fields["qh"]), axis=-1, bitorder="little")
    codes: Array = _low_then_high(fields["qs"]) | (top << np.uint8(4))
    return codes


def _each(field: Array) -> Array:
    """A per-block number, as float32 and ready to meet the block's values."""
    return field.astype(np.float32)[..., None]


def _signed(codes: Array, zero: int) -> Array:
    return (codes.astype(np.int8) - np.int8(zero)).astype(np.float32)


def _plain(fields: Fields) -> Array:
    return fields["values"].astype(np.float32)


def _q4_0(fields: Fields) -> Array:
    return _each(fields["d"]) * _signed(_low_then_high(fields["qs"]), 8)


def _q4_1(fields: Fields) -> Array:
    codes = _low_then_high(fields["qs"]).astype(np.float32)
    return _each(fields["d"]) * codes + _each(fields["m"])


def _q5_0(fields: Fields) -> Array:
    return _each(fields["d"]) * _signed(_five_bits(fields), 16)


def _q5_1(fields: Fields) -> Array:
    return _each(fields["d"]) * _five_bits(fields).astype(np.float32) + _each(fields["m"])


def _q8_0(fields: Fields) -> Array:
    return _each(fields["d"]) * fields["qs"].astype(np.float32)


def _q4_k(fields: Fields) -> Array:
    codes = _nibbles(fields["qs"], 32).astype(np.float32)
    codes = codes.reshape(*fields["sc"].shape, 32)
    scale = _each(fields["d"]) * fields["sc"].astype(np.float32)
    least = _each(fields["dmin"]) * fields["mn"].astype(np.float32)
    values: Array = scale[..., None] * codes - least[..., None]
    return values


def _q4_k_unpack(stored: dict[str, Array]) -> dict[str, Array]:
    """12 bytes -> eight 6-bit scales and eight 6-bit minima.

    Bytes 0..3 and 4..7 hold the first four scales and minima; their two top bits are the top bits
    of the last four, whose low nibbles share bytes 8..11 (scale low, minimum high).
    """
    packed = stored.pop("scales")
    first, second, shared = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scales = (first & 63, (shared & 15) | ((first >> 2) & 48))
    minima = (second & 63, (shared >> 4) | ((second >> 2) & 48))
    return {
        **stored,
        "sc": np.concatenate(scales, axis=-1),
        "mn": np.concatenate(minima, axis=-1),
    }


def _q6_k(fields: Fields) -> Array:
    low, high = fields["ql"], fields["qh"]
    blocks = low.shape[:-1]
    bottom = _nibbles(low, 64).reshape(*blocks, 256)
    pairs = high.reshape(*blocks, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8)
    top = (pairs & np.uint8(3)).reshape(*blocks, 256)
    codes = _signed(bottom | (top << np.uint8(4)), 32).reshape(*blocks, 16, 16)
    scale = _each(fields["d"]) * fields["scales"].astype(np.float32)
    return scale[..., None] * codes


def _record(*fields: tuple[str, str, int]) -> np.dtype[Any]:
    return np.dtype(
        [(name, kind, (count,)) if count > 1 else (name, kind) for name, kind, count in fields]
    )


_D, _M = ("d", "<f2", 1), ("m", "<f2", 1)

FORMATS: dict[str, BlockFormat] = {
    format.name: format
    for format in (
        BlockFormat("F32", 0, 1, _record(("values", "<f4", 1)), _plain),
        BlockFormat("F16", 1, 1, _record(("values", "<f2", 1)), _plain),
        BlockFormat("BF16", 30, 1, np.dtype([("values", ml_dtypes.bfloat16)]), _plain),
        BlockFormat("Q4_0", 2, 32, _record(_D, ("qs", "u1", 16)), _q4_0),
        BlockFormat("Q4_1", 3, 32, _record(_D, _M, ("qs", "u1", 16)), _q4_1),
        BlockFormat("Q5_0", 6, 32, _record(_D, ("qh", "u1", 4), ("qs", "u1", 16)), _q5_0),
        BlockFormat("Q5_1", 7, 32, _record(_D, _M, ("qh", "u1", 4), ("qs", "u1", 16)), _q5_1),
        BlockFormat("Q8_0", 8, 32, _record(_D, ("qs", "i1", 32)), _q8_0),
        BlockFormat(
            "Q4_K",
            12,
            256,
            _record(_D, ("dmin", "<f2", 1), ("scales", "u1", 12), ("qs", "u1", 128)),
            _q4_k,
            _q4_k_unpack,
        ),
        BlockFormat(
            "Q6_K",
            14,
            256,
            _record(("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), _D),
            _q6_k,
        ),
    )
}


def block_format(type_name: str) -> BlockFormat:
    """The format of that name. Raises BlockFormatError that lists the known ones."""
    try:
        return FORMATS[type_name]
    except KeyError:
        raise BlockFormatError(
            f"unknown tensor type {type_name!r}; known: {', '.join(FORMATS)}"
        ) from None


def split(type_name: str, raw: Array, shape: Sequence[int]) -> dict[str, Array]:
    """The named fields of a tensor, as views of its bytes wherever the file stores them plainly.

    raw uint8 [nbytes], shape [.., K] -> fields [N, K / block, ..] with N the product of the outer
    dims (1 for a vector); the plain types F32, F16 and BF16 have one field, values [N, K].

    Raises BlockFormatError if the type is unknown or the bytes do not fit the shape.
    """
    format = block_format(type_name)
    expected = format.nbytes(shape)
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size != expected:
        raise BlockFormatError(
            f"{type_name} {list(shape)} takes {expected} bytes; got {raw.dtype} {list(raw.shape)}"
        )
    rows = math.prod(shape[:-1])
    blocks = np.ascontiguousarray(raw).view(format.record)
    blocks = blocks.reshape(rows, shape[-1] // format.block)
    stored = {name: blocks[name] for name in format.record.names or ()}
    return format.unpack(stored) if format.unpack else stored


def dequantise(type_name: str, fields: Fields) -> NDArray[np.float32]:
    """fields of `split` -> values float32 [N, K], rounded as the reference decoder rounds them.

    Raises BlockFormatError if the type is unknown.
    """
    values = block_format(type_name).decode(fields)
    return values.reshape(values.shape[0], math.prod(values.shape[1:])).astype(
        np.float32, copy=False
    )
