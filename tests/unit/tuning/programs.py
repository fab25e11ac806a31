"""Small tasks for any x86-64 CPU with AVX2, and builders' answers about their kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from passes.ir.dtypes import F32, I32, INDEX
from passes.ir.expr import Const, Dim, Expr, IntLike, cast, maximum
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from passes.schedule.schedule import Schedule
from passes.search.task import Task
from pipeline.bench.engine import ROOT
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.target import load_level
from pipeline.tuning.folds import folds_data
from pipeline.tuning.inputs import ranges_of
from pipeline.tuning.kernel import object_of

_LEVEL = load_level("x86-64-v3", ROOT, Report())
assert _LEVEL is not None
FACTS = _LEVEL.facts()
LIMITS = {
    "seconds": 0.1,
    "precision": 0.05,
    "hang": 1.0,
    "hang_seconds": 5.0,
    "flush_bytes": 0,
}
N = Dim("n", 1, 64)


def product(
    rows: IntLike = 12, combine: Callable[[Expr, Expr], Expr] = lambda a, b: a * b
) -> Function:
    """y = relu(x wᵀ + bias)."""
    b = LoopBuilder("product", dims=(rows,) if isinstance(rows, Dim) else ())
    x, w = b.param("x", (rows, 24), F32), b.param("w", (20, 24), F32)
    bias, y = b.param("bias", (20,), F32), b.param("y", (rows, 20), F32)
    t = b.local("t", (rows, 20), F32)
    b.reduce(t, (24,), lambda i, j, k: combine(load(x, i, k), load(w, j, k)), label="dot")
    b.map(y, lambda i, j: maximum(load(t, i, j) + load(bias, j), Const(0.0, F32)), "end")
    return b.function()


def gathered() -> Function:
    """y[i] = table[ids[i]] + x[i], in place of x."""
    b = LoopBuilder("gathered")
    x, ids = b.param("x", (30, 8), F32), b.param("ids", (30,), I32)
    table = b.param("table", (50, 8), F32)
    b.map(x, lambda i, j: load(x, i, j) + load(table, cast(load(ids, i), INDEX), j), "add")
    return b.function()


def task(function: Function, *constants: int) -> Task:
    return Task.of(function, frozenset(constants), FACTS)


def paneled(one: Task) -> Schedule:
    """The product's weight in panels of 8 rows, the last one half empty."""
    s = Schedule(one.function)
    name = f"{one.function.params[1].name}"
    s.transform_layout(name, lambda i: (i[0] // 8, i[1], i[0] % 8), 0.0)
    return s


def built(folder: Path, name: str, schedule: Schedule) -> dict[str, Any]:
    """What a builder says of a schedule."""
    path = folder / f"{name}.o"
    path.write_bytes(object_of(schedule.function, FACTS))
    return {"object": str(path), "folds": folds_data(schedule)}


def plain(folder: Path, one: Task) -> dict[str, Any]:
    """What a builder says of the plain kernel."""
    path = folder / "plain.o"
    path.write_bytes(object_of(one.function, FACTS))
    return {"object": str(path), "ranges": ranges_of(one.function)}
