"""The worker that runs a case in ONNX Runtime or OpenVINO: `-m pipeline.workloads.peer_onnx`.

It runs under an interpreter that has numpy, onnx and the engine, and need not have anything else
of ours. Both engines are given the same model, of fixed shapes, constants inside.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.bench.channel import serve
from pipeline.workloads.arrays import read_array, write_array
from pipeline.workloads.peer_model import Model, build

Call = Callable[[], Any]


class Onnx:
    """One case, its arrays in place, called over and over."""

    def version(self, engine: str) -> str:
        """The version of the engine; a refusal where it or onnx is not installed."""
        importlib.import_module("onnx")
        return str(importlib.import_module(engine).__version__)

    def load(
        self,
        case: Mapping[str, Any],
        threads: int,
        inputs: Mapping[str, str],
        sizes: Mapping[str, int],
        engine: str,
    ) -> dict[str, Any]:
        """Reads the inputs, builds the model and lets the engine optimise it."""
        arrays = {name: read_array(path) for name, path in inputs.items()}
        self.model = build(case, arrays)
        prepare = _onnxruntime if engine == "onnxruntime" else _openvino
        self.call, self.result = prepare(self.model, threads)
        self.call()  # what the engine cannot run, it refuses here
        return {"setting": "channels first" if self.model.channels_first else "contiguous"}

    def run(self, count: int) -> float:
        """Seconds of so many calls, one after the other."""
        call = self.call
        start = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - start

    def results(self, paths: Sequence[str]) -> list[str]:
        """Writes the result of the last run into a file, in the layout that the case has; gives
        the least precise element type on the way."""
        (path,) = paths
        write_array(path, self.model.restored(self.result()))
        return ["bf16" if self.model.bf16 else "f32"]


def _onnxruntime(model: Model, threads: int) -> tuple[Call, Call]:
    engine: Any = importlib.import_module("onnxruntime")
    options = engine.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = engine.InferenceSession(model.text, options, ["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in model.inputs.items():
        binding.bind_ortvalue_input(name, engine.OrtValue.ortvalue_from_numpy(array))
    binding.bind_output("out", "cpu")
    return lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def _openvino(model: Model, threads: int) -> tuple[Call, Call]:
    engine: Any = importlib.import_module("openvino")
    core = engine.Core()
    compiled = core.compile_model(
        core.read_model(model.text),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if model.bf16 else "f32",
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()
    kept = []
    for name, array in model.inputs.items():
        if array.dtype == np.uint16:  # the bits of bfloat16
            kept.append(engine.Tensor(array, array.shape, engine.Type.bf16))
        else:
            kept.append(engine.Tensor(array, shared_memory=True))
        request.set_tensor(name, kept[-1])

    def call(kept: Any = kept) -> None:
        request.start_async()
        request.wait()

    return call, lambda: np.array(request.get_output_tensor(0).data)


def main() -> None:
    """Serves the worker's operations."""
    engine = Onnx()
    serve(
        {
            "version": engine.version,
            "load": engine.load,
            "run": engine.run,
            "results": engine.results,
        }
    )


if __name__ == "__main__":
    main()
