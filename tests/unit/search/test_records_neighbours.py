"""What kernels have in common, and whose records a search starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from passes.ir.dtypes import F16, F32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import Input, TensorType
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.search.records.database import Database
from passes.search.records.failure import Failure
from passes.search.records.neighbours import nearest
from passes.search.records.record import Record
from passes.search.records.structure import structure_of
from passes.search.task import Task
from tests.unit.search.record_samples import record, written
from tests.unit.search.test_contraction import product
from tests.unit.search.test_records import FACTS

OTHER = {**FACTS, "l2_bytes": 1 << 21}


def conv(size: int, channels: int, pad: int = 1, stride: int = 1, groups: int = 1) -> Function:
    x = Input("x", TensorType(tuple(map(index, (1, size, size, channels))), F32))
    w = Input("w", TensorType(tuple(map(index, (3, 3, channels // groups, 8))), F32))
    call = apply("conv", x, w, stride=(stride, stride), padding=(pad, pad), groups=groups)
    return define(call, OPERATORS)


def scaled(n: int, step: int, factor: float) -> Function:
    return parse_function(f"""
def scale(x0: f32[{n * step}], y1: f32[{n}]):
    for i2 in range({n}):
        with block("scale"):
            i3 = spatial({n}, i2)
            y1[i3] = x0[i3*{step} + 1]*f32({factor})
""")


def test_sizes_are_no_structure() -> None:
    like = structure_of(scaled(64, 7, 0.5))
    assert like.extents == (64,) and like.kind == "scale"
    assert structure_of(scaled(48, 7, 0.5)).digest == like.digest
    assert structure_of(scaled(48, 7, 0.5).replace(name="else")).digest == like.digest
    assert structure_of(scaled(64, 5, 0.5)).digest != like.digest
    assert structure_of(scaled(64, 7, 2.0)).digest != like.digest


def test_products_of_any_size_are_alike() -> None:
    first, second = structure_of(product(64, 32, 64)), structure_of(product(128, 256, 16))
    assert first.digest == second.digest
    assert (first.extents, second.extents) == ((64, 32, 64), (128, 256, 16))
    digests = {first.digest}
    for other in (
        product(64, 32, 64, turned=True),
        product(64, 32, 64, relu=True),
        product(64, 32, 64, types=(F16, F32)),
        product(Dim("n", 1, 8), 32, 64),
    ):
        digests.add(structure_of(other).digest)
    assert len(digests) == 5
    symbolic = [structure_of(product(Dim("n", 1, most), 32, 64)) for most in (8, 700)]
    assert symbolic[0] == symbolic[1] and symbolic[0].extents == (32, 64)


def test_padded_and_grouped_convolutions_are_alike_in_any_size() -> None:
    like = structure_of(conv(56, 32))
    assert like.kind == "pad+conv"
    assert structure_of(conv(14, 64)).digest == like.digest
    assert structure_of(conv(56, 32, pad=2)).digest != like.digest
    assert structure_of(conv(56, 32, stride=2)).digest != like.digest
    grouped = structure_of(conv(56, 32, groups=2))
    assert grouped.digest != like.digest and grouped.kind == like.kind
    assert structure_of(conv(14, 64, groups=2)).digest == grouped.digest


def task_of(function: Function, facts: dict[str, Any] = FACTS) -> Task:
    return Task.of(function, frozenset(), facts)


def sample(task: Task, tile: int, seconds: float = 1.0, **changes: Any) -> Record:
    like = structure_of(task.function)
    made = record(seconds, decisions={"tile": tile}, **{"dims": {}, **changes})
    known = {**vars(made), **like._asdict(), "structure": like.digest}
    known.pop("digest")
    return Record(**{**known, "workload": task.workload, "machine": task.machine})


def tiles(found: list[Record]) -> list[Any]:
    return [each.decisions["tile"] for each in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.jsonl"


def test_the_nearest_come_first(path: Path) -> None:
    task = task_of(product(64, 64, 64))
    made = [
        sample(task_of(product(size, 64, 64)), size) for size in (2048, 128, 16, 96, 1, 64, 512)
    ]
    database = Database.open(written(path, *made))
    assert tiles(nearest(database, task, {}, 2, 9)) == [64, 96, 128, 16, 512, 2048, 1]
    assert tiles(nearest(database, task, {}, 2, 3)) == [64, 96, 128]
    assert nearest(database, task, {}, 2, 0) == []


def test_dims_and_threads_are_sizes_too(path: Path) -> None:
    task = task_of(product(Dim("n", 1, 700), 64, 64))
    points = [(1, 2), (16, 2), (512, 2), (16, 16), (16, 1)]
    made = [sample(task, 100 * n + t, dims={"n": n}, threads=t) for n, t in points]
    database = Database.open(written(path, *made))
    assert tiles(nearest(database, task, {"n": 32}, 2, 9)) == [1602, 1601, 1616, 51202, 102]


def test_other_machines_and_then_other_structures_follow(path: Path) -> None:
    near, far = product(64, 64, 64), product(512, 512, 512)
    turned, turned_far = product(64, 64, 64, turned=True), product(512, 64, 64, turned=True)
    made = [
        sample(task_of(turned_far, OTHER), 8),
        sample(task_of(turned, OTHER), 7),
        sample(task_of(turned_far), 6),
        sample(task_of(turned), 5),
        sample(task_of(far, OTHER), 4),
        sample(task_of(near, OTHER), 3),
        sample(task_of(far), 2),
        sample(task_of(near), 1),
        sample(task_of(scaled(64, 1, 0.5)), 9),
    ]
    database = Database.open(written(path, *made))
    assert tiles(nearest(database, task_of(near), {}, 2, 99)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_loops_of_other_structures_correspond_by_length(path: Path) -> None:
    task = task_of(product(512, 64, 8))
    made = [
        sample(task_of(product(512, 64, 64, turned=True)), 2),
        sample(task_of(product(8, 64, 512, turned=True)), 1),
    ]
    assert tiles(nearest(Database.open(written(path, *made)), task, {}, 2, 9)) == [1, 2]


def test_points_take_turns_and_decisions_come_once(path: Path) -> None:
    task, other = task_of(product(64, 64, 64)), task_of(product(128, 64, 64))
    made = [
        *[sample(task, tile, seconds) for tile, seconds in ((1, 3.0), (2, 1.0), (3, 2.0))],
        *[sample(other, tile, seconds) for tile, seconds in ((4, 2.0), (2, 1.0), (5, 3.0))],
        record(error=Failure("crash", ""), structure="s", workload="w"),
    ]
    database = Database.open(written(path, *made))
    assert tiles(nearest(database, task, {}, 2, 9)) == [2, 3, 4, 1, 5]


def test_without_records_there_are_no_neighbours(path: Path) -> None:
    failed = sample(task_of(product(64, 64, 64)), 1)
    failed = Record(**{**vars(failed), "seconds": None, "error": Failure("timeout", "30 s")})
    database = Database.open(written(path, failed))
    assert nearest(database, task_of(product(64, 64, 64)), {}, 2, 4) == []
