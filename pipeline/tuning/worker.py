"""A worker process of a fleet: started when it is needed, and again when it has died."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from pipeline.bench.engine import BenchError, Engine

T = TypeVar("T")
Job = Callable[["Worker"], Any]


class WorkerError(Exception):
    """A worker died over a request; `signal` is the number of the one that ended it, if one did.
    Another worker will be started."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(" ".join(text.split()))
        self.signal = -code if code < 0 else None


class Worker:
    """One process at a time. All requests come from one thread: the process ends with it."""

    def __init__(self, name: str, module: str) -> None:
        self._name, self._module = name, module
        self._engine: Engine | None = None
        self._changing = threading.Lock()  # held while a process starts, or is stopped
        self._cpus: Collection[int] = ()
        self._told: dict[str, tuple[str, Any]] = {}

    def ask(self, operation: str, **arguments: Any) -> Any:
        """The answer of a live process.

        Raises WorkerError if it dies, BenchError for what it refuses.
        """
        with self._changing:
            engine = self._engine
            if engine is None:
                engine = self._engine = Engine(self._name, self._module)
                self._pin()
        try:
            return engine.ask(operation, **arguments)
        except BenchError as error:
            code = engine.returncode
            if code is None:
                raise
            self.close()
            raise WorkerError(str(error), code) from None

    def tell(self, slot: str, key: str, operation: str, **arguments: Any) -> Any:
        """As `ask`, but only if this process has not been asked so already: what it was told
        last for the slot had another key."""
        told = self._told.get(slot)
        if told is None or told[0] != key:
            self._told.pop(slot, None)
            answer = self.ask(operation, **arguments)
            self._told[slot] = key, answer
        return self._told[slot][1]

    def pin(self, cpus: Collection[int]) -> None:
        """Keeps the process, and those that follow it, on some CPUs."""
        with self._changing:
            self._cpus = cpus
            self._pin()

    def _pin(self) -> None:
        if self._engine is not None and self._cpus and self._engine.returncode is None:
            os.sched_setaffinity(self._engine.pid, self._cpus)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside, the process takes no CPU time, and none is started."""
        with self._changing:
            self._signal(signal.SIGSTOP)
            try:
                yield
            finally:
                self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process whatever it does; who waits for its answer gets a WorkerError."""
        with self._changing:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # `returncode` looks first whether the process is still there.
        if self._engine is not None and self._engine.returncode is None:
            os.kill(self._engine.pid, number)

    def close(self) -> None:
        """Ends the process, and frees what is kept of it."""
        with self._changing:
            self._told.clear()
            if self._engine is not None:
                self._engine.close()
            self._engine = None


class Crew:
    """Workers of one kind, each with a thread that does one job after the other."""

    def __init__(self, name: str, module: str, count: int) -> None:
        self.workers = [Worker(name, module) for _ in range(count)]
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=[worker], daemon=True)
            for worker in self.workers
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[Worker], T]) -> Future[T]:
        """Has the next free worker do a job, unless that is cancelled before."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def _work(self, worker: Worker) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job(worker))
            except BaseException as error:
                future.set_exception(error)
        worker.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside, no worker takes any CPU time."""
        with ExitStack() as stack:
            for worker in self.workers:
                stack.enter_context(worker.stopped())
            yield

    def pin(self, cpus: Collection[int]) -> None:
        """Keeps the workers on some CPUs."""
        for worker in self.workers:
            worker.pin(cpus)

    def close(self) -> None:
        """Ends the workers, whatever they do; jobs that wait are not done."""
        for _ in self._threads:
            self._jobs.put(None)
        for worker in self.workers:
            worker.kill()
        for thread in self._threads:
            thread.join()
