"""Rows added to the rows of a table that ids name."""

from __future__ import annotations

import numpy as np

from passes.ir.dtypes import INDEX
from passes.ir.expr import cast, index, maximum, minimum
from passes.ir.graph.nodes import Apply, TensorType
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
from passes.ops.shapes import same


class ScatterAdd(Operator):
    """The table [V, D] with rows [n, D] added at ids i32 [n], in order; equal ids add up.

    It writes into the table's own memory. An id outside 0 .. V - 1 takes the nearest row, so that
    no id can reach other memory.
    """

    name = "scatter_add"
    operands = ("table", "ids", "rows")
    donates = ((0, 0),)

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        table, ids, rows = inputs
        plain = all(t.storage is None for t in inputs) and table.dtype == rows.dtype
        fits = len(table.shape) == len(rows.shape) == 2 and same(table.shape[1], rows.shape[1])
        self.require(
            plain and fits, "takes a table [V, D] and rows [n, D] of its type", table, rows
        )
        fits = ids.dtype.is_int and len(ids.shape) == 1 and same(ids.shape[0], rows.shape[0])
        self.require(fits, "takes integer ids [n]", ids, rows)
        self.require(table.dtype.bits > 1, "takes numbers", table)
        return (table,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        table, ids, rows = (np.asarray(value) for value in inputs)
        result = table.copy()
        np.add.at(result, np.clip(ids.astype(np.int64), 0, len(table) - 1), rows)
        return (result,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (table, ids, rows), (out,) = inputs, outputs
        assert isinstance(table, Buffer) and isinstance(ids, Buffer) and isinstance(rows, Buffer)
        if out is not table:
            b.map(out, lambda v, d: load(table, v, d), label="copy")
        with b.loop("i", rows.shape[0]) as i:
            order = [(rows.shape[0], i)]
            with nested_block(b, self.name, [("d", rows.shape[1])], ordered=order) as (d, row):
                wanted = cast(load(ids, row), INDEX)
                place = (minimum(maximum(wanted, index(0)), table.shape[0] - 1), d)
                b.store(out, place, load(out, *place) + load(rows, row, d))


OPERATORS: tuple[Operator, ...] = (ScatterAdd(),)
