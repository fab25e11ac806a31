"""Recipes of a project with all that is shipped, and what is said of a bad one."""

import shutil
from pathlib import Path

import pytest

from pipeline.recipe import RecipeError, load_recipe

ROOT = Path(__file__).resolve().parents[2]
LLAMA = "schema: 1\nextends: llama-cpu.yaml\n"


def shipped(folder: Path) -> Path:
    """The folder as a project with the shipped configs and recipes."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return folder


def message(project: Path, text: str, *overrides: str) -> str:
    path = project / "recipes" / "my.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value) + "\n"
