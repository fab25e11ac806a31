"""A case as a TensorIR function: tensor expressions as MetaSchedule's own workloads write them.

It needs tvm and numpy, and nothing of ours but `peer_steps`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from pipeline.workloads.peer_steps import Step, dtype_of, steps_of

Array = npt.NDArray[Any]
_PLAIN = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "max": "maximum",
    "min": "minimum", "neg": "negative", "exp": "exp", "log": "log", "sqrt": "sqrt",
    "rsqrt": "rsqrt", "sin": "sin", "cos": "cos", "tanh": "tanh", "sigmoid": "sigmoid",
}  # fmt: skip
_FLOAT = "float32"


def function_of(case: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    """The PrimFunc of a case at the shapes of its arrays: the inputs in their order, then the
    result. Weights are arguments like others, in the case's own layout.

    Raises RuntimeError for an operator or element type that this module does not write.
    """
    return _Builder(case, arrays).function()


class _Builder:
    def __init__(self, case: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.te: Any = importlib.import_module("tvm.te")
        self.topi: Any = importlib.import_module("tvm.topi")
        self.case = case
        self.tensors: dict[str, Any] = {}
        for name, array in arrays.items():
            if dtype_of(case, name) != "f32":
                raise RuntimeError(f"tvm is given float32 alone, not {case['inputs'][name]}")
            self.tensors[name] = self.te.placeholder(array.shape, _FLOAT, name)

    def function(self) -> Any:
        given = list(self.tensors.values())
        for step in steps_of(self.case):
            made = self.step(step, [self.tensors[name] for name in step.inputs])
            self.tensors[step.output] = made
        return self.te.create_prim_func([*given, made])

    def step(self, step: Step, inputs: list[Any]) -> Any:
        attributes, topi = step.attributes, self.topi
        match step.operator:
            case "conv":
                return self.conv(step, *inputs)
            case "conv_transposed":
                return self.conv_transposed(step, *inputs)
            case "capsule_conv":
                return self.capsule_conv(step, *inputs)
            case "contract":
                return self.contract(attributes["equation"], *inputs)
            case "matmul":
                return self.contract("mk,nk->mn", *inputs)
            case "l2_norm":
                return self.l2_norm(*inputs)
            case "softmax":
                return topi.nn.softmax(*inputs)
            case "layer_norm":
                return topi.nn.layer_norm(*inputs, axis=[-1], epsilon=attributes["eps"])
            case "rms_norm":
                return topi.nn.rms_norm(*inputs, axis=[-1], epsilon=attributes["eps"])
            case "relu":
                return topi.nn.relu(*inputs)
            case operator if operator in _PLAIN:
                return getattr(topi, _PLAIN[operator])(*inputs)
        raise RuntimeError(f"tvm is not told how to run {step.operator}")

    def conv(self, step: Step, x: Any, w: Any) -> Any:
        first, count = step.channels_first, len(x.shape) - 2
        shape = _numbers(w.shape)
        taps = shape[2:] if first else shape[:-2]
        channels, width = (shape[0], shape[1]) if first else (shape[-1], shape[-2])
        group = channels // step.attributes.get("groups", 1)
        stride, dilation = step.numbers("stride", count, 1), step.numbers("dilation", count, 1)
        x = self.padded(x, step.margins(count), 2 if first else 1)
        places = _places(x, taps, stride, dilation, 2 if first else 1)
        axes = [self.axis(extent, "r") for extent in taps]
        # An axis of one channel, as a depthwise convolution has, would be in the way of its rules.
        inner = [self.axis(width, "rc")] if width > 1 else []

        def value(*at: Any) -> Any:
            batch, (channel, place) = at[0], _split(at[1:], first)
            over = zip(place, stride, axes, dilation, strict=True)
            seen = [o * s + r * d for o, s, r, d in over]
            within = inner[0] if inner else 0
            source = within if group == channels else channel // group * width + within
            weight = (channel, within, *axes) if first else (*axes, within, channel)
            taken = (batch, source, *seen) if first else (batch, *seen, source)
            return self.te.sum(x[taken] * w[weight], axis=[*axes, *inner])

        whole = (channels, *places) if first else (*places, channels)
        return self.te.compute((x.shape[0], *whole), value, name="conv")

    def conv_transposed(self, step: Step, x: Any, w: Any) -> Any:
        """A convolution of x with zeros between its elements, which are not stored: once loops
        over taps are unrolled, products with them fall away."""
        te, count = self.te, len(x.shape) - 2
        *taps, width, channels = _numbers(w.shape)
        stride, surplus = step.numbers("stride", count, 1), step.numbers("surplus", count, 0)
        extents = _numbers(x.shape)[1:-1]
        places, margins, shifts = [], [], []
        parts = zip(extents, taps, stride, step.margins(count), surplus, strict=True)
        for extent, tap, step_, (before, after), more in parts:
            if before >= tap:
                raise RuntimeError("tvm is not told of margins as wide as the window")
            place = (extent - 1) * step_ + tap - before - after + more
            low = -(-(tap - 1 - before) // step_)
            shift = low * step_ - (tap - 1 - before)
            high = (place - 1 + tap - 1 + shift) // step_ - low - (extent - 1)
            places.append(place)
            margins.append((low, max(0, high)))
            shifts.append(shift)
        x = self.padded(x, margins, 1)
        axes = [self.axis(tap, "r") for tap in taps]
        inner = self.axis(width, "rc")

        def value(batch: Any, *at: Any) -> Any:
            place, channel = at[:-1], at[-1]
            spread = [o + r + s for o, r, s in zip(place, axes, shifts, strict=True)]
            source = [te.indexdiv(p, s) for p, s in zip(spread, stride, strict=True)]
            hits = [
                te.indexmod(p, s).equal(0) for p, s in zip(spread, stride, strict=True) if s > 1
            ]
            taken = x[(batch, *source, inner)]
            if hits:
                zero = importlib.import_module("tvm.tirx").const(0.0, _FLOAT)
                taken = te.if_then_else(te.all(*hits), taken, zero)
            back = [tap - 1 - r for tap, r in zip(taps, axes, strict=True)]
            return te.sum(taken * w[(*back, inner, channel)], axis=[*axes, inner])

        return te.compute((x.shape[0], *places, channels), value, name="conv_transposed")

    def capsule_conv(self, step: Step, x: Any, w: Any) -> Any:
        """x [b, y, x, i, k, ci], w [u, v, k, j, ci, co] -> [b, y, x, i, j, co]."""
        count = 2
        *taps, inside, columns, width, channels = _numbers(w.shape)
        stride = step.numbers("stride", count, 1)
        x = self.padded(x, step.margins(count), 1)
        places = _places(x, taps, stride, [1] * count, 1)
        axes = [self.axis(tap, "r") for tap in taps]
        k, inner = self.axis(inside, "k"), self.axis(width, "rc")

        def value(batch: Any, *at: Any) -> Any:
            *place, row, column, channel = at
            seen = [o * s + r for o, s, r in zip(place, stride, axes, strict=True)]
            product = x[(batch, *seen, row, k, inner)] * w[(*axes, k, column, inner, channel)]
            return self.te.sum(product, axis=[*axes, k, inner])

        shape = (x.shape[0], *places, x.shape[3], columns, channels)
        return self.te.compute(shape, value, name="capsule_conv")

    def contract(self, equation: str, a: Any, b: Any) -> Any:
        left, _, out = equation.replace(" ", "").partition("->")
        first, _, second = left.partition(",")
        sizes = dict(zip(first + second, _numbers([*a.shape, *b.shape]), strict=True))
        summed = [axis for axis in first if axis in second and axis not in out]
        batch = [axis for axis in out if axis in first and axis in second]
        rows = [axis for axis in out if axis in first and axis not in second]
        columns = [axis for axis in out if axis in second and axis not in first]
        a, first = self.ordered(a, first, "".join(batch + rows + summed))
        b, second = self.ordered(b, second, "".join(batch + summed + columns))
        axes = {axis: self.axis(sizes[axis], axis) for axis in summed}

        def value(*at: Any) -> Any:
            where = dict(zip(out, at, strict=True)) | axes
            product = a[tuple(where[n] for n in first)] * b[tuple(where[n] for n in second)]
            return self.te.sum(product, axis=list(axes.values()))

        return self.te.compute([sizes[axis] for axis in out], value, name="contract")

    def ordered(self, tensor: Any, axes: str, wanted: str) -> tuple[Any, str]:
        """A tensor beyond a matrix with its axes as a product of matrices has them, in a stage of
        its own, which MetaSchedule's workload TBG has too."""
        if axes == wanted or len(axes) < 3:
            return tensor, axes
        shape = [tensor.shape[axes.index(axis)] for axis in wanted]
        copy = self.te.compute(
            shape, lambda *at: tensor[tuple(at[wanted.index(axis)] for axis in axes)], name="turned"
        )
        return copy, wanted

    def l2_norm(self, x: Any) -> Any:
        axes = [self.axis(extent, "k") for extent in _numbers(x.shape)[1:]]

        def squares(batch: Any) -> Any:
            return self.te.sum(x[(batch, *axes)] * x[(batch, *axes)], axis=axes)

        sums = self.te.compute((x.shape[0],), squares, name="squares")
        return self.te.compute((x.shape[0],), lambda b: self.te.sqrt(sums[b]), name="norm")

    def padded(self, x: Any, margins: Sequence[tuple[int, int]], at: int) -> Any:
        """x with zeros around its places, the first of them at axis `at`."""
        if all(pair == (0, 0) for pair in margins):
            return x
        rest = len(x.shape) - at - len(margins)
        before = [0] * at + [low for low, _ in margins] + [0] * rest
        after = [0] * at + [high for _, high in margins] + [0] * rest
        return self.topi.nn.pad(x, before, after)

    def axis(self, extent: int, name: str) -> Any:
        return self.te.reduce_axis((0, extent), name=name)


def _numbers(shape: Sequence[Any]) -> list[int]:
    return [int(extent) for extent in shape]


def _places(
    x: Any, taps: Sequence[int], stride: Sequence[int], dilation: Sequence[int], at: int
) -> list[int]:
    """How many windows fit into x, whose first axis of places is `at`."""
    parts = zip(_numbers(x.shape)[at : at + len(taps)], taps, stride, dilation, strict=True)
    return [(extent - (tap - 1) * d - 1) // s + 1 for extent, tap, s, d in parts]


def _split(at: Sequence[Any], first: bool) -> tuple[Any, Sequence[Any]]:
    """Indices behind the batch's as channel and place."""
    return (at[0], at[1:]) if first else (at[-1], at[:-1])
