"""Traces: the steps of a schedule, to be read, compared, stored and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from passes.ir.loop.nodes import Function
from passes.schedule.instruction import Instruction
from passes.schedule.sampling import Choice
from passes.schedule.trace_data import parse_json, print_json
from passes.schedule.trace_text import print_trace


@dataclass
class Trace:
    """The steps of a schedule in order.

    `notes` say how it came about to whoever reads it, a line each; they are no part of what it
    does, nor of the text from which it is read back.
    """

    steps: list[Instruction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list, compare=False)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.steps)

    def decided(self, step: int, choice: Choice) -> Trace:
        """The trace with another choice of a sampling step (numbered from 0).

        Raises ValueError if that step does not sample.
        """
        if self.steps[step].sampling is None:
            raise ValueError(f"step {step}, {self.steps[step].name}, decides nothing")
        steps = list(self.steps)
        steps[step] = replace(steps[step], choice=choice)
        return Trace(steps)

    def as_python(self) -> str:
        """The steps as calls of `Schedule`; run with `s = Schedule(function)`, they repeat it.

        # a note
        _, j5, k6 = s.loops("dot")
        j8, j9 = s.split(j5, 4)
        s.parallel(j8)
        """
        return "".join([f"# {note}\n" for note in self.notes]) + print_trace(self.steps)

    def as_json(self) -> str:
        """The steps as JSON text, from which `from_json` makes an equal trace."""
        return print_json(self.steps)

    @staticmethod
    def from_json(text: str, function: Function) -> Trace:
        """The trace of a text, for a function that has the dims it speaks of.

        Raises IRError if it cannot be read.
        """
        return Trace(parse_json(text, function.dims))
