"""Materials and their differences; what each stage of a recipe gets."""

from pathlib import Path

from pipeline.recipe import load_recipe
from pipeline.stages.keys import differences
from pipeline.stages.recipe_stages import stages_of

REPO = Path(__file__).resolve().parents[3]


def test_differences_name_the_field() -> None:
    digest = "b3:" + "a" * 64
    old = {"code": {"a": "1", "b": "2"}, "options": {"x": {"y": 1}, "z": [1, 2]}, "python": "3"}
    new = {
        "code": {"a": "1", "b": "3", "c": "1", "d": "1", "e": "1"},
        "options": {"x": {"y": 2}, "z": [1]},
        "inputs": {"shape": digest},
        "python": "3",
    }
    assert differences(old, new) == [
        "code: b, c, d and 1 more changed",
        "inputs.shape: nothing -> b3:aaaaaaaaaaaa",
        "options.x.y: 1 -> 2",
        "options.z: [1, 2] -> [1]",
    ]
    assert differences(old, old) == []


def changed(*overrides: str) -> list[str]:
    """The stages that see an override."""
    path = REPO / "recipes" / "llama-cpu.yaml"
    before = stages_of(load_recipe(path))
    after = stages_of(load_recipe(path, overrides))
    return [a.name for a, b in zip(after, before, strict=True) if a != b]


def test_each_stage_gets_no_more_than_it_needs() -> None:
    assert changed("model.layers=2") == ["import"]
    assert changed("model.source=file:x.gguf") == ["import"]
    assert changed("shapes.past.max=2048") == ["shape", "package"]
    assert changed("entries=[decode]") == ["shape"]
    assert changed("compute=f32") == ["fuse"]
    assert changed("threads.max=2") == ["codegen", "package"]
    assert changed("generate.tokens=2") == ["package"]
    assert changed("target.levels=[x86-64-v3]") == ["fuse", "search", "codegen", "package"]
