"""Each peer computes what the case means, where it is installed: `pytest -m slow`.

TENSORKILN_PEER_PYTHON names a Python that has the peers, if this one does not.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bench.engine import BenchError
from pipeline.workloads.arrays import write_array
from pipeline.workloads.peers import PEERS, peers_of, versions
from pipeline.workloads.reference import expected, inputs_of, max_error, tolerance
from pipeline.workloads.schema import Case

PYTHON = os.environ.get("TENSORKILN_PEER_PYTHON", sys.executable)
CONV = {"x": "f32[2, 9, 8, 6]", "w": "f32[3, 3, 6, 4]"}
CASES: dict[str, dict[str, Any]] = {
    "product": {
        "operator": "contract", "attributes": {"equation": "mk,kn->mn"},
        "inputs": {"a": "f32[5, 8]", "b": "f32[8, 7]"},
    },
    "turned": {
        "operator": "contract", "attributes": {"equation": "km,nk->nm"},
        "inputs": {"a": "f32[8, 5]", "b": "f32[7, 8]"}, "constant": ["b"],
    },
    "heads": {
        "operator": "contract", "attributes": {"equation": "bmhd,bnhd->bhmn"},
        "inputs": {"a": "f32[2, 5, 3, 8]", "b": "f32[2, 7, 3, 8]"},
    },
    "bytes": {
        "operator": "contract", "attributes": {"equation": "mk,kn->mn"},
        "inputs": {"a": "i8[32, 64]", "b": "i8[64, 32]"},
    },
    "bf16": {
        "operator": "contract", "attributes": {"equation": "mk,kn->mn"},
        "inputs": {"a": "bf16[32, 64]", "b": "bf16[64, 32]", "c": "f32[32]"},
        "epilogue": [{"operator": "add", "with": ["c"]}],
    },
    "half": {"operator": "matmul", "inputs": {"x": "f32[5, 8]", "w": "f16[7, 8]"}},
    "linear": {"operator": "matmul", "inputs": {"x": "f32[5, 8]", "w": "f32[7, 8]"}},
    "conv": {
        "operator": "conv", "inputs": CONV, "constant": ["w"],
        "attributes": {"stride": [2, 1], "padding": [1, [0, 2]], "dilation": [1, 2]},
    },
    "conv_groups": {
        "operator": "conv", "inputs": CONV | {"w": "f32[3, 3, 2, 9]"},
        "attributes": {"groups": 3, "padding": [1, 1]},
    },
    "conv_first": {
        "operator": "conv", "inputs": {"x": "f32[2, 6, 9]", "w": "f32[4, 6, 3]"},
        "attributes": {"layout": "first", "stride": [2]},
    },
    "conv_3d": {
        "operator": "conv", "inputs": {"x": "f32[1, 5, 6, 7, 3]", "w": "f32[2, 2, 3, 3, 4]"},
    },
    "transposed": {
        "operator": "conv_transposed", "inputs": CONV,
        "attributes": {"stride": [2, 3], "padding": [1, 1], "surplus": [1, 0]},
    },
    "transposed_uneven": {
        "operator": "conv_transposed", "inputs": CONV,
        "attributes": {"stride": [2, 2], "padding": [[1, 0], 1]},
    },
    "capsule_conv": {
        "operator": "capsule_conv",
        "inputs": {"x": "f32[2, 7, 6, 4, 3, 5]", "w": "f32[3, 2, 3, 2, 5, 6]"},
        "attributes": {"stride": [2, 1], "padding": [1, [0, 1]]},
    },
    "epilogue": {
        "operator": "conv", "inputs": CONV | {"scale": "f32[4]", "shift": "f32[4]"},
        "epilogue": [
            {"operator": "mul", "with": ["scale"]}, {"operator": "add", "with": ["shift"]},
            {"operator": "relu"},
        ],
    },
    "max_pool": {
        "operator": "max_pool", "inputs": {"x": "f32[2, 9, 8, 6]"},
        "attributes": {"window": [3, 2], "stride": [2, 2], "padding": [1, 1]},
    },
    "max_pool_uneven": {
        "operator": "max_pool", "inputs": {"x": "f32[2, 9, 8, 6]"},
        "attributes": {"window": [3, 2], "padding": [[0, 1], [1, 0]]},
    },
    "avg_pool": {
        "operator": "avg_pool", "inputs": {"x": "f32[2, 9, 8, 6]"},
        "attributes": {"window": [2, 2], "padding": [1, 1]},
    },
    "softmax": {"operator": "softmax", "inputs": {"x": "f32[5, 9]"}},
    "layer_norm": {
        "operator": "layer_norm", "attributes": {"eps": 1e-5},
        "inputs": {"x": "f32[5, 9]", "w": "f32[9]", "b": "f32[9]"},
    },
    "rms_norm": {
        "operator": "rms_norm", "attributes": {"eps": 1e-5},
        "inputs": {"x": "f32[5, 9]", "w": "f32[9]"},
    },
    "l2_norm": {"operator": "l2_norm", "inputs": {"x": "f32[2, 5, 9]"}},
    "gather": {
        "operator": "gather", "inputs": {"t": "f32[100, 8]", "ids": "i32[5]"},
    },
    "scatter_add": {
        "operator": "scatter_add",
        "inputs": {"t": "f32[100, 8]", "ids": "i32[50]", "x": "f32[50, 8]"},
    },
    "quantise_blocks": {
        "operator": "quantise_blocks", "inputs": {"x": "f32[5, 128]"}, "attributes": {"sums": 64},
    },
    "elements": {
        "operator": "exp", "inputs": {"x": "f32[5, 9]"},
        "epilogue": [{"operator": name} for name in ("log", "neg", "sin", "cos", "tanh")],
    },
    "largest": {
        "operator": "reduce_max", "inputs": {"x": "f32[5, 9]"},
        "attributes": {"axis": 1, "keep": True},
    },
    "concat": {"operator": "concat", "inputs": {"x": "f32[5, 9]", "y": "f32[2, 9]"}},
    "attention": {
        "operator": "attention", "attributes": {"scale": 0.25}, "values": {"past": [6, 6]},
        "inputs": {
            "q": "f32[1, 3, 4, 8]", "keys": "f16[1, 16, 2, 8]", "values": "f16[1, 16, 2, 8]",
            "past": "i32[1]",
        },
    },
}  # fmt: skip
UNTOLD = {
    "torch": {"transposed_uneven"},
    "onnxruntime": {
        "bf16", "capsule_conv", "rms_norm", "scatter_add", "quantise_blocks", "largest", "concat",
        "attention",
    },
    "openvino": {
        "capsule_conv", "rms_norm", "scatter_add", "quantise_blocks", "largest", "concat",
        "attention", "bytes",
    },
    "tvm": {
        "attention", "avg_pool", "bf16", "bytes", "concat", "gather", "half", "largest", "max_pool",
        "max_pool_uneven", "quantise_blocks", "scatter_add",
    },
}  # fmt: skip


@cache
def lacking(engine: str) -> str | None:
    """Why an engine cannot be asked."""
    try:
        versions([engine], PYTHON)
    except BenchError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("engine", PEERS)
def test_peers_compute_the_case(tmp_path: Path, engine: str, name: str) -> None:
    if (missing := lacking(engine)) is not None:
        pytest.skip(missing)
    case = Case.model_validate({"name": name, **CASES[name]}).data()
    paths = {}
    for key, array in inputs_of(case, {}).items():
        paths[key] = str(tmp_path / f"{key}.npy")
        write_array(paths[key], array)
    wanted = list(expected(case, {}).values())
    for peer in peers_of([engine], PYTHON, tvm_trials=1):
        with peer.start() as worker:
            try:
                facts = worker.ask(
                    "load", case=case, threads=1, inputs=paths, sizes={}, **peer.options
                )
            except BenchError:
                assert name in UNTOLD.get(engine, ())
                continue
            if facts["setting"] is None:
                continue
            assert worker.ask("run", count=2) > 0
            results = [str(tmp_path / f"out{number}.npy") for number in range(len(wanted))]
            types = worker.ask("results", paths=results)
            assert types[0] == ("bf16" if name == "bf16" else "f32")
            for result, array, type_ in zip(results, wanted, types, strict=True):
                allowed = tolerance(case, array, type_)
                assert max_error(np.load(result), array) <= (1e-5 if allowed == 1e-4 else allowed)
