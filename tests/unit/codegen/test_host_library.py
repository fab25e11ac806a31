"""Whole libraries: graph → native code, called as a package's runtime would."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from passes.codegen.abi import library_text, manifest_facts, plan_library
from passes.ops import OPERATORS
from tests.unit.codegen.host_graphs import (
    CAPACITY,
    VOCABULARY,
    WIDTH,
    expected,
    kernels_of,
    small_model,
    weights,
)
from tests.unit.codegen.host_native import Native


@pytest.fixture(scope="module")
def native() -> Native:
    graphs = [kernels_of(small_model()), kernels_of(small_model("decode", 1))]
    return Native(plan_library(graphs, OPERATORS), weights())


def run(native: Native, context: int, tokens: np.ndarray, past: int) -> np.ndarray:
    n = tokens.shape[1]
    out = np.full((n, WIDTH), np.nan, np.float32)
    entry, dims = ("decode", [past]) if n == 1 else ("prefill", [n, past])
    assert native.call(context, entry, dims, tokens, out) == 0
    return out


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_computes_what_the_graph_means(native: Native, threads: int) -> None:
    rng = np.random.default_rng(threads)
    context = native.create(threads)
    state, past = {}, 0
    for n in (5, 1, 1, 7, 1, 1):
        tokens = rng.integers(0, VOCABULARY, (1, n)).astype(np.int32)
        wanted, state = expected(small_model(), {"tokens": tokens}, {"n": n, "m": past}, state)
        np.testing.assert_allclose(
            run(native, context, tokens, past), wanted["out"], rtol=1e-4, atol=1e-5
        )
        past += n
    native.destroy(context)


def test_refuses_dims_that_break_its_promises(native: Native) -> None:
    facts = manifest_facts(native.library, threads=64)
    context = native.create(2)
    tokens, out = np.zeros((1, 16), np.int32), np.zeros((16, WIDTH), np.float32)
    for entry, dims, message in (
        ("prefill", [0, 0], "n = {n} is outside 1..12, the bounds that the package was built for"),
        ("prefill", [-(2**63), 0], "n = {n} is outside 1..12"),
        ("prefill", [1, 16], "m = {m} is outside 0..15"),
        ("prefill", [12, 5], "m = {m}, n = {n}: m + n <= 16 does not hold"),
        ("decode", [-1], "m = {m} is outside 0..15"),
    ):
        code = native.call(context, entry, dims, tokens, out)
        assert facts["errors"][str(code)].startswith(message)
    assert native.call(context, "prefill", [12, 4], tokens, out) == 0
    native.destroy(context)


def test_contexts_are_independent(native: Native) -> None:
    results: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        context = native.create(1 + number % 3)
        tokens = np.full((1, 4), number, np.int32)
        for _ in range(50):
            results[number] = run(native, context, tokens, 0)
        native.destroy(context)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, found in results.items():
        tokens = np.full((1, 4), number, np.int32)
        wanted, _ = expected(small_model(), {"tokens": tokens}, {"n": 4, "m": 0}, {})
        np.testing.assert_allclose(found, wanted["out"], rtol=1e-4, atol=1e-5)


def test_facts_for_the_manifest(native: Native) -> None:
    library = native.library
    facts = manifest_facts(library, threads=64)
    assert facts["dims"] == {"n": [1, 12], "m": [0, CAPACITY - 1]}
    assert facts["entries"]["prefill"] == {
        "symbol": "tk_prefill",
        "dims": ["n", "m"],
        "inputs": [
            {"name": "tokens", "dtype": "i32", "shape": ["1", "n"], "values": [0, VOCABULARY - 1]}
        ],
        "outputs": [{"name": "out", "dtype": "f32", "shape": ["n", "8"]}],
    }
    assert facts["entries"]["decode"]["inputs"][0]["shape"] == ["1", "1"]
    assert facts["memory"]["state_bytes"] == CAPACITY * WIDTH * 4
    assert library.weights.offsets == {"table": 0, "mix.weight": VOCABULARY * WIDTH * 4}


def test_equal_libraries_have_equal_text() -> None:
    texts = [library_text(plan_library([kernels_of(small_model())], OPERATORS)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert str(Path.cwd()) not in texts[0]
