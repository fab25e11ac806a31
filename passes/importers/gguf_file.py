"""A bounds-checked reader of GGUF files, versions 2 and 3, little-endian.

A model file comes from a stranger. So every count, length, offset and type in it is checked against
the size of the file before anything is allocated or touched, and whatever is wrong is one
`GgufError` that says where, what, and what to do. Tensor bytes are memory-mapped, never copied.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.importers.block_formats import FORMATS, BlockFormatError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LONGEST_NAME = 65535  # the format's own limit for keys; tensor names are far shorter
_DEEPEST_ARRAY = 4
_MOST_DIMS = 4
_LARGEST_ALIGNMENT = 1 << 16
_REDOWNLOAD = "the file is damaged or incomplete: fetch it again and compare its digest"

# value type number -> (numpy type, name); 8 is a string and 9 an array
_SCALARS: dict[int, tuple[np.dtype[Any], str]] = {
    0: (np.dtype("u1"), "uint8"),
    1: (np.dtype("i1"), "int8"),
    2: (np.dtype("<u2"), "uint16"),
    3: (np.dtype("<i2"), "int16"),
    4: (np.dtype("<u4"), "uint32"),
    5: (np.dtype("<i4"), "int32"),
    6: (np.dtype("<f4"), "float32"),
    7: (np.dtype("u1"), "bool"),
    10: (np.dtype("<u8"), "uint64"),
    11: (np.dtype("<i8"), "int64"),
    12: (np.dtype("<f8"), "float64"),
}
_BOOL, _STRING, _ARRAY = 7, 8, 9

# The smallest a thing can be in the file: what bounds a count before the things are read.
_LEAST_STRING = 8
_LEAST_ARRAY = 4 + 8
_LEAST_PAIR = _LEAST_STRING + 4 + 1
_LEAST_TENSOR = _LEAST_STRING + 4 + 8 + 4 + 8

_BY_NUMBER = {format.number: format for format in FORMATS.values()}
_NOT_SUPPORTED = {
    9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
    18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8",
    25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0",
    39: "MXFP4", 40: "NVFP4",
}  # fmt: skip


class GgufError(ValueError):
    """A file is not a GGUF file that can be read; the message names file, byte, cause and cure."""


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies. `shape` is the logical one, outermost dim first; a row is shape[-1]
    values. `offset` counts from the beginning of the file."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    nbytes: int


@dataclass(frozen=True, eq=False)
class GgufFile:
    """A parsed file: metadata as Python values (numeric arrays as read-only numpy arrays, arrays of
    strings as tuples), tensors in the file's order, and their bytes mapped from the file."""

    path: Path
    version: int
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]
    _mapped: mmap.mmap

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of one tensor, read-only and mapped. Raises KeyError if there is none."""
        tensor = self.tensors[name]
        return np.frombuffer(self._mapped, np.uint8, tensor.nbytes, tensor.offset)


class _Cursor:
    """A position in the mapped file. Nothing is read before it is known to lie inside."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self.mapped = mapped
        self.size = len(mapped)
        self.at = 0

    def error(self, at: int, what: str, cure: str = _REDOWNLOAD) -> GgufError:
        return GgufError(f"{self.path}: byte {at}: {what}; {cure}")

    def skip(self, count: int, what: str) -> int:
        """Step over `count` bytes of `what`; gives the position where they begin."""
        begin = self.at
        if count > self.size - begin:
            raise self.error(
                begin, f"{what} takes {count} bytes, but the file has {self.size - begin} more"
            )
        self.at = begin + count
        return begin

    def u32(self, what: str) -> int:
        return int(struct.unpack_from("<I", self.mapped, self.skip(4, what))[0])

    def u64(self, what: str) -> int:
        return int(struct.unpack_from("<Q", self.mapped, self.skip(8, what))[0])

    def count(self, what: str, least: int) -> int:
        """A 64-bit count of things that take `least` bytes each at least."""
        begin = self.at
        count = self.u64(f"the count of {what}")
        if count > (self.size - self.at) // least:
            raise self.error(
                begin,
                f"{count} {what} take at least {count * least} bytes, "
                f"but the file has {self.size - self.at} more",
            )
        return count

    def text(self, what: str) -> str:
        begin = self.at
        length = self.u64(f"the length of {what}")
        start = self.skip(length, what)
        try:
            return self.mapped[start : start + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(begin, f"{what} is not UTF-8 text ({error.reason})") from None

    def name(self, what: str, seen: Mapping[str, object]) -> str:
        """A key or a tensor's name: not empty, not too long, not there already."""
        begin = self.at
        name = self.text(what)
        if not name or len(name) > _LONGEST_NAME:
            raise self.error(begin, f"{what} has {len(name)} characters")
        if name in seen:
            raise self.error(
                begin, f"{what} {name!r} appears twice", "ask the file's maker for a sound one"
            )
        return name


def _scalar(cursor: _Cursor, kind: int, what: str) -> Any:
    dtype, _ = _SCALARS[kind]
    begin = cursor.skip(dtype.itemsize, what)
    value = np.frombuffer(cursor.mapped, dtype, 1, begin)[0].item()
    if kind == _BOOL:
        if value > 1:
            raise cursor.error(begin, f"{what} is a bool with value {value}, not 0 or 1")
        return bool(value)
    return value


def _array(cursor: _Cursor, what: str, depth: int) -> Any:
    begin = cursor.at
    if depth > _DEEPEST_ARRAY:
        raise cursor.error(begin, f"{what} nests arrays deeper than {_DEEPEST_ARRAY} levels")
    kind = cursor.u32(f"the element type of {what}")
    if kind == _STRING:
        count = cursor.count(f"strings in {what}", _LEAST_STRING)
        return tuple(cursor.text(f"string {i} of {what}") for i in range(count))
    if kind == _ARRAY:
        count = cursor.count(f"arrays in {what}", _LEAST_ARRAY)
        return tuple(_array(cursor, what, depth + 1) for _ in range(count))
    if kind not in _SCALARS:
        raise cursor.error(begin, f"{what} has elements of an unknown type, number {kind}")
    dtype, name = _SCALARS[kind]
    count = cursor.count(f"{name} values in {what}", dtype.itemsize)
    start = cursor.skip(count * dtype.itemsize, what)
    # A copy: the mapped bytes need not be aligned, and metadata outlives the mapping.
    values = np.frombuffer(cursor.mapped, dtype, count, start).copy()
    if kind == _BOOL:
        if count and values.max() > 1:
            raise cursor.error(start, f"{what} has bools that are not 0 or 1")
        values = values.astype(np.bool_)
    values.flags.writeable = False
    return values


def _value(cursor: _Cursor, key: str) -> Any:
    begin = cursor.at
    what = f"the value of {key!r}"
    kind = cursor.u32(f"the type of {key!r}")
    if kind == _STRING:
        return cursor.text(what)
    if kind == _ARRAY:
        return _array(cursor, what, 1)
    if kind not in _SCALARS:
        raise cursor.error(begin, f"{what} has an unknown type, number {kind}")
    return _scalar(cursor, kind, what)


def _header(cursor: _Cursor) -> tuple[int, int, int]:
    """(version, tensors, metadata pairs)."""
    if cursor.mapped[:4] != _MAGIC:
        raise cursor.error(
            0,
            f"a GGUF file begins with {_MAGIC!r}, this one with {cursor.mapped[:4]!r}",
            "give the path of a .gguf file",
        )
    cursor.at = 4
    version = cursor.u32("the version")
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        what = f"big-endian (version {swapped})" if swapped in _VERSIONS else f"version {version}"
        raise cursor.error(
            4,
            f"the file is GGUF {what}; little-endian versions 2 and 3 can be read",
            "convert the model again with a current converter",
        )
    begin = cursor.at
    tensors = cursor.u64("the count of tensors")
    pairs = cursor.u64("the count of metadata pairs")
    left = cursor.size - cursor.at
    if tensors * _LEAST_TENSOR + pairs * _LEAST_PAIR > left:
        raise cursor.error(
            begin,
            f"{tensors} tensors and {pairs} metadata pairs do not fit into the {left} bytes left",
        )
    return version, tensors, pairs


def _tensor(cursor: _Cursor, seen: Mapping[str, object], alignment: int) -> GgufTensor:
    """One tensor's entry, its offset still relative to the data."""
    name = cursor.name("a tensor's name", seen)
    whose = f"of tensor {name!r}"
    begin = cursor.at
    rank = cursor.u32(f"the rank {whose}")
    if not 1 <= rank <= _MOST_DIMS:
        raise cursor.error(begin, f"the rank {whose} is {rank}, not 1 to {_MOST_DIMS}")
    begin = cursor.at
    shape = tuple(cursor.u64(f"dim {i} {whose}") for i in range(rank))[::-1]
    if 0 in shape:
        raise cursor.error(begin, f"the shape {whose} is {list(shape)}, which is empty")
    begin = cursor.at
    number = cursor.u32(f"the type {whose}")
    format = _BY_NUMBER.get(number)
    if format is None:
        raise cursor.error(
            begin,
            f"tensor {name!r} has unsupported tensor type "
            f"{_NOT_SUPPORTED.get(number, 'unknown')} (number {number})",
            f"quantise the model to one of {', '.join(FORMATS)}",
        )
    try:
        nbytes = format.nbytes(shape)
    except BlockFormatError as error:
        raise cursor.error(begin, f"tensor {name!r}: {error}") from None
    begin = cursor.at
    offset = cursor.u64(f"the offset {whose}")
    if offset % alignment:
        raise cursor.error(
            begin, f"the offset {whose} is {offset}, not a multiple of the alignment {alignment}"
        )
    return GgufTensor(name, shape, format.name, offset, nbytes)


def _alignment(cursor: _Cursor, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if (
        type(alignment) is not int
        or not 8 <= alignment <= _LARGEST_ALIGNMENT
        or alignment & (alignment - 1)
    ):
        raise cursor.error(
            cursor.at,
            f"general.alignment is {alignment!r}, not a power of two "
            f"from 8 to {_LARGEST_ALIGNMENT}",
        )
    return alignment


def _place(cursor: _Cursor, found: Mapping[str, GgufTensor], start: int) -> dict[str, GgufTensor]:
    """Offsets from the data's beginning -> from the file's; inside the file, and apart."""
    placed = {
        name: GgufTensor(name, t.shape, t.type_name, start + t.offset, t.nbytes)
        for name, t in found.items()
    }
    end, before = start, ""
    for tensor in sorted(placed.values(), key=lambda t: t.offset):
        if tensor.offset + tensor.nbytes > cursor.size:
            raise cursor.error(
                tensor.offset,
                f"tensor {tensor.name!r} takes bytes {tensor.offset} to "
                f"{tensor.offset + tensor.nbytes}, but the file has {cursor.size}",
            )
        if tensor.offset < end:
            raise cursor.error(
                tensor.offset,
                f"tensor {tensor.name!r} begins inside tensor {before!r}, which ends at {end}",
            )
        end, before = tensor.offset + tensor.nbytes, tensor.name
    return placed


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise GgufError(f"{path}: byte 0: the file is empty; {_REDOWNLOAD}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise GgufError(
            f"{path}: byte 0: cannot read the file: {reason}; check the path and its permissions"
        ) from None


def _parse(cursor: _Cursor) -> GgufFile:
    version, n_tensors, n_pairs = _header(cursor)
    metadata: dict[str, Any] = {}
    for _ in range(n_pairs):
        key = cursor.name("a metadata key", metadata)
        metadata[key] = _value(cursor, key)
    alignment = _alignment(cursor, metadata)
    found: dict[str, GgufTensor] = {}
    for _ in range(n_tensors):
        tensor = _tensor(cursor, found, alignment)
        found[tensor.name] = tensor
    start = -(-cursor.at // alignment) * alignment
    tensors = _place(cursor, found, start)
    return GgufFile(
        cursor.path, version, MappingProxyType(metadata), MappingProxyType(tensors), cursor.mapped
    )


def read_gguf(path: Path | str) -> GgufFile:
    """The metadata and tensors of a GGUF file, its tensor bytes memory-mapped.

    Raises GgufError, and nothing else, if the file cannot be read or is not sound.
    """
    path = Path(path)
    cursor = _Cursor(path, _mapped(path))
    try:
        return _parse(cursor)
    except MemoryError:
        raise cursor.error(
            cursor.at, "its metadata does not fit into memory", "use a machine with more"
        ) from None
