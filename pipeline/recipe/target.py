"""A CPU level: the facts about a class of machines that code is generated for.

`configs/targets/<level>.yaml` describes one. Features are LLVM's names; the flags that a CPU must
show in /proc/cpuinfo follow from them. Stages see `facts()`, which goes into their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from passes.schedule.instructions import available
from pipeline.recipe.compose import LEVEL_KIND, check_schema_version, label_of, read_map
from pipeline.recipe.diagnostics import Phase, Report, Span, name_cure, shown
from pipeline.recipe.schema import LEVEL_NAME, Section, wrong
from pipeline.recipe.tree import Map, Scalar
from pipeline.recipe.validate import check

TARGETS = Path("configs") / "targets"

# LLVM's name of a feature -> the kernel's name in /proc/cpuinfo. LLVM only warns about a feature
# that it does not know, and kills nothing but speed, so a level may name no other than these.
X86_FEATURES: Mapping[str, str] = {
    "adx": "adx", "aes": "aes", "avx": "avx", "avx2": "avx2",
    "avx512bf16": "avx512_bf16", "avx512bitalg": "avx512_bitalg", "avx512bw": "avx512bw",
    "avx512cd": "avx512cd", "avx512dq": "avx512dq", "avx512f": "avx512f",
    "avx512fp16": "avx512_fp16", "avx512ifma": "avx512ifma", "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2", "avx512vl": "avx512vl", "avx512vnni": "avx512_vnni",
    "avx512vpopcntdq": "avx512_vpopcntdq", "avxvnni": "avx_vnni", "bmi": "bmi1", "bmi2": "bmi2",
    "cmov": "cmov", "cx16": "cx16", "cx8": "cx8", "f16c": "f16c", "fma": "fma", "fxsr": "fxsr",
    "gfni": "gfni", "lzcnt": "abm", "mmx": "mmx", "movbe": "movbe", "pclmul": "pclmulqdq",
    "popcnt": "popcnt", "sahf": "lahf_lm", "sse": "sse", "sse2": "sse2", "sse3": "pni",
    "sse4.1": "sse4_1", "sse4.2": "sse4_2", "ssse3": "ssse3", "vaes": "vaes",
    "vpclmulqdq": "vpclmulqdq", "xsave": "xsave",
}  # fmt: skip


def _check_feature(name: str) -> str:
    if name not in X86_FEATURES:
        raise wrong(
            f"unknown CPU feature `{shown(name)}`",
            name_cure(name, X86_FEATURES, "LLVM's names of the features known here"),
        )
    return name


def _sorted_set(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


Feature = Annotated[str, AfterValidator(_check_feature)]


class TargetLevel(Section):
    """One CPU level; `features` is complete: nothing is left to what `cpu` implies."""

    name: Annotated[str, Field(pattern=LEVEL_NAME)]
    arch: Literal["x86-64"]
    triple: Literal["x86_64-unknown-linux-gnu"]
    cpu: Literal["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"] = Field(
        description="LLVM's CPU: its scheduling model, and no feature that is not in `features`."
    )
    features: Annotated[
        tuple[Feature, ...], Field(strict=False, min_length=1), AfterValidator(_sorted_set)
    ]
    vector_bits: Literal[128, 256, 512] = Field(description="Width that kernels should use.")
    vector_registers: Literal[16, 32]
    l1d_bytes: Annotated[int, Field(ge=4096, le=1 << 24)] = Field(description="Per core.")
    l2_bytes: Annotated[int, Field(ge=4096, le=1 << 30)] = Field(description="Per core.")
    cache_line_bytes: Literal[32, 64, 128]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        has = set(self.features)
        if self.vector_bits == 512 and "avx512f" not in has:
            raise wrong("vectors of 512 bits need avx512f", "add it to `features`", "vector_bits")
        if self.vector_registers == 32 and not {"avx512f", "avx512vl"} <= has:
            raise wrong(
                "32 vector registers need avx512f and avx512vl",
                "add them to `features`",
                "vector_registers",
            )
        return self

    @property
    def intrinsics(self) -> tuple[str, ...]:
        """The tensor intrinsics that schedules may use: those that the features give."""
        return available(self.arch, self.features, self.vector_bits)

    @property
    def cpu_flags(self) -> tuple[str, ...]:
        """What a CPU must show in /proc/cpuinfo to run this level's code."""
        return tuple(sorted(X86_FEATURES[name] for name in self.features))

    @property
    def llvm_features(self) -> str:
        """The features as LLVM's target machine takes them."""
        return ",".join(f"+{name}" for name in self.features)

    def facts(self) -> dict[str, Any]:
        """The level as JSON-able data, for stages and their keys."""
        return {
            **self.model_dump(mode="json"),
            "intrinsics": list(self.intrinsics),
            "cpu_flags": list(self.cpu_flags),
            "llvm_features": self.llvm_features,
        }


def level_names(root: Path) -> list[str]:
    """The levels that the project describes."""
    return sorted(path.stem for path in (root / TARGETS).glob("*.yaml"))


def load_level(name: str, root: Path, report: Report) -> TargetLevel | None:
    """The level of that name, None if its file has errors; they go to `report`."""
    path = root / TARGETS / f"{name}.yaml"
    tree = read_map(path, label_of(path, root), report, None)
    if tree is None or not check_schema_version(tree, report):
        return None
    kind = tree.entries.get("kind")
    if kind is None or not isinstance(kind.value, Scalar) or kind.value.value != LEVEL_KIND:
        report.add(
            Phase.HEADER,
            tree.span if kind is None else kind.key_span,
            f"a file of {TARGETS.as_posix()} must describe a CPU level",
            f"write `kind: {LEVEL_KIND}`",
        )
        return None
    header = ("schema", "kind")
    body = Map({k: e for k, e in tree.entries.items() if k not in header}, tree.span)
    level = check(TargetLevel, body, report, header=header)
    if level is not None and level.name != name:
        _wrong_name(level, name, body.entries["name"].value.span, report)
        return None
    return level


def _wrong_name(level: TargetLevel, name: str, span: Span, report: Report) -> None:
    report.add(
        Phase.MEANING,
        span,
        f"the level is named `{level.name}`, its file `{name}.yaml`",
        "give both one name",
    )
