"""CPU levels: order, facts, and what `native` becomes."""

import json
import platform
from pathlib import Path

import pytest

from passes.schedule.intrinsics import INTRINSICS
from passes.search.defaults.target import Target
from pipeline.recipe import HostCpu, RecipeError, load_recipe, resolve_levels
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.native import _flags_of_llvm, detect_host, flags_of
from pipeline.recipe.target import X86_FEATURES, level_names, load_level

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipes" / "llama-cpu.yaml"
V3 = "cmov cx8 fxsr mmx sse sse2 cx16 popcnt lahf_lm pni sse4_1 sse4_2 ssse3 " \
     "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"  # fmt: skip
V4 = V3 + " avx512bw avx512cd avx512dq avx512f avx512vl"
DOTS = {"dot4_u8_i8", "dot4_u8_i8_x16", "dot4_u8_i8_x8"}


def native(flags: str, **caches: int) -> dict[str, object]:
    loaded = load_recipe(RECIPE, ["target.levels=native"])
    host = HostCpu(flags_of(f"processor\t: 0\nflags\t\t: fpu {flags} nx\n"), **caches)
    (level,) = resolve_levels(loaded, host)
    return level.facts()


def test_best_level_first_whatever_the_recipe_says() -> None:
    orders = ["[x86-64-v3, x86-64-v4-vnni, x86-64-v4]", "[x86-64-v4, x86-64-v4-vnni, x86-64-v3]"]
    for order in orders:
        loaded = load_recipe(RECIPE, [f"target.levels={order}"])
        names = [level.name for level in resolve_levels(loaded)]
        assert names == ["x86-64-v4-vnni", "x86-64-v4", "x86-64-v3"]


def test_facts_are_json_and_complete() -> None:
    best = resolve_levels(load_recipe(RECIPE))[0].facts()
    assert json.loads(json.dumps(best)) == best
    assert {k: v for k, v in best.items() if not isinstance(v, list)} == {
        "name": "x86-64-v4-vnni",
        "arch": "x86-64",
        "triple": "x86_64-unknown-linux-gnu",
        "cpu": "x86-64-v4",
        "vector_bits": 512,
        "vector_registers": 32,
        "l1d_bytes": 32768,
        "l2_bytes": 1048576,
        "cache_line_bytes": 64,
        "llvm_features": ",".join(f"+{name}" for name in best["features"]),
    }
    assert best["cpu_flags"] == sorted([*V4.split(), "avx512_vnni"])


def test_native_on_avx2_keeps_the_level_and_adds_what_the_cpu_has() -> None:
    facts = native(V3 + " avx_vnni vaes aes", l1d_bytes=49152, l2_bytes=1310720)
    assert (facts["name"], facts["cpu"], facts["vector_bits"]) == ("native", "x86-64-v3", 256)
    assert facts["cpu_flags"] == sorted([*V3.split(), "aes", "avx_vnni", "vaes"])
    assert "dot4_u8_i8" in facts["intrinsics"]  # type: ignore[operator]
    assert (facts["l1d_bytes"], facts["l2_bytes"]) == (49152, 1310720)


def test_native_on_avx512_with_and_without_dot_products() -> None:
    without, having = native(V4), native(V4 + " avx512_vnni avx512_bf16")
    assert (without["cpu"], without["vector_bits"]) == ("x86-64-v4", 512)
    assert "avx512bf16" in having["features"]  # type: ignore[operator]
    of_256_bits = native(V4 + " avx_vnni")
    dots = [set(facts["intrinsics"]) & DOTS for facts in (without, having, of_256_bits)]  # type: ignore[call-overload]
    assert dots == [set(), DOTS, {"dot4_u8_i8_x8"}]


def test_native_needs_at_least_the_lowest_level() -> None:
    with pytest.raises(RecipeError) as caught:
        native(V3.replace(" fma", "").replace(" avx2", ""))
    assert str(caught.value) == (
        "override `target.levels=native`: error: this CPU is below x86-64-v3, "
        "it lacks avx2, fma\n"
        "   1 | target.levels=native\n"
        "     |               ^~~~~~\n"
        "cure: name levels of configs/targets instead of `native`"
    )


@pytest.mark.skipif(platform.machine() != "x86_64", reason="describes x86-64 CPUs")
def test_this_machine_is_detected_the_same_way_by_kernel_and_llvm() -> None:
    flags = detect_host().flags
    assert {"sse2", "cmov"} <= flags
    assert flags & set(X86_FEATURES.values()) <= _flags_of_llvm()


LEVEL = (ROOT / "configs" / "targets" / "x86-64-v4-vnni.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema: 1", "schema: 1\nhas_vnni: true", "unknown key `has_vnni`"),
        ("avx512f, ", "", "vectors of 512 bits need avx512f"),
        ("avx512vnni", "avx512vni", "did you mean `avx512vnni`?"),
        ("name: x86-64-v4-vnni", "name: other", "the level is named `other`, its file `l.yaml`"),
        (
            "kind: target-level",
            "kind: model",
            "a file of configs/targets must describe a CPU level",
        ),
        ("vector_bits: 512", "vectorbits: 512", "did you mean `vector_bits`?"),
        ("cpu: x86-64-v4\n", "cpu: znver9\n", "`cpu` must be `x86-64`, `x86-64-v2`"),
    ],
)
def test_wrong_level_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = tmp_path / "configs" / "targets"
    folder.mkdir(parents=True)
    assert old in LEVEL
    (folder / "l.yaml").write_text(LEVEL.replace(old, new))
    report = Report()
    assert load_level("l", tmp_path, report) is None
    with pytest.raises(RecipeError) as caught:
        report.raise_errors()
    assert message in str(caught.value)


def test_features_give_the_intrinsics() -> None:
    for name in level_names(ROOT):
        level = load_level(name, ROOT, Report())
        assert level is not None
        assert level.facts()["intrinsics"] == list(level.intrinsics)
        assert Target.of(level.facts()).intrinsics == tuple(
            [INTRINSICS[one] for one in level.intrinsics]
        )
    assert "dot2_bf16_x16" in native(V4 + " avx512_vnni avx512_bf16")["intrinsics"]  # type: ignore[operator]
    assert "dot2_bf16_x16" not in native(V4 + " avx512_vnni")["intrinsics"]  # type: ignore[operator]
