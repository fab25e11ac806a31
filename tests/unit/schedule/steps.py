"""Programs as text, their loops by name, and what a refusal must look like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.ir.expr import Var
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, statements

HEAD = "x: f32[n], y: f32[n], a: f32[n, 8], *, n: dim[1, 64]"


def program(body: str, head: str = HEAD) -> Function:
    """The function `f` with the given lines."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return parse_function(f"def f({head}):\n{lines}")


class Steps:
    """A schedule `s`; `steps.i` is the first loop whose variable is called i."""

    def __init__(self, function: Function) -> None:
        self.s = Schedule(function)

    def __getattr__(self, name: str) -> Var:
        loops = [x for x in statements(self.s.function) if isinstance(x, For)]
        return next(x.var for x in loops if x.var.name == name)


Case = tuple[Function, Callable[[Steps], object], str, str, str]
"""A program, a step that does not fit, the place and the reason that the error names, and how
the line it marks begins (nothing if it marks none)."""


def check_refusal(case: Case) -> None:
    function, step, place, reason, marked = case
    steps = Steps(function)
    with pytest.raises(ScheduleError) as error:
        step(steps)
    first, *shown = str(error.value).split("\n")
    assert first == f"{place} in 'f': {reason}"
    assert error.value.primitive == place.split(" of ")[0]
    carets = [k for k, line in enumerate(shown) if line.endswith("^")]
    pointed = [shown[k - 1].split("|")[1].strip() for k in carets]
    assert len(pointed) == bool(marked)
    assert all(line.startswith(marked) for line in pointed)
