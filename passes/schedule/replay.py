"""Doing the steps of a trace again: the same, with other decisions, or to another program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule import primitives as p
from passes.schedule.instruction import Instruction, renamed
from passes.schedule.memo import Memo
from passes.schedule.queries import QUERIES
from passes.schedule.sampling import Decide
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.trace_text import print_step
from passes.schedule.tree import ScheduleError


def replay(function: Function, trace: Trace, decide: Decide | None = None) -> Schedule:
    """The schedule that the steps of `trace` make of `function`: the traced one, if it is the
    function traced.

    Later steps take the handles that earlier ones give now: after another decision, or on
    another function, these may be others than in the trace. A recorded choice that is none
    any more is made again by `decide`.

    Raises ScheduleError, with the step and the program that it met, if one does not apply, gives
    other kinds of handles, or (without `decide`) chose what there is not.
    """
    return Replayer(function).replay(trace, decide)


class Replayer:
    """Replays many traces on one function.

    Programs are kept after each step, so a trace is done from its first step that differs from
    those of the traces before.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.memo = Memo()

    def replay(self, trace: Trace, decide: Decide | None = None) -> Schedule:
        """`replay`."""
        s = Schedule(self.function, decide, self.memo)
        names: dict[Var | str, Any] = {}
        for number, step in enumerate(trace):
            before = s.function
            try:
                _repeat(s, step, names, decide)
                _bind(step.result, s.trace.steps[-1].result, names)
            except ScheduleError as error:
                raise ScheduleError("replay", _place(number, step), str(error), before) from error
            except _Differs:
                made, wanted = _kinds(s.trace.steps[-1].result), _kinds(step.result)
                reason = f"it gives {made} where the trace has {wanted}"
                raise ScheduleError("replay", _place(number, step), reason, before) from None
        return s


class _Differs(Exception):
    """A step gave other kinds of handles than it did."""


def _place(number: int, step: Instruction) -> str:
    return f"step {number + 1}, {print_step(step)},"


def _repeat(
    s: Schedule, step: Instruction, names: Mapping[Var | str, Any], decide: Decide | None
) -> None:
    """Does one step with the handles of now."""
    args = tuple([renamed(arg, names) for arg in step.args])
    if step.name in QUERIES:
        s.query(step.name, *args)
    elif step.sampling is not None:
        sample = partial(getattr(s, step.name), *args, **dict(step.options))
        try:
            sample(choice=step.choice)
        except ScheduleError:
            if decide is None:
                raise
            sample()
    else:
        options = {name: renamed(value, names) for name, value in step.options}
        s.run(getattr(p, step.name), args, options)


def _bind(old: Any, new: Any, names: dict[Var | str, Any]) -> None:
    """Notes which handle stands for which of the trace, its first meaning."""
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            _bind(one, other, names)
    elif isinstance(old, Var | str) and type(old) is type(new):
        names.setdefault(old, new)
    elif type(old) is not type(new) or isinstance(old, tuple):
        raise _Differs


def _kinds(result: Any) -> str:
    """What a step gave, in words."""
    if isinstance(result, tuple):
        return f"({', '.join([_kinds(item) for item in result])})"
    return "nothing" if result is None else "a label" if isinstance(result, str) else "a loop"
