"""set_scope: where a temporary lives."""

from __future__ import annotations

from passes.ir.loop.nodes import Function, Scope
from passes.schedule.legality import checked
from passes.schedule.tree import Refusal, get_buffer, replace_buffer


def set_scope(function: Function, buffer: str, scope: Scope) -> Function:
    """`t = alloc(f32[n, 64])` → `t = alloc(f32[n, 64], scope="register")`.

    In parallel loops, a private buffer must serve each iteration alone, a global one each iteration
    at places of its own. Lowering shrinks a local or register buffer to what one iteration of the
    loops around all its uses touches; there the shape must come out constant. Views of it go along.
    Raises ScheduleError for a parameter, and where iterations need what others stored.
    """
    old = get_buffer(function, buffer, "set_scope")
    refuse = Refusal("set_scope", f"buffer '{buffer}'", function, old)
    if old not in function.allocs:
        raise refuse("it is a parameter, not a temporary")
    return checked(replace_buffer(function, old, old.replace(scope=scope)), refuse)
