"""add_unit_loop: a loop that runs once, around a loop or a block."""

from __future__ import annotations

from passes.ir.expr import Var, index
from passes.ir.loop.nodes import For, Function
from passes.schedule.legality import checked
from passes.schedule.tree import Refusal, fresh_ordinal, path_to_block, path_to_loop, replace, spell


def add_unit_loop(function: Function, at: Var | str) -> tuple[Function, Var]:
    """Gives the function and the new loop around `at`, a loop or the label of a block.

    block c: y[0] = x[0]
    → for u in range(1):
          block c: y[0] = x[0]

    Raises ScheduleError if there is no such loop or block, or its loops become lanes.
    """
    if isinstance(at, Var):
        stmt = path_to_loop(function, at, "add_unit_loop")[-1]
        place = f"loop {spell(at)}"
    else:
        stmt = path_to_block(function, at, "add_unit_loop")[-1]
        place = f"block '{at}'"
    refuse = Refusal("add_unit_loop", place, function, at)
    loop = Var("u", fresh_ordinal(function))
    return checked(replace(function, stmt, For(loop, index(1), stmt)), refuse), loop
