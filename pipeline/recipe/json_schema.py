"""The recipe's schema -> JSON Schema for editors, in configs/.

    python -m pipeline.recipe.json_schema      writes configs/*.schema.json anew

A file that extends others gives only what differs, so no key but `schema` is required there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.recipe.compose import LEVEL_KIND
from pipeline.recipe.schema import KINDS, SCHEMA_VERSION, Recipe
from pipeline.recipe.target import TargetLevel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PATHS = {"type": "string", "minLength": 1}


def recipe_schema() -> dict[str, Any]:
    """The schema of recipes and of building blocks."""
    schema = Recipe.model_json_schema(by_alias=True)
    for section in (schema, *schema["$defs"].values()):
        section.pop("required", None)
    header = {
        "schema": schema["properties"].pop("schema"),
        "kind": {
            "enum": list(KINDS),
            "description": "Makes the file a building block, which fills that section alone.",
        },
        "extends": {
            "anyOf": [_PATHS, {"type": "array", "items": _PATHS}],
            "description": "Files that this one builds on, relative to it; later ones win.",
        },
    }
    return {
        "$schema": DIALECT,
        **schema,
        "title": "tensorkiln recipe",
        "properties": header | schema["properties"],
        "required": ["schema"],
    }


def level_schema() -> dict[str, Any]:
    """The schema of the CPU levels in configs/targets."""
    schema = TargetLevel.model_json_schema()
    header = {"schema": {"const": SCHEMA_VERSION}, "kind": {"const": LEVEL_KIND}}
    return {
        "$schema": DIALECT,
        **schema,
        "title": "tensorkiln CPU level",
        "properties": header | schema["properties"],
        "required": [*header, *schema["required"]],
    }


def schema_files() -> dict[str, str]:
    """File name in configs/ -> its text."""
    schemas = {"recipe.schema.json": recipe_schema(), "target-level.schema.json": level_schema()}
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


def write(configs: Path) -> None:
    """Writes the schemas into a folder."""
    for name, text in schema_files().items():
        (configs / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2] / "configs")
