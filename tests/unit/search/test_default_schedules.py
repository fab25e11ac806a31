"""Default schedules: every kernel of a model, on every CPU level, means what it meant before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from passes.fuse.stage import CHAINS
from passes.ir.graph.nodes import CallLoops
from passes.ir.loop.nodes import For, Function
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.ir.weights import Weights
from passes.ops import OPERATORS
from passes.plugins import load
from passes.search.defaults.target import Target
from passes.search.stage import scheduled
from tests.unit.tiny_modules import imported, logits

CHUNKS = [[5, 17, 80, 250, 260, 3, 9, 31, 77], [3], [1, 2, 0]]
AVX512 = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl")
LEVELS = {
    "avx2": Target(256, 16, 32768, 262144, ("avx2", "fma")),
    "avx512": Target(512, 32, 32768, 1048576, AVX512),
    "vnni": Target(512, 32, 32768, 1048576, (*AVX512, "avx512vnni")),
}


# The two that differ in everything; the others take as long again.
QUICK = {("f32", "avx2"), ("int8", "vnni")}


@pytest.fixture(scope="module")
def fused(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Module, Weights, np.ndarray]]:
    """compute → the fused module, its weights, its logits."""

    @cache
    def made(compute: str) -> tuple[Module, Weights, np.ndarray]:
        module, weights = imported(tmp_path_factory.mktemp(compute))
        for name in CHAINS[compute]:
            module = load("passes", name)().run(module)
        return module, weights, logits(module, weights, CHUNKS)

    return made


def kernels(module: Module) -> list[Function]:
    calls = [n for g in module.graphs.values() for n in postorder(g) if isinstance(n, CallLoops)]
    return list(dict.fromkeys(call.function for call in calls))


@pytest.mark.parametrize(
    ("compute", "level"),
    [
        pytest.param(c, level, marks=() if (c, level) in QUICK else pytest.mark.slow)
        for c in sorted(CHAINS)
        for level in LEVELS
    ],
)
def test_meaning_is_kept(
    fused: Callable[[str], tuple[Module, Weights, np.ndarray]], compute: str, level: str
) -> None:
    module, weights, want = fused(compute)
    made = scheduled(module, LEVELS[level])
    made.verify(OPERATORS)
    got = logits(made, weights, CHUNKS)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5
    kinds = {n.kind for f in kernels(made) for n in postorder(f.body) if isinstance(n, For)}
    assert {"parallel", "vectorized"} <= kinds
