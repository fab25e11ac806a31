"""set_scope: where a temporary lives."""

from __future__ import annotations

from typing import get_args

from passes.ir.loop.nodes import Function, Scope
from passes.ir.loop.traverse import views_in
from passes.ir.node import Node, rewrite
from passes.schedule.legality import checked
from passes.schedule.tree import Refusal, get_buffer


def set_scope(function: Function, buffer: str, scope: Scope) -> Function:
    """`t = alloc(f32[n, 64])` → `t = alloc(f32[n, 64], scope="register")`.

    In parallel loops, a private buffer must serve each iteration alone, a global one each
    iteration at places of its own. Lowering shrinks a local or register buffer to what one
    iteration of the loops around all its uses touches; there the shape must come out constant.
    Views of it go along.
    """
    old = get_buffer(function, buffer, "set_scope")
    refuse = Refusal("set_scope", f"buffer '{buffer}'", function, old)
    if old not in function.allocs:
        raise refuse("it is a parameter, not a temporary")
    if scope not in get_args(Scope):
        raise refuse(f"there is no scope '{scope}'; known: {', '.join(get_args(Scope))}")
    moved: dict[Node, Node] = {old: old.replace(scope=scope)}
    views = views_in(function.body)
    for seen, whole in views.items():
        while whole.source.buffer in views:
            whole = views[whole.source.buffer]
        if whole.source.buffer is old:
            moved[seen] = seen.replace(scope=scope)
    return checked(rewrite(function, moved.get), refuse)
