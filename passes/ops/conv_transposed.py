"""Transposed convolutions: every element of x spreads over a window of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from passes.ir.arith import prove, simplify
from passes.ir.expr import Expr, Select, both, cast, const, index, minimum
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
from passes.ops.windows import Windows, constants, named, numbers, pad_block, windows

_PLACES, _PHASES, _TAPS = "yxz", "rst", "uvw"


class ConvTransposed(Operator):
    """x [b, places.., ci] with windows w [taps.., ci, co] -> [b, places.., co].

    Position i of x reaches positions i * stride + tap - padding of the result. Attributes
    `stride` and `padding` as in `windows`; `surplus`, a number an axis: places at the end besides.

    The result is computed by phases: its positions q * stride + phase meet every stride-th tap, at
    neighbouring positions of x. So nothing is multiplied with zeros between the elements of x.
    """

    name = "conv_transposed"
    operands = ("x", "w")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"stride": (), "padding": (), "surplus": ()}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, w = inputs
        self.require(x.storage is None and w.storage is None, "takes plain tensors", x, w)
        fits = 3 <= len(x.shape) <= 5 and len(w.shape) == len(x.shape)
        fits = fits and same(x.shape[-1], w.shape[-2])
        self.require(fits, "takes x [b, places.., ci] and w [taps.., ci, co]", x, w)
        dtype = sum_type(x.dtype, w.dtype)
        if dtype is None:
            raise self.error(f"takes floats of one type, or bytes, not {x.dtype} and {w.dtype}")
        form = windows(self, attrs, constants(self, w.shape[:-2], "windows", w))
        places = [axis.wanted for axis in self._axes(attrs, form, x.shape[1:-1])]
        positive = all(prove(extent >= 1) for extent in places)
        self.require(positive, "takes padding that leaves places", x, w)
        return (tensor(dtype, x.shape[0], *places, w.shape[-1]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w = (np.asarray(value) for value in inputs)
        form = windows(self, attrs, w.shape[:-2])
        rows, weights = exact(x), exact(w)
        begin = [before for before, _ in form.padding]
        wanted = [slice(n, n + extent) for n, extent in zip(begin, shapes[0][1:-1], strict=True)]
        reach = [
            max((n - 1) * step + extent, cut.stop)
            for n, step, extent, cut in zip(
                x.shape[1:-1], form.stride, form.extents, wanted, strict=True
            )
        ]
        whole = np.zeros((len(x), *reach, w.shape[-1]), rows.dtype)
        for tap in np.ndindex(*form.extents):
            steps = zip(tap, form.stride, x.shape[1:-1], strict=True)
            box = [slice(k, k + (n - 1) * step + 1, step) for k, step, n in steps]
            whole[(slice(None), *box)] += rows @ weights[tap]
        return (summed(whole[(slice(None), *wanted)], x.dtype),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w), (out,) = inputs, outputs
        assert isinstance(x, Buffer) and isinstance(w, Buffer)
        attrs = dict(call.attrs)
        form = windows(self, attrs, constants(self, w.shape[:-2], "w", call.inputs[1].type))
        axes = self._axes(attrs, form, x.shape[1:-1])
        padded = pad_block(b, x, range(1, 1 + len(axes)), tuple([axis.margins for axis in axes]))
        weights = self._by_phases(b, w, axes)
        exact_fit = all(axis.phases_fit for axis in axes)
        whole = [simplify(axis.places * axis.stride) for axis in axes]
        target = out
        if not exact_fit:
            target = b.local("whole", (out.shape[0], *whole, out.shape[-1]), out.dtype)
        self._sum(b, padded, weights, target, axes)
        if not exact_fit:
            b.map(out, lambda *at: load(target, *at), label="cut")

    def _sum(
        self, b: LoopBuilder, x: Buffer, w: Buffer, out: Buffer, axes: Sequence[_Axis]
    ) -> None:
        """The sums of products, positions told as place * stride + phase."""
        count = len(axes)
        phases = named(_PHASES, [axis.stride for axis in axes])
        spatial = [
            ("b", out.shape[0]),
            *[phase for phase in phases if not is_one(phase[1])],
            *named(_PLACES, [axis.places for axis in axes]),
            ("o", out.shape[-1]),
        ]
        reduce = [*named(_TAPS, [axis.taps for axis in axes]), ("i", w.shape[-2])]
        with nested_block(b, self.name, spatial, reduce) as iters:
            names = [name for name, _ in (*spatial, *reduce)]
            at: dict[str, Expr] = dict(zip(names, iters, strict=True))
            phase = [at.get(name, index(0)) for name in _PHASES[:count]]
            place = [at[name] for name in _PLACES[:count]]
            tap = [at[name] for name in _TAPS[:count]]
            to = [q * axis.stride + r for q, r, axis in zip(place, phase, axes, strict=True)]
            cell = (at["b"], *to, at["o"])
            parts = zip(axes, place, phase, tap, strict=True)
            source = [axis.source(q, r, k) for axis, q, r, k in parts]
            with b.init():
                b.store(out, cell, 0)
            left = cast(load(x, at["b"], *source, at["i"]), out.dtype)
            right = cast(load(w, *phase, *tap, at["i"], at["o"]), out.dtype)
            b.store(out, cell, load(out, *cell) + left * right)

    def _by_phases(self, b: LoopBuilder, w: Buffer, axes: Sequence[_Axis]) -> Buffer:
        """w [taps.., ci, co] → [phases.., taps of a phase.., ci, co], the last taps first; a phase
        that has fewer taps than others gets zeros."""
        count = len(axes)
        own = [*[axis.stride for axis in axes], *[axis.taps for axis in axes]]
        shape = [*map(index, own), *w.shape[-2:]]
        made = b.local("weights", shape, w.dtype)

        def value(*at: Expr) -> Expr:
            parts = zip(axes, at[:count], at[count : 2 * count], strict=True)
            taps = [axis.tap(phase, k) for axis, phase, k in parts]
            there = [tap < a.extent for a, tap in zip(axes, taps, strict=True) if a.ragged]
            near = [
                minimum(tap, axis.extent - 1) if axis.ragged else tap
                for axis, tap in zip(axes, taps, strict=True)
            ]
            found = load(w, *near, *at[2 * count :])
            inside = both(*there)
            return found if inside is None else Select(inside, found, const(0, w.dtype))

        b.map(made, value, label="phase_weights")
        return made

    def _axes(self, attrs: AttrMap, form: Windows, shape: Shape) -> list[_Axis]:
        surplus = numbers(self, attrs, "surplus", len(shape), 0)
        parts = zip(shape, form.extents, form.stride, form.padding, surplus, strict=True)
        return [_Axis(*part) for part in parts]


@dataclass(frozen=True)
class _Axis:
    """One axis: x has `have` positions, windows `extent` taps.

    Position p = place * stride + phase of the result meets tap k and position i of x where
    i * stride + k = p + before.
    """

    have: Expr
    extent: int
    stride: int
    padding: tuple[int, int]
    surplus: int

    @property
    def wanted(self) -> Expr:
        """Positions of the result."""
        return simplify((self.have - 1) * self.stride + self._beyond)

    @property
    def places(self) -> Expr:
        """Positions of each phase."""
        return simplify(self.have - 1 + -(-self._beyond // self.stride))

    @property
    def phases_fit(self) -> bool:
        """Whether phases cover the result without a rest."""
        return self._beyond % self.stride == 0

    @property
    def taps(self) -> int:
        """Taps of a phase, at most."""
        return -(-self.extent // self.stride)

    @property
    def ragged(self) -> bool:
        """Whether some phases have one tap fewer."""
        return self.extent % self.stride != 0

    @property
    def margins(self) -> tuple[int, int]:
        """How far the taps of some positions lie before and after x."""
        before = self.padding[0]
        last = -(-self._beyond // self.stride) - 1 + (self.stride - 1 + before) // self.stride
        return max(0, self.taps - 1 - before // self.stride), max(0, last)

    def tap(self, phase: Expr, k: Expr) -> Expr:
        """Which tap of the window is the k-th of a phase."""
        rest = self.padding[0] % self.stride
        first = (phase + rest) % self.stride if rest else phase
        return first + (self.taps - 1 - k) * self.stride

    def source(self, place: Expr, phase: Expr, k: Expr) -> Expr:
        """The position in padded x that meets the k-th tap of a phase."""
        whole, rest = divmod(self.padding[0], self.stride)
        shift = (phase + rest) // self.stride if rest else index(0)
        return place + shift + k + (whole + self.margins[0] - self.taps + 1)

    @property
    def _beyond(self) -> int:
        """Positions of the result besides those that start a window of all but one of x."""
        return self.extent + self.surplus - sum(self.padding)


OPERATORS: tuple[Operator, ...] = (ConvTransposed(),)
