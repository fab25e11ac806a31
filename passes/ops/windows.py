"""Windows that slide over the middle axes of a tensor: their steps, their margins, their results.

Attributes give one number an axis (`stride=(2, 2)`), and `()` for the default on all of them:
stride and dilation 1, padding 0. Padding may also be a pair an axis, before and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from passes.ir.arith import prove, simplify
from passes.ir.expr import Const, Expr, Select, both, const, index, maximum, minimum
from passes.ir.graph.nodes import TensorType
from passes.ir.graph.operator import AttrMap, Operator
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer
from passes.ir.quantised import Array
from passes.ops.shapes import Shape

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """One entry an axis that windows slide over; `extents` are the windows' own."""

    extents: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements a window spans."""
        return tuple([(k - 1) * d + 1 for k, d in zip(self.extents, self.dilation, strict=True)])

    def padded(self, shape: Shape) -> Shape:
        """The extents with their margins."""
        pairs = zip(shape, self.padding, strict=True)
        return tuple([simplify(extent + (before + after)) for extent, (before, after) in pairs])

    def places(self, shape: Shape) -> Shape:
        """How many windows fit, axis by axis."""
        room = zip(self.padded(shape), self.reach, self.stride, strict=True)
        return tuple([simplify((extent - reach) // step + 1) for extent, reach, step in room])

    def at(self, place: Sequence[Expr], tap: Sequence[Expr]) -> tuple[Expr, ...]:
        """The element of the padded tensor that a tap of a window meets."""
        steps = zip(place, self.stride, tap, self.dilation, strict=True)
        return tuple([i * step + k * gap for i, step, k, gap in steps])

    def taps(self, x: Array, places: Sequence[int]) -> list[tuple[tuple[int, ...], Array]]:
        """Every tap with the elements that it meets in a padded array whose first axes are
        the batch's and the windows'."""
        found = []
        for tap in np.ndindex(*self.extents):
            parts = zip(tap, self.dilation, self.stride, places, strict=True)
            box = [slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in parts]
            found.append((tap, x[(slice(None), *box)]))
        return found


def windows(op: Operator, attrs: Mapping[str, Any], extents: tuple[int, ...]) -> Windows:
    """The windows that an operator's attributes describe, on as many axes as `extents`.

    Raises IRError for attributes that do not fit.
    """
    count = len(extents)
    stride = numbers(op, attrs, "stride", count, 1)
    dilation = numbers(op, attrs, "dilation", count, 1) if "dilation" in attrs else (1,) * count
    padding = _pairs(op, attrs, count)
    if min(extents) < 1:
        raise op.error(f"takes windows of positive extents, not {list(extents)}")
    return Windows(extents, stride, padding, dilation)


def numbers(
    op: Operator, attrs: Mapping[str, Any], name: str, count: int, default: int
) -> tuple[int, ...]:
    """An attribute of `count` integers, `()` for `default` each. Raises IRError."""
    value = attrs[name]
    if value == ():
        return (default,) * count
    found = [n for n in _items(value) if type(n) is int and n >= default]
    if found != list(_items(value)) or len(found) != count:
        raise op.error(
            f"attribute '{name}' must be {count} numbers from {default} on, not {value!r}"
        )
    return tuple(found)


def require_room(op: Operator, made: Windows, shape: Shape, x: TensorType) -> None:
    """Raises IRError unless a window surely fits in, margins included."""
    for extent, reach in zip(made.padded(shape), made.reach, strict=True):
        op.require(prove(extent >= reach), f"takes at least {reach} elements an axis of windows", x)


def axes_of(layout: str, rank: int) -> tuple[int, tuple[int, ...]]:
    """Where a layout has the channels, and the axes that windows slide over.

    "last": batch, windows' axes, channels. "first": batch, channels, windows' axes.
    """
    return (rank - 1, tuple(range(1, rank - 1))) if layout == "last" else (1, tuple(range(2, rank)))


def layout_of(op: Operator, attrs: AttrMap) -> str:
    """The attribute `layout`. Raises IRError unless it is "last" or "first"."""
    layout = attrs["layout"]
    if layout not in ("last", "first"):
        raise op.error(f"attribute 'layout' tells where channels are, 'last' or 'first': {layout}")
    return str(layout)


def pad_block(
    b: LoopBuilder, x: Buffer, axes: Sequence[int], pairs: Pairs, fill: float = 0
) -> Buffer:
    """x with margins of `fill` along `axes`, in a temporary; x itself if there are none.

    Places outside x read its nearest element, whose value is not used.
    """
    margins = {a: pair for a, pair in zip(axes, pairs, strict=True) if pair != (0, 0)}
    if not margins:
        return x
    shape = [
        simplify(extent + sum(margins.get(axis, (0, 0)))) for axis, extent in enumerate(x.shape)
    ]
    padded = b.local("padded", shape, x.dtype)

    def value(*at: Expr) -> Expr:
        inside: list[Expr] = []
        place = list(at)
        for axis, (before, after) in margins.items():
            source, extent = at[axis] - before, x.shape[axis]
            inside += [source >= 0] if before else []
            inside += [source < extent] if after else []
            low = maximum(source, 0) if before else source
            place[axis] = minimum(low, simplify(extent - 1)) if after else low
        condition = both(*inside)
        assert condition is not None
        return Select(condition, load(x, *place), const(fill, x.dtype))

    b.map(padded, value, label="pad")
    return padded


def pad_array(x: Array, axes: Sequence[int], pairs: Pairs, fill: float = 0) -> Array:
    """numpy's meaning of `pad_block`."""
    margins = dict(zip(axes, pairs, strict=True))
    widths = [margins.get(axis, (0, 0)) for axis in range(x.ndim)]
    return np.pad(x, widths, constant_values=fill)


def constants(op: Operator, shape: Sequence[Expr], what: str, x: TensorType) -> tuple[int, ...]:
    """The values of extents that have to be known. Raises IRError."""
    found = [int(extent.value) for extent in shape if isinstance(extent, Const)]
    op.require(len(found) == len(shape), f"takes {what} of constant extents", x)
    return tuple(found)


def named(names: str, extents: Sequence[Expr | int]) -> list[tuple[str, Expr]]:
    """Loops for `nested_block`, the first letters of `names` for them."""
    return [(name, index(extent)) for name, extent in zip(names, extents, strict=False)]


def _pairs(op: Operator, attrs: Mapping[str, Any], count: int) -> Pairs:
    value = attrs["padding"]
    items = [(item, item) if type(item) is int else item for item in _items(value)]
    pairs = [p for p in items if isinstance(p, tuple) and len(p) == 2 and all(map(_is_margin, p))]
    if len(pairs) != len(items) or len(pairs) not in (0, count):
        raise op.error(
            f"attribute 'padding' must be {count} numbers from 0 on, or pairs of them, not "
            f"{value!r}"
        )
    return tuple(pairs) or ((0, 0),) * count


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_margin(value: Any) -> bool:
    return type(value) is int and value >= 0
