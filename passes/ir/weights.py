"""The weights of a module: bytes in one file, written once by import and mapped by whoever reads.

    weights.bin    the tensors one after another, each at a multiple of 64 bytes
    weights.json   {"size": …, "storages": {…}, "tensors": {name: {"type", "at", "nbytes"}}}

A tensor's bytes are its array, row-major and little-endian, or its storage's fields at their
offsets. Later stages refer to tensors by name, and say in a `WeightEntry` what becomes of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.ir.graph.nodes import TensorType, Weight
from passes.ir.graph.parse import parse_type
from passes.ir.graph.text import type_text
from passes.ir.node import IRError
from passes.ir.quantised import Array, Operand, QuantisedArray, allocation_fields, constant
from passes.ir.storage_text import storage_from_json, storage_to_json

ALIGNMENT = 64
_BIN, _INDEX = "weights.bin", "weights.json"


@dataclass(frozen=True)
class Layout:
    """Where tensors lie in one file: first byte of each by name, in file order; the whole size."""

    offsets: Mapping[str, int]
    sizes: Mapping[str, int]
    size: int


def layout(sizes: Mapping[str, int]) -> Layout:
    """Sizes in bytes, in file order → offsets, each a multiple of 64, known before a byte is
    written.

        {"a": 100, "b": 8} → a at 0, b at 128, size 192

    Raises ValueError for a negative size.
    """
    offsets: dict[str, int] = {}
    end = 0
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"weight '{name}': size {size} is negative")
        offsets[name] = end
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return Layout(offsets, dict(sizes), end)


@dataclass(frozen=True)
class Transform:
    """A change of a weight's rows, as data: a name known to `TRANSFORMS` and its arguments."""

    name: str
    args: tuple[int, ...] = ()


@dataclass(frozen=True)
class WeightEntry:
    """Where a weight comes from: the rows of `sources` one after the other, then `transforms`."""

    type: TensorType
    sources: tuple[str, ...]
    transforms: tuple[Transform, ...] = ()


def half_split_rows(rows: int, heads: int) -> NDArray[np.int64]:
    """The order that takes rotary pairs (2d, 2d + 1) of each head to (d, d + size / 2).

    Row r of the result is row order[r] of the interleaved matrix. Raises IRError if the rows are
    not `heads` heads of even size.
    """
    if heads < 1 or rows % (2 * heads):
        raise IRError(f"{rows} rows are not {heads} heads of even size")
    pairs = np.arange(rows).reshape(heads, rows // heads // 2, 2)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).ravel()


def padded_rows(rows: int, total: int) -> NDArray[np.int64]:
    """The order that repeats the last row until there are `total`. Raises IRError for fewer."""
    if total < rows:
        raise IRError(f"{rows} rows cannot be padded to {total}")
    return np.minimum(np.arange(total), rows - 1)


TRANSFORMS = {"half_split": half_split_rows, "padded": padded_rows}


def transformed(fields: Sequence[Array], transforms: Sequence[Transform]) -> tuple[Array, ...]:
    """The fields of a matrix (their first axis the rows) with its rows rearranged."""
    made = tuple(fields)
    for transform in transforms:
        if transform.name not in TRANSFORMS:
            known = ", ".join(TRANSFORMS)
            raise IRError(f"unknown weight transform '{transform.name}'; known: {known}")
        order = TRANSFORMS[transform.name](len(made[0]), *transform.args)
        made = tuple([field[order] for field in made])
    return made


def nbytes_of(type_: TensorType) -> int:
    """The bytes a weight of this type takes. Raises IRError if its shape is symbolic."""
    if type_.storage is not None:
        return type_.storage.nbytes
    shape = [constant(extent, "a weight") for extent in type_.shape]
    return math.prod(shape) * type_.dtype.bytes


def write_weights(folder: Path, tensors: Iterable[tuple[str, TensorType, Sequence[Array]]]) -> None:
    """Writes `weights.bin` and its index: per tensor its name, type and the arrays of its fields.

    Raises IRError if an array does not have its field's size.
    """
    index: dict[str, Any] = {}
    storages: dict[str, Any] = {}
    with (folder / _BIN).open("wb") as file:
        for name, type_, fields in tensors:
            file.write(bytes(-file.tell() % ALIGNMENT))
            begin, nbytes = file.tell(), nbytes_of(type_)
            offsets = type_.storage.offsets if type_.storage else (0,)
            for offset, field in zip(offsets, fields, strict=True):
                file.write(bytes(max(0, begin + offset - file.tell())))
                file.write(np.ascontiguousarray(field).reshape(-1).view(np.uint8).data)
            if file.tell() - begin != nbytes:
                raise IRError(f"weight '{name}' takes {nbytes} bytes, not {file.tell() - begin}")
            index[name] = {"type": type_text(type_), "at": begin, "nbytes": nbytes}
            if type_.storage:
                storages[type_.storage.name] = storage_to_json(type_.storage)
        size = file.tell()
    data = {"size": size, "storages": storages, "tensors": index}
    (folder / _INDEX).write_bytes(json.dumps(data, indent=1, sort_keys=True).encode() + b"\n")


class Weights:
    """The weights of a folder, mapped. Tensors are read-only arrays; use them while it lives."""

    def __init__(self, folder: Path) -> None:
        """Maps the file. Raises IRError if it or its index is missing, or they do not fit."""
        try:
            data = json.loads((folder / _INDEX).read_text("utf-8"))
            size = (folder / _BIN).stat().st_size
        except (OSError, ValueError) as error:
            raise IRError(f"{folder}: the weights cannot be read: {error}") from None
        if data["size"] != size:
            raise IRError(f"{folder / _BIN} has {size} bytes, its index says {data['size']}")
        self._bytes: NDArray[np.uint8] = (
            np.memmap(folder / _BIN, np.uint8, "r") if size else np.zeros(0, np.uint8)
        )
        storages = {name: storage_from_json(name, s) for name, s in data["storages"].items()}
        self.types: dict[str, TensorType] = {}
        self._places: dict[str, tuple[int, int]] = {}
        for name, entry in data["tensors"].items():
            self.types[name] = parse_type(entry["type"], storages, {})
            begin, nbytes = int(entry["at"]), int(entry["nbytes"])
            if begin < 0 or nbytes != nbytes_of(self.types[name]) or begin + nbytes > size:
                raise IRError(f"{folder / _INDEX}: tensor '{name}' does not fit in the file")
            self._places[name] = (begin, nbytes)
        self._made: dict[WeightEntry, Operand] = {}

    def place(self, name: str) -> tuple[int, int]:
        """(first byte in `weights.bin`, number of bytes). Raises IRError for an unknown name."""
        if name not in self._places:
            raise IRError(f"there is no weight tensor '{name}'")
        return self._places[name]

    def raw(self, name: str) -> NDArray[np.uint8]:
        """A tensor's bytes."""
        begin, nbytes = self.place(name)
        return self._bytes[begin : begin + nbytes]

    def fields(self, name: str) -> tuple[Array, ...]:
        """A tensor's array, or one array a field of its storage."""
        raw, type_ = self.raw(name), self.types[name]
        if type_.storage is not None:
            return allocation_fields(type_.storage, raw)
        shape = [constant(extent, f"weight '{name}'") for extent in type_.shape]
        return (raw.view(type_.dtype.numpy).reshape(shape),)

    def operand(self, entry: WeightEntry) -> Operand:
        """The weight that an entry describes, ready for the interpreter; made once."""
        if entry not in self._made:
            self._made[entry] = self._operand(entry)
        return self._made[entry]

    def source(self, entries: Mapping[str, WeightEntry]) -> _Source:
        """What the graph interpreter takes: weight node -> its value."""
        return _Source(self, entries)

    def _operand(self, entry: WeightEntry) -> Operand:
        parts = [self.fields(name) for name in entry.sources]
        fields = parts[0]
        if len(parts) > 1:
            fields = tuple([np.concatenate(column) for column in zip(*parts, strict=True)])
        fields = transformed(fields, entry.transforms)
        if entry.type.storage is None:
            return fields[0]
        shape = tuple([constant(extent, "a weight") for extent in entry.type.shape])
        return QuantisedArray(entry.type.storage, shape, fields)


@dataclass(frozen=True)
class _Source:
    weights: Weights
    entries: Mapping[str, WeightEntry]

    def __call__(self, weight: Weight) -> Operand:
        if weight.name not in self.entries:
            raise IRError(f"the module has no weight '{weight.name}'")
        return self.weights.operand(self.entries[weight.name])
