"""A case → a package, by the ordinary stages; what the store has is not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pipeline.recipe.target import TargetLevel
from pipeline.stages.build import Build
from pipeline.stages.package import Package
from pipeline.stages.recipe_stages import LINK_ENTRY, records_path
from pipeline.stages.sources import SourceFile, Sources
from pipeline.stages.stage import Source, Stage
from pipeline.store import Store
from pipeline.workloads.load import LoadedWorkload
from pipeline.workloads.schema import Case

_THREADS = {"max": 64}


def stages_of(case: Case, level: TargetLevel, records: Mapping[str, Source]) -> tuple[Stage, ...]:
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
        Stage("search", "passes.search.stage:run", needs=("fuse",), target=target, sources=records),
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


def open_case(
    workload: LoadedWorkload,
    case: Case,
    level: TargetLevel,
    artifacts: Path,
    code: Path,
    *,
    tuned: bool = True,
) -> Build:
    """The build of one case for one CPU level; nothing is run or written yet.

    `code`: the folder that holds this program's packages. Records that lie beside the workload are
    used if `tuned`.
    """
    store = Store(artifacts / "store")
    name = f"{workload.name}.{case.name}@{level.name}"
    records = records_path(workload.path)
    given = {"records": Source(f"file:{records}", None)} if tuned and records.exists() else {}
    return Build(
        name=name,
        recipe=workload.name,
        stages=stages_of(case, level, given),
        store=store,
        roots=(code,),
        sources=Sources(_file),
        package=Package(name, artifacts / "workloads" / name, LINK_ENTRY, store),
        lock_path=artifacts / "workloads" / f"{name}.lock.yaml",
    )


def _file(source: str, *, offline: bool) -> SourceFile:
    path = Path(source.removeprefix("file:"))
    with path.open("rb") as file:
        return SourceFile(path, hashlib.file_digest(file, "sha256").hexdigest())
