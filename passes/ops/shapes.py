"""Rules about shapes that several operators share."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import simplify
from passes.ir.dtypes import DType
from passes.ir.expr import Const, Expr, IntLike, Sub, index
from passes.ir.graph.nodes import TensorType

Shape = tuple[Expr, ...]


def tensor(dtype: DType, *shape: IntLike) -> TensorType:
    """`dtype[shape]`, its extents in normal form."""
    return TensorType(tuple([simplify(index(extent)) for extent in shape]), dtype)


def same(a: Expr, b: Expr) -> bool:
    """True if the extents are provably equal."""
    if a is b:
        return True
    left = simplify(Sub(a, b))
    return isinstance(left, Const) and left.value == 0


def same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def is_one(extent: Expr) -> bool:
    return isinstance(extent, Const) and extent.value == 1


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """numpy's rule: aligned at the last axis, an extent of 1 or a missing one repeats."""
    rank = max(len(a), len(b))
    one = index(1)
    whole: list[Expr] = []
    for left, right in zip(_padded(a, rank, one), _padded(b, rank, one), strict=True):
        if is_one(left) or same(left, right):
            whole.append(right)
        elif is_one(right):
            whole.append(left)
        else:
            return None
    return tuple(whole)


def _padded(shape: Shape, rank: int, one: Expr) -> Shape:
    return (one,) * (rank - len(shape)) + shape


def projected(indices: Sequence[Expr], shape: Shape) -> tuple[Expr, ...]:
    """Coordinates in a broadcast result -> coordinates in an operand of this shape."""
    own = indices[len(indices) - len(shape) :]
    return tuple([index(0) if is_one(e) else i for i, e in zip(own, shape, strict=True)])


def row_major(indices: Sequence[Expr], shape: Shape) -> Expr:
    """The position of an element in a row-major array."""
    position = index(0)
    for i, extent in zip(indices, shape, strict=True):
        position = position * extent + i
    return position


def coordinates(position: Expr, shape: Shape) -> tuple[Expr, ...]:
    """The inverse of `row_major`."""
    found: list[Expr] = []
    for extent in reversed(shape[1:]):
        found.append(position % extent)
        position = position // extent
    return (position, *reversed(found)) if shape else ()
