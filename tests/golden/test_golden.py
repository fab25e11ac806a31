"""The compiler's texts at each step of two small functions, to be read and reviewed.

`pytest tests/golden --update-golden` writes them anew; the difference is part of the review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from passes.codegen.emit import emit_kernel
from passes.codegen.lower import LOWERING
from passes.fuse.fuse import FuseCalls
from passes.fuse.int8 import QuantiseActivations
from passes.fuse.pack import PackWeights
from passes.importers.storages import storage_of
from passes.ir.dtypes import F32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, TensorType, Weight
from passes.ir.graph.text import print_graph
from passes.ir.loop.nodes import Function
from passes.ir.loop.text import print_function
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.ir.weights import WeightEntry
from passes.ops import OPERATORS, apply
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target

HERE = Path(__file__).parent
N = Dim("n", 1, 64)
FEATURES = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni")
AVX512 = Target(512, 32, 32 << 10, 1 << 20, FEATURES)


def residual() -> Module:
    """x + norm(x) @ w, the weight in Q4_1."""
    storage = storage_of("Q4_1", 32, 32)
    weight = Weight("w", TensorType((index(32), index(32)), F32, storage))
    gain = Weight("g", TensorType((index(32),), F32))
    x = Input("x", TensorType((N, index(32)), F32))
    y = apply("add", x, apply("matmul", apply("rms_norm", x, gain, eps=1e-5), weight))
    graph = GraphFunction("residual", (N,), (x,), (("y", y),))
    entries = {w.name: WeightEntry(w.type, (w.name,)) for w in (weight, gain)}
    return Module({"residual": graph}, entries)


def fused() -> Module:
    module = residual()
    for one in (QuantiseActivations(), PackWeights(), FuseCalls()):
        module = one.run(module)
        module.verify(OPERATORS)
    return module


def kernel(stem: str) -> Function:
    """The one kernel of the fused function whose name begins so."""
    calls = [n for n in postorder(fused().graphs["residual"]) if isinstance(n, CallLoops)]
    (found,) = {call.function for call in calls if call.function.name.startswith(stem)}
    return found


def lowered(function: Function, last: str) -> Function:
    for name, step in LOWERING:
        function = step(function)
        if name == last:
            break
    return function


def scheduled(stem: str) -> Function:
    return default_schedule(kernel(stem), AVX512).function


TEXTS = {
    "1_graph.txt": lambda: print_graph(residual().graphs["residual"]),
    "2_fused.txt": lambda: print_graph(fused().graphs["residual"]),
    "3_product_loops.txt": lambda: print_function(kernel("matmul_q")),
    "4_product_scheduled.txt": lambda: print_function(scheduled("matmul_q")),
    "5_product_trace.txt": lambda: default_schedule(kernel("matmul_q"), AVX512).trace.as_python(),
    "6_norm_scheduled.txt": lambda: print_function(scheduled("rms_norm")),
    "7_norm_lowered.txt": lambda: print_function(lowered(scheduled("rms_norm"), "spmd")),
    "8_norm_llvm.txt": lambda: emit_kernel(lowered(scheduled("rms_norm"), "spmd")).text,
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, request: pytest.FixtureRequest) -> None:
    text = TEXTS[name]().rstrip() + "\n"
    path = HERE / name
    if request.config.getoption("--update-golden"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")
