"""Tiny models through the six stages in this process, and calls of what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from passes.codegen.stage import run as run_codegen
from passes.fuse.stage import run as run_fuse
from passes.importers.stage import run as run_import
from passes.package.link import link
from passes.package.stage import run as run_package
from passes.search.stage import run as run_search
from passes.shape.stage import run as run_shape
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.target import load_level
from pipeline.runtime import Session
from pipeline.runtime import cpu as this_cpu

REPO = Path(__file__).resolve().parents[2]
STAGES = {
    "import": (run_import, ()),
    "shape": (run_shape, ("import",)),
    "fuse": (run_fuse, ("shape",)),
    "search": (run_search, ("fuse",)),
    "codegen": (run_codegen, ("search",)),
    "package": (run_package, ("codegen", "import")),
}
LEVELS = ("x86-64-v4-vnni", "x86-64-v4", "x86-64-v3")  # best first
Floats = np.ndarray


@dataclass(frozen=True)
class Request:
    """What a recipe would say."""

    compute: str = "f32"
    levels: tuple[str, ...] = LEVELS[-1:]
    new: int = 16
    capacity: int = 40
    entries: tuple[str, ...] = ("prefill", "decode", "score")
    tokens: int = 8
    layers: int | None = None


@cache
def level_facts(name: str) -> dict[str, Any]:
    report = Report()
    level = load_level(name, REPO, report)
    assert level is not None, report
    return level.facts()


def runs_here(level: str) -> bool:
    return set(level_facts(level)["cpu_flags"]) <= this_cpu.flags()


def best_level() -> str:
    """Of the levels described, the best that this machine can run."""
    return next(level for level in LEVELS if runs_here(level))


def run_stages(
    gguf: Path,
    folder: Path,
    request: Request,
    stages: Sequence[str] = tuple(STAGES),
    skip: Mapping[str, Path] | None = None,
) -> Path:
    """Runs `stages` below `folder`; gives the last one's folder. `skip` has others' outputs."""
    shapes = {
        "batch": {"min": 1, "max": 1},
        "new": {"min": 1, "max": request.new},
        "past": {"min": 0, "max": request.capacity},
    }
    options = {
        "layers": request.layers,
        "shapes": shapes,
        "entries": list(request.entries),
        "compute": request.compute,
        "threads": {"max": 4},
        "name": "tiny",
        "generate": {"tokens": request.tokens, "temperature": 0.0, "seed": 0},
    }
    target = {"arch": "x86-64", "levels": [level_facts(level) for level in request.levels]}
    made = dict(skip or {})
    for name in stages:
        run, needs = STAGES[name]
        out = made[name] = folder / name
        out.mkdir(parents=True)
        run(
            inputs={need: made[need] for need in needs},
            sources={"model": gguf} if name == "import" else {},
            options=options,
            target=target,
            out=out,
            progress=lambda done, text: None,
        )
    return made[stages[-1]]


def build(gguf: Path, folder: Path, request: Request) -> Path:
    """The folder of a package that is linked where this machine has a linker."""
    package = run_stages(gguf, folder, request)
    link(package)
    return package


def score(session: Session, tokens: Sequence[int]) -> Floats:
    """Appends the tokens; every position's logits."""
    return session.call("score", tokens=np.array([tokens], np.int32))["logits"][0]


def last(session: Session, tokens: Sequence[int], entry: str = "prefill") -> Floats:
    """Appends the tokens; the last one's logits."""
    return session.call(entry, tokens=np.array([tokens], np.int32))["logits"][0]


def error(got: Floats, want: Floats) -> float:
    """The relative L2 error of the worst row."""
    got, want = np.atleast_2d(got), np.atleast_2d(want)
    assert got.shape == want.shape
    return float((np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1)).max())
