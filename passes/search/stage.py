"""The search stage: every kernel gets its schedule, one set for each target level.

<level>/module.json, graphs/, loops/     the module with scheduled kernels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.ir.graph.nodes import CallLoops
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.ir.node import Node, rewrite
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Target facts `levels`: the CPU levels, each with its name and vector facts."""
    module = Module.load(inputs["fuse"])
    for number, facts in enumerate(target["levels"]):
        progress(number / len(target["levels"]), facts["name"])
        folder = out / facts["name"]
        folder.mkdir()
        scheduled(module, Target.of(facts)).save(folder)


def scheduled(module: Module, target: Target) -> Module:
    """The module with every kernel under its default schedule."""
    done: dict[Function, Function] = {}

    def rule(node: Node) -> Node | None:
        if not isinstance(node, CallLoops):
            return None
        if node.function not in done:
            done[node.function] = default_schedule(node.function, target).function
        return node.replace(function=done[node.function])

    graphs = {name: rewrite(graph, rule) for name, graph in module.graphs.items()}
    return replace(module, graphs=graphs, functions={})
