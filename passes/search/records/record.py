"""One candidate that was measured, and how that went: a JSON object on a line.

    {"workload": "3f…", "machine": "90…", "kind": "pad+conv", "structure": "b2…",
     "extents": [1, 58, 58, 64], "dims": {"n": 16}, "threads": 2,
     "toolchain": {"llvmlite": "0.50.0"}, "seed": 0, "strategy": "evolutionary",
     "decisions": {"conv.tile": [7, 8], "conv.unroll": 2}, "seconds": [0.0012, 0.0011],
     "reference": 0.002, "error": null, "trace": [{"name": "split", …}, …]}

Files of records are shared and reviewed, so lines are read with suspicion: each key is there, none
is unknown, and every value is of its kind and of a sane size.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.schedule.sampling import Choice
from passes.schedule.trace import Trace
from passes.search.records.checks import MAX_LINE, RecordError, check, strict_json
from passes.search.records.failure import Failure
from passes.search.records.structure import structure_of
from passes.search.task import Task


@dataclass(frozen=True)
class Record:
    """A candidate for one workload on one machine, both digests, and its times or its failure.

    `kind`, `structure` and `extents` say what the kernel is like (see `structure_of`). It was
    measured at the point `dims` with that many `threads`, by the packages of a `toolchain`.
    `decisions` by site, or the steps of the `trace` as JSON data, make its schedule. `seconds` are
    of single runs; `reference` those of the default kernel, timed in turns with it.

    Raises RecordError for what no line may hold.
    """

    workload: str
    machine: str
    kind: str
    structure: str
    extents: tuple[int, ...]
    dims: Mapping[str, int]
    threads: int
    toolchain: Mapping[str, str]
    seed: int
    strategy: str
    decisions: Mapping[str, Choice]
    seconds: tuple[float, ...] | None
    reference: float | None
    error: Failure | None
    trace: Sequence[Mapping[str, Any]]

    @staticmethod
    def of(
        task: Task,
        trace: Trace,
        *,
        dims: Mapping[str, int],
        threads: int,
        toolchain: Mapping[str, str],
        seed: int,
        strategy: str,
        decisions: Mapping[str, Choice],
        seconds: Sequence[float] | None = None,
        reference: float | None = None,
        error: Failure | None = None,
    ) -> Record:
        """The record of a candidate for a task: its `seconds` or its `error`."""
        like = structure_of(task.function)
        return Record(
            workload=task.workload,
            machine=task.machine,
            kind=like.kind,
            structure=like.digest,
            extents=like.extents,
            dims=dict(dims),
            threads=threads,
            toolchain=dict(toolchain),
            seed=seed,
            strategy=strategy,
            decisions=dict(decisions),
            seconds=None if seconds is None else tuple(seconds),
            reference=reference,
            error=error,
            trace=json.loads(trace.as_json()),
        )

    def __post_init__(self) -> None:
        check(self._data())

    @property
    def median(self) -> float | None:
        """Of the seconds; None for a failure."""
        return None if self.seconds is None else statistics.median(self.seconds)

    @property
    def ratio(self) -> float | None:
        """Of the median to the reference, 1 without one; None for a failure."""
        return None if self.median is None else self.median / (self.reference or self.median)

    def line(self) -> str:
        """The record as a line of ASCII, without its end: the same for equal records.

        Raises RecordError if it is too long to be read again.
        """
        text = json.dumps(self._data(), allow_nan=False)
        if len(text) >= MAX_LINE:
            raise RecordError(
                f"a record takes {len(text)} bytes, more than {MAX_LINE}: its trace has "
                f"{len(self.trace)} steps"
            )
        return text

    @staticmethod
    def read(line: bytes, place: str) -> Record:
        """The record of a line. Raises RecordError, with the `place` (file:line), for any other."""
        try:
            data = strict_json(line)
            check(data)
        except RecordError as error:
            cure = "remove the line, or fetch the file again"
            raise RecordError(f"{place}: {error}; {cure}") from None
        seconds, failure = data["seconds"], data["error"]
        data["extents"] = tuple(data["extents"])
        data["decisions"] = {
            site: tuple(choice) if isinstance(choice, list) else choice
            for site, choice in data["decisions"].items()
        }
        data["seconds"] = None if seconds is None else tuple(seconds)
        data["error"] = None if failure is None else Failure(**failure)
        return Record(**data)

    def as_trace(self, function: Function) -> Trace:
        """The steps, for a function that has the dims they speak of. Raises IRError."""
        try:
            return Trace.from_json(json.dumps(self.trace), function)
        except RecursionError:
            raise IRError("the trace of a record is nested too deeply") from None

    def _data(self) -> dict[str, Any]:
        """As JSON has it. What has no order of its own is sorted."""
        seconds, error = self.seconds, self.error
        return {
            **vars(self),
            "extents": list(self.extents),
            "dims": dict(sorted(self.dims.items())),
            "toolchain": dict(sorted(self.toolchain.items())),
            "decisions": {
                site: list(choice) if isinstance(choice, tuple) else choice
                for site, choice in sorted(self.decisions.items())
            },
            "seconds": None if seconds is None else list(seconds),
            "error": None if error is None else {"cause": error.cause, "text": error.text},
        }
