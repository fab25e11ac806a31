"""The codegen stage: a folder of scheduled modules → objects and facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from passes.codegen.stage import run
from passes.ir.graph.nodes import GraphFunction, Weight
from passes.ir.graph.verify import values_of
from passes.ir.module import Module
from passes.ir.node import IRError
from passes.ir.weights import WeightEntry
from tests.unit.codegen.host_graphs import kernels_of, small_model

TRIPLE = "x86_64-unknown-linux-gnu"
LEVELS = [
    {
        "name": name,
        "triple": TRIPLE,
        "cpu": name,
        "llvm_features": features,
        "vector_bits": bits,
    }
    for name, features, bits in (("x86-64-v3", "+avx2,+fma", 256), ("x86-64", "+sse2", 128))
]


def save(folder: Path, *graphs: GraphFunction) -> None:
    made = [kernels_of(graph) for graph in graphs]
    weights = {
        value.name: WeightEntry(value.type, (f"{value.name}.source",))
        for graph in made
        for value in values_of(graph)
        if isinstance(value, Weight)
    }
    weights["unused"] = WeightEntry(next(iter(weights.values())).type, ("nowhere",))
    Module({graph.name: graph for graph in made}, weights, {}, {"name": "tiny"}).save(folder)


def build(search: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    told: list[float] = []
    run(
        inputs={"search": search},
        sources={},
        options={"threads": {"max": 8}},
        target={"arch": "x86-64", "levels": LEVELS},
        out=out,
        progress=lambda share, text: told.append(share),
    )
    assert told == sorted(told) and told[0] == 0.0 and told[-1] < 1.0
    facts: dict[str, Any] = json.loads((out / "codegen.json").read_text())
    return facts


def test_objects_and_facts(tmp_path: Path) -> None:
    for level in LEVELS:
        save(tmp_path / "search" / level["name"], small_model())
    facts = build(tmp_path / "search", tmp_path / "one")
    assert facts["levels"][0]["object"] == "x86-64-v3.o"
    assert facts["weights"] == {
        "size": 1536,
        "tensors": {"table": {"at": 0, "nbytes": 1280}, "mix.weight": {"at": 1280, "nbytes": 256}},
    }
    assert facts["entries"]["prefill"]["symbol"] == "tk_prefill"
    assert (facts["copies"], facts["abi"]) == ([], 1)
    assert (tmp_path / "one" / "x86-64.o").read_bytes()[:4] == b"\x7fELF"
    weights = Module.load(tmp_path / "one" / "weights")
    assert list(weights.weights) == ["table", "mix.weight"]
    assert weights.meta == {"name": "tiny"}

    build(tmp_path / "search", tmp_path / "two")
    for file in sorted((tmp_path / "one").rglob("*")):
        if file.is_file():
            again = tmp_path / "two" / file.relative_to(tmp_path / "one")
            assert file.read_bytes() == again.read_bytes(), file.name


def test_levels_must_share_weights_and_entries(tmp_path: Path) -> None:
    save(tmp_path / LEVELS[0]["name"], small_model())
    save(tmp_path / LEVELS[1]["name"], small_model("other"))
    with pytest.raises(IRError) as caught:
        build(tmp_path, tmp_path / "out")
    assert str(caught.value) == (
        "levels 'x86-64-v3' and 'x86-64' disagree about entries; all levels of a package share "
        "one weights file and one set of entry points"
    )
