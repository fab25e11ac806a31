"""Convolutions: sums of products of windows with weights, in one, two or three dimensions.

Margins are a block of their own, which writes a padded copy of x, and the sum of products is one
block without conditions, so that both can be scheduled like any other map and contraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from passes.ir.expr import Expr, cast, index
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
from passes.ops.contract import exact, sum_type, summed
from passes.ops.nests import nested_block
from passes.ops.shapes import Shape, is_one, same, tensor
from passes.ops.windows import (
    axes_of,
    constants,
    layout_of,
    named,
    pad_array,
    pad_block,
    require_room,
    windows,
)

_PLACES, _TAPS = "yxz", "uvw"
T = TypeVar("T")


class Conv(Operator):
    """x [b, places.., ci] with windows w [taps.., ci / groups, co] -> [b, places.., co].

    One to three axes of places. Attributes `stride`, `padding`, `dilation` as in `windows`;
    with `groups`, each group of output channels sees its own input channels; `layout="first"`
    takes x [b, ci, places..] and w [co, ci / groups, taps..] and gives [b, co, places..]. Element
    types as `contract` has them.
    """

    name = "conv"
    operands = ("x", "w")
    attributes: ClassVar[Mapping[str, Attr | None]] = {
        "stride": (), "padding": (), "dilation": (), "groups": 1, "layout": "last",
    }  # fmt: skip

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, w = inputs
        layout, groups, rank = layout_of(self, attrs), self.integer(attrs, "groups"), len(x.shape)
        self.require(x.storage is None and w.storage is None, "takes plain tensors", x, w)
        self.require(3 <= rank <= 5 and len(w.shape) == rank, "takes one to three axes", x, w)
        dtype = sum_type(x.dtype, w.dtype)
        if dtype is None:
            raise self.error(f"takes floats of one type, or bytes, not {x.dtype} and {w.dtype}")
        taps, each, out = _weight_parts(layout, w.shape)
        constants(self, (each, out, *taps), "weights", w)
        fits = groups > 0 and same(out % groups, index(0))
        self.require(fits, f"takes weights of co in {groups} groups", w)
        channels, axes = axes_of(layout, rank)
        fits = same(x.shape[channels], each * groups)
        self.require(fits, f"takes x of {groups} times the channels of w", x, w)
        form = windows(self, attrs, constants(self, taps, "weights", w))
        places = tuple([x.shape[axis] for axis in axes])
        require_room(self, form, places, x)
        return (tensor(dtype, *_arranged(layout, [x.shape[0]], form.places(places), [out])),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w = (np.asarray(value) for value in inputs)
        kind, groups, first = x.dtype, attrs["groups"], attrs["layout"] == "first"
        if first:
            x, w = np.moveaxis(x, 1, -1), np.moveaxis(w, (0, 1), (-1, -2))
        form = windows(self, attrs, w.shape[:-2])
        padded = pad_array(exact(x), range(1, x.ndim - 1), form.padding)
        each, made = w.shape[-2:]
        weights = exact(w).reshape(*form.extents, each, groups, made // groups)
        total: Any = 0
        for tap, part in form.taps(padded, shapes[0][2:] if first else shapes[0][1:-1]):
            rows = part.reshape(-1, groups, each).swapaxes(0, 1)
            total = total + rows @ np.moveaxis(weights[tap], 1, 0)
        total = total.swapaxes(0, 1).reshape(*part.shape[:-1], made)
        return (summed(np.moveaxis(total, -1, 1) if first else total, kind),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer)
        attrs = dict(call.attrs)
        layout, groups = layout_of(self, attrs), self.integer(attrs, "groups")
        taps, each, made = _weight_parts(layout, w.shape)
        form = windows(self, attrs, constants(self, taps, "weights", call.inputs[1].type))
        _, axes = axes_of(layout, len(x.shape))
        padded = pad_block(b, x, axes, form.padding)
        own = made // groups
        # Channels are told as (group, one of the group) only where there is more than one of
        # both, so that every index is a sum of iterators times constants.
        parts = [("g", index(groups)), ("o", own)]
        channels = [part for part in parts if not is_one(part[1])] or [("o", own)]
        places = named(_PLACES, _places(layout, out.shape))
        spatial = _arranged(layout, [("b", out.shape[0])], places, channels)
        sums = [*named(_TAPS, taps), ("i", each)]
        reduce = [axis for axis in sums if not is_one(axis[1])] or sums[-1:]
        with nested_block(b, self.name, spatial, reduce) as iters:
            names = [name for name, _ in (*spatial, *reduce)]
            at: dict[str, Expr] = dict(zip(names, iters, strict=True))
            group, one = at.get("g", index(0)), at.get("o", index(0))
            place = [at[name] for name, _ in places]
            tap = [at.get(name, index(0)) for name, _ in named(_TAPS, taps)]
            i = at.get("i", index(0))
            output = group * own + one
            target = _arranged(layout, [at["b"]], place, [output])
            with b.init():
                b.store(out, target, 0)
            source = _arranged(layout, [at["b"]], form.at(place, tap), [group * each + i])
            weight = [output, i, *tap] if layout == "first" else [*tap, i, output]
            term = cast(load(padded, *source), out.dtype) * cast(load(w, *weight), out.dtype)
            b.store(out, target, load(out, *target) + term)


class CapsuleConv(Operator):
    """x [b, y, x, p, k, ci] with windows w [u, v, k, q, ci, co] -> [b, y', x', p, q, co]: a
    convolution whose elements are matrices of capsules, p by k, multiplied with those of w, k by q.

    Attributes `stride` and `padding` as in `windows`; element types as `contract` has them.
    """

    name = "capsule_conv"
    operands = ("x", "w")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"stride": (), "padding": ()}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, w = inputs
        self.require(x.storage is None and w.storage is None, "takes plain tensors", x, w)
        fits = len(x.shape) == len(w.shape) == 6 and same(x.shape[4], w.shape[2])
        fits = fits and same(x.shape[5], w.shape[4])
        self.require(fits, "takes x [b, y, x, p, k, ci] and w [u, v, k, q, ci, co]", x, w)
        dtype = sum_type(x.dtype, w.dtype)
        if dtype is None:
            raise self.error(f"takes floats of one type, or bytes, not {x.dtype} and {w.dtype}")
        form = windows(self, attrs, constants(self, w.shape[:2], "windows", w))
        require_room(self, form, x.shape[1:3], x)
        places = form.places(x.shape[1:3])
        return (tensor(dtype, x.shape[0], *places, x.shape[3], w.shape[3], w.shape[5]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w = (np.asarray(value) for value in inputs)
        form = windows(self, attrs, w.shape[:2])
        padded, weights = pad_array(exact(x), (1, 2), form.padding), exact(w)
        total: Any = 0
        for tap, part in form.taps(padded, shapes[0][1:3]):
            total = total + np.einsum("byxpki,kqio->byxpqo", part, weights[tap], optimize=True)
        return (summed(total, x.dtype),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer)
        taps = constants(self, w.shape[:2], "windows", call.inputs[1].type)
        form = windows(self, dict(call.attrs), taps)
        padded = pad_block(b, x, (1, 2), form.padding)
        reduce = named("uvki", [*taps, w.shape[2], w.shape[4]])
        with nested_block(b, self.name, named("byxpqo", out.shape), reduce) as iters:
            batch, y, z, p, q, o, u, v, k, i = iters
            target = iters[:6]
            with b.init():
                b.store(out, target, 0)
            source = load(padded, batch, *form.at((y, z), (u, v)), p, k, i)
            term = cast(source, out.dtype) * cast(load(w, u, v, k, q, i, o), out.dtype)
            b.store(out, target, load(out, *target) + term)


def _weight_parts(layout: str, shape: Shape) -> tuple[Shape, Expr, Expr]:
    """The extents of weights: of the taps, of the channels of a group, of the result's channels."""
    if layout == "last":
        return shape[:-2], shape[-2], shape[-1]
    return shape[2:], shape[1], shape[0]


def _places(layout: str, shape: Shape) -> Shape:
    return shape[1:-1] if layout == "last" else shape[2:]


def _arranged(layout: str, batch: list[T], places: Iterable[T], channels: list[T]) -> list[T]:
    """The parts of a tensor's axes in the layout's order."""
    if layout == "last":
        return [*batch, *places, *channels]
    return [*batch, *channels, *places]


OPERATORS: tuple[Operator, ...] = (Conv(), CapsuleConv())
