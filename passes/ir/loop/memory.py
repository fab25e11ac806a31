"""The interpreter's memory: parameters, poisoned temporaries, and the record that finds races."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from passes.ir.dtypes import DType
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
    return np.full(shape, poison(buffer.dtype), buffer.dtype.numpy), np.zeros(shape, bool)


def poison(dtype: DType) -> Any:
    """What stands where nothing is known to stand: NaN, a conspicuous integer, False."""
    return np.nan if dtype.is_float else dtype.is_int and np.iinfo(dtype.numpy).max


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
    """Who touched which element since `begin`: a thread, or an iteration of a concurrent loop.

    Loops inside each other are levels, each with an iteration of its own at hand.
    """

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    def begin(self, scopes: frozenset[str]) -> None:
        """A level whose iterations have buffers of these scopes in common."""
        self._levels.append(_Level(scopes, -1, {}))

    def turn(self, me: int) -> None:
        """The iteration (or thread) of the innermost level that runs from now on."""
        self._levels[-1].me = me

    def end(self) -> None:
        self._levels.pop()

    def touch(self, scope: str, data: NDArray[Any], place: tuple[Any, ...], write: bool) -> bool:
        """False if another one has stored to an element, or has read one stored to now."""
        levels = [level for level in self._levels if scope in level.scopes]
        if not levels:
            return True
        whole = data.base if isinstance(data.base, np.ndarray) else data
        start = whole.__array_interface__["data"][0]
        at = np.asarray(data.__array_interface__["data"][0] - start)
        for index, stride in zip(place, data.strides, strict=True):
            at = at + np.asarray(index) * stride
        flat = at // data.itemsize
        fine = [level.touch(start, _span(whole), flat, write) for level in levels]
        return all(fine)


@dataclass
class _Level:
    scopes: frozenset[str]
    me: int
    seen: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]

    def touch(self, start: int, size: int, flat: NDArray[Any], write: bool) -> bool:
        if start not in self.seen:
            self.seen[start] = (np.full(size, -1), np.full(size, -1))
        writer, reader = self.seen[start]
        if np.any((writer[flat] != -1) & (writer[flat] != self.me)):
            return False
        others = (reader[flat] != -1) & (reader[flat] != self.me)
        if write:
            writer[flat] = self.me
            return not np.any(others)
        reader[flat] = np.where(others, -2, self.me)
        return True


def _span(data: NDArray[Any]) -> int:
    """How many elements lie from the first to the last one in memory."""
    reach = sum([(n - 1) * s for n, s in zip(data.shape, data.strides, strict=True)])
    return 1 + reach // data.itemsize if data.size else 1


def _name(buffer: Buffer) -> str:
    return f"{buffer.name}{buffer.ordinal}"
