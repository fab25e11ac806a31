"""The imported graphs, interpreted, against the independent reference: the whole way to the IR.

The real model takes part where TENSORKILN_LLAMA_GGUF names its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passes.importers.stage import run as run_import
from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import Apply, GraphFunction
from passes.ir.module import Module
from passes.ir.node import Node, rewrite
from passes.ir.weights import Weights
from passes.ops import OPERATORS
from passes.ops.define import call_loops
from passes.shape.stage import run as run_shape
from tests.reference.llama import Llama
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

TOKENS = [5, 17, 80, 250, 260, 3, 1, 2, 0, 99, 100, 101]
REAL = os.environ.get("TENSORKILN_LLAMA_GGUF")
Floats = np.ndarray


class Engine:
    """A model through the import and shape stages, called as a package is."""

    def __init__(self, gguf: Path, folder: Path, layers: int | None = None) -> None:
        stages = [folder / "import", folder / "shape"]
        for stage in stages:
            stage.mkdir(parents=True)
        common = {"target": {}, "progress": lambda done, text: None}
        run_import(
            inputs={}, sources={"model": gguf}, options={"layers": layers}, out=stages[0], **common
        )
        shapes = {
            "batch": {"min": 1, "max": 1}, "new": {"min": 1, "max": 16},
            "past": {"min": 0, "max": 24},
        }  # fmt: skip
        options = {"shapes": shapes, "entries": ["prefill", "decode", "score"]}
        run_shape(
            inputs={"import": stages[0]}, sources={}, options=options, out=stages[1], **common
        )
        self.module = Module.load(stages[1])
        self.weights = Weights(stages[0])
        self.state: dict[str, Floats] = {}
        self.past = 0
        self.lower: Callable[[GraphFunction], GraphFunction] = lambda graph: graph

    def call(self, entry: str, tokens: list[int]) -> Floats:
        dims = {"n": len(tokens), "m": self.past}
        results, updates = interpret(
            self.lower(self.module.graphs[entry]),
            {"tokens": np.array([tokens], np.int32)},
            dims=dims,
            operators=OPERATORS,
            weights=self.weights.source(self.module.weights),
            state=self.state,
        )
        self.state.update(updates)
        self.past += len(tokens)
        return results["logits"]


def error(got: Floats, want: Floats) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def check(engine: Engine, reference: Llama) -> None:
    """Whole, in chunks and token by token: the reference's logits each time."""
    want = reference.forward(TOKENS)
    assert error(engine.call("score", TOKENS)[0], want) < 1e-4
    assert set(engine.state) == {f"cache_{k}.{i}" for i in range(reference.layers) for k in "kv"}
    engine.past = 0
    assert error(engine.call("prefill", TOKENS[:5])[0], want[4]) < 1e-4
    assert error(engine.call("decode", TOKENS[5:6])[0], want[5]) < 1e-4
    assert error(engine.call("score", TOKENS[6:9])[0], want[6:9]) < 1e-4
    assert error(engine.call("prefill", TOKENS[9:])[0], want[-1]) < 1e-4


@pytest.mark.parametrize(
    "model",
    [
        TinyLlama(tied=True),
        TinyLlama(types={"attn_q": "Q5_1", "attn_k": "Q8_0", "ffn_up": "F16", "output": "Q4_0"},
                  tied=False, kv_heads=1, layers=1),
        TinyLlama(types="Q6_K", dim=256, ffn=256, layers=1),
        TinyLlama(types="Q4_K", dim=256, ffn=256, layers=1),
        TinyLlama(types="BF16", kv_heads=4, layers=1),
    ],
    ids=["Q4_1", "mixed", "Q6_K", "Q4_K", "BF16"],
)  # fmt: skip
def test_tiny_models(tmp_path: Path, model: TinyLlama) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", model)
    check(Engine(path, tmp_path), Llama(path))


def test_layers_can_be_dropped(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(layers=3))
    check(Engine(path, tmp_path, layers=2), Llama(path, layers=2))


def test_every_operator_by_its_loops(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(layers=1))
    engine = Engine(path, tmp_path)

    def rule(node: Node) -> Node | None:
        return call_loops(node, OPERATORS) if isinstance(node, Apply) else None

    engine.lower = lambda graph: rewrite(graph, rule)
    check(engine, Llama(path))


def test_stages_give_the_same_bytes_again(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(layers=1))
    Engine(path, tmp_path / "a")
    Engine(path, tmp_path / "b")
    first, second = (
        {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second and len(first) > 8


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="TENSORKILN_LLAMA_GGUF is not set")
def test_the_real_model(tmp_path: Path) -> None:
    assert REAL is not None
    check(Engine(Path(REAL), tmp_path, layers=2), Llama(REAL, layers=2))
