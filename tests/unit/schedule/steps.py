"""Programs as text, their loops by name; what a refusal must look like, and what a step leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import dedent

import pytest

from passes.ir.expr import Var
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, statements
from tests.unit.schedule.programs import assert_same_meaning

HEAD = "x: f32[n], y: f32[n], a: f32[n, 8], *, n: dim[1, 64]"


def program(body: str, head: str = HEAD) -> Function:
    """The function `f` with the given lines."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return parse_function(f"def f({head}):\n{lines}")


def written_out(text: str) -> Function:
    """The function that the text, indented or not, shows as a whole."""
    return parse_function(dedent(text).strip())


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


def refusals(cases: Mapping[str, Case]) -> Callable[[str], None]:
    """A test of each case."""

    @pytest.mark.parametrize("name", cases)
    def test_refusal(name: str) -> None:
        check_refusal(cases[name])

    return test_refusal


Rewrite = tuple[Function, Callable[[Steps], object], str]
"""A program, a step, and the text of what becomes of it: whole, or the lines below the head."""


def rewrites(cases: Mapping[str, Rewrite]) -> Callable[[str], None]:
    """A test of each case: the text, and that the meaning is the same."""

    @pytest.mark.parametrize("name", cases)
    def test_text(name: str) -> None:
        before, step, after = cases[name]
        steps = Steps(before)
        step(steps)
        head = print_function(before).split("\n", 1)[0].removeprefix("def f(").removesuffix("):")
        whole = after.lstrip().startswith("def ")
        wanted = written_out(after) if whole else program(after, head)
        assert print_function(steps.s.function) == print_function(wanted)
        assert_same_meaning(before, steps.s.function, (1, 2, 7, 16))

    return test_text
