"""Weights in the layouts that schedules want: packed once, read by every kernel."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from passes.fuse.fold import fold
from passes.fuse.pack import PackedSource, stored_bytes
from passes.ir.dtypes import F16, F32, DType
from passes.ir.expr import Dim, cast, index
from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, TensorType, Value, Weight
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.ir.node import IRError, postorder
from passes.ir.storage import Storage
from passes.ir.weights import WeightEntry, Weights, write_weights
from passes.ops import OPERATORS
from passes.schedule.schedule import Schedule
from passes.search import stage
from passes.search.defaults.target import Target

N = Dim("n", 1, 64)
ROWS, COLUMNS = 20, 12
SHAPE = (index(ROWS), index(COLUMNS))
TARGET = Target(256, 16, 32768, 262144, ("avx2", "fma"))
Constants = Collection[int]
Rule = Callable[[Function, Target, Constants], Schedule]


def product(dtype: DType = F32) -> Function:
    """y = x wᵀ."""
    b = LoopBuilder("product_0", dims=(N,))
    x, w = b.param("x", (N, COLUMNS), F32), b.param("w", SHAPE, dtype)
    y = b.param("y", (N, ROWS), F32)
    b.reduce(y, (COLUMNS,), lambda i, j, k: load(x, i, k) * cast(load(w, j, k), F32), label="dot")
    return b.function()


def rows(dtype: DType = F32) -> Function:
    """The sums of the rows of w."""
    b = LoopBuilder("rows_0")
    w, y = b.param("w", SHAPE, dtype), b.param("y", (ROWS,), F32)
    b.reduce(y, (COLUMNS,), lambda i, k: cast(load(w, i, k), F32), label="sum")
    return b.function()


def module(weight: Value, dtype: DType = F32) -> Module:
    """Two kernels that read the same tensor."""
    x = Input("x", TensorType((N, index(COLUMNS)), F32))
    y = CallLoops(product(dtype), (x, weight), (TensorType((N, index(ROWS)), F32),))
    s = CallLoops(rows(dtype), (weight,), (TensorType((index(ROWS),), F32),))
    given = (x, weight) if isinstance(weight, Input) else (x,)
    graph = GraphFunction("main", (N,), given, (("y", y), ("s", s)))
    entries = {"w": WeightEntry(TensorType(SHAPE, dtype), ("w",))}
    return Module({"main": graph}, entries if isinstance(weight, Weight) else {})


def stored(folder: Path, dtype: DType = F32) -> tuple[Weights, np.ndarray]:
    content = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(dtype.numpy) / 8
    write_weights(folder, [("w", TensorType(SHAPE, dtype), [content])])
    return Weights(folder), content


def tiled(function: Function, target: Target, constants: Constants) -> Schedule:
    """The product's weight in panels of 8 rows, the last one of 4 and padding."""
    s = Schedule(function)
    if function.name.startswith("product"):
        s.transform_layout("w", lambda i: (i[1], i[0]))
        s.transform_layout("w", lambda i: (i[1] // 8, i[0], i[1] % 8), -1.0)
    return s


def run(made: Module, weights: Weights) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((3, COLUMNS)).astype(np.float32)
    results, _ = interpret(
        made.graphs["main"], {"x": x}, dims={"n": 3}, operators=OPERATORS,
        weights=PackedSource(weights, made.weights), state={},
    )  # fmt: skip
    return results


def scheduled(monkeypatch: pytest.MonkeyPatch, made: Module, rule: Rule) -> Module:
    monkeypatch.setattr(stage, "default_schedule", rule)
    return stage.scheduled(made, TARGET)


@pytest.mark.parametrize("dtype", [F32, F16])
def test_a_weight_is_packed_for_all_its_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: DType
) -> None:
    weights, content = stored(tmp_path, dtype)
    before = module(Weight("w", TensorType(SHAPE, dtype)), dtype)
    after = scheduled(monkeypatch, before, tiled)
    after.verify(OPERATORS)
    entry = after.weights["w"]
    assert entry.type.storage is not None
    raw = stored_bytes(weights, entry).view(dtype.numpy).reshape(3, COLUMNS, 8)
    panels = np.full((24, COLUMNS), -1, dtype.numpy)
    panels[:ROWS] = content
    np.testing.assert_array_equal(raw, panels.reshape(3, 8, COLUMNS).transpose(0, 2, 1))
    wanted, got = run(before, weights), run(after, weights)
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5)
    calls = [n for n in postorder(after.graphs["main"]) if isinstance(n, CallLoops)]
    for call in calls:
        (w,) = [b for b in call.function.params if b.name == "w"]
        assert w.shape == (index(3), index(COLUMNS), index(8))
    after.save(tmp_path / "saved")
    assert Module.load(tmp_path / "saved").weights == after.weights


def test_only_weights_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module(Input("w", TensorType(SHAPE, F32)))
    with pytest.raises(IRError, match="changes the layout of parameter 1, which is no plain"):
        scheduled(monkeypatch, made, tiled)


def test_kernels_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def differently(function: Function, target: Target, constants: Constants) -> Schedule:
        s = tiled(function, target, constants)
        if function.name.startswith("rows"):
            s.transform_layout("w", lambda i: (i[1], i[0]))
        return s

    made = module(Weight("w", TensorType(SHAPE, F32)))
    with pytest.raises(IRError, match="lays out weight 'w' otherwise than another one"):
        scheduled(monkeypatch, made, differently)


def test_two_paddings(monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(function: Function, target: Target, constants: Constants) -> Schedule:
        s = Schedule(function)
        s.transform_layout("w", lambda i: (i[0] // 8, i[0] % 8, i[1]), 0.0)
        s.transform_layout("w", lambda i: (i[0], i[1], i[2] // 8, i[2] % 8), 1.0)
        return s

    made = module(Weight("w", TensorType(SHAPE, F32)))
    with pytest.raises(IRError, match="parameter 'w' is padded in two ways"):
        scheduled(monkeypatch, made, padded)


def test_large_weights_are_folded_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.fuse.fold._SLAB", 24)
    before = module(Weight("w", TensorType(SHAPE, F32)))
    storage = scheduled(monkeypatch, before, tiled).weights["w"].type.storage
    assert isinstance(storage, Storage)
    content = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    raw = fold(content, storage).view(np.float32).reshape(3, COLUMNS, 8)
    np.testing.assert_array_equal(raw[2, :, :4].T, content[16:])
    assert (raw[2, :, 4:] == -1).all()
