"""Tensors with a `Storage`, as numpy arrays and as buffers of a loop function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from passes.ir.evaluate import evaluate
from passes.ir.expr import Const, Expr, IntLike, index
from passes.ir.loop.builder import load
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError, Node, rewrite
from passes.ir.storage import Storage

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class QuantisedArray:
    """A stored tensor's content: one array a field of its storage, in the storage's order.

    Only matrices are decoded.
    """

    storage: Storage
    shape: tuple[int, ...]
    fields: tuple[Array, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.storage.axes):
            held = f"{len(self.storage.axes)} axes, not {len(self.shape)}"
            raise IRError(f"storage '{self.storage.name}' holds {held}")

    def decoded(self, rows: Array) -> Array:
        """The values of these rows: i64 [r] -> f32 [r, K]."""
        codes = self._at(self.storage.code, rows, 1).astype(np.float32)
        blocks = codes.reshape(len(rows), -1, self.storage.block)
        scales = self._at(self.storage.scale, rows, self.storage.block)[..., None]
        offsets = self._at(self.storage.offset, rows, self.storage.block)[..., None]
        values: Array = (blocks * scales + offsets).reshape(codes.shape)
        return values

    @cached_property
    def values(self) -> Array:
        """All of it: f32 [N, K]."""
        return self.decoded(np.arange(self.shape[0]))

    @cached_property
    def codes(self) -> Array:
        """The stored integers [N, K]."""
        return self._at(self.storage.code, np.arange(self.shape[0]), 1)

    @cached_property
    def scales(self) -> Array:
        """f32 [N, K / block]."""
        return self._at(self.storage.scale, np.arange(self.shape[0]), self.storage.block)

    @cached_property
    def offsets(self) -> Array:
        """f32 [N, K / block]."""
        return self._at(self.storage.offset, np.arange(self.shape[0]), self.storage.block)

    def _at(self, e: Expr, rows: Array, step: int) -> Array:
        row, column = self.storage.axes
        columns = np.arange(0, self.shape[1], step)
        where: dict[Any, Array] = {row: rows[:, None], column: columns[None, :]}
        content = dict(zip(self.storage.fields, self.fields, strict=True))
        found = np.asarray(evaluate(e, where, content))
        return np.broadcast_to(found, (len(rows), len(columns)))


@dataclass(frozen=True, eq=False)
class QuantisedBuffers:
    """A quantised tensor inside a loop function: one buffer a field of its storage, in order."""

    storage: Storage
    shape: tuple[Expr, ...]
    fields: tuple[Buffer, ...]

    def code(self, *indices: IntLike) -> Expr:
        """The stored integer at logical coordinates."""
        return self._at(self.storage.code, indices)

    def scale(self, *indices: IntLike) -> Expr:
        return self._at(self.storage.scale, indices)

    def offset(self, *indices: IntLike) -> Expr:
        return self._at(self.storage.offset, indices)

    def value(self, *indices: IntLike) -> Expr:
        """The element at logical coordinates as f32."""
        return self._at(self.storage.value, indices)

    @property
    def has_offset(self) -> bool:
        """False where the offset is zero throughout."""
        return not (isinstance(self.storage.offset, Const) and self.storage.offset.value == 0)

    def _at(self, e: Expr, indices: Sequence[IntLike]) -> Expr:
        where: dict[Node, Node] = {
            axis: index(i) for axis, i in zip(self.storage.axes, indices, strict=True)
        }
        where.update(zip(self.storage.fields, self.fields, strict=True))
        return rewrite(e, lambda node: where.get(node))


Operand: TypeAlias = "Array | QuantisedArray"
BufferOperand: TypeAlias = "Buffer | QuantisedBuffers"


def allocation_fields(storage: Storage, raw: NDArray[np.uint8]) -> tuple[Array, ...]:
    """The fields as views of one allocation's bytes. Raises IRError if they do not fit in it."""
    if raw.nbytes != storage.nbytes:
        raise IRError(
            f"storage '{storage.name}' takes {storage.nbytes} bytes; {raw.nbytes} are given"
        )
    views = []
    for field, offset in zip(storage.fields, storage.offsets, strict=True):
        shape = [constant(extent, f"storage '{storage.name}'") for extent in field.shape]
        steps = None
        if field.strides is not None:
            steps = [constant(s, storage.name) * field.dtype.bytes for s in field.strides]
        try:
            views.append(np.ndarray(shape, field.dtype.numpy, raw.data, offset, steps))
        except (TypeError, ValueError):
            raise IRError(
                f"storage '{storage.name}': field '{field.name}' lies outside its allocation"
            ) from None
    return tuple(views)


def constant(e: Expr, whose: str) -> int:
    """The value of a constant extent. Raises IRError if it is symbolic."""
    if not isinstance(e, Const):
        raise IRError(f"{whose} has an extent that is not a constant")
    return int(e.value)


Decode: TypeAlias = Callable[..., Expr]


def element(operand: BufferOperand) -> Decode:
    """`element(w)(i, j)`: the element of a plain or quantised operand, as its logical type."""
    if isinstance(operand, QuantisedBuffers):
        return operand.value
    return lambda *indices: load(operand, *indices)
