"""The six stages of a recipe, each with no more of it than it needs.

import -> shape -> fuse -> search -> codegen -> package
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.recipe import LoadedRecipe, resolve_levels
from pipeline.stages.stage import Source, Stage, file_source

LINK_ENTRY = "passes.package.link:link"


def records_path(path: Path) -> Path:
    """Where what tuning found lies, beside a recipe or a workload."""
    return path.with_name(f"{path.stem}.records.jsonl")


def records_of(path: Path, root: Path) -> Mapping[str, Source]:
    """The records of a recipe or workload as a source of its search, if there are any."""
    records = records_path(path)
    return {"records": file_source(records, root)} if records.exists() else {}


def stages_of(loaded: LoadedRecipe) -> tuple[Stage, ...]:
    """The stages of a recipe in order. A value that a stage does not get cannot make it run again:
    generation defaults change the package alone.

    Raises RecipeError if `native` cannot be resolved on this machine.
    """
    recipe = loaded.recipe.resolved()
    levels = [level.facts() for level in resolve_levels(loaded)]
    target = {"arch": recipe["target"]["arch"], "levels": levels}
    bounds = {name: {"min": d["min"], "max": d["max"]} for name, d in recipe["shapes"].items()}
    model = Source(loaded.recipe.model.source, loaded.recipe.model.digest)
    return (
        Stage(
            "import",
            "passes.importers.stage:run",
            options={"layers": recipe["model"]["layers"]},
            sources={"model": model},
            plugins=("importers",),
        ),
        Stage(
            "shape",
            "passes.shape.stage:run",
            needs=("import",),
            options={"shapes": bounds, "entries": recipe["entries"]},
        ),
        Stage(
            "fuse",
            "passes.fuse.stage:run",
            needs=("shape",),
            options={"compute": recipe["compute"]},
            target=target,
            plugins=("passes",),
        ),
        Stage(
            "search",
            "passes.search.stage:run",
            needs=("fuse",),
            target=target,
            sources=records_of(loaded.path, loaded.root),
        ),
        Stage(
            "codegen",
            "passes.codegen.stage:run",
            needs=("search",),
            options={"threads": recipe["threads"]},
            target=target,
            toolchain=("llvmlite",),
        ),
        Stage(
            "package",
            "passes.package.stage:run",
            needs=("codegen", "import"),
            options={
                "name": loaded.name,
                "shapes": bounds,
                "generate": recipe["generate"],
                "threads": recipe["threads"],
            },
            target=target,
        ),
    )
