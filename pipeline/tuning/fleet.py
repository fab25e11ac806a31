"""Measuring candidates of a task: on this machine by worker processes, elsewhere likewise."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from passes.search.task import Task
from pipeline.bench.engine import BenchError
from pipeline.tuning.cpus import ALL, spare_cpus
from pipeline.tuning.outcome import BuildLimits, Candidate, Cause, Outcome, Setup
from pipeline.tuning.worker import Crew, Worker, WorkerError

BUILDER, RUNNER = "pipeline.tuning.builder", "pipeline.tuning.runner"
_OURS: dict[int, Cause] = {
    signal.SIGXCPU: "limit",
    signal.SIGKILL: "limit",
    signal.SIGABRT: "limit",  # LLVM without memory
}


class FleetError(Exception):
    """A task that cannot be measured at all: its plain or default kernel cannot be built or run."""


class Fleet(Protocol):
    """What measures candidates."""

    def measure(
        self, task: Task, candidates: Sequence[Candidate], setup: Setup, best: float | None = None
    ) -> Iterator[Outcome]:
        """The outcomes in the candidates' order, each as soon as it is known.

        `best` is a ratio (of time to the default schedule's) that some candidate surely reaches:
        one that is clearly worse, or worse than one of these, is not measured to the end.
        Raises FleetError.
        """

    def duel(
        self, task: Task, traces: Sequence[str], setup: Setup, seconds: float
    ) -> list[Outcome]:
        """The outcomes of candidates that are timed in the same rounds, for so many seconds, with
        each other and the default schedule. Raises FleetError."""


class LocalFleet:
    """Builders and one runner on this machine, which are processes of their own.

    Building must not take from what is timed: if there are cores that no timed thread runs on,
    at least one a builder, builders keep to them; else they are stopped while the runner works.
    A builder makes what comes next meanwhile, so no core is ever without work.
    """

    def __init__(self, builders: int | None = None, limits: BuildLimits | None = None) -> None:
        """As many builders as there are CPUs, unless told otherwise."""
        self._limits = limits or BuildLimits()
        self._folder = tempfile.TemporaryDirectory(prefix="tuning-")
        self._files = 0
        count = builders or len(ALL)
        self._builders = Crew("builder", BUILDER, count)
        self._runner = Crew("runner", RUNNER, 1)
        self._bases: dict[str, Future[tuple[dict[str, Any], dict[str, Any]]]] = {}

    def measure(
        self, task: Task, candidates: Sequence[Candidate], setup: Setup, best: float | None = None
    ) -> Iterator[Outcome]:
        """As `Fleet.measure`."""
        gate = self._gate(setup)
        self._base(task)  # the first to be built
        builds = [self._build(task, candidate) for candidate in candidates]
        try:
            load = self._load(task, setup)
            for candidate, build in zip(candidates, builds, strict=True):
                built = build.result()
                if "error" in built:
                    yield _outcome(candidate, built, {})
                    continue
                outcome = _outcome(candidate, built, self._measured(load, built, best, gate))
                os.unlink(built["object"])
                if (spread := outcome.spread) is not None:
                    best = spread.high if best is None else min(best, spread.high)
                yield outcome
        finally:
            for build in builds:
                build.cancel()

    def duel(
        self, task: Task, traces: Sequence[str], setup: Setup, seconds: float
    ) -> list[Outcome]:
        """As `Fleet.duel`."""
        gate, load = self._gate(setup), self._load(task, setup)
        built = [build.result() for build in [self._build(task, trace) for trace in traces]]
        able = [one for one in built if "error" not in one]
        results = self._dueled(load, able, seconds, gate) if able else []
        found = dict(zip(map(id, able), results, strict=True))
        for one in able:
            os.unlink(one["object"])
        return [
            _outcome(trace, one, found.get(id(one), {}))
            for trace, one in zip(traces, built, strict=True)
        ]

    def close(self) -> None:
        """Ends all processes."""
        self._builders.close()
        self._runner.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Building

    def _build(self, task: Task, candidate: Candidate) -> Future[dict[str, Any]]:
        path = self._path()

        def job(worker: Worker) -> dict[str, Any]:
            try:
                name = self._introduce(worker, task)
                if isinstance(candidate, str):
                    made = worker.ask("build_trace", task=name, trace=candidate, path=path)
                else:
                    made = worker.ask("build", task=name, decisions=dict(candidate), path=path)
            except WorkerError as error:
                cause = _OURS.get(error.signal or 0, "build")
                return {"error": {"cause": cause, "text": str(error)}}
            except BenchError as error:
                return {"error": {"cause": "build", "text": str(error)}}
            return dict(made)

        return self._builders.submit(job)

    def _base(self, task: Task) -> Future[tuple[dict[str, Any], dict[str, Any]]]:
        """The plain kernel and the one of the default schedule, built once for each task."""
        key = _key(task)
        if key not in self._bases:
            paths = self._path(), self._path()

            def job(worker: Worker) -> tuple[dict[str, Any], dict[str, Any]]:
                name = self._introduce(worker, task)
                plain = worker.ask("plain", task=name, path=paths[0])
                return plain, worker.ask("build", task=name, decisions={}, path=paths[1])

            self._bases[key] = self._builders.submit(job)
        return self._bases[key]

    def _introduce(self, worker: Worker, task: Task) -> str:
        worker.tell("limit", "", "limit", **asdict(self._limits))
        key = _key(task)
        worker.tell(key, key, "task", name=key, data=task.data())
        return key

    def _path(self) -> str:
        self._files += 1
        return str(Path(self._folder.name) / f"{self._files}.o")

    # Running

    def _load(self, task: Task, setup: Setup) -> Callable[[Worker], None]:
        """Has a runner ready for a task's candidates. Raises FleetError."""
        try:
            plain, default = self._base(task).result()
        except (WorkerError, BenchError) as error:
            raise FleetError(f"kernel {task.workload}: cannot be built: {error}") from None
        if "error" in default:
            text = default["error"]["text"]
            raise FleetError(f"kernel {task.workload}: its default schedule: {text}")
        given = {"dims": dict(setup.dims), "threads": setup.threads, "seed": setup.seed}
        limits = asdict(setup.limits)
        key = json.dumps([_key(task), given, limits], sort_keys=True)

        def load(worker: Worker) -> None:
            try:
                told = worker.tell(
                    "load", key, "load",
                    task=task.data(), plain=plain, default=default, limits=limits, **given,
                )  # fmt: skip
            except (WorkerError, BenchError) as error:
                raise FleetError(f"kernel {task.workload}: cannot be run: {error}") from None
            if "error" in told:
                text = told["error"]["text"]
                raise FleetError(f"kernel {task.workload}: its default schedule: {text}")

        return load

    def _gate(self, setup: Setup) -> Callable[[], AbstractContextManager[None]]:
        """What keeps builders away from the CPUs of a kernel that is timed."""
        spare = spare_cpus(setup.threads)
        if len(spare) >= len(self._builders.workers):
            self._builders.pin(spare)
            return nullcontext
        self._builders.pin(ALL)
        return self._builders.stopped

    def _run(
        self,
        load: Callable[[Worker], None],
        gate: Callable[[], AbstractContextManager[None]],
        operation: str,
        **arguments: Any,
    ) -> dict[str, Any]:
        """The runner's answer. Raises WorkerError, FleetError."""

        def job(worker: Worker) -> dict[str, Any]:
            load(worker)
            with gate():
                return dict(worker.ask(operation, **arguments))

        return self._runner.submit(job).result()

    def _measured(
        self,
        load: Callable[[Worker], None],
        built: Mapping[str, Any],
        best: float | None,
        gate: Callable[[], AbstractContextManager[None]],
    ) -> dict[str, Any]:
        try:
            return self._run(load, gate, "measure", candidate=_plain(built), best=best)
        except (WorkerError, BenchError) as error:
            return {"error": _death(error)}

    def _dueled(
        self,
        load: Callable[[Worker], None],
        built: Sequence[Mapping[str, Any]],
        seconds: float,
        gate: Callable[[], AbstractContextManager[None]],
    ) -> list[dict[str, Any]]:
        try:
            candidates = [_plain(one) for one in built]
            made = self._run(load, gate, "duel", candidates=candidates, seconds=seconds)
        except (WorkerError, BenchError) as error:
            if len(built) == 1:
                return [{"error": _death(error)}]
            # Each alone: one of them ended the runner, and the others have done no harm.
            share = seconds / len(built)
            return [self._dueled(load, [one], share, gate)[0] for one in built]
        cpu = made["cpu_seconds"] / len(built)
        return [
            ({"error": error} if error else {"seconds": mine, "reference": made["reference"]})
            | {"cpu_seconds": cpu}
            for mine, error in zip(made["seconds"], made["errors"], strict=True)
        ]


def _outcome(candidate: Candidate, built: Mapping[str, Any], ran: Mapping[str, Any]) -> Outcome:
    error = built.get("error") or ran.get("error") or {"cause": None, "text": ""}
    return Outcome(
        candidate,
        built.get("trace"),
        () if error["cause"] else tuple(ran["seconds"]),
        () if error["cause"] else tuple(ran["reference"]),
        error["cause"],
        error["text"],
        built.get("cpu_seconds", 0.0),
        ran.get("cpu_seconds", 0.0),
    )


def _death(error: Exception) -> dict[str, str]:
    """How a runner ended over a candidate."""
    late = isinstance(error, WorkerError) and error.signal == signal.SIGALRM
    text = "a call takes longer than any sensible one" if late else str(error)
    return {"cause": "timeout" if late else "crash", "text": text}


def _plain(built: Mapping[str, Any]) -> dict[str, Any]:
    """What a runner must know of an object."""
    return {"object": built["object"], "folds": built["folds"]}


def _key(task: Task) -> str:
    return f"{task.workload}@{task.machine}"
