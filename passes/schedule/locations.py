"""Where a block may be computed: the places that `sample_compute_location` chooses from."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.decisions import Place
from passes.schedule.primitives import compute_at, compute_inline
from passes.schedule.sampling import INLINE, ROOT
from passes.schedule.tree import (
    ScheduleError,
    blocks_in,
    get_block,
    loaded,
    loops_in,
    path_to_block,
    written,
)


def locations(function: Function, label: str) -> tuple[int, ...]:
    """INLINE and the numbers of loops around all consumers where they are legal; always ROOT.

    Raises ScheduleError if there is no such block.
    """
    found = [INLINE] if _works(function, label, "inline") else []
    found.append(ROOT)
    for number, loop in enumerate(_around_consumers(function, label)):
        if _works(function, label, loop):
            found.append(number)
    return tuple(found)


def place_of(function: Function, label: str, number: int) -> Place:
    """The place that a number of `locations` means."""
    if number == INLINE:
        return "inline"
    return "root" if number == ROOT else _around_consumers(function, label)[number]


def _around_consumers(function: Function, label: str) -> list[Var]:
    """The loops around all other blocks that read what the block stores, outermost first."""
    block = get_block(function, label, "sample_compute_location")
    made = written(block)
    readers = [b for b in blocks_in(function.body) if b is not block and loaded(b) & made]
    if not readers:
        return []
    paths = [loops_in(path_to_block(function, b.label, "")) for b in readers]
    first, others = paths[0], paths[1:]
    return [loop.var for loop in first if all(loop in path for path in others)]


def _works(function: Function, label: str, place: Place) -> bool:
    try:
        if isinstance(place, Var):
            compute_at(function, label, place)
        else:
            compute_inline(function, label)
    except ScheduleError:
        return False
    return True
