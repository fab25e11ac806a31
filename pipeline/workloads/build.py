"""A case → a package, by the ordinary stages; what the store has is not made again."""

from __future__ import annotations

from pathlib import Path

from pipeline.recipe.target import TargetLevel
from pipeline.stages.build import Build
from pipeline.stages.package import Package
from pipeline.stages.recipe_stages import LINK_ENTRY
from pipeline.stages.sources import SourceFile, Sources
from pipeline.stages.stage import Stage
from pipeline.store import Store
from pipeline.workloads.schema import Case

_THREADS = {"max": 64}


def stages_of(case: Case, level: TargetLevel) -> tuple[Stage, ...]:
    """import (the case's graph and random weights) -> fuse -> search -> codegen -> package."""
    target = {"arch": level.arch, "levels": [level.facts()]}
    return (
        Stage("import", "passes.importers.workload:run", options={"case": case.data()}),
        Stage(
            "fuse",
            "passes.fuse.stage:run",
            needs=("import",),
            options={"compute": case.compute},
            target=target,
            plugins=("passes",),
        ),
        Stage("search", "passes.search.stage:run", needs=("fuse",), target=target),
        Stage(
            "codegen",
            "passes.codegen.stage:run",
            needs=("search",),
            options={"threads": _THREADS},
            target=target,
            toolchain=("llvmlite",),
        ),
        Stage(
            "package",
            "passes.package.stage:run",
            needs=("codegen", "import"),
            options={
                "name": case.name,
                "shapes": {"past": {"max": 1}},
                "generate": {"tokens": 1, "temperature": 0.0, "seed": 0},
                "threads": _THREADS,
            },
            target=target,
        ),
    )


def open_case(workload: str, case: Case, level: TargetLevel, artifacts: Path, code: Path) -> Build:
    """The build of one case for one CPU level; nothing is run or written yet.

    `code`: the folder that holds this program's packages.
    """
    store = Store(artifacts / "store")
    name = f"{workload}.{case.name}@{level.name}"
    return Build(
        name=name,
        recipe=workload,
        stages=stages_of(case, level),
        store=store,
        roots=(code,),
        sources=Sources(_no_source),
        package=Package(name, artifacts / "workloads" / name, LINK_ENTRY, store),
        lock_path=artifacts / "workloads" / f"{name}.lock.yaml",
    )


def _no_source(source: str, *, offline: bool) -> SourceFile:
    raise AssertionError(f"a case has no sources, and asks for {source}")
