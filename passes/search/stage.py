"""The search stage: every kernel gets its schedule, one set for each target level.

<level>/module.json, graphs/, loops/     the module with scheduled kernels
<level>/traces/NAME.py                   how kernel NAME was scheduled, as calls of `Schedule`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.ir.graph.nodes import CallLoops
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from passes.search.fold import agreed, folded


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
    levels = target["levels"]
    schedules = []
    for number, facts in enumerate(levels):
        progress(number / len(levels), facts["name"])
        schedules.append(scheduled_kernels(module, Target.of(facts)))
    folds = agreed(module, schedules)
    for facts, made in zip(levels, schedules, strict=True):
        folder = out / facts["name"]
        (folder / "traces").mkdir(parents=True)
        folded(module, made, folds).save(folder)
        for schedule in made.values():
            text = schedule.trace.as_python()
            (folder / "traces" / f"{schedule.function.name}.py").write_bytes(text.encode())


def scheduled(module: Module, target: Target) -> Module:
    """The module with every kernel under its default schedule."""
    made = scheduled_kernels(module, target)
    return folded(module, made, agreed(module, [made]))


def scheduled_kernels(module: Module, target: Target) -> dict[Function, Schedule]:
    """The default schedule of every kernel that a module calls."""
    nodes = postorder(*module.graphs.values())
    kernels = dict.fromkeys(node.function for node in nodes if isinstance(node, CallLoops))
    return {function: default_schedule(function, target) for function in kernels}
