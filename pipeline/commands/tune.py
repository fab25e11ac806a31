"""`doit tune recipe=NAME` or `workload=NAME`: schedules are searched for by measuring, and kept in
records beside the recipe."""

from __future__ import annotations

import difflib
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.cmd_base import Command

from pipeline.commands.errors import FAILED, UsageError, leave, plain_errors

if TYPE_CHECKING:
    from passes.ir.module import Module
    from passes.search.extract import Kernel
    from passes.search.records.record import Record
    from pipeline.stages.build import Build
    from pipeline.tuning.fleet import Fleet
    from pipeline.tuning.tuner import State, Tuner

VARIABLES = ("trials", "minutes", "threads", "seed", "strategy", "kernel")
_WORKLOAD = ("workload", "case", "target")
_TRIALS = 64


@dataclass(frozen=True)
class Options:
    """The variables, checked: `trials` of each kernel and `minutes` in all, None: no such limit;
    kernels by patterns of their names, all if there are none."""

    trials: int | None
    minutes: float | None
    threads: int
    seed: int
    strategy: str
    kernels: tuple[str, ...]


class Tune(Command):  # type: ignore[misc]  # doit has no types
    """Builds what has to be tuned, tells on standard error how it goes, writes records."""

    name = "tune"
    doc_purpose = "search for faster schedules of a recipe's or a workload's kernels"
    doc_usage = (
        "recipe=NAME [trials=N] [minutes=N] [threads=N] [seed=N] [strategy=NAME] [kernel=NAME,...] "
        "[KEY.KEY=VALUE ...], or workload=NAME|FILE.yaml [case=NAME,...] [target=LEVEL] "
        "and the same"
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from passes.search.records.checks import RecordError
        from pipeline.bench.engine import BenchError
        from pipeline.commands.variables import given_variables
        from pipeline.tuning.fleet import FleetError

        with plain_errors():
            if pos_args:
                raise UsageError(
                    f"tune does not know '{pos_args[0]}': `doit tune recipe=NAME` or "
                    "`doit tune workload=NAME`"
                )
            given = given_variables()
            try:
                if "workload" in given:
                    _tune_workload(given)
                else:
                    _tune_recipe(given)
            except (BenchError, FleetError, RecordError) as error:
                leave(f"error: {error}", FAILED)
        return 0


def _options(own: Mapping[str, str]) -> Options:
    from passes.search.strategy.makers import STRATEGIES
    from pipeline.commands.variables import whole_number
    from pipeline.runtime.cpu import usable_cpus

    trials, minutes = own.get("trials"), own.get("minutes")
    strategy = own.get("strategy", "evolutionary")
    if strategy not in STRATEGIES:
        near = difflib.get_close_matches(strategy, STRATEGIES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(STRATEGIES)}"
        raise UsageError(f"strategy={strategy} is none; {hint}")
    spent = None if minutes is None else _minutes(minutes)
    none = trials is None and minutes is None
    return Options(
        _TRIALS if none else None if trials is None else whole_number("trials", trials, 1),
        spent,
        whole_number("threads", own.get("threads", str(usable_cpus())), 1),
        whole_number("seed", own.get("seed", "0"), 0),
        strategy,
        tuple([word for word in own.get("kernel", "").split(",") if word]),
    )


def _minutes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise UsageError(f"minutes={text} is no number above 0")
    return number


def _tune_workload(given: Mapping[str, str]) -> None:
    from passes.search.extract import Point, kernels_of
    from pipeline.commands.bench_workload import level_of
    from pipeline.commands.session import ARTIFACTS, code_root
    from pipeline.recipe.native import NATIVE
    from pipeline.stages.recipe_stages import records_path
    from pipeline.workloads.build import open_case
    from pipeline.workloads.load import find_workload, load_workload

    known = (*_WORKLOAD, *VARIABLES)
    for name in given:
        if name not in known:
            raise UsageError(f"unknown variable '{name}'; known are {', '.join(known)}")
    options = _options(given)
    root = Path.cwd()
    loaded = load_workload(find_workload(given["workload"], root), root)
    level = level_of(given.get("target", NATIVE), root)
    cases = tuple([word for word in given.get("case", "").split(",") if word])
    kernels: list[Kernel] = []
    for case in loaded.chosen(cases):
        build = open_case(loaded, case, level, root / ARTIFACTS, code_root())
        module = _fused(build)
        points = [Point(name, sizes) for sizes in case.sizes or ({},) for name in module.graphs]
        kernels += kernels_of(module, level.facts(), points)
    _run(kernels, options, records_path(loaded.path))


def _tune_recipe(given: Mapping[str, str]) -> None:
    from passes.search.extract import kernels_of
    from pipeline.commands.session import open_recipe
    from pipeline.commands.variables import read_request
    from pipeline.runtime.cpu import flags
    from pipeline.stages.recipe_stages import records_path
    from pipeline.tuning.points import points_of

    request = read_request(given, VARIABLES)
    loaded, build = open_recipe(request, "tune")
    recipe = loaded.recipe.resolved()
    own = {name: str(value) for name, value in recipe["tuning"].items() if value is not None}
    options = _options({**own, **request.own})
    module = _fused(build)
    points = points_of(recipe["shapes"], module.graphs)
    kernels: list[Kernel] = []
    for facts in build.stage("search").target["levels"]:
        if flags() >= set(facts["cpu_flags"]):
            kernels += kernels_of(module, facts, points)
    _run(kernels, options, records_path(loaded.path))


def _fused(build: Build) -> Module:
    """What the fuse stage gives."""
    from passes.ir.module import Module
    from pipeline.workers.progress import Progress

    with tempfile.TemporaryDirectory() as space:
        folder = Path(space) / "fuse"
        progress = Progress(sys.stderr)
        try:
            build.make_stage("fuse", folder, progress)
        finally:
            progress.close()
        return Module.load(folder)


def _run(kernels: Sequence[Kernel], options: Options, records: Path) -> None:
    """Tunes, tells what came of it, and has the winners kept."""
    import fnmatch

    from passes.search.records.layer import Point
    from passes.search.records.upkeep import settle
    from pipeline.tuning.fleet import LocalFleet

    if options.kernels:
        kernels = [k for k in kernels if any(fnmatch.fnmatch(k.name, p) for p in options.kernels)]
    if not kernels:
        raise UsageError("there is no such kernel to tune")
    with LocalFleet() as fleet:
        tuner = _tuner(fleet, options, [records] if records.exists() else [])
        states = [tuner.begin(kernel) for kernel in kernels]
        seconds = None if options.minutes is None else options.minutes * 60
        tuner.tune(states, options.trials, seconds)
        won = [record for group in _groups(states) for record in tuner.finish(group)]
    points = {Point.of(k.task.workload, k.task.machine, k.sizes, options.threads) for k in kernels}
    settle(records, points, won)
    print(summary(states, won))
    print(f"records: {records.as_posix()}")


def _groups(states: Sequence[State]) -> list[list[State]]:
    """The searches for the same kernel, at several sizes."""
    found: dict[tuple[str, str], list[State]] = {}
    for state in states:
        task = state.kernel.task
        found.setdefault((task.workload, task.machine), []).append(state)
    return list(found.values())


def _tuner(fleet: Fleet, options: Options, below: Sequence[Path]) -> Tuner:
    import importlib.metadata

    from passes.search.cost.model import CostModel
    from passes.search.records.database import Database
    from passes.search.strategy.makers import STRATEGIES
    from pipeline.commands.session import ARTIFACTS
    from pipeline.tuning.tuner import Tuner

    maker = STRATEGIES[options.strategy]
    return Tuner(
        fleet=fleet,
        database=Database.open(ARTIFACTS / "tuning" / "trials.jsonl", below),
        scorer=CostModel(options.seed),
        make=lambda found, score, near: maker(found, score, near, options.seed),
        threads=options.threads,
        seed=options.seed,
        toolchain={"llvmlite": importlib.metadata.version("llvmlite")},
        note=_note,
    )


def summary(states: Sequence[State], won: Sequence[Record]) -> str:
    """A line a kernel and point: trials, failures, the default's time, and that of what is kept
    relative to it."""
    kept = {
        (record.workload, record.machine, *sorted(record.dims.items())): record for record in won
    }
    width = max([len(state.title) for state in states])
    lines = [f"{'kernel':{width}}  trials  failed  default ms  best/default"]
    for state in states:
        task, seconds = state.kernel.task, state.progress.seconds
        record = kept.get((task.workload, task.machine, *sorted(state.kernel.sizes.items())))
        failed = sum([one.seconds is None for one in state.trials])
        ratio = "default" if record is None or record.ratio is None else f"{record.ratio:.3f}"
        time = "" if seconds is None else f"{seconds * 1e3:.4g}"
        lines.append(
            f"{state.title:{width}}  {len(state.trials):6}  {failed:6}  {time:>10}  {ratio:>12}"
        )
    return "\n".join(lines)


def _note(text: str) -> None:
    print(f"tune: {text}", file=sys.stderr, flush=True)
