"""Times a case beside its peers, in turns, and checks what each of them gives."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bench.compare import OURS, Record
from pipeline.bench.engine import LONGEST, BenchError, Engine
from pipeline.bench.timing import Spread, in_turns, spread
from pipeline.workloads.arrays import write_array
from pipeline.workloads.reference import expected, inputs_of, max_error, tolerance
from pipeline.workloads.schema import Case
from pipeline.workloads.work import Work, work_of

_TURN = 0.05  # seconds that a turn takes at least: many calls of what is quick
_MOST = 20_000  # calls in a turn
_LEAST = 1e-30  # stands for a tolerance of nothing where errors are compared
_TOLD = 200  # characters of a refusal that are worth showing
_RATES = {"f32": "f32_rate", "int8": "int8_rate", "bf16": "bf16_rate"}


@dataclass(frozen=True)
class Peer:
    """An engine in one of its settings: the worker's module, its interpreter, what it is told, the
    seconds that a request may take. Of several settings of an engine the best counts, case by
    case."""

    engine: str
    module: str
    python: str
    options: Mapping[str, Any]
    longest: float = LONGEST

    def start(self) -> Engine:
        return Engine(self.engine, self.module, self.python, self.longest)


@dataclass
class Limits:
    """What the machine can do at best, each rate measured once."""

    note: Callable[[str], None]
    _known: dict[tuple[str, int, int], float | None] = field(default_factory=dict)

    def seconds(self, work: Work, threads: int) -> tuple[float, str]:
        """The least time for some work, and which limit it is: memory, or arithmetic where the
        machine has instructions for it."""
        size = 1 << max(15, math.ceil(math.log2(work.bytes_moved)))
        read = self._rate("read_rate", threads, size)
        assert read is not None
        times = [(work.bytes_moved / read, "memory")]
        rate = self._rate(_RATES[work.unit], threads)
        if rate is not None:
            times.append((work.operations / rate, "compute"))
        return max(times)

    def facts(self) -> list[Record]:
        """The rates measured so far."""
        return [
            {"engine": "machine", "name": name, "threads": threads, "value": _figure(rate / 1e9)}
            | ({"unit": "GB/s", "bytes": size} if size else {"unit": "Gop/s"})
            for (name, threads, size), rate in self._known.items()
            if rate is not None
        ]

    def _rate(self, name: str, threads: int, size: int = 0) -> float | None:
        key = name, threads, size
        if key not in self._known:
            self.note(f"threads={threads}: the machine's {name.replace('_', ' ')}")
            arguments = {"threads": threads} | ({"size": size} if size else {})
            with Engine("machine", "pipeline.bench.machine") as machine:
                self._known[key] = machine.ask(name, **arguments)
        return self._known[key]


@dataclass(frozen=True)
class _Timed:
    """An engine as it was loaded: its setting and what else it tells; its time, its error and what
    is tolerated."""

    engine: str
    loaded: Mapping[str, Any]
    seconds: Spread
    error: tuple[float, float]


@dataclass(frozen=True)
class Measurement:
    """One case at one size: its package's folder, and who runs it."""

    case: Case
    sizes: Mapping[str, int]
    folder: Path
    peers: Sequence[Peer]
    repeats: int
    limits: Limits
    note: Callable[[str], None]

    def run(self, thread_counts: Sequence[int], space: Path) -> list[Record]:
        """A record an engine and thread count; `space` is a folder for arrays.

        Raises BenchError where our own package cannot run; a peer that cannot is left out, which
        is told.
        """
        case = self.case.data()
        arrays, paths = inputs_of(case, self.sizes), {}
        for name, array in arrays.items():
            paths[name] = str(space / f"{name}.npy")
            write_array(paths[name], array)
        wanted = expected(case, self.sizes)
        work = work_of(case, self.sizes, arrays)
        records: list[Record] = []
        peers = self._able()
        for threads in thread_counts:
            given = {"threads": threads, "inputs": paths, "sizes": dict(self.sizes)}
            with ExitStack() as stack:
                timed = self._timed(self._loaded(given, peers, stack), wanted, space)
            limit = self.limits.seconds(work, threads)
            for name in dict.fromkeys(one.engine for one in timed):
                mine = [one for one in timed if one.engine == name]
                best = min(mine, key=lambda one: one.seconds.median)
                records.append(self._record(best, threads, work, limit))
        return records

    def _loaded(
        self, given: Mapping[str, Any], peers: list[Peer], stack: ExitStack
    ) -> list[tuple[Engine, Mapping[str, Any]]]:
        """The engines that can run the case, with what they tell once loaded, ours first; the
        others are taken off the peers."""
        own = stack.enter_context(Engine(OURS, "pipeline.workloads.ours"))
        found = [(own, own.ask("load", folder=str(self.folder), **given))]
        for peer in tuple(peers):
            engine = stack.enter_context(peer.start())
            loaded = {"setting": None}  # as where it is another setting by another name
            try:
                loaded = engine.ask("load", case=self.case.data(), **given, **peer.options)
            except BenchError as error:
                self.note(f"{self.title}: {textwrap.shorten(str(error), _TOLD)}")
            if loaded["setting"] is None:
                peers.remove(peer)
            else:
                found.append((engine, loaded))
        return found

    def _timed(
        self,
        engines: Sequence[tuple[Engine, Mapping[str, Any]]],
        wanted: Mapping[str, npt.NDArray[Any]],
        space: Path,
    ) -> list[_Timed]:
        """Every engine's time and error; only one of them is awake at a time."""
        case = self.case.data()
        counts = [_calls(engine) for engine, _ in engines]
        awake = [engine for engine, _ in engines]

        def measure(index: int) -> float:
            engine, count = engines[index][0], counts[index]
            for other in awake:
                if other is not engine:
                    other.settle()
            awake[:] = [engine]
            return float(engine.ask("run", count=count)) / count

        turns = {str(index): partial(measure, index) for index in range(len(engines))}
        times = in_turns(turns, self.repeats).values()
        return [
            _Timed(engine.name, loaded, spread(values), _error(engine, case, wanted, space))
            for (engine, loaded), values in zip(engines, times, strict=True)
        ]

    def _record(self, timed: _Timed, threads: int, work: Work, limit: tuple[float, str]) -> Record:
        seconds, (error, tolerated) = timed.seconds, timed.error
        return {
            "case": self.case.name,
            "sizes": dict(self.sizes),
            "engine": timed.engine,
            **timed.loaded,
            "threads": threads,
            "ms": _figure(seconds.median * 1e3),
            "ms_min": _figure(seconds.low * 1e3),
            "ms_max": _figure(seconds.high * 1e3),
            "repeats": seconds.repeats,
            "gflops": _figure(work.operations / seconds.median / 1e9),
            "fraction_of_peak": _figure(limit[0] / seconds.median),
            "limit": limit[1],
            "max_error": error,
            "tolerance": tolerated,
        }

    def _able(self) -> list[Peer]:
        """The peers, none where a weight has a format that is ours alone to read."""
        packed = [text for text in self.case.inputs.values() if text.startswith("Q")]
        if packed and self.peers:
            self.note(f"{self.title}: no peer reads {packed[0]}")
        return [] if packed else list(self.peers)

    @property
    def title(self) -> str:
        sizes = " ".join(f"{name}={value}" for name, value in self.sizes.items())
        return f"{self.case.name} {sizes}".rstrip()


def _calls(engine: Engine) -> int:
    """So many calls that a turn is long enough to time."""
    engine.ask("run", count=1)
    seconds = float(engine.ask("run", count=1))
    if seconds < _TURN / 10:
        count = max(1, int(_TURN / 10 / max(seconds, 1e-7)))
        seconds = float(engine.ask("run", count=count)) / count
    return max(1, min(_MOST, math.ceil(_TURN / max(seconds, 1e-7))))


def _error(
    engine: Engine, case: Mapping[str, Any], wanted: Mapping[str, npt.NDArray[Any]], space: Path
) -> tuple[float, float]:
    """The largest error of an engine's results, and the largest that rounding explains; of several
    results those of the one that is furthest off."""
    paths = [str(space / f"result{number}.npy") for number in range(len(wanted))]
    types = engine.ask("results", paths=paths)
    pairs = [
        (_figure(max_error(np.load(path), array)), tolerance(case, array, type_))
        for path, array, type_ in zip(paths, wanted.values(), types, strict=True)
    ]
    return max(pairs, key=lambda pair: pair[0] / max(pair[1], _LEAST))


def _figure(value: float) -> float:
    """Six digits: more than repeats agree on."""
    return float(f"{value:.6g}")
