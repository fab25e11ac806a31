"""A peer that multiplies matrices with numpy: `python -m tests.unit.workloads.stub_peer`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from passes.ir.dtypes import BF16
from pipeline.bench.channel import serve
from pipeline.workloads.arrays import read_array, write_array


class Stub:
    """Slow by `delay` seconds a call, wrong by `error` or by rounding to bfloat16; refuses where it
    is told to."""

    def load(
        self,
        case: Any,
        threads: int,
        inputs: Any,
        sizes: Any,
        delay: float = 0.0,
        error: float = 0.0,
        refuses: bool = False,
        rounds: bool = False,
    ) -> Any:
        if refuses:
            raise RuntimeError("knows no\n\nproducts")
        self.a, self.b = (read_array(path) for path in inputs.values())
        self.delay, self.error, self.rounds = delay, error, rounds
        return {"setting": f"delay {delay}" if delay >= 0 else None}

    def run(self, count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            time.sleep(self.delay)
            self.result = self.a @ self.b + np.float32(self.error)
        return time.perf_counter() - start

    def results(self, paths: list[str]) -> list[str]:
        if self.rounds:
            self.result = self.result.astype(BF16.numpy).astype(np.float32)
        write_array(paths[0], self.result)
        return ["bf16" if self.rounds else "f32"]


if __name__ == "__main__":
    stub = Stub()
    serve({"load": stub.load, "run": stub.run, "results": stub.results})
