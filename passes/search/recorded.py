"""Schedules from records: what was measured, done again; nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.schedule.replay import replay
from passes.schedule.tree import ScheduleError
from passes.search.defaults import default_schedule
from passes.search.defaults.shape import told
from passes.search.defaults.target import Target
from passes.search.dispatch import tree_of
from passes.search.records.database import Database
from passes.search.records.record import Record
from passes.search.scheduled import Scheduled
from passes.search.task import Task


@dataclass(frozen=True)
class Chooser:
    """Schedules kernels for one target: as its records say, else as the default rules do."""

    facts: Mapping[str, Any]
    records: Database | None

    @staticmethod
    def open(facts: Mapping[str, Any], path: Path | None) -> Chooser:
        """Raises RecordError if the file of records cannot be read."""
        return Chooser(facts, None if path is None else Database.open(path))

    def __call__(self, function: Function, constants: frozenset[int]) -> Scheduled:
        """Records that do not replay are left out, which the notes of the trace tell."""
        notes: list[str] = []
        if self.records is not None:
            task = Task.of(function, constants, self.facts)
            records = _comparable(list(self.records.trials(task.workload, task.machine)))
            try:
                if records:
                    return _replayed(function, records)
            except (ScheduleError, IRError) as error:
                reason = told(error) if isinstance(error, ScheduleError) else str(error)
                notes.append(f"records left out: {reason}")
        made = default_schedule(function, Target.of(self.facts), constants)
        made.trace.notes[:0] = notes
        return Scheduled.of(made)


def _comparable(records: Sequence[Record]) -> list[Record]:
    """Those that were measured with the most threads, one a point: the last one that worked."""
    worked = [record for record in records if record.error is None]
    most = max([record.threads for record in worked], default=0)
    found = {
        tuple(sorted(record.dims.items())): record for record in worked if record.threads == most
    }
    return list(found.values())


def _replayed(function: Function, records: Sequence[Record]) -> Scheduled:
    """The kernel with all schedules that records have, chosen by the sizes it is called with."""
    traces = {json.dumps(record.trace): record for record in records}
    numbers = {text: number for number, text in enumerate(traces)}
    points = [(record.dims, numbers[json.dumps(record.trace)]) for record in records]
    schedules = [replay(function, record.as_trace(function)) for record in traces.values()]
    return Scheduled.chosen(schedules, tree_of(points))


def choosers(levels: Sequence[Mapping[str, Any]], path: Path | None) -> list[Chooser]:
    """One for each CPU level, of the same file of records."""
    return [Chooser.open(facts, path) for facts in levels]
