"""Products with weight matrices, plain or quantised, and look-ups of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.arith import prove
from passes.ir.dtypes import F32, INDEX
from passes.ir.expr import Expr, cast, index, maximum, minimum
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
from passes.ir.quantised import Array, QuantisedArray, element
from passes.ops.shapes import same, tensor


class Matmul(Operator):
    """x [rows, K] times w [N, K] transposed -> f32 [rows, N]; w is any float, or quantised."""

    name = "matmul"
    operands = ("x", "w")

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        x, w = inputs
        fits = len(x.shape) == len(w.shape) == 2 and same(x.shape[1], w.shape[1])
        self.require(fits, "takes x [rows, K] and w [N, K]", x, w)
        self.require(x.dtype == F32 and x.storage is None, "takes f32 x", x)
        self.require(w.dtype.is_float, "takes w of floats", w)
        return (tensor(F32, x.shape[0], w.shape[0]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        x, w = inputs
        values = w.values if isinstance(w, QuantisedArray) else w.astype(np.float32, copy=False)
        return (np.asarray(x) @ values.T,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (x, w), (out,) = inputs, outputs
        assert isinstance(x, Buffer)
        weight = element(w)

        def term(r: Expr, j: Expr, k: Expr) -> Expr:
            return load(x, r, k) * cast(weight(j, k), F32)

        b.reduce(out, (x.shape[1],), term, label=self.name)


class Gather(Operator):
    """Rows of a table [V, D] (any float, or quantised) by id: ids i32 [..] -> f32 [.., D].

    An id outside 0 .. V - 1 takes the nearest row, so that no id can reach other memory. Where
    the attribute `rows` is not 0, only that many of the table's rows count.
    """

    name = "gather"
    operands = ("table", "ids")
    attributes: ClassVar[Mapping[str, Attr | None]] = {"rows": 0}

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        table, ids = inputs
        self.require(len(table.shape) == 2, "takes a table [V, D]", table)
        self.require(table.dtype.is_float, "takes a table of floats", table)
        self.require(ids.dtype.is_int and ids.storage is None, "takes integer ids", ids)
        rows = self.integer(attrs, "rows")
        fits = prove(table.shape[0] >= rows) and rows >= 0
        self.require(fits, f"takes a table of at least {rows} rows", table)
        return (tensor(F32, *ids.shape, table.shape[1]),)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        table, ids = inputs[0], np.asarray(inputs[1])
        last = (attrs["rows"] or table.shape[0]) - 1
        rows = np.clip(ids.astype(np.int64).ravel(), 0, last)
        if isinstance(table, QuantisedArray):
            return (table.decoded(rows).reshape(shapes[0]),)
        return (table[rows].astype(np.float32).reshape(shapes[0]),)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (table, ids), (out,) = inputs, outputs
        assert isinstance(ids, Buffer)
        row = element(table)
        last = (self.integer(dict(call.attrs), "rows") or table.shape[0]) - 1

        def value(*at: Expr) -> Expr:
            wanted = cast(load(ids, *at[:-1]), INDEX)
            return cast(row(minimum(maximum(wanted, index(0)), index(last)), at[-1]), F32)

        b.map(out, value, label=self.name)


OPERATORS: tuple[Operator, ...] = (Matmul(), Gather())
