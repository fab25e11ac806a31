"""Default schedules: every kernel of a model, on every CPU level, means what it meant before."""

from __future__ import annotations

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
LEVELS = {
    "avx2": Target(256, 16, 32768, 262144, False),
    "avx512": Target(512, 32, 32768, 1048576, False),
    "vnni": Target(512, 32, 32768, 1048576, True),
}


@pytest.fixture(scope="module", params=sorted(CHAINS))
def fused(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Module, Weights, np.ndarray]:
    module, weights = imported(tmp_path_factory.mktemp("tiny"))
    for name in CHAINS[request.param]:
        module = load("passes", name)().run(module)
    return module, weights, logits(module, weights, CHUNKS)


def kernels(module: Module) -> list[Function]:
    calls = [n for g in module.graphs.values() for n in postorder(g) if isinstance(n, CallLoops)]
    return list(dict.fromkeys(call.function for call in calls))


@pytest.mark.parametrize("level", LEVELS)
def test_meaning_is_kept(fused: tuple[Module, Weights, np.ndarray], level: str) -> None:
    module, weights, want = fused
    made = scheduled(module, LEVELS[level])
    made.verify(OPERATORS)
    got = logits(made, weights, CHUNKS)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5
    kinds = {n.kind for f in kernels(made) for n in postorder(f.body) if isinstance(n, For)}
    assert {"parallel", "vectorized"} <= kinds
