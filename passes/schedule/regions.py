"""Where the elements of one buffer lie in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.arith import simplify
from passes.ir.expr import Broadcast, Const, Expr, Ramp, const, product
from passes.ir.loop.nodes import Buffer

_ZERO = const(0)


@dataclass(frozen=True)
class Region:
    """Where a parameter lies: its element j is `buffer[base[a] + Σ_b steps[a][b]*j[b], …]`."""

    buffer: Buffer
    base: tuple[Expr, ...]
    steps: tuple[tuple[Expr, ...], ...]

    def at(self, indices: Sequence[Expr]) -> tuple[Expr, ...]:
        """The place of an element, or of a vector of them along one axis of the parameter."""
        found = []
        for base, steps in zip(self.base, self.steps, strict=True):
            place = base
            for step, index in zip(steps, indices, strict=True):
                if step is not _ZERO:
                    place = _sum(place, _scaled(index, step))
            found.append(place if isinstance(place, Ramp) else simplify(place))
        return tuple(found)

    def stride(self, axis: int) -> Expr:
        """How far the elements along an axis of the parameter are apart."""
        strides = row_major(self.buffer)
        parts = [steps[axis] * s for steps, s in zip(self.steps, strides, strict=True)]
        return simplify(sum(parts, start=const(0) + 0))


def row_major(buffer: Buffer) -> tuple[Expr, ...]:
    """The buffer's strides, in elements."""
    if buffer.strides is not None:
        return buffer.strides
    return tuple([product(buffer.shape[k + 1 :]) for k in range(len(buffer.shape))])


def _sum(a: Expr, b: Expr) -> Expr:
    """Scalars and vectors of indices added, ramps staying ramps."""
    if isinstance(b, Ramp) and a.dtype.lanes == 1:
        return Ramp(simplify(a + b.base), b.stride, b.lanes)
    if isinstance(a, Ramp) and b.dtype.lanes == 1:
        return Ramp(simplify(a.base + b), a.stride, a.lanes)
    if a.dtype.lanes < b.dtype.lanes:
        return Broadcast(a, b.dtype.lanes) + b
    return a + (Broadcast(b, a.dtype.lanes) if b.dtype.lanes < a.dtype.lanes else b)


def _scaled(index: Expr, step: Expr) -> Expr:
    if isinstance(index, Ramp) and isinstance(step, Const):
        return Ramp(index.base * step, index.stride * int(step.value), index.lanes)
    return index * (step if index.dtype.lanes == 1 else Broadcast(step, index.dtype.lanes))
