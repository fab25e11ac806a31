"""The largest, or the mean, of every window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from passes.ir.dtypes import F32
from passes.ir.expr import Add, Expr, Max, const
from passes.ir.graph.nodes import Apply, Attr, TensorType
from passes.ir.graph.operator import (
    AttrMap,
    Inputs,
    Numbers,
    Operands,
    Operator,
    Outputs,
    Sizes,
    Types,
)
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer
from passes.ir.quantised import Array
from passes.ops.nests import nested_block
from passes.ops.shapes import tensor
from passes.ops.windows import (
    Windows,
    axes_of,
    layout_of,
    named,
    pad_array,
    pad_block,
    require_room,
    windows,
)

_TAPS = "uvw"


class Pool(Operator):
    """x f32 [b, places.., c] -> [b, places.., c], a result a window.

    Attribute `window`, a number an axis of places; `stride`, `padding`, `layout` as `conv` has
    them. Margins are never the largest, and count as zeros in a mean.
    """

    operands = ("x",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {
        "window": None, "stride": (), "padding": (), "layout": "last",
    }  # fmt: skip

    def __init__(self, name: str, combine: Literal["max", "mean"]) -> None:
        self.name = name  # type: ignore[misc]
        self._mean = combine == "mean"

    @property
    def _fill(self) -> float:
        return 0.0 if self._mean else -math.inf

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        self.require(x.dtype == F32 and x.storage is None, "takes f32", x)
        self.require(3 <= len(x.shape) <= 5, "takes one to three axes of places", x)
        channels, axes = axes_of(layout_of(self, attrs), len(x.shape))
        form = self._windows(attrs, len(axes))
        places = tuple([x.shape[axis] for axis in axes])
        require_room(self, form, places, x)
        made = iter(form.places(places))
        kept = (0, channels)
        return (tensor(F32, *[e if a in kept else next(made) for a, e in enumerate(x.shape)]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        _, axes = axes_of(attrs["layout"], x.ndim)
        form = self._windows(attrs, len(axes))
        padded = np.moveaxis(
            pad_array(x, axes, form.padding, self._fill), axes, range(1, x.ndim - 1)
        )
        parts = [part for _, part in form.taps(padded, [shapes[0][axis] for axis in axes])]
        result = (
            sum(parts[1:], parts[0]) / x.dtype.type(len(parts)) if self._mean else np.max(parts, 0)
        )
        return (np.moveaxis(result, range(1, x.ndim - 1), axes),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,), (out,) = inputs, outputs
        assert isinstance(x, Buffer)
        attrs = dict(call.attrs)
        _, axes = axes_of(layout_of(self, attrs), len(x.shape))
        form = self._windows(attrs, len(axes))
        padded = pad_block(b, x, axes, form.padding, self._fill)
        target = b.local("sums", out.shape, F32) if self._mean else out
        spatial = named("ijklm", out.shape)
        with nested_block(b, self.name, spatial, named(_TAPS, form.extents)) as iters:
            place, tap = iters[: len(spatial)], iters[len(spatial) :]
            source: list[Expr] = list(place)
            for axis, at in zip(axes, form.at([place[a] for a in axes], tap), strict=True):
                source[axis] = at
            with b.init():
                b.store(target, place, self._fill)
            combine = Add if self._mean else Max
            b.store(target, place, combine(load(target, *place), load(padded, *source)))
        if self._mean:
            count = const(math.prod(form.extents), F32)
            b.map(out, lambda *at: load(target, *at) / count, label="mean")

    def _windows(self, attrs: Mapping[str, Any], count: int) -> Windows:
        window = attrs["window"]
        whole = isinstance(window, tuple) and all(type(n) is int and n > 0 for n in window)
        if not whole or len(window) != count:
            raise self.error(
                f"attribute 'window' must be {count} numbers from 1 on, not {window!r}"
            )
        return windows(self, attrs, window)


OPERATORS: tuple[Operator, ...] = (Pool("max_pool", "max"), Pool("avg_pool", "mean"))
