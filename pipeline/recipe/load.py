"""A recipe's name or path and overrides -> the resolved recipe, or every error in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.recipe.compose import Composer, Part, label_of, merge
from pipeline.recipe.diagnostics import (
    DEFAULT,
    Diagnostic,
    Origin,
    Phase,
    RecipeError,
    Report,
    name_cure,
    shown,
)
from pipeline.recipe.native import NATIVE, HostCpu, NativeError, best_first, detect_host
from pipeline.recipe.native import native_level as explicit_native
from pipeline.recipe.overrides import override_tree
from pipeline.recipe.schema import Recipe, value_paths
from pipeline.recipe.target import TargetLevel, level_names, load_level
from pipeline.recipe.tree import Map, leaves
from pipeline.recipe.validate import check

RECIPES = Path("recipes")


@dataclass(frozen=True)
class LoadedRecipe:
    """A resolved recipe and where each of its values comes from.

    `origins` has every value, list and list item under its dotted path. `described` holds the
    levels that the recipe names, or all that the project knows where it says `native`. `files`
    are all files that were read for it, the recipe's own first.
    """

    name: str
    path: Path
    root: Path
    recipe: Recipe
    origins: Mapping[str, Origin]
    digest: str
    overridden: bool
    described: tuple[TargetLevel, ...]
    files: tuple[Path, ...]

    @property
    def build_name(self) -> str:
        """The folder of its build: the recipe's name, `@<digest>` added where overridden."""
        return f"{self.name}@{self.digest}" if self.overridden else self.name

    def error(self, path: str, reason: str, cure: str) -> RecipeError:
        """An error about the value at a dotted path, for whoever finds it after loading."""
        origin = self.origins.get(path, DEFAULT)
        return RecipeError([Diagnostic(reason, cure, origin.span, Phase.MEANING)])


def find_recipe(name: str, root: Path) -> Path:
    """The file of a recipe's name; raises RecipeError with the nearest name if there is none."""
    folder = root / RECIPES
    known = sorted(p.stem for p in folder.glob("*.yaml") if not p.stem.endswith(".lock"))
    if name in known:
        return folder / f"{name}.yaml"
    reason = f"no recipe `{shown(name)}` in {RECIPES.as_posix()}/"
    raise RecipeError([Diagnostic(reason, name_cure(name, known, "recipes"))])


def load_recipe(
    path: Path, overrides: Sequence[str] = (), *, root: Path | None = None
) -> LoadedRecipe:
    """The recipe in a file, with overrides such as `shapes.past.max=2048` laid over it.

    `root`: the project's folder, by default the nearest one above the file that has `configs/`.
    Raises RecipeError with every error of the file, of what it extends and of the overrides.
    """
    root = project_root(path) if root is None else root
    report = Report()
    composer = Composer(path, root, report)
    part = composer.part(path)
    tree, complete = (part.tree, part.complete) if part else (None, False)
    if part is not None and part.kind is not None:
        complete = False
        _not_a_recipe(path, root, part, report)
    for text in overrides:
        over = override_tree(text, report)
        if over is None:
            complete = False
        elif tree is not None:
            # The file stays the place that a missing key is reported at.
            tree = Map(merge(tree, over).entries, tree.span)
    recipe = None
    if tree is not None and complete:
        context = {"levels": level_names(root)}
        recipe = check(Recipe, tree, report, header=("extends",), context=context)
    described = tuple(_described(recipe, root, report)) if recipe is not None else ()
    report.raise_errors()
    assert recipe is not None and tree is not None
    origins = dict.fromkeys(value_paths(Recipe), DEFAULT)
    origins |= {key: Origin(span) for key, span in leaves(tree)}
    return LoadedRecipe(
        name=path.stem,
        path=path,
        root=root,
        recipe=recipe,
        origins=dict(sorted(origins.items())),
        digest=recipe.digest(),
        overridden=bool(overrides),
        described=described,
        files=tuple(composer.files),
    )


def resolve_levels(loaded: LoadedRecipe, host: HostCpu | None = None) -> list[TargetLevel]:
    """The CPU levels to build for, best first, `native` made explicit.

    `host`: the CPU that `native` means, by default this one. Raises RecipeError if it cannot be
    a target.
    """
    if loaded.recipe.target.levels != NATIVE:
        return best_first(loaded.described)
    try:
        return [explicit_native(host or detect_host(), loaded.described)]
    except NativeError as error:
        raise loaded.error(
            "target.levels", str(error), "name levels of configs/targets instead of `native`"
        ) from None


def project_root(path: Path) -> Path:
    """The nearest folder above a file that has `configs/`, else the folder of this program."""
    for folder in path.absolute().parents:
        if (folder / "configs").is_dir():
            return folder
    return Path(__file__).resolve().parents[2]


def _described(recipe: Recipe, root: Path, report: Report) -> Iterator[TargetLevel]:
    names = recipe.target.levels
    for name in level_names(root) if names == NATIVE else names:
        level = load_level(name, root, report)
        if level is not None:
            yield level


def _not_a_recipe(path: Path, root: Path, part: Part, report: Report) -> None:
    report.add(
        Phase.SYNTAX,
        part.tree.span,
        f"{label_of(path, root)} is a building block of kind `{part.kind}`, no recipe",
        "build a recipe that extends it",
    )
