"""The worker that tunes a case with MetaSchedule and runs it: `-m pipeline.workloads.peer_tvm`.

It runs under an interpreter that has numpy, tvm and what MetaSchedule needs, and need not have
anything else of ours. MetaSchedule builds libraries with the C compiler of the machine.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.bench.channel import serve
from pipeline.workloads.arrays import read_array, write_array
from pipeline.workloads.tvm_operators import function_of

_NEEDED = ("cloudpickle", "psutil", "xgboost")  # what MetaSchedule imports once it tunes
_SEED = 1
_FAILED = 1e9  # seconds that MetaSchedule notes for a candidate that did not run


class Tvm:
    """One case, tuned for this machine, its tensors in place, called over and over."""

    def version(self, engine: str) -> str:
        """The version of tvm; a refusal where it or what it tunes with is not installed."""
        found = str(importlib.import_module(engine).__version__)
        for name in _NEEDED:
            importlib.import_module(name)
        return found

    def load(
        self,
        case: Mapping[str, Any],
        threads: int,
        inputs: Mapping[str, str],
        sizes: Mapping[str, int],
        trials: int,
    ) -> dict[str, Any]:
        """Tunes the case and builds the best schedule, for so many threads and on as many."""
        os.environ["TVM_NUM_THREADS"] = str(threads)  # read when tvm is loaded, here and by workers
        tvm: Any = importlib.import_module("tvm")
        arrays = {name: read_array(path) for name, path in inputs.items()}
        function = function_of(case, arrays)
        tuned = tune(function, threads, trials)
        self.call = tvm.compile(tuned.module, tuned.target)["main"]
        self.out = tvm.runtime.empty([int(e) for e in function.params[-1].shape], "float32")
        self.tensors = [*[tvm.runtime.tensor(array) for array in arrays.values()], self.out]
        self.call(*self.tensors)
        seconds = round(tuned.cpu_seconds, 1)
        failed = f" ({tuned.failed} failed)" if tuned.failed else ""
        return {
            "setting": f"{tuned.trials} trials{failed}, {seconds:.0f} CPU-s",
            "trials": tuned.trials,
            "tune_cpu_seconds": seconds,
        }

    def run(self, count: int) -> float:
        """Seconds of so many calls, one after the other."""
        call, tensors = self.call, self.tensors
        start = time.perf_counter()
        for _ in range(count):
            call(*tensors)
        return time.perf_counter() - start

    def results(self, paths: Sequence[str]) -> list[str]:
        """Writes the result of the last run into a file; gives its element type."""
        (path,) = paths
        write_array(path, self.out.numpy())
        return ["f32"]


@dataclass(frozen=True)
class Tuned:
    """The best schedule of a function for a target, and what it took to find it: candidates
    measured or given up, and the CPU time of this process and of all it started."""

    module: Any
    target: Any
    trials: int
    failed: int
    cpu_seconds: float


def tune(function: Any, threads: int, trials: int) -> Tuned:
    """Searches with MetaSchedule's defaults for an LLVM target: this CPU, so many cores.

    Raises RuntimeError where no candidate could be built and run.
    """
    tvm: Any = importlib.import_module("tvm")
    schedule: Any = importlib.import_module("tvm.s_tir.meta_schedule")
    importlib.import_module("tvm.s_tir.tensor_intrin")  # many seconds, which are no tuning
    cpu = tvm.target.codegen.llvm_get_system_cpu()
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu, "num-cores": threads})
    with tempfile.TemporaryDirectory() as space:
        os.environ["TMPDIR"] = space  # workers that are killed leave their files behind
        start = _cpu_seconds()
        database = schedule.tune_tir(
            function,
            target,
            space,
            trials,
            database="memory",
            builder=schedule.builder.LocalBuilder(max_workers=threads, f_build=build),
            num_tuning_cores=threads,
            seed=_SEED,
        )
        gc.collect()  # ends the workers: time of processes that live is not counted
        seconds = _cpu_seconds() - start
    records = database.get_all_tuning_records()
    ran = sum(all(float(s) < _FAILED for s in record.run_secs or [_FAILED]) for record in records)
    best = schedule.tir_integration.compile_tir(database, function, target)
    if best is None or not ran:
        raise RuntimeError(f"none of {len(records)} candidates could be built and run")
    return Tuned(best.mod, target, len(records), len(records) - ran, seconds)


def build(module: Any, target: Any, parameters: Any) -> Any:
    """A candidate's library, made in a worker of MetaSchedule's. Its own function for this imports
    the tensor intrinsics of all targets first, which takes longer than all else in a worker."""
    return importlib.import_module("tvm.tirx").build(module, target=target)


def _cpu_seconds() -> float:
    """CPU time so far of this process and of those it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main() -> None:
    """Serves the worker's operations."""
    engine = Tvm()
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
