"""The worker that runs candidates: `python -m pipeline.tuning.runner`.

Candidates are code that nobody has run before: they may end this process, or keep it. Whoever asks
must expect that, and start another one.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from passes.search.task import Task
from pipeline.bench.channel import serve
from pipeline.tuning.bench import Bench, Built, Flush, Kernel
from pipeline.tuning.cpus import timing_cpus
from pipeline.tuning.process import bound_to_parent
from pipeline.tuning.rounds import compare, in_rounds

_LONGEST = 300.0  # seconds that the plain kernel may take: it is all but optimised
_FEWEST, _ROUNDS = 3, 60
_HEATS = 4
_PATIENCE = 4  # how much longer than its own time a measurement may take


@dataclass
class _Times:
    """Seconds by candidate and round, the default kernel's by round, what is wrong with whom."""

    seconds: list[list[float]]
    reference: list[float]
    faults: list[str | None]


class Runner:
    """One task at a time, its default kernel, and candidates that are measured beside it. All
    methods take and give plain data; seconds are those of one call."""

    def __init__(self) -> None:
        self._reference: Kernel | None = None
        self._flush: Flush | None = None

    def load(
        self,
        task: Mapping[str, Any],
        dims: Mapping[str, int],
        threads: int,
        seed: int,
        plain: Mapping[str, Any],
        default: Built,
        limits: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Random inputs, what the plain kernel makes of them, and the kernel of the default
        schedule; threads are pinned. Gives the seconds of both kernels.

        {"error": …} if the default kernel is wrong.
        """
        self.close()
        self._cpus = timing_cpus(threads)
        os.sched_setaffinity(0, self._cpus[:1])
        self._limits = limits
        read = Task.read(task)
        for kind in ("normal", "positive"):
            self._bench = Bench(read, dims, seed, plain["ranges"], kind)
            kernel = Kernel({**plain, "folds": []}, self._bench, self._cpus)
            self._bench.reset()
            seconds = kernel.call(_LONGEST)
            kernel.close()
            if self._bench.has_numbers():
                break
        self._bench.wanted = self._bench.results()
        if limits["flush_bytes"]:
            self._flush = Flush(limits["flush_bytes"], self._cpus)
        self._default = default
        self._reference = self._kernel(default)
        self._hang = _LONGEST
        fault = self._fault(self._reference)
        if fault is not None:
            return {"error": _wrong(fault)}
        once = self._reference.settle(_LONGEST)
        self._hang = max(limits["hang_seconds"], limits["hang"] * once)
        return {"plain_seconds": seconds, "seconds": once}

    def measure(self, candidate: Built, best: float | None) -> dict[str, Any]:
        """Times a candidate and the default kernel in turns once it is known to be right, until
        its ratio is known well enough, or known to be worse than the `best` one.

        {"seconds": by round, "reference": by round, "cpu_seconds": …}, or {"error": …}.
        """
        start = time.process_time()
        made = self._heat([candidate], self._limits["seconds"], best)
        (seconds,), (fault,) = made.seconds, made.faults
        told = {"error": _wrong(fault)} if fault else {"seconds": seconds}
        cpu_seconds = time.process_time() - start
        return {**told, "reference": made.reference, "cpu_seconds": cpu_seconds}

    def duel(self, candidates: Sequence[Built], seconds: float) -> dict[str, Any]:
        """Times several candidates and the default kernel in turns, for so many seconds at most.

        All kernels are loaded anew some times: where their memory happens to lie makes some of
        them a few percent faster as long as it lies there.
        {"seconds": lists by candidate, "reference": by round, "errors": by candidate,
        "cpu_seconds": …}; one with an error is not timed.
        """
        start = time.process_time()
        whole = _Times([[] for _ in candidates], [], [None for _ in candidates])
        for _ in range(_HEATS):
            assert self._reference is not None
            self._reference.close()
            self._reference = self._kernel(self._default)
            heat = self._heat(candidates, seconds / _HEATS, None)
            whole.reference += heat.reference
            for mine, more in zip(whole.seconds, heat.seconds, strict=True):
                mine += more
            whole.faults = [a or b for a, b in zip(whole.faults, heat.faults, strict=True)]
        return {
            "seconds": whole.seconds,
            "reference": whole.reference,
            "errors": [fault and _wrong(fault) for fault in whole.faults],
            "cpu_seconds": time.process_time() - start,
        }

    def _heat(self, candidates: Sequence[Built], seconds: float, best: float | None) -> _Times:
        """Candidates from loading to the last check of their results."""
        with ExitStack() as stack:
            kernels = []
            for candidate in candidates:
                kernel = self._kernel(candidate)
                stack.callback(kernel.close)
                kernels.append(kernel)
            faults = [self._fault(kernel) for kernel in kernels]
            right = [k for k, fault in enumerate(faults) if fault is None]
            times: list[list[float]] = [[] for _ in range(len(right) + 1)]
            if right:
                times = self._timed([kernels[k] for k in right], seconds, best)
                for k in right:
                    faults[k] = self._fault(kernels[k])
        by_number = dict(zip(right, times[1:], strict=True))
        return _Times([by_number.get(k, []) for k in range(len(kernels))], times[0], faults)

    def _timed(
        self, kernels: Sequence[Kernel], seconds: float, best: float | None
    ) -> list[list[float]]:
        """Seconds by round: of the default kernel, then of the others."""
        assert self._reference is not None
        contestants = [self._reference, *kernels]
        for kernel in contestants:
            kernel.settle(self._hang)
        # Of its own time: where others take most of the machine's, more rounds are needed.
        end = time.process_time() + seconds * len(self._cpus)
        deadline = time.monotonic() + _PATIENCE * seconds
        precision = self._limits["precision"]

        def enough(times: list[list[float]]) -> bool:
            rounds = len(times[0])
            found = [compare(mine, times[0]) for mine in times[1:]]
            if all(one.narrow(precision) or one.clearly_worse(best) for one in found):
                return True
            late = time.process_time() > end or time.monotonic() > deadline
            return (late and rounds >= _FEWEST) or rounds >= _ROUNDS

        turns = [partial(k.turn, self._hang) for k in contestants]
        gc.disable()
        try:
            return in_rounds(turns, enough)
        finally:
            gc.enable()

    def _kernel(self, built: Built) -> Kernel:
        return Kernel(built, self._bench, self._cpus, self._flush)

    def _fault(self, kernel: Kernel) -> str | None:
        """Calls a kernel once on fresh outputs; says what is wrong with them."""
        self._bench.reset()
        kernel.call(self._hang)
        return self._bench.fault()

    def close(self) -> None:
        """Frees what is loaded."""
        for one in (self._reference, self._flush):
            if one is not None:
                one.close()
        self._reference = self._flush = None


def _wrong(fault: str) -> dict[str, str]:
    return {"cause": "wrong", "text": fault}


def main() -> None:
    """Serves the worker's operations."""
    bound_to_parent()
    runner = Runner()
    serve({"load": runner.load, "measure": runner.measure, "duel": runner.duel})


if __name__ == "__main__":
    main()
