"""The interpreter's memory: parameters, poisoned temporaries, and the record that finds races."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError

Array: TypeAlias = (
    "tuple[NDArray[Any], NDArray[np.bool_] | None]"  # and what is written, if not all
)


class ExecutionError(IRError):
    """A program that does what its IR forbids, found while interpreting it."""


def allocate(function: str, buffer: Buffer, shape: tuple[int, ...]) -> Array:
    """A temporary: filled with NaN or a conspicuous integer, and nothing of it written."""
    if any(extent < 0 for extent in shape):
        raise ExecutionError(f"function '{function}': {_name(buffer)} has shape {list(shape)}")
    kind = buffer.dtype.numpy
    poison = np.nan if buffer.dtype.is_float else buffer.dtype.is_int and np.iinfo(kind).max
    return np.full(shape, poison, kind), np.zeros(shape, bool)


def bind(function: str, buffer: Buffer, shape: tuple[int, ...], array: Array) -> Array:
    """The array of a parameter as the function sees it: itself, or its memory taken flat.

    Raises `ExecutionError` if the element type or the shape is another one.
    """
    data, mask = array
    if data.dtype == buffer.dtype.numpy:
        if data.shape == shape:
            return data, mask
        if len(shape) == 1 and data.size:
            span = 1 + sum((n - 1) * s for n, s in zip(data.shape, data.strides, strict=True))
            count = span // data.itemsize + (span % data.itemsize > 0)
            if min(data.strides, default=0) >= 0 and count <= shape[0]:
                strided = np.lib.stride_tricks.as_strided
                seen = strided(data, (count,), (data.itemsize,))
                return seen, None if mask is None else mask.reshape(-1)
    raise ExecutionError(
        f"function '{function}': parameter {_name(buffer)} takes {buffer.dtype}{list(shape)},"
        f" not {data.dtype}{list(data.shape)}"
    )


class Races:
    """Who touched which element since `begin`: a thread, or an iteration of a parallel loop."""

    def __init__(self) -> None:
        self.me = -1
        self._active = False
        self._seen: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def begin(self) -> None:
        self._seen.clear()
        self._active = True

    def end(self) -> None:
        self._seen.clear()
        self._active = False

    def touch(self, data: NDArray[Any], place: tuple[Any, ...], write: bool) -> bool:
        """False if another one has stored to an element, or has read one stored to now."""
        if not self._active:
            return True
        start: int = data.__array_interface__["data"][0]
        if start not in self._seen:
            self._seen[start] = (np.full(data.size, -1), np.full(data.size, -1))
        writer, reader = self._seen[start]
        flat = np.asarray(0)
        for at, extent in zip(place, data.shape, strict=True):
            flat = flat * extent + at
        if np.any((writer[flat] != -1) & (writer[flat] != self.me)):
            return False
        others = (reader[flat] != -1) & (reader[flat] != self.me)
        if write:
            writer[flat] = self.me
            return not np.any(others)
        reader[flat] = np.where(others, -2, self.me)
        return True


def _name(buffer: Buffer) -> str:
    return f"{buffer.name}{buffer.ordinal}"
