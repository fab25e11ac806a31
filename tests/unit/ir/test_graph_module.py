"""Modules and their weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from passes.importers.storages import storage_of
from passes.ir.dtypes import BF16, F32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import GraphFunction, Input, TensorType, Value, Weight
from passes.ir.loop.canonical import canonical
from passes.ir.module import Module
from passes.ir.node import IRError
from passes.ir.quantised import QuantisedArray
from passes.ir.weights import (
    Transform,
    WeightEntry,
    Weights,
    half_split_rows,
    nbytes_of,
    write_weights,
)
from passes.ops import OPERATORS, apply
from passes.ops.define import call_loops

N = Dim("n", 1, 9)
STORAGE = storage_of("Q8_0", 4, 32)
MATRIX = TensorType((index(4), index(32)), F32, STORAGE)
VECTOR = TensorType((index(32),), F32)


def module() -> Module:
    x = Input("x", TensorType((N, index(32)), F32))
    normed = apply("rms_norm", x, Weight("norm", VECTOR), eps=1e-5)
    call = call_loops(normed, OPERATORS)
    call = call.replace(function=canonical(call.function).replace(name="norm_kernel"))
    product: Value = apply("matmul", call, Weight("w", MATRIX))
    graph = GraphFunction("score", (N,), (x,), (("y", product),))
    weights = {
        "norm": WeightEntry(VECTOR, ("norm",)),
        "w": WeightEntry(MATRIX, ("w",), (Transform("half_split", (2,)),)),
    }
    return Module({"score": graph}, weights, meta={"name": "Δ", "eos": [1, 2]})


def test_a_module_comes_back(tmp_path: Path) -> None:
    made = module()
    made.verify(OPERATORS)
    made.save(tmp_path)
    loaded = Module.load(tmp_path)
    assert loaded.graphs["score"] is made.graphs["score"]
    assert loaded.weights == made.weights and loaded.meta == made.meta
    assert list(loaded.functions) == ["norm_kernel"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_modules_are_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        module().save(tmp_path / name)
    Module.load(tmp_path / "a").save(tmp_path / "a")
    first = files(tmp_path / "a")
    assert first == files(tmp_path / "b")
    assert set(first) == {"module.json", "graphs/score.graph", "loops/norm_kernel.loop"}


def test_what_a_module_refuses(tmp_path: Path) -> None:
    made = module()
    other = Module(made.graphs, {"norm": made.weights["norm"]})
    with pytest.raises(IRError) as caught:
        other.verify(OPERATORS)
    assert str(caught.value) == (
        "graph 'score' reads weight 'w' as f32[4, 32](storage=\"Q8_0 [4, 32]\"), "
        "the module has none of that name"
    )
    made.save(tmp_path)
    (tmp_path / "graphs" / "score.graph").write_text("def score(")
    with pytest.raises(IRError, match=r"graphs/score\.graph: line 1, column 10: not a"):
        Module.load(tmp_path)
    data = json.loads((tmp_path / "module.json").read_text())
    data["graphs"] = ["../score"]
    (tmp_path / "module.json").write_text(json.dumps(data))
    with pytest.raises(IRError, match=r"'\.\./score' names a function and a file"):
        Module.load(tmp_path)
    data["format"] = 99
    (tmp_path / "module.json").write_text(json.dumps(data))
    with pytest.raises(IRError, match="format 99 is not 1; build it again"):
        Module.load(tmp_path)


def written(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    norm = rng.standard_normal(32).astype(np.float32)
    scale = rng.standard_normal((4, 1)).astype(np.float16)
    codes = rng.integers(-127, 128, (4, 1, 32), np.int8)
    half = TensorType((index(3),), BF16)
    write_weights(
        folder,
        [
            ("h", half, [np.array([1, 2, 3], BF16.numpy)]),
            ("w", MATRIX, [scale, codes]),
            ("norm", VECTOR, [norm]),
        ],
    )
    return norm, scale, codes


def test_weights_are_mapped_and_transformed(tmp_path: Path) -> None:
    norm, scale, codes = written(tmp_path)
    weights = Weights(tmp_path)
    assert weights.place("w") == (64, nbytes_of(MATRIX)) and weights.place("norm")[0] % 64 == 0
    source = weights.source(module().weights)
    assert np.array_equal(source(Weight("norm", VECTOR)), norm)  # type: ignore[arg-type]
    matrix = source(Weight("w", MATRIX))
    assert isinstance(matrix, QuantisedArray)
    values = codes[:, 0] * scale.astype(np.float32)
    assert np.array_equal(matrix.values, values[half_split_rows(4, 2)])
    assert not weights.fields("norm")[0].flags.writeable
    two = TensorType((index(64),), F32)
    joined = weights.operand(WeightEntry(two, ("norm", "norm")))
    assert np.array_equal(joined, np.concatenate([norm, norm]))  # type: ignore[arg-type]


def test_interleaved_pairs_become_halves() -> None:
    assert half_split_rows(8, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert half_split_rows(6, 1).tolist() == [0, 2, 4, 1, 3, 5]
    with pytest.raises(IRError, match="6 rows are not 2 heads of even size"):
        half_split_rows(6, 2)


def test_what_weights_refuse(tmp_path: Path) -> None:
    with pytest.raises(IRError, match="the weights cannot be read"):
        Weights(tmp_path)
    written(tmp_path)
    weights = Weights(tmp_path)
    with pytest.raises(IRError, match="there is no weight tensor 'v'"):
        weights.raw("v")
    with pytest.raises(IRError, match="unknown weight transform 'spin'; known: half_split"):
        weights.operand(WeightEntry(VECTOR, ("norm",), (Transform("spin"),)))
    with pytest.raises(IRError, match="weight 'x' takes 128 bytes, not 64"):
        write_weights(tmp_path / ".", [("x", VECTOR, [np.zeros(16, np.float32)])])
    with (tmp_path / "weights.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(IRError, match=r"weights.bin has \d+ bytes, its index says"):
        Weights(tmp_path)
