"""From a request to a build of this project, the folder that doit was started in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.errors import UsageError
from pipeline.commands.variables import Request
from pipeline.stages.build import Build
from pipeline.stages.errors import BuildError
from pipeline.stages.sources import SourceFile, SourceMissing, Sources
from pipeline.store import Store

if TYPE_CHECKING:
    from pipeline.recipe import LoadedRecipe

ARTIFACTS = Path("artifacts")


def recipe_names(root: Path) -> list[str]:
    """The recipes that can be built."""
    files = (root / "recipes").glob("*.yaml")
    return sorted(path.stem for path in files if not path.stem.endswith(".lock"))


def require_recipe(request: Request, command: str, root: Path) -> str:
    """The recipe asked for.

    Raises UsageError with the names to choose from if there is none.
    """
    if request.recipe is None:
        names = ", ".join(recipe_names(root)) or "none yet: recipes/ has no *.yaml"
        raise UsageError(f"say which recipe: `doit {command} recipe=NAME`; recipes: {names}")
    return request.recipe


def open_build(request: Request, command: str) -> Build:
    """The build that a request asks for; nothing is run or written yet.

    Raises UsageError, RecipeError.
    """
    return open_recipe(request, command)[1]


def open_recipe(request: Request, command: str) -> tuple[LoadedRecipe, Build]:
    """The recipe that a request asks for, and its build.

    Raises UsageError, RecipeError.
    """
    from pipeline.recipe import find_recipe, load_recipe
    from pipeline.stages.package import Package
    from pipeline.stages.recipe_stages import LINK_ENTRY, stages_of

    root = Path.cwd()
    name = require_recipe(request, command, root)
    loaded = load_recipe(find_recipe(name, root), request.overrides, root=root)
    store = Store(root / ARTIFACTS / "store")
    folder = root / ARTIFACTS / "builds" / loaded.build_name
    build = Build(
        name=loaded.build_name,
        recipe=loaded.name,
        stages=stages_of(loaded),
        store=store,
        roots=(code_root(),),
        sources=Sources(Resolver(root)),
        package=Package(loaded.build_name, folder, LINK_ENTRY, store),
        lock_path=loaded.path.with_name(f"{loaded.name}.lock.yaml"),
        locked=request.locked,
    )
    return loaded, build


def code_root() -> Path:
    """The folder that holds this program's packages."""
    return Path(__file__).resolve().parents[2]


class Resolver:
    """Finds model files for a project; what is fetched is kept in its artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, source: str, *, offline: bool) -> SourceFile:
        from pipeline.workers.sources import ResolveError, resolve_source

        if not offline and not source.startswith("file:"):
            print(f"fetching {source}", file=sys.stderr, flush=True)
        try:
            found = resolve_source(
                source, cache=self.root / ARTIFACTS / "sources", base=self.root, offline=offline
            )
        except ResolveError as error:
            if offline:
                raise SourceMissing(str(error)) from error
            raise BuildError(str(error)) from error
        return SourceFile(found.path, found.digest)
