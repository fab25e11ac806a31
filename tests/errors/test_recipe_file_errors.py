"""Recipes and files they extend that are not there, or not what they should be."""

from pathlib import Path

import pytest

from pipeline.recipe import RecipeError, find_recipe, load_recipe
from tests.errors.recipe_projects import LLAMA, message, shipped


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shipped(tmp_path)


def test_missing_file(project: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(project / "recipes" / "none.yaml")
    assert str(caught.value) == (
        "error: recipes/none.yaml does not exist\n"
        "cure: check the name and the folder it is looked up in"
    )


def test_unknown_recipe(project: Path) -> None:
    (project / "recipes" / "llama-cpu.lock.yaml").write_text("schema: 1\n")
    for other in (project / "recipes").glob("*.yaml"):
        if not other.name.startswith("llama-cpu"):
            other.unlink()
    with pytest.raises(RecipeError) as caught:
        find_recipe("llama-cup", project)
    assert str(caught.value) == (
        "error: no recipe `llama-cup` in recipes/\n"
        "cure: did you mean `llama-cpu`? (recipes: llama-cpu, llama-cpu-f32)"
    )


def test_missing_extends_hides_what_it_would_have_brought(project: Path) -> None:
    text = (
        "schema: 1\nextends: [llama-cpu.yaml, ../configs/models/smollm-135m.yaml]\ncompute: f16\n"
    )
    assert (
        message(project, text)
        == """\
recipes/my.yaml:2:27: error: there is no file configs/models/smollm-135m.yaml
   2 | extends: [llama-cpu.yaml, ../configs/models/smollm-135m.yaml]
     |                           ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
cure: did you mean `../configs/models/smollm2-135m.yaml`?

recipes/my.yaml:3:10: error: `compute` must be `int8` or `f32`, found the text "f16"
   3 | compute: f16
     |          ^~~
cure: write `int8` or `f32`
"""
    )


def test_cyclic_extends(project: Path) -> None:
    (project / "recipes" / "a.yaml").write_text("schema: 1\nextends: b.yaml\n")
    (project / "recipes" / "b.yaml").write_text("schema: 1\nextends: [llama-cpu.yaml, a.yaml]\n")
    assert (
        message(project, "schema: 1\nextends: a.yaml\n")
        == """\
recipes/b.yaml:2:27: error: `extends` goes in a circle: recipes/a.yaml -> recipes/b.yaml -> \
recipes/a.yaml
   2 | extends: [llama-cpu.yaml, a.yaml]
     |                           ^~~~~~
cure: remove one of these `extends`
"""
    )


def test_extends_outside_the_project(project: Path) -> None:
    assert (
        message(project, "schema: 1\nextends: ../../secret.yaml\n")
        == """\
recipes/my.yaml:2:10: error: `../../secret.yaml` is no path inside the project
   2 | extends: ../../secret.yaml
     |          ^~~~~~~~~~~~~~~~~
cure: write a path relative to this file, with `/` between folders
"""
    )


def test_an_error_in_a_file_that_is_extended(project: Path) -> None:
    (project / "configs" / "models" / "m.yaml").write_text(
        "schema: 1\nkind: model\nmodel: {source: pypi:llm#m.gguf}\ncompute: f32\n"
    )
    assert (
        message(project, LLAMA.replace("llama-cpu", "../configs/models/m"))
        == """\
configs/models/m.yaml:4:1: error: a building block of kind `model` may not fill `compute`
   4 | compute: f32
     | ^~~~~~~
cure: move it to the recipe

recipes/my.yaml:1:1: error: missing key `target`
   1 | schema: 1
     | ^~~~~~~~~
cure: add a section `target:` with `arch` and `levels`

configs/models/m.yaml:3:17: error: `model.source`: package `llm` is not pinned to one version
   3 | model: {source: pypi:llm#m.gguf}
     |                 ^~~~~~~~~~~~~~~
cure: write pypi:llm==VERSION#PATH with the exact version
"""
    )


def test_building_blocks_and_levels_are_no_recipes(project: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(project / "configs" / "models" / "smollm2-135m.yaml")
    assert (
        str(caught.value)
        == """\
configs/models/smollm2-135m.yaml:4:1: error: configs/models/smollm2-135m.yaml is a building \
block of kind `model`, no recipe
   4 | schema: 1
     | ^~~~~~~~~
cure: build a recipe that extends it"""
    )
    assert (
        message(project, "schema: 1\nextends: ../configs/targets/x86-64-v3.yaml\n")
        == """\
recipes/my.yaml:2:10: error: this file describes a CPU level, it is no building block
   2 | extends: ../configs/targets/x86-64-v3.yaml
     |          ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
cure: name the level in `target.levels` instead
"""
    )
    assert (
        message(project, "schema: 1\nkind: modle\n")
        == """\
recipes/my.yaml:2:7: error: unknown kind of building block: the text "modle"
   2 | kind: modle
     |       ^~~~~
cure: did you mean `model`? (kinds: generate, model, shapes, target, target-level, threads, \
tuning); a recipe has no `kind`
"""
    )


def test_misspelt_extends_hides_all_that_is_missing(project: Path) -> None:
    assert (
        message(project, "schema: 1\nextend: llama-cpu.yaml\n")
        == """\
recipes/my.yaml:2:1: error: unknown key `extend`
   2 | extend: llama-cpu.yaml
     | ^~~~~~
cure: did you mean `extends`?
"""
    )
