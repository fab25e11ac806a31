"""unbound_blocks: nests that no rule gave to threads."""

from __future__ import annotations

from functools import partial

from passes.ir.loop.nodes import For
from passes.schedule.schedule import Schedule
from passes.schedule.tree import statements
from passes.search.defaults.shape import attempt, constant, top_nests
from passes.search.space.rule import Context

_MUCH = 1 << 14  # iterations that are worth waking threads for


def unbound_blocks(s: Schedule, context: Context) -> Schedule:
    """Large nests that all rules left as they were run in parallel along their first loop.

    A nest whose iterations meet stays on one thread.
    """
    for nest in top_nests(s.function):
        loops = [stmt for stmt in statements(nest) if isinstance(stmt, For)]
        untouched = all(loop.kind == "serial" for loop in loops)
        if isinstance(nest, For) and untouched and _is_large(loops):
            attempt(s, partial(s.parallel, nest.var))
    return s


def _is_large(loops: list[For]) -> bool:
    count = 1
    for loop in loops:
        count *= constant(loop.extent) or _MUCH
    return count >= _MUCH
