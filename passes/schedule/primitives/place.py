"""place: a block is computed where it was decided."""

from __future__ import annotations

from typing import Literal

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.primitives.compute_at import compute_at
from passes.schedule.primitives.compute_inline import compute_inline
from passes.schedule.tree import get_block


def place(function: Function, label: str, location: Var | Literal["inline", "root"]) -> Function:
    """`compute_at` a loop, `compute_inline`, or nothing: the block stays where it is ("root").

        for i: block a: t[i] = exp(x[i])
        for i: block b: y[i] = t[i] + 1.0                       at "inline"
        → for i: block b: y[i] = exp(x[i]) + 1.0

    So that steps with another decision are still the same steps. Raises ScheduleError as these do.
    """
    if isinstance(location, Var):
        return compute_at(function, label, location)
    if location == "inline":
        return compute_inline(function, label)
    get_block(function, label, "place")
    return function
