"""The shape stage's work: dims narrowed, types deduced anew, entries chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from passes.importers.gguf_file import read_gguf
from passes.importers.llama import import_llama
from passes.importers.stage import module_of
from passes.ir.arith import dims_of
from passes.ir.expr_text import print_expr
from passes.ir.graph.text import type_text
from passes.ir.module import Module
from passes.ops import OPERATORS
from passes.shape.stage import ShapeError, bind_shapes, run
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Module:
    path = write_tiny_gguf(tmp_path_factory.mktemp("m") / "tiny.gguf", TinyLlama(tied=False))
    model = import_llama(read_gguf(path))
    return module_of(model, {"model": model.meta})


def shapes(new: int = 32, past: int = 64, batch: int = 1) -> dict[str, Any]:
    return {
        "batch": {"min": 1, "max": batch},
        "new": {"min": 1, "max": new},
        "past": {"min": 0, "max": past},
    }


def test_bounds_and_capacity(imported: Module) -> None:
    bound = bind_shapes(imported, shapes(), ["decode", "prefill"])
    bound.verify(OPERATORS)
    assert list(bound.graphs) == ["decode", "prefill"]
    prefill, decode = bound.graphs["prefill"], bound.graphs["decode"]
    assert {d.name: (d.lo, d.hi) for d in dims_of(prefill)} == {"n": (1, 32), "m": (0, 63)}
    assert [print_expr(e) for e in prefill.assumptions] == ["n + m <= 64"]
    assert decode.assumptions == () and [d.name for d in decode.dims] == ["m"]
    assert type_text(dict(prefill.updates)["cache_k.1"].type) == "f32[1, 64, 2, 16]"
    assert bound.meta["capacity"] == 64 and bound.meta["dims"] == {"m": [0, 63], "n": [1, 32]}


def test_weights_nobody_reads_are_dropped(imported: Module) -> None:
    graphs = {name: g for name, g in imported.graphs.items() if name == "decode"}
    extra = {**imported.weights, "spare": imported.weights["output.weight"]}
    bound = bind_shapes(Module(graphs, extra, {}, imported.meta), shapes(), ["decode"])
    assert set(bound.weights) == set(imported.weights)


def test_the_stage(imported: Module, tmp_path: Path) -> None:
    before, out = tmp_path / "import", tmp_path / "out"
    before.mkdir()
    out.mkdir()
    imported.save(before)
    run(
        inputs={"import": before}, sources={}, target={}, out=out, progress=lambda done, text: None,
        options={"shapes": shapes(), "entries": ["score"]},
    )  # fmt: skip
    again = Module.load(out)
    again.verify(OPERATORS)
    assert again.graphs["score"] is bind_shapes(imported, shapes(), ["score"]).graphs["score"]


@pytest.mark.parametrize(
    ("given", "entries", "message"),
    [
        (
            shapes(past=300), ["decode"],
            "shapes.past.max is 300, but the model was trained for 256 tokens; "
            "lower it to 256 or less",
        ),
        (
            shapes(new=65), ["decode"],
            "shapes.new.max is 65, but the caches hold 64 tokens (shapes.past.max); "
            "lower the one or raise the other",
        ),
        (shapes(batch=2), ["decode"], "shapes.batch.max is 2; only 1 is built yet"),
        (
            shapes(), ["chat"],
            "no entry point 'chat'; the model has prefill, decode, score",
        ),
    ],
)  # fmt: skip
def test_errors(imported: Module, given: Any, entries: list[str], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        bind_shapes(imported, given, entries)
    assert str(caught.value) == message
