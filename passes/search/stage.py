"""The search stage: every kernel gets its schedule, one set for each target level.

<level>/module.json, graphs/, loops/     the module with scheduled kernels
<level>/traces/NAME.py                   how kernel NAME was scheduled, as calls of `Schedule`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.schedule.schedule import Schedule
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from passes.search.fold import agreed, constants_of, contested, folded


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
    names = [facts["name"] for facts in levels]
    targets = [Target.of(facts) for facts in levels]
    schedules = schedules_of(module, targets, lambda k: progress(k / len(names), names[k]))
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
    (made,) = schedules_of(module, [target])
    return folded(module, made, agreed(module, [made]))


def schedules_of(
    module: Module, targets: Sequence[Target], begun: Callable[[int], None] = lambda number: None
) -> list[dict[Function, Schedule]]:
    """The default schedule of every kernel that a module calls, for each target; `begun` is told
    the number of the target at hand.

    Weights that only one kernel reads take the layout it wants, unless targets want several.
    """
    constants = constants_of(module)
    made = []
    for number, target in enumerate(targets):
        begun(number)
        made.append({f: default_schedule(f, target, known) for f, known in constants.items()})
    for function, positions in contested(made).items():
        known = constants[function] - positions
        for schedules, target in zip(made, targets, strict=True):
            schedules[function] = default_schedule(function, target, known)
    return made
