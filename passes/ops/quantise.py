"""The integer path: activations quantised at run time, and products with quantised weights.

A row is cut into blocks of 32 values. A block's `scale` is its largest magnitude over 127, its
codes the values over the scale, rounded; a weight's offsets meet the `sums` of x they belong to:

    y[r, j] = sum over blocks of  scale_w * scale_x * (sum of code_w * code_x)
            + sum over sum blocks of  offset_w * sums_x
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.dtypes import F32, I8, I32
from passes.ir.expr import Call, Const, Expr, Lt, Select, cast, const
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
from passes.ir.quantised import Array, QuantisedArray, QuantisedBuffers
from passes.ops.shapes import same_shape, tensor

BLOCK = 32
# A block whose largest magnitude is not above this becomes zero: 127 over it must stay finite.
_SMALLEST = 1e-30


class QuantiseBlocks(Operator):
    """x f32 [rows, K] -> codes i8 [rows, K], scale f32 [rows, K / 32], sums f32 [rows, K / sums].

    The largest magnitude of a block has code 127 or -127; `sums` are scale * code summed over
    blocks of the attribute `sums`.
    """

    name = "quantise_blocks"
    operands = ("x",)
    attributes: ClassVar[Mapping[str, Attr | None]] = {"sums": BLOCK}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        (x,) = inputs
        step = self.integer(attrs, "sums")
        plain = x.dtype == F32 and x.storage is None and len(x.shape) == 2
        self.require(plain, "takes f32 [rows, K]", x)
        width = x.shape[1].value if isinstance(x.shape[1], Const) else 1
        self.require(width % BLOCK == 0, f"takes rows of whole blocks of {BLOCK}", x)
        if step < 1 or width % step or (BLOCK % step and step % BLOCK):
            raise self.error(
                f"attribute 'sums' must divide {width}, and divide {BLOCK} or be a multiple of "
                f"it, not {step}"
            )
        rows = x.shape[0]
        return (
            tensor(I8, rows, int(width)),
            tensor(F32, rows, int(width) // BLOCK),
            tensor(F32, rows, int(width) // step),
        )

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x = np.asarray(inputs[0])
        blocks = x.reshape(len(x), -1, BLOCK)
        largest = np.abs(blocks).max(axis=2)
        scale = largest / np.float32(127)
        live = largest > np.float32(_SMALLEST)
        inverse = np.where(live, np.float32(127) / np.where(live, largest, 1), np.float32(0))
        codes = np.rint(blocks * inverse[..., None]).astype(np.int8).reshape(x.shape)
        step = min(attrs["sums"], BLOCK)
        sums = codes.reshape(len(x), -1, step).sum(axis=2, dtype=np.int32).astype(np.float32)
        sums *= np.repeat(scale, BLOCK // step, axis=1)
        sums = sums.reshape(len(x), -1, attrs["sums"] // step).sum(axis=2, dtype=np.float32)
        return codes, scale, sums

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x,), (codes, scale, sums) = inputs, outputs
        assert isinstance(x, Buffer)
        rows, blocks = scale.shape
        largest = b.local("largest", (rows, blocks), F32)
        inverse = b.local("inverse", (rows, blocks), F32)

        def magnitude(r: Expr, block: Expr, k: Expr) -> Expr:
            return Call("abs", (load(x, r, block * BLOCK + k),), F32)

        def reciprocal(r: Expr, block: Expr) -> Expr:
            most, least = load(largest, r, block), const(_SMALLEST, F32)
            live = Lt(least, most)
            return Select(live, 127.0 / Select(live, most, const(1, F32)), const(0, F32))

        def code(r: Expr, k: Expr) -> Expr:
            return cast(Call("round", (load(x, r, k) * load(inverse, r, k // BLOCK),), F32), I8)

        b.reduce(largest, (BLOCK,), magnitude, "max")
        b.map(scale, lambda r, block: load(largest, r, block) / 127.0, label="scale")
        b.map(inverse, reciprocal)
        b.map(codes, code, label="codes")
        self._sums(b, codes, scale, sums, self.integer(dict(call.attrs), "sums"))

    def _sums(self, b: LoopBuilder, codes: Buffer, scale: Buffer, sums: Buffer, step: int) -> None:
        rows, width = codes.shape
        part = min(step, BLOCK)
        totals = b.local("totals", (rows, width // part), I32)

        def total(r: Expr, s: Expr, k: Expr) -> Expr:
            return cast(load(codes, r, s * part + k), I32)

        def scaled(r: Expr, s: Expr) -> Expr:
            return cast(load(totals, r, s), F32) * load(scale, r, s // (BLOCK // part))

        b.reduce(totals, (part,), total)
        if step == part:
            b.map(sums, scaled, label="sums")
        else:
            each = step // part
            b.reduce(sums, (each,), lambda r, s, k: scaled(r, s * each + k), label="sums")


class MatmulQ(Operator):
    """Quantised x [rows, K] (of `quantise_blocks`) times quantised w [N, K] -> f32 [rows, N]."""

    name = "matmul_q"
    operands = ("codes", "scale", "sums", "w")

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        codes, scale, sums, w = inputs
        if w.storage is None:
            raise self.error("takes a quantised w; a plain one is for matmul")
        self.require(codes.dtype == I8 and len(codes.shape) == 2, "takes codes i8 [rows, K]", codes)
        rows, width = codes.shape
        self.require(isinstance(width, Const), "takes rows of constant width", codes)
        fits = len(w.shape) == 2 and same_shape((width,), w.shape[1:])
        self.require(fits, "takes codes [rows, K] and w [N, K]", codes, w)
        fits = scale.dtype == F32 and same_shape(scale.shape, (rows, width // BLOCK))
        self.require(fits, f"takes scale f32 [rows, K / {BLOCK}]", codes, scale)
        self.require(
            sums.dtype == F32 and len(sums.shape) == 2 and same_shape(sums.shape[:1], (rows,)),
            "takes sums f32 [rows, K / sum block]", codes, sums,
        )  # fmt: skip
        step = _step(width, sums.shape[1])
        self.require(
            step > 0 and w.storage.block % step == 0,
            f"takes sums over blocks that lie in the weight's blocks of {w.storage.block}",
            codes, sums,
        )  # fmt: skip
        return (tensor(F32, rows, w.shape[0]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        codes, scale, sums, w = inputs
        assert isinstance(w, QuantisedArray)
        codes, scale, sums = np.asarray(codes), np.asarray(scale), np.asarray(sums)
        rows, width = codes.shape
        part = math.gcd(BLOCK, w.storage.block)
        scale_x = np.repeat(scale, BLOCK // part, axis=1)
        scale_w = np.repeat(w.scales, w.storage.block // part, axis=1)
        offsets = np.repeat(w.offsets, sums.shape[1] // w.offsets.shape[1], axis=1)
        result = sums @ offsets.T
        # Block by block, so that no [rows, N, K] is ever in memory; products of codes are exact
        # in float32 (below 2^24 for 32 of them), whose matrix product is quick.
        x = codes.astype(np.float32).reshape(rows, -1, part)
        y = w.codes.astype(np.float32).reshape(w.shape[0], -1, part)
        for block in range(width // part):
            dots = x[:, block] @ y[:, block].T
            result += dots * scale_x[:, block, None] * scale_w[None, :, block]
        return (result,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (codes, scale, sums, w), (out,) = inputs, outputs
        assert isinstance(codes, Buffer) and isinstance(scale, Buffer)
        assert isinstance(sums, Buffer) and isinstance(w, QuantisedBuffers)
        rows, width = codes.shape
        assert isinstance(width, Const)
        part = math.gcd(BLOCK, w.storage.block)
        step = _step(width, sums.shape[1])
        joint = w.has_offset and step == part
        dots = b.local("dots", (rows, w.shape[0], width // part), I32)

        def product(r: Expr, j: Expr, s: Expr, k: Expr) -> Expr:
            column = s * part + k
            return cast(load(codes, r, column), I32) * cast(w.code(j, column), I32)

        def term(r: Expr, j: Expr, s: Expr) -> Expr:
            column = s * part
            scales = w.scale(j, column) * load(scale, r, s // (BLOCK // part))
            whole = cast(load(dots, r, j, s), F32) * scales
            return whole + w.offset(j, column) * load(sums, r, s) if joint else whole

        b.reduce(dots, (part,), product)
        if w.has_offset and not joint:
            scaled = b.local("scaled", out.shape, F32)
            shift = b.local("shift", out.shape, F32)
            b.reduce(scaled, (width // part,), term)
            b.reduce(
                shift,
                sums.shape[1:],
                lambda r, j, s: w.offset(j, s * step) * load(sums, r, s),
            )
            b.map(out, lambda r, j: load(scaled, r, j) + load(shift, r, j), label=self.name)
        else:
            b.reduce(out, (width // part,), term, label=self.name)


def _step(width: Expr, count: Expr) -> int:
    """The length of a sum block; 0 if the extents do not divide."""
    if not isinstance(width, Const) or not isinstance(count, Const) or not count.value:
        return 0
    return 0 if width.value % count.value else int(width.value // count.value)


OPERATORS: tuple[Operator, ...] = (QuantiseBlocks(), MatmulQ())
