"""Steps that change nothing: they give handles of what is in a program already.

A trace has one wherever a step takes a loop, or a buffer made on the way, that no step before gave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from passes.ir.expr import Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import For, Function, Load, Store, Update
from passes.ir.node import postorder
from passes.schedule.instruction import Instruction
from passes.schedule.tree import (
    ScheduleError,
    blocks_in,
    find_loop,
    get_block,
    loaded,
    loops_in,
    path_to_block,
    statements,
    written,
)


def loops(function: Function, label: str) -> tuple[Var, ...]:
    """The loops around a block, outermost first. Raises ScheduleError if there is none."""
    return tuple([loop.var for loop in loops_in(path_to_block(function, label, "loops"))])


def buffers(function: Function, label: str) -> tuple[str, ...]:
    """The names of the buffers that a block stores to, then of the others that it reads."""
    block = get_block(function, label, "buffers")
    stored: dict[str, None] = {}
    read: dict[str, None] = {}
    for node in postorder(block):
        if isinstance(node, Store):
            stored[name_of(node.buffer)] = None
        elif isinstance(node, Update):
            stored.update({name_of(target.buffer): None for target in node.targets})
        elif isinstance(node, Load):
            read[name_of(node.buffer)] = None
    return (*stored, *[name for name in read if name not in stored])


def loop(function: Function, name: str) -> Var:
    """The loop whose variable is spelled so. Raises ScheduleError if there is none."""
    for stmt in statements(function):
        if isinstance(stmt, For) and name_of(stmt.var) == name:
            return stmt.var
    raise ScheduleError("loop", f"'{name}'", "there is no such loop", function)


QUERIES: dict[str, Callable[[Function, str], Any]] = {
    "loops": loops,
    "loop": loop,
    "buffers": buffers,
}


def asked_for(function: Function, handle: Var | str) -> Instruction | None:
    """The query that gives a handle; None if the handle is nothing that a query finds."""
    if isinstance(handle, Var):
        found = find_loop(function, handle)
        if found is None:
            return None
        inside = blocks_in(found)
        if not inside:
            return Instruction("loop", (name_of(handle),), handle)
        label = inside[0].label
        return Instruction("loops", (label,), loops(function, label))
    buffer = next((b for b in function.allocs if name_of(b) == handle), None)
    users = [b for b in blocks_in(function.body) if buffer in written(b) | loaded(b)]
    if buffer is None or not users:
        return None
    label = users[0].label
    return Instruction("buffers", (label,), buffers(function, label))
