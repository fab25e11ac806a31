"""A task's kernels in place: their arguments, what they should give, and calls that are timed."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from passes.search.task import Task
from pipeline.runtime.native import NativeCode
from pipeline.tuning.folds import laid_out
from pipeline.tuning.inputs import Kind, Range, random_contents
from pipeline.tuning.kernel import SYMBOL, arguments_of, memory_of
from pipeline.tuning.memory import Guarded
from pipeline.tuning.process import wall_limit
from pipeline.tuning.verdict import fault_of, tolerance_of

Array = npt.NDArray[Any]
Built = Mapping[str, Any]
"""What a builder says of an object: `object`, its path, and `folds`."""

_TURN = 0.01  # seconds that a turn takes at least: many calls of what is quick
_BATCH = 5e-5  # seconds that are timed together: less is too short for the clock
_MOST = 1000  # calls in a batch
_FEWEST, _LONG = 5, 0.05  # batches in a turn, unless they take longer than so many seconds
_FLUSHED = 8  # calls in a turn where flushing takes longer than they do
_KEPT = 2 << 30  # bytes of folded constants that are kept for the next candidates


class RunError(Exception):
    """A kernel that cannot be measured: the library refuses the call, or memory is out."""


class Bench:
    """The parameters of a task at given sizes: inputs that nobody can write to, and outputs.

    `wanted` are the contents of the outputs by parameter number, once they are known.
    """

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        seed: int,
        ranges: Sequence[Range | None],
        kind: Kind,
    ) -> None:
        self.task, self.dims = task, dims
        self.memory = memory_of(task.function, dims)
        self.order = arguments_of(task.function)
        self.tolerance = tolerance_of(task.function, dims)
        contents = random_contents(self.memory, ranges, seed, kind)
        self._inputs: dict[int, Guarded] = {}
        self._outputs: dict[int, Guarded] = {}
        self._before: dict[int, Array] = {}
        for number, (one, content) in enumerate(zip(self.memory, contents, strict=True)):
            if not one.stored:
                self._inputs[number] = Guarded.holding(content, number)
                continue
            self._outputs[number] = Guarded(content.shape, content.dtype, number)
            self._before[number] = content if one.loaded else _poison(content, seed)
        self._folded: OrderedDict[str, Guarded] = OrderedDict()
        self.wanted: dict[int, Array] = {}

    def array(self, number: int, folds: Mapping[int, Mapping[str, Any]]) -> Array:
        """The memory of a parameter, laid out as a candidate wants it."""
        if number in self._outputs:
            return self._outputs[number].array
        if number not in folds:
            return self._inputs[number].array
        key = json.dumps(folds[number], sort_keys=True)
        if key not in self._folded:
            one = self.memory[number]
            plain = self._inputs[number].array.reshape(one.shape)
            moved = laid_out(plain, one.dtype, folds[number])
            self._folded[key] = Guarded.holding(moved.reshape(-1), number)
            while len(self._folded) > 1 and sum(f.nbytes for f in self._folded.values()) > _KEPT:
                self._folded.popitem(last=False)
        self._folded.move_to_end(key)
        return self._folded[key].array

    def reset(self) -> None:
        """Outputs hold what they did before the first call: poison, where nothing reads it."""
        for number, content in self._before.items():
            self._outputs[number].array[...] = content

    def results(self) -> dict[int, Array]:
        return {number: output.array.copy() for number, output in self._outputs.items()}

    def has_numbers(self) -> bool:
        """Whether all that a call computed is finite: what it left alone does not count."""
        for number, output in self._outputs.items():
            found = output.array
            if found.dtype.kind in "iub":
                continue
            touched = _bits(found) != _bits(self._before[number])
            if not np.isfinite(found[touched].astype(np.float64)).all():
                return False
        return True

    def fault(self) -> str | None:
        """In words what is wrong with the outputs, None if nothing is."""
        for number, wanted in self.wanted.items():
            output = self._outputs[number]
            name = f"result '{self.task.function.params[number].name}'"
            if not output.intact():
                return f"{name}: memory beside it was written to"
            told = fault_of(output.array, wanted, self.tolerance)
            if told is not None:
                return f"{name}: {told}"
        return None


class Kernel:
    """A candidate's code with its arguments in place; each of its threads keeps to one of `cpus`,
    the first of which is the caller's.

    Raises PackageError where it cannot be loaded, RunError where there is no memory for it.
    """

    def __init__(
        self, built: Built, bench: Bench, cpus: Sequence[int], flush: Flush | None = None
    ) -> None:
        path = Path(built["object"])
        self._code = NativeCode(path.with_suffix(".so"), path, [SYMBOL])
        folds = {fold["parameter"]: fold for fold in built["folds"]}
        self._arrays = [bench.array(number, folds) for number in bench.order]
        before = _threads()
        handle = self._code.create(0, len(cpus))
        if not handle:
            raise RunError(f"there is not enough memory for {len(cpus)} threads")
        # Left to itself, the system puts two threads on one CPU when others are busy, and kernels
        # are several times slower for a while.
        for thread, cpu in zip(sorted(_threads() - before), cpus[1:], strict=True):
            os.sched_setaffinity(thread, {cpu})
        self._handle: int | None = handle
        sizes = [bench.dims[dim.name] for dim in bench.task.function.dims]
        pointers = [array.ctypes.data for array in self._arrays]
        self._arguments = (
            handle,
            (ctypes.c_int64 * len(sizes))(*sizes),
            (ctypes.c_void_p * len(pointers))(*pointers),
        )
        self._function = self._code.entries[SYMBOL]
        self._flush = flush
        self._once = 0.0

    def call(self, limit: float) -> float:
        """Seconds of one call; the process is killed if it takes longer than `limit`."""
        with wall_limit(limit):
            start = time.perf_counter()
            code = self._function(*self._arguments)
            seconds = time.perf_counter() - start
        if code:
            raise RunError(f"the entry refuses the sizes (code {code})")
        return seconds

    def settle(self, limit: float) -> float:
        """Finds out how long a call takes, which says how many are a turn."""
        times = [self.call(limit)]
        while len(times) < _FEWEST and sum(times) < _TURN:
            times.append(self.call(limit))
        self._once = max(min(times), 1e-9)
        return self._once

    def turn(self, limit: float) -> float:
        """Seconds of a call, over a turn of them, each of which may take `limit`.

        What a tenth of its batches do not exceed: what else runs on the machine makes some of
        them slower, and none faster.
        """
        batch = max(1, min(_MOST, int(_BATCH / self._once)))
        each = max(self._once * batch, _BATCH)
        batches = max(1, int(_TURN / each), min(_FEWEST, int(_LONG / each)))
        times = []
        if self._flush is not None:
            for _ in range(min(batch * batches, _FLUSHED)):
                self._flush()
                times.append(self.call(limit))
        else:
            function, arguments, calls = self._function, self._arguments, range(batch)
            with wall_limit(limit + 100 * _TURN):
                if batches > 1:
                    function(*arguments)  # wakes the threads, fills the caches
                for _ in range(batches):
                    start = time.perf_counter()
                    for _ in calls:
                        function(*arguments)
                    times.append((time.perf_counter() - start) / batch)
        times.sort()
        self._once = min(self._once, times[0])
        return times[len(times) // 10]

    def close(self) -> None:
        """Ends its threads and frees its memory."""
        if self._handle is not None:
            self._code.destroy(self._handle)
            self._handle = None


class Flush:
    """Puts other memory into the caches of all CPUs that kernels run on."""

    def __init__(self, size: int, cpus: Sequence[int]) -> None:
        self._parts = [np.zeros(size, np.uint8) for _ in cpus]
        self._cpus = cpus
        self._pool = ThreadPoolExecutor(len(cpus))

    def __call__(self) -> None:
        list(self._pool.map(self._fill, self._cpus, self._parts))

    @staticmethod
    def _fill(cpu: int, part: npt.NDArray[np.uint8]) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread
        part += 1

    def close(self) -> None:
        self._pool.shutdown()


def _threads() -> set[int]:
    """The threads of this process, as the system numbers them."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def _poison(content: Array, seed: int) -> Array:
    """What is nobody's result: not a number, or random bits."""
    if content.dtype.kind in "iub":
        rng = np.random.default_rng([seed, len(content), 1])
        noise = rng.integers(0, 256, content.nbytes, np.uint8)
        if content.dtype.kind == "b":
            noise &= 1
        return noise.view(content.dtype)
    return np.full(content.nbytes, 0xFF, np.uint8).view(content.dtype)


def _bits(array: Array) -> Array:
    return array.view(f"u{array.itemsize}")
