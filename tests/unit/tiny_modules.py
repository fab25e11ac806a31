"""A tiny model's module as the stages see it, and a runner of its graphs in the interpreters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from passes.fuse.pack import PackedSource
from passes.importers.stage import run as run_import
from passes.ir.graph.interpret import interpret
from passes.ir.module import Module
from passes.ir.weights import Weights
from passes.ops import OPERATORS
from passes.shape.stage import bind_shapes
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

# Formats with offsets and without, of 4 and 8 bits, a plain one; extents of whole panels and not.
MODEL = TinyLlama(
    layers=1, dim=32, heads=4, kv_heads=2, ffn=64, vocab=300,
    types={"token_embd": "Q8_0", "attn_q": "Q4_1", "attn_k": "Q4_1", "attn_v": "Q4_1",
           "attn_output": "Q5_0", "ffn_gate": "Q4_0", "ffn_up": "Q4_0", "ffn_down": "F16"},
)  # fmt: skip


def imported(folder: Path, model: TinyLlama = MODEL) -> tuple[Module, Weights]:
    """The model after the import stage, with dims and capacity bound."""
    gguf = write_tiny_gguf(folder / "tiny.gguf", model)
    out = folder / "import"
    out.mkdir()
    run_import(
        inputs={}, sources={"model": gguf}, options={"layers": None}, target={}, out=out,
        progress=lambda done, text: None,
    )  # fmt: skip
    shapes = {
        "batch": {"min": 1, "max": 1}, "new": {"min": 1, "max": 12}, "past": {"min": 0, "max": 20},
    }  # fmt: skip
    return bind_shapes(Module.load(out), shapes, ["decode", "score"]), Weights(out)


@dataclass
class Conversation:
    """Calls of a module's graphs, each after the other, with the states in between."""

    module: Module
    weights: Weights
    past: int = 0
    state: dict[str, np.ndarray] = field(default_factory=dict)

    def call(self, entry: str, tokens: Sequence[int]) -> np.ndarray:
        """Appends the tokens; gives the logits."""
        results, updates = interpret(
            self.module.graphs[entry],
            {"tokens": np.array([tokens], np.int32)},
            dims={"n": len(tokens), "m": self.past},
            operators=OPERATORS,
            weights=PackedSource(self.weights, self.module.weights),
            state=self.state,
        )
        self.state.update(updates)
        self.past += len(tokens)
        return results["logits"].reshape(len(tokens), -1)


def logits(module: Module, weights: Weights, chunks: Sequence[Sequence[int]]) -> np.ndarray:
    """Every position's logits; chunks of one token go through `decode`."""
    run = Conversation(module, weights)
    parts = [run.call("decode" if len(c) == 1 else "score", c) for c in chunks]
    return np.concatenate(parts)
