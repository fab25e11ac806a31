"""What must hold of asynchronous copies, whatever steps a program has seen."""

from __future__ import annotations

from typing import Any

from passes.ir.arith import prove
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    CONCURRENT,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Block,
    Buffer,
    For,
    Function,
    If,
    Stmt,
    While,
)
from passes.schedule.tree import blocks_in, loaded, spell, statements, written


def objection_to_copies(before: Function, after: Function) -> str | None:
    """Why the groups of copies of `after` no longer do what those of `before` did; None if they do.

    Their blocks are the same ones, they read nothing that they store to, and waits name all that
    lands. A queue is used inside one iteration of a concurrent loop, or all outside. If a wait
    leaves copies of its queue on their way, loops and branches around copies and waits stay as
    they were: the order of the copies decides which these are. So do they, and blocks that store
    to what is copied keep their place among them, if there are such blocks.
    """
    whole = statements(after)
    groups = [s for s in whole if isinstance(s, AsyncGroup)]
    if not groups:
        return None
    grouped = {
        b.label for s in statements(before) if isinstance(s, AsyncGroup) for b in blocks_in(s)
    }
    apart = {block.label for block in blocks_in(before.body)} - grouped
    for group in groups:
        joined = sorted(apart & {block.label for block in blocks_in(group)})
        if joined:
            return f"block '{joined[0]}' would become part of the copies of '{group.queue}'"
        again = loaded(group.body) & written(group.body)
        if again:
            name = min(name_of(b) for b in again)
            return f"the copies of '{group.queue}' would read '{name}', which is on its way"
    for wait in (s for s in whole if isinstance(s, AsyncWait)):
        landing = [written(group) for group in groups if group.queue == wait.queue]
        if frozenset(wait.buffers) != frozenset().union(*landing):
            return f"a wait for the copies of '{wait.queue}' would not name all that lands"
        was, now = (_storing(function, wait.queue) for function in (before, after))
        if was | now and _issued(before.body, wait.queue, was) != _issued(
            after.body, wait.queue, now
        ):
            return (
                f"what the copies of '{wait.queue}' read would be stored to in another order with"
                " them and their waits"
            )
        leaves = not prove(wait.pending.equal(0))
        if leaves and _issued(before.body, wait.queue) != _issued(after.body, wait.queue):
            return (
                f"copies of '{wait.queue}' would be issued in another order or number, and a wait"
                f" leaves {print_expr(wait.pending)} of them on their way"
            )
    for loop in (s for s in whole if isinstance(s, For) and s.kind in CONCURRENT):
        inside = _queues(loop)
        shared = {q for q, count in inside.items() if count < _queues(after)[q]}
        if inside and (shared or loop.kind in THREAD_AXES):
            queue = min(shared or inside)
            return f"iterations of {loop.kind} loop {spell(loop.var)} would share queue '{queue}'"
    return None


def _queues(root: For | Function) -> dict[str, int]:
    """How often each queue is spoken of below a node."""
    found: dict[str, int] = {}
    for stmt in statements(root):
        if isinstance(stmt, AsyncGroup | AsyncWait):
            found[stmt.queue] = found.get(stmt.queue, 0) + 1
    return found


def _storing(function: Function, queue: str) -> frozenset[str]:
    """The blocks, by label, that store to what a queue's copies read."""
    groups = [s for s in statements(function) if isinstance(s, AsyncGroup) and s.queue == queue]
    read = frozenset[Buffer]().union(*[loaded(group.body) for group in groups])
    return frozenset(b.label for b in blocks_in(function.body) if written(b) & read)


def _issued(stmt: Stmt, queue: str, labels: frozenset[str] = frozenset()) -> tuple[Any, ...]:
    """The copies and waits of a queue and the blocks of some labels in program order, with what
    is around the former alone."""
    match stmt:
        case AsyncWait():
            return ((stmt.pending,),) if stmt.queue == queue else ()
        case Block() if stmt.label in labels:
            return (stmt.label,)
        case If(cond, then, other):
            one = _issued(then, queue, labels)
            two = () if other is None else _issued(other, queue, labels)
            return ((cond, one, two),) if one or two else ()
    below = [_issued(child, queue, labels) for child in stmt.children if isinstance(child, Stmt)]
    found = tuple([event for part in below for event in part])
    if all(isinstance(event, str) for event in found) and not isinstance(stmt, AsyncGroup):
        return found
    match stmt:
        case AsyncGroup() if stmt.queue == queue:
            return (("group", *found),)
        case For(var, extent, _):
            return ((var, extent, *found),) if found else ()
        case While(cond, _):
            return ((cond, *found),) if found else ()
        case Block() if stmt.predicate is not None:
            return ((stmt.predicate, *found),) if found else ()
    return found
