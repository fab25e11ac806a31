"""The features of a scheduled program, for all values of its dims at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from passes.ir.loop.nodes import Buffer, Function
from passes.search.defaults.target import Target
from passes.search.features import columns
from passes.search.features.allocations import Layout, layouts_of
from passes.search.features.buffers import buffer_columns, traffic_columns
from passes.search.features.caches import Nest
from passes.search.features.columns import COLUMNS
from passes.search.features.digits import unfused
from passes.search.features.footprints import touched_by
from passes.search.features.forms import Forms
from passes.search.features.matrix import Matrix, Store, Values
from passes.search.features.operations import Operation, operations_of
from passes.search.features.resources import Resources, resources_of
from passes.search.features.rows import Row, rows_of, runs_of
from passes.search.features.steps import Step
from passes.search.features.stores import (
    arithmetic_columns,
    loop_columns,
    step_columns,
    target_columns,
)
from passes.search.features.sums import Loop
from passes.search.features.tape import Number, Sym, Tape, times


class ProgramFeatures:
    """One structure: its features and needs as functions of the values of its dims.

    `labels` names the block of each row (an init as `LABEL.init`); the columns are `names`.
    """

    names = COLUMNS

    def __init__(self, tape: Tape, stores: Sequence[Store], resources: Resources) -> None:
        self.tape, self.resources = tape, resources
        self.labels = tuple([store.label for store in stores])
        self._matrix = Matrix(tape, stores)

    def evaluate(self, values: Values, count: int) -> NDArray[np.float32]:
        """`[count, stores, columns]` for `count` candidates; `values` has one number a candidate
        for each dim by name. Raises KeyError for a dim without values."""
        return self._matrix.evaluate(values, count)

    def limits(self, values: Values, count: int) -> dict[str, NDArray[np.bool_]]:
        """Which of `count` candidates ask for more than the target has, by cause."""
        wanted = self.resources.by_cause()
        syms = [number for number, _ in wanted.values() if isinstance(number, Sym)]
        known = dict(zip(syms, self.tape.run(syms, values), strict=True))
        return {
            cause: np.broadcast_to(
                np.asarray((known[n] if isinstance(n, Sym) else n) > largest), (count,)
            )
            for cause, (n, largest) in wanted.items()
        }


def features_of(function: Function, target: Target, threads: int) -> ProgramFeatures:
    """The features of a scheduled function on a target, run by so many threads.

    Its dims may be those of the workload and numbers that a schedule has left open. There is a
    row for each store, in program order; what begins a reduction has a row of its own.
    """
    tape = Tape()
    forms = Forms(tape)
    rows = rows_of(function, forms)
    layouts = layouts_of(rows, forms)
    steps = [(Step(row, layouts, target.vector_bits), operations_of(row)) for row in rows]
    apart = [unfused(row, forms) for row in rows]
    touched = [touched_by(row, layouts, threads) for row in apart]
    nests = [Nest(row, t, target, threads) for row, t in zip(apart, touched, strict=True)]
    users: dict[Buffer, list[Nest]] = {}
    for nest in nests:
        for one in nest.touched:
            users.setdefault(one.layout.buffer, []).append(nest)
    resources = resources_of(layouts.values(), steps, target)
    everywhere = _program_columns(function, rows, layouts, resources)
    stores = []
    for row, (step, operations), all_touched, nest in zip(rows, steps, touched, nests, strict=True):
        runs = runs_of(row)
        traffic, parts = traffic_columns(nest, step)
        stored = next(t for t in all_touched if t.layout.buffer is row.stores[0].buffer)
        found = {
            **arithmetic_columns(row, step, operations),
            **step_columns(row, step, operations, target),
            **loop_columns(row, step, threads),
            **target_columns(stored.layout, row, stored.whole[0].elements),
            **traffic,
            **buffer_columns(nest, step, all_touched, parts, users, runs),
            **everywhere,
        }
        label = f"{row.label}.init" if row.init and not row.label.endswith("_init") else row.label
        stores.append(Store(label, found, _levels(nest, operations)))
    return ProgramFeatures(tape, stores, resources)


def _levels(nest: Nest, operations: Sequence[Operation]) -> list[tuple[Number, Number]]:
    """(operations, bytes) of the loops inwards from each one, inner ones first; nothing without
    arithmetic."""
    each = sum([max(1, one.products) * one.lanes for one in operations])
    if not each:
        return []
    depths = range(len(nest.row.loops), -1, -1)
    return [(runs_of(nest.row, depth) * each, nest.whole[depth]) for depth in depths]


def _program_columns(
    function: Function,
    rows: Sequence[Row],
    layouts: Mapping[Buffer, Layout],
    resources: Resources,
) -> dict[str, Number]:
    shared: Number = 0
    temporaries: Number = 0
    private: Number = 0
    for buffer, layout in layouts.items():
        if layout.is_private:
            private = private + layout.bytes
            continue
        shared = shared + layout.bytes
        if buffer in function.allocs:
            temporaries = temporaries + layout.bytes
    entered: dict[Loop, Number] = {}
    for row in rows:
        level = next((k for k, loop in enumerate(row.loops) if loop.kind == "parallel"), None)
        if level is not None:
            entered.setdefault(row.loops[level], times(row.trips[:level]))
    regions: Number = 0
    for count in entered.values():
        regions = regions + count
    return {
        columns.PROGRAM_BYTES: shared,
        columns.PROGRAM_TEMPORARIES: temporaries,
        columns.PROGRAM_PRIVATE: private,
        columns.PROGRAM_REGIONS: regions,
    }
