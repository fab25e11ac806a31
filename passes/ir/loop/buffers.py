"""Buffers of loop programs, their elements, and regions of them with names of their own."""

from __future__ import annotations

from typing import Literal, get_args

from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import Broadcast, Call, Const, Expr, Ramp
from passes.ir.loop.distribution import Distribution
from passes.ir.node import IRError, Node

Scope = Literal["global", "local", "register", "shared", "warp", "fragment"]
_SCOPES: tuple[str, ...] = get_args(Scope)
IN_REGISTERS: tuple[Scope, ...] = ("register", "warp", "fragment")
"""Scopes whose elements have no addresses."""


class Buffer(Node):
    """A typed array. Text shows `name` and `ordinal` run together, as for variables.

    `strides` count elements and are row-major (None) unless the buffer is a view of a packed
    storage. `align` is the alignment of its first element in bytes (None: as its type asks). A
    `pitch` says how strides come from a shape: axis, factor, offset of each axis whose stride is
    the least that leaves `offset` when divided by `factor`; the others are row-major.
    Scopes: `global` lives in memory all threads see, `local` in memory private to a thread,
    `register` in registers: its indices must be constants once loops are unrolled. `shared` is
    memory of a thread block, `warp` registers spread over the lanes of a warp, `fragment` an
    operand of a matrix instruction. A `distribution` says which register of which lane, or which
    place in shared memory, holds an element of the last axes, tile after tile.
    """

    name: str
    ordinal: int
    shape: tuple[Expr, ...]
    dtype: DType
    scope: Scope = "global"
    strides: tuple[Expr, ...] | None = None
    align: int | None = None
    distribution: Distribution | None = None
    pitch: tuple[tuple[int, int, int], ...] | None = None

    def resized(self, shape: tuple[Expr, ...]) -> Buffer:
        """The buffer with another shape, and the strides that its pitch makes of it."""
        if self.pitch is None:
            return self.replace(shape=shape)
        asked = {axis: (factor, offset) for axis, factor, offset in self.pitch}
        strides: list[Expr] = []
        step: Expr = Const(1, INDEX)
        for axis in reversed(range(len(shape))):
            if axis in asked:
                factor, offset = asked[axis]
                step = step + (offset - step) % factor
            strides.insert(0, step)
            step = step * shape[axis]
        return self.replace(shape=shape, strides=tuple(strides))

    def check(self) -> None:
        if not (self.name.isascii() and self.name.replace("_", "a").isalpha()):
            raise IRError(f"buffer name '{self.name}' must be ASCII letters and underscores")
        if self.dtype.lanes != 1 or self.scope not in _SCOPES:
            raise IRError(f"buffer '{self.name}' has type {self.dtype} in scope '{self.scope}'")
        if any(extent.dtype != INDEX for extent in self.shape):
            raise IRError(f"buffer '{self.name}' has a shape that is not of type index")
        if self.strides is not None and len(self.strides) != len(self.shape):
            raise IRError(f"buffer '{self.name}' has {len(self.strides)} strides for its shape")
        if self.align is not None and (self.align < 1 or self.align & (self.align - 1)):
            raise IRError(f"buffer '{self.name}' has alignment {self.align}, not a power of two")
        for axis, factor, offset in self.pitch or ():
            if not (0 <= axis < len(self.shape) and 0 <= offset < factor):
                raise IRError(f"buffer '{self.name}' has a pitch of {axis}, {factor}, {offset}")
        if self.pitch is not None and self.strides is None:
            raise IRError(f"buffer '{self.name}' has a pitch but no strides")
        if self.distribution is not None and self.distribution.rank > len(self.shape):
            raise IRError(
                f"buffer '{self.name}' has {len(self.shape)} axes, its distribution"
                f" {self.distribution.rank}"
            )


class Load(Expr):
    """An element of a buffer; with a vector index in one place, a vector of elements."""

    buffer: Buffer
    indices: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype.with_lanes(lanes_of(self.indices))

    def check(self) -> None:
        check_access(self.buffer, self.indices)


class View(Node):
    """Inside a block, `buffer` names the region of another buffer that begins at `source`.

    `extents` has an item for each axis of the source: how far the region reaches along it, or
    None where it stands still; the others, in order, are the view's shape.

        a6 = view(x0[b4, i5*16:+16, k7*16:+16])            a6[i, k] is x0[b4, i5*16 + i, k7*16 + k]
    """

    buffer: Buffer
    source: Load
    extents: tuple[Expr | None, ...]

    def check(self) -> None:
        name = f"view {self.buffer.name}{self.buffer.ordinal}"
        if not isinstance(self.source, Load) or self.source.dtype.lanes != 1:
            raise IRError(f"{name} needs an element of a buffer to begin at")
        if len(self.extents) != len(self.source.indices):
            raise IRError(f"{name} has {len(self.extents)} extents for its source's axes")
        if tuple([e for e in self.extents if e is not None]) != self.buffer.shape:
            raise IRError(f"{name} has another shape than its extents say")
        whole = self.source.buffer
        if (self.buffer.dtype, self.buffer.scope) != (whole.dtype, whole.scope):
            raise IRError(
                f"{name} is {self.buffer.dtype} in scope '{self.buffer.scope}', its source"
                f" {whole.dtype} in scope '{whole.scope}'"
            )
        if any(x is not None for x in self.buffer.values()[5:]):
            raise IRError(f"{name} has the layout of its source, and none of its own")

    def at(self, indices: tuple[Expr, ...]) -> Load:
        """The element of the source that `indices` of the view name."""
        inner = iter(indices)
        places = [
            start if extent is None else _shifted(next(inner), start)
            for start, extent in zip(self.source.indices, self.extents, strict=True)
        ]
        return Load(self.source.buffer, tuple(places))


def _shifted(index: Expr, start: Expr) -> Expr:
    """`start + index`, lane by lane; a mask stays."""
    if isinstance(index, Call) and index.name == "masked":
        place, mask = index.args
        shifted = _shifted(place, start)
        return Call("masked", (shifted, mask), shifted.dtype)
    if isinstance(index, Ramp):
        return Ramp(start + index.base, index.stride, index.lanes)
    return Broadcast(start, index.dtype.lanes) + index if index.dtype.lanes > 1 else start + index


def lanes_of(indices: tuple[Expr, ...]) -> int:
    """The lanes of an access at these indices."""
    return max([i.dtype.lanes for i in indices], default=1)


def check_access(buffer: Buffer, indices: tuple[Expr, ...]) -> None:
    """Raises `IRError` unless the buffer has such elements."""
    name = f"{buffer.name}{buffer.ordinal}"
    if len(indices) != len(buffer.shape):
        raise IRError(f"'{name}' has {len(buffer.shape)} axes but is accessed by {len(indices)}")
    if sum(i.dtype.lanes > 1 for i in indices) > 1:
        raise IRError(f"'{name}' is accessed by more than one vector index")
    for i in indices:
        if i.dtype.scalar != INDEX and not isinstance(i, Ramp):
            raise IRError(f"'{name}' is accessed by an index of type {i.dtype}")
