"""What rules try: steps that may be refused, which leave the schedule as it was then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from passes.search.defaults.shape import refusal, told

Steps = Callable[[Schedule], object]


def attempted(s: Schedule, rule: str, label: str, steps: Steps) -> list[Schedule]:
    """The schedule after all of the steps, or after none of them and with a note of what was
    refused."""
    error = refusal(s, partial(steps, s))
    if error is not None:
        s.trace.notes.append(_note(rule, label, error))
    return [s]


def ways(s: Schedule, rule: str, label: str, tried: Sequence[Steps]) -> list[Schedule]:
    """The schedule after each of several ways to go on, in their order; those of which a step is
    refused are left out, and noted. None of them asks for a decision."""
    made: list[Schedule] = []
    notes = list(s.trace.notes)
    for steps in tried:
        one = s.at(len(s.trace))
        try:
            steps(one)
        except ScheduleError as error:
            notes.append(_note(rule, label, error))
        else:
            made.append(one)
    made = made or [s]
    for one in made:
        one.trace.notes[:] = notes
    return made


def keep(s: Schedule) -> None:
    """The way that changes nothing."""


def refusals(notes: Iterable[str]) -> Counter[str]:
    """How often the notes of a trace tell that a rule was refused a step, by rule and step."""
    told_of = [note.split(": ", 1) for note in notes if note.startswith(_PREFIX)]
    return Counter([f"{head.removeprefix(_PREFIX).split(' ')[0]}: {reason.split(' of ', 1)[0]}"
                    for head, reason in told_of])  # fmt: skip


_PREFIX = "refused to rule "


def _note(rule: str, label: str, error: ScheduleError) -> str:
    return f"{_PREFIX}{rule} at block '{label}': {told(error)}"
