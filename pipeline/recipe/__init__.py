"""Recipe files -> one resolved, typed recipe; or every error in them with place and cure.

    text --loader--> trees with places --compose, overrides--> one tree --validate--> Recipe

`scalars` holds what an unquoted word means, `schema` what a recipe may say, `sources` how a model
is named, `target` and `native` what a CPU level is, `diagnostics` how an error looks, and
`json_schema` what editors are told.
"""

from pipeline.recipe.diagnostics import Diagnostic, Origin, RecipeError, Source, Span
from pipeline.recipe.load import (
    LoadedRecipe,
    find_recipe,
    load_recipe,
    project_root,
    resolve_levels,
)
from pipeline.recipe.native import HostCpu
from pipeline.recipe.schema import Recipe
from pipeline.recipe.sources import (
    FileSource,
    HubSource,
    ModelSource,
    PypiSource,
    SourceError,
    parse_source,
)
from pipeline.recipe.target import TargetLevel

__all__ = [
    "Diagnostic",
    "FileSource",
    "HostCpu",
    "HubSource",
    "LoadedRecipe",
    "ModelSource",
    "Origin",
    "PypiSource",
    "Recipe",
    "RecipeError",
    "Source",
    "SourceError",
    "Span",
    "TargetLevel",
    "find_recipe",
    "load_recipe",
    "parse_source",
    "project_root",
    "resolve_levels",
]
