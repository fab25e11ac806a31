"""The search stage: every kernel gets its schedule, one set for each target level: as the records
of a recipe say, or as the default rules do. Nothing is measured.

<level>/module.json, graphs/, loops/     the module with scheduled kernels
<level>/traces/NAME.py                   how kernel NAME was scheduled, as calls of `Schedule`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from passes.search.fold import agreed, constants_of, contested, folded
from passes.search.recorded import choosers
from passes.search.scheduled import Scheduled


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Target facts `levels`: the CPU levels, each with its name and vector facts. The source
    `records`, if there is one, is a file of what tuning found.

    Raises RecordError if that cannot be read.
    """
    module = Module.load(inputs["fuse"])
    levels = target["levels"]
    names = [facts["name"] for facts in levels]
    chosen = choosers(levels, sources.get("records"))
    schedules = schedules_of(module, chosen, lambda k: progress(k / len(names), names[k]))
    folds = agreed(module, schedules)
    for facts, made in zip(levels, schedules, strict=True):
        folder = out / facts["name"]
        (folder / "traces").mkdir(parents=True)
        folded(module, made, folds).save(folder)
        for schedule in made.values():
            path = folder / "traces" / f"{schedule.function.name}.py"
            path.write_bytes(schedule.trace.encode())


Choose = Callable[[Function, frozenset[int]], Scheduled]


def by_default(target: Target, function: Function, constants: frozenset[int]) -> Scheduled:
    """As the rules suggest."""
    return Scheduled.of(default_schedule(function, target, constants))


def scheduled(module: Module, target: Target) -> Module:
    """The module with every kernel under its default schedule."""
    (made,) = schedules_of(module, [partial(by_default, target)])
    return folded(module, made, agreed(module, [made]))


def schedules_of(
    module: Module, targets: Sequence[Choose], begun: Callable[[int], None] = lambda number: None
) -> list[dict[Function, Scheduled]]:
    """The schedule of every kernel that a module calls, for each target, as `Choose` gives it a
    kernel and those of its parameters whose layout it may choose; `begun` is told the number of the
    target at hand.

    Weights that only one kernel reads take the layout it wants, unless targets want several.
    """
    constants = constants_of(module)
    made = []
    for number, choose in enumerate(targets):
        begun(number)
        made.append({f: choose(f, known) for f, known in constants.items()})
    for function, positions in contested(made).items():
        known = constants[function] - positions
        for schedules, choose in zip(made, targets, strict=True):
            schedules[function] = choose(function, known)
    return made
