"""layout: only constants lie in another order than the caller's."""

from __future__ import annotations

from passes.ir.expr_text import name_of
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from passes.search.space.rule import Context


def layout(s: Schedule, context: Context) -> Schedule:
    """Raises ScheduleError if a parameter that is no constant has another shape than it had: its
    caller would have to give it in that order."""
    before = s.at(0).function
    for number, (was, now) in enumerate(zip(before.params, s.function.params, strict=True)):
        if was is not now and was.shape != now.shape and number not in context.constants:
            reason = "its layout changed, and it is no constant that could be laid out so before"
            raise ScheduleError("layout", f"parameter '{name_of(was)}'", reason, s.function)
    return s
