"""The codegen stage: scheduled modules, one a CPU level → objects and the facts of a manifest.

Files:

    search/<level>/module.json …     →     <level>.o, <level>.ll     code, and its LLVM text
                                           codegen.json              manifest facts, weights layout
                                           weights/module.json       where each tensor comes from
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.codegen.abi import Library, library_text, manifest_facts, plan_library
from passes.codegen.lower.facts import Facts
from passes.codegen.native import Machine, compile_object
from passes.ir.module import Module
from passes.ir.node import IRError
from passes.ops import OPERATORS

FORMAT = 1
_LARGEST_TEXT = 16 << 20


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Writes the files named above below `out`; the same inputs give the same bytes.

    `options["threads"]["max"]` bounds the memory that threads need; `target["levels"]` are facts
    of CPU levels: name, triple, cpu, llvm_features, vector_bits.
    Raises IRError or CodegenError where a module cannot become code, and where levels disagree
    about what they share: weights, states, entry points.
    """
    levels = list(target["levels"])
    threads = int(options["threads"]["max"])
    common: dict[str, Any] = {}
    arenas: dict[str, int] = {}
    for number, level in enumerate(levels):
        name = level["name"]
        progress(number / len(levels), f"{name}: lowering")
        module = Module.load(inputs["search"] / name)
        library = plan_library(module.graphs.values(), OPERATORS)
        text = library_text(library, Facts.of(level))
        facts = _facts(library, threads)
        arenas[name] = facts["memory"].pop("arena_bytes_max")
        _agree(common, facts, name, levels[0]["name"])
        if number == 0:
            _write_weights(module, library, out / "weights")
        progress((number + 0.5) / len(levels), f"{name}: {len(library.kernels)} kernels")
        machine = Machine(level["triple"], level["cpu"], level["llvm_features"])
        (out / f"{name}.o").write_bytes(compile_object(text, machine))
        if len(text) <= _LARGEST_TEXT:
            (out / f"{name}.ll").write_bytes(text.encode())
    common["memory"]["arena_bytes_max"] = max(arenas.values())
    common["levels"] = [
        {"level": name, "object": f"{name}.o", "arena_bytes_max": size}
        for name, size in arenas.items()
    ]
    written = json.dumps({"format": FORMAT, **common}, indent=1, ensure_ascii=False)
    (out / "codegen.json").write_bytes(written.encode() + b"\n")


def _facts(library: Library, threads: int) -> dict[str, Any]:
    weights = library.weights
    return {
        **manifest_facts(library, threads),
        "weights": {
            "size": weights.size,
            "tensors": {
                name: {"at": at, "nbytes": weights.sizes[name]}
                for name, at in weights.offsets.items()
            },
        },
        "copies": [copy for program in library.programs for copy in program.copies],
    }


def _agree(common: dict[str, Any], facts: dict[str, Any], name: str, first: str) -> None:
    """One package has one set of weights and entry points, whatever the level."""
    if not common:
        common.update(facts)
    for key in facts:
        # Copies are a report; and a level may well need fewer.
        if key != "copies" and json.dumps(facts[key]) != json.dumps(common[key]):
            raise IRError(
                f"levels '{first}' and '{name}' disagree about {key}; all levels of a package "
                "share one weights file and one set of entry points"
            )


def _write_weights(module: Module, library: Library, folder: Path) -> None:
    """The entries of the weights in use, as a module without functions."""
    used = {name: module.weights[name] for name in library.weights.offsets}
    Module({}, used, {}, module.meta).save(folder)
