"""Every pass of the fuse stage: the module means what it meant before."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from passes.chain import Pass
from passes.fuse.pack import PackedSource, PackWeights
from passes.fuse.pad import PadProducts
from passes.fuse.panel import FORMATS
from passes.fuse.stage import CHAINS
from passes.ir.expr_text import print_expr
from passes.ir.graph.nodes import Apply, CallLoops, Weight
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.ir.quantised import QuantisedArray
from passes.ir.weights import Weights
from passes.ops import OPERATORS
from passes.plugins import load
from tests.reference.tiny_gguf import TinyLlama
from tests.unit.tiny_modules import imported, logits

CHUNKS = [[5, 17, 80, 250, 260], [3], [1, 2, 0, 99, 100, 101], [44]]
# How far logits may move, relative; a pass that is not named here changes the order of sums at
# most. Caches lose little in half precision, but activations after them, which are rounded to
# eight bits, may round to the other side.
APPROXIMATE = {"quantise_activations": 4e-2, "half_caches": 2e-2}
REORDERED = 1e-5
# Passes that only move elements: not one bit of the logits may change.
SAME_BITS = {"state_layout"}


def chain(compute: str) -> list[Pass]:
    return [load("passes", name)() for name in CHAINS[compute]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Weights]:
    return imported(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", params=sorted(CHAINS))
def steps(
    request: pytest.FixtureRequest, source: tuple[Module, Weights]
) -> list[tuple[str, Module, np.ndarray]]:
    """(pass, module after it, its logits), the shaped module first."""
    module, weights = source
    made = [("", module, logits(module, weights, CHUNKS))]
    for one in chain(request.param):
        module = one.run(module)
        module.verify(OPERATORS)
        made.append((one.name, module, logits(module, weights, CHUNKS)))
    return made


def test_meaning_is_kept(steps: list[tuple[str, Module, np.ndarray]]) -> None:
    for (_, _, before), (name, _, after) in pairwise(steps):
        change = np.linalg.norm(after - before) / np.linalg.norm(before)
        assert change < APPROXIMATE.get(name, REORDERED), name
        if name in SAME_BITS:
            assert np.array_equal(after, before), name


@pytest.mark.parametrize("form", FORMATS)
def test_packed_weights_have_the_same_values(tmp_path: Path, form: str) -> None:
    """Bit for bit, whole panels or not."""
    model = TinyLlama(layers=1, dim=256, heads=4, kv_heads=2, ffn=256, vocab=300, types=form)
    module, weights = imported(tmp_path, model)
    packed = PackWeights().run(module)
    source = PackedSource(weights, packed.weights)
    moved = 0
    for name, entry in packed.weights.items():
        before, after = weights.operand(module.weights[name]), source(Weight(name, entry.type))
        if isinstance(after, QuantisedArray):
            assert isinstance(before, QuantisedArray) and before.storage is not after.storage
            assert np.array_equal(before.values, after.values), name
            moved += 1
        else:
            assert before is after
    assert moved == 8


def test_approximate_passes_do_something(steps: list[tuple[str, Module, np.ndarray]]) -> None:
    for (_, _, before), (name, _, after) in pairwise(steps):
        if name in APPROXIMATE:
            assert not np.array_equal(after, before), name


def test_everything_is_a_kernel_in_the_end(steps: list[tuple[str, Module, np.ndarray]]) -> None:
    _, module, _ = steps[-1]
    for graph in module.graphs.values():
        operations = [n for n in postorder(graph) if isinstance(n, Apply | CallLoops)]
        assert {n.op for n in operations if isinstance(n, Apply)} <= {"reshape"}
        assert sum(isinstance(n, CallLoops) for n in operations) < 16


def test_products_fill_whole_panels(source: tuple[Module, Weights]) -> None:
    """300 tokens are not whole panels of 16: their rows are padded, and cut off again."""
    module = PadProducts().run(source[0])
    module.verify(OPERATORS)
    entry = module.weights["token_embd.weight"]
    assert print_expr(entry.type.shape[0]) == "304"
    calls = [n for n in postorder(module.graphs["decode"]) if isinstance(n, Apply)]
    (looked_up,) = [call for call in calls if call.op == "gather"]
    assert looked_up.attr("rows") == 300
    products = [call for call in calls if call.op == "matmul"]
    assert all(int(print_expr(call.type.shape[1])) % 16 == 0 for call in products)
    results = dict(module.graphs["decode"].results)
    assert print_expr(results["logits"].type.shape[1]) == "300"


@pytest.mark.parametrize("compute", sorted(CHAINS))
def test_the_same_module_again(compute: str, source: tuple[Module, Weights]) -> None:
    """Passes are pure: their input stays, and running again gives equal nodes."""
    module, _ = source
    texts = []
    for _ in range(2):
        made = module
        for one in chain(compute):
            made = one.run(made)
        texts.append({name: graph.digest for name, graph in made.graphs.items()})
    assert texts[0] == texts[1]


def test_passes_are_plain_data() -> None:
    for name in {name for names in CHAINS.values() for name in names}:
        one = load("passes", name)()
        assert one.name == name and isinstance(one.version, int)
        assert is_dataclass(one) and type(one).__dataclass_params__.frozen  # type: ignore
        assert all(isinstance(getattr(one, f.name), int | str | bool) for f in fields(one))
