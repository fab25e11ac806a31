"""The worker that runs a case's package: `python -m pipeline.workloads.ours`."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.bench.channel import serve
from pipeline.runtime import Package
from pipeline.runtime.errors import CallError, PackageError
from pipeline.runtime.manifest import DTYPES
from pipeline.workloads.arrays import aligned, read_array, widened, write_array


class Ours:
    """One package with its entry point's arguments in place, called over and over."""

    def load(
        self, folder: str, threads: int, inputs: Mapping[str, str], sizes: Mapping[str, int]
    ) -> dict[str, Any]:
        """Loads the package, and the inputs from their files; allocates the results."""
        self.package = Package(folder)
        manifest = self.package.manifest
        (self.entry,) = manifest.entries.values()
        handle = self.package.native.create(self.package.weights.ctypes.data, threads)
        if not handle:
            raise PackageError(f"{folder}: not enough memory for {threads} threads")
        given = [read_array(inputs[tensor.name]) for tensor in self.entry.inputs]
        self.outputs = [
            aligned(tuple(axis.evaluate(sizes) for axis in tensor.shape), DTYPES[tensor.dtype])
            for tensor in self.entry.outputs
        ]
        self.arrays = [*given, *self.outputs]
        values = [sizes[name] for name in self.entry.dims]
        dims = (ctypes.c_int64 * len(values))(*values)
        pointers = [array.ctypes.data for array in self.arrays]
        self.arguments = (handle, dims, (ctypes.c_void_p * len(pointers))(*pointers))
        return {"setting": self.package.level.level}

    def run(self, count: int) -> float:
        """Seconds of so many calls, one after the other."""
        function = self.package.native.entries[self.entry.symbol]
        arguments = self.arguments
        start = time.perf_counter()
        for _ in range(count):
            code = function(*arguments)
        seconds = time.perf_counter() - start
        if code:
            raise CallError(self.package.manifest.errors.get(code, f"native error {code}"))
        return seconds

    def results(self, paths: Sequence[str]) -> list[str]:
        """Writes the results of the last run into files; gives their element types."""
        types = [tensor.dtype for tensor in self.entry.outputs]
        for path, array, type_ in zip(paths, self.outputs, types, strict=True):
            write_array(path, widened(array) if type_ == "bf16" else array)
        return types


def main() -> None:
    """Serves the worker's operations."""
    engine = Ours()
    serve({"load": engine.load, "run": engine.run, "results": engine.results})


if __name__ == "__main__":
    main()
