"""The columns of a store that speak of its loops, its arithmetic and its steps."""

from __future__ import annotations

from collections.abc import Sequence

from passes.search.defaults.target import Target
from passes.search.features import columns
from passes.search.features.allocations import Layout
from passes.search.features.columns import loops, operations, per_step
from passes.search.features.operations import Operation
from passes.search.features.resources import instructions_written
from passes.search.features.rows import Row, runs_of
from passes.search.features.steps import Step, is_counted
from passes.search.features.tape import Number, Sym, at_most, ceildiv, choose, times

Columns = dict[str, Number]


def arithmetic_columns(row: Row, step: Step, found: Sequence[Operation]) -> Columns:
    """What runs how often."""
    runs = runs_of(row)
    whole: Columns = {columns.RUNS: runs, columns.INIT: int(row.init)}
    every: Number = 0
    sums = 0
    for one in found:
        instructions = step.instructions(one)
        whole[operations(one.kind)] = whole.get(operations(one.kind), 0) + runs * one.lanes
        whole[per_step(one.kind)] = whole.get(per_step(one.kind), 0) + instructions
        every = every + instructions
        sums += one.lanes * (one.products or one.kind == "fma")
        if one.products:
            whole[columns.TENSOR_PRODUCTS] = one.products
            whole[columns.TENSOR_LANES] = step.width * one.lanes
    whole[columns.ARITHMETIC] = every
    whole[columns.MULTIPLY_ADDS] = runs * sums
    return whole


def step_columns(row: Row, step: Step, found: Sequence[Operation], target: Target) -> Columns:
    """What a step asks of registers, and of the units that load and store."""
    rows, beside = step.tile()
    registers = step.registers()
    bits = max(
        [8 * layout.buffer.dtype.bytes for layout in step.layouts_at_hand()]
        + [operation.bits for operation in found]
    )
    lanes = max(1, target.vector_bits // bits)
    stored: Number = 0
    for kind in ("contiguous", "broadcast", "strided"):
        stored = stored + step.accesses(step.stores, kind)
    return {
        columns.LOADS: step.accesses(step.loads, "contiguous"),
        columns.BROADCASTS: step.accesses(step.loads, "broadcast"),
        columns.GATHERS: step.accesses(step.loads, "strided"),
        columns.STORES: stored,
        columns.TILE_ROWS: rows,
        columns.TILE_COLUMNS: beside,
        columns.ACCUMULATORS: rows * beside,
        columns.REGISTERS: registers,
        columns.PRESSURE: registers / target.vector_registers,
        columns.WIDTH: step.width,
        columns.LANES: lanes,
        columns.FILLED: row.filled * (step.width / (ceildiv(step.width, lanes) * lanes)),
        columns.MASKED: row.masked,
        columns.CODE: instructions_written(step, found),
    }


def loop_columns(row: Row, step: Step, threads: int) -> Columns:
    """The loops around: by kind, as threads share them, and what counting them costs. A loop of one
    iteration is none."""
    found: Columns = {
        columns.STEPS: step.number,
        columns.STAGES: max([loop.stages for loop in row.loops], default=1),
        columns.PREFETCHED: int(any(loop.prefetched for loop in row.loops)),
    }
    for kind in columns.LOOP_KINDS:
        number: Number = 0
        innermost: Number = 1
        extents = [loop.extent for loop in row.loops if loop.kind == kind]
        for extent in extents:
            number = number + choose(at_most(extent, 1), 0, 1)
            innermost = choose(at_most(extent, 1), innermost, extent)
        found[loops(kind, "number")] = number
        found[loops(kind, "product")] = times(extents)
        found[loops(kind, "innermost")] = innermost
    iterations: Number = 0
    depth: Number = 0
    entries: Number = 1
    around: Number = 1
    regions: Number = 1
    inner: list[Number] = [1 for _ in columns.TRIPS]
    parallel = False
    for loop, trips in zip(row.loops, row.trips, strict=True):
        if loop.kind == "parallel" and not parallel:
            regions, parallel = around, True
        entered = around
        if loop.kind != "vectorized":
            around = around * trips
        if is_counted(loop):
            once = at_most(loop.extent, 1)
            entries = choose(once, entries, entered)
            iterations = iterations + choose(once, 0, around)
            depth = depth + choose(once, 0, 1)
            shifted = zip(inner, [trips, *inner], strict=False)
            inner = [choose(once, stays, comes) for stays, comes in shifted]
    found.update(zip(columns.TRIPS, inner, strict=True))
    chunks = found[loops("parallel", "product")]
    each = ceildiv(chunks, threads)
    return found | {
        columns.DEPTH: depth,
        columns.ITERATIONS: iterations,
        columns.ENTRIES: entries,
        columns.REGIONS: regions if parallel else 0,
        columns.CHUNKS: chunks,
        columns.CHUNKS_EACH: each,
        columns.BALANCE: chunks / (each * threads),
        columns.CHUNK_STEPS: step.number / _some(chunks * regions),
    }


def target_columns(layout: Layout, row: Row, places: Number) -> Columns:
    """The buffer stored to, of which so many different elements are."""
    return {
        columns.TARGET_BYTES: layout.bytes,
        columns.TARGET_PRIVATE: int(layout.is_private and not layout.in_registers),
        columns.TARGET_REGISTER: int(layout.in_registers),
        columns.REDUCTION: runs_of(row) / _some(places),
    }


def _some(count: Number) -> Number:
    """A divisor: programs of nothing have features too."""
    return count if isinstance(count, Sym) else max(count, 1)
