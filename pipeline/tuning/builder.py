"""The worker that builds candidates: `python -m pipeline.tuning.builder`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from passes.codegen.native import CodegenError
from passes.ir.node import IRError
from passes.schedule.replay import replay
from passes.schedule.sampling import Choice
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from passes.search.space import scheduled
from passes.search.task import Task
from pipeline.bench.channel import serve
from pipeline.tuning.folds import folds_data
from pipeline.tuning.inputs import ranges_of
from pipeline.tuning.kernel import Size, SizeError, object_of
from pipeline.tuning.outcome import BuildLimits
from pipeline.tuning.plain import RULES
from pipeline.tuning.process import TooLong, bound_to_parent, cpu_limit, limit_memory

_LONGEST = 300  # characters of an error's text


class Builder:
    """Tasks by name, and their candidates as object files. All methods take and give plain data.

    An error is data as well: {"cause": "refused" | "build" | "limit", "text": one line}.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._seconds, self._size = BuildLimits().cpu_seconds, Size()

    def limit(self, cpu_seconds: float, memory_bytes: int, size: Mapping[str, int]) -> None:
        """What a candidate may take from now on; memory is what this process may grow by."""
        self._seconds = cpu_seconds
        self._size = Size(**size)
        limit_memory(memory_bytes)

    def task(self, name: str, data: Mapping[str, Any]) -> None:
        """Makes a task known. Raises IRError if it cannot be read."""
        self._tasks[name] = Task.read(data)

    def build(self, task: str, decisions: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The candidate that the task's space makes with these decisions.

        {"trace": JSON text, "object": path, "folds": …, "cpu_seconds": …}, or with "error" instead
        of an object and, where there is no schedule, without a trace.
        """
        chosen = {site: _choice(choice) for site, choice in decisions.items()}
        return self._built(task, lambda one: scheduled(one, chosen), path)

    def build_trace(self, task: str, trace: str, path: str) -> dict[str, Any]:
        """The candidate that a trace makes, likewise."""
        return self._built(
            task, lambda one: replay(one.function, Trace.from_json(trace, one.function)), path
        )

    def plain(self, task: str, path: str) -> dict[str, Any]:
        """The kernel that tells what candidates should give: {"object": path, "ranges": values
        that parameters may hold}. Raises IRError or CodegenError if there is none."""
        one = self._tasks[task]
        ranges = ranges_of(one.function)
        for number, rule in enumerate(RULES):
            try:
                function = rule(one.function, one.target).function
                Path(path).write_bytes(object_of(function, one.facts))
            except (IRError, CodegenError, SizeError):
                if number + 1 == len(RULES):
                    raise
                continue
            break
        return {"object": path, "ranges": ranges}

    def _built(self, task: str, make: Callable[[Task], Schedule], path: str) -> dict[str, Any]:
        start = time.process_time()
        made: dict[str, Any] = {}
        try:
            with cpu_limit(self._seconds):
                self._make(self._tasks[task], make, path, made)
        except TooLong:
            made["error"] = _error("limit", f"it takes more than {self._seconds:g} CPU seconds")
        except MemoryError:
            made["error"] = _error("limit", "it takes more memory than it may")
        return {**made, "cpu_seconds": time.process_time() - start}

    def _make(
        self, task: Task, make: Callable[[Task], Schedule], path: str, made: dict[str, Any]
    ) -> None:
        """Adds to `made` what there is to tell, step by step."""
        cause = "refused"
        try:
            schedule = make(task)
            made["trace"] = schedule.trace.as_json()
            cause = "build"
            made["folds"] = folds_data(schedule)
            code = object_of(schedule.function, task.facts, self._size)
        except SizeError as error:
            made["error"] = _error("limit", str(error))
        except ScheduleError as error:
            text = f"{error.primitive} of {error.place}: {error.reason}"
            made["error"] = _error(cause, text)
        except (IRError, CodegenError) as error:
            made["error"] = _error(cause, str(error))
        except (MemoryError, OSError):
            raise
        except Exception as error:
            # A defect of ours that one candidate meets must not end a search over many.
            made["error"] = _error(cause, f"{type(error).__name__}: {error}")
        else:
            Path(path).write_bytes(code)
            made["object"] = path


def _error(cause: str, text: str) -> dict[str, str]:
    line = " ".join(text.split())
    return {"cause": cause, "text": line[:_LONGEST]}


def _choice(data: int | Sequence[Any]) -> Choice:
    return data if isinstance(data, int) else tuple(data)


def main() -> None:
    """Serves the worker's operations."""
    bound_to_parent()
    builder = Builder()
    operations = (builder.limit, builder.task, builder.build, builder.build_trace, builder.plain)
    serve({operation.__name__: operation for operation in operations})


if __name__ == "__main__":
    main()
