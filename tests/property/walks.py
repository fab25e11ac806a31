"""Random walks through schedules: each step that succeeds keeps the meaning, others leave all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from passes.ir.loop.nodes import Function
from passes.schedule.queries import QUERIES
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in
from tests.unit.schedule.moves import random_move
from tests.unit.schedule.programs import assert_same_meaning


def sizes(function: Function) -> tuple[int, ...]:
    """What its dims are tried as."""
    return (0, 1, 5) if all(dim.lo == 0 for dim in function.dims) else (1, 5)


@dataclass
class Tally:
    """What a run of random steps did."""

    programs: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.programs} programs, {self.done.total()} steps done,"
                 f" {self.refused.total()} refused"]  # fmt: skip
        for name in sorted(self.done.keys() | self.refused.keys()):
            lines.append(f"{name:28}{self.done[name]:8}{self.refused[name]:8}")
        return "\n".join(lines)


def move_about(function: Function, r: Random, steps: int, tally: Tally | None = None) -> Schedule:
    """The schedule after so many random steps, of which those are kept that are not refused."""
    s = Schedule(function)
    tally = Tally() if tally is None else tally
    for _ in range(steps):
        if not blocks_in(s.function.body):
            break
        before, count = s.function, len(s.trace)
        try:
            random_move(r, s)
        except ScheduleError as error:
            assert error.reason
            assert error.place in str(error)
            assert s.function is before
            assert len(s.trace) == count
            tally.refused[error.primitive] += 1
            continue
        tally.done.update(step.name for step in s.trace.steps[count:] if step.name not in QUERIES)
        assert_same_meaning(function, s.function, sizes(function))
    return s
