"""contraction: sums of products, tiled over registers.

cells     products with weights stored in panels of cells
roles     what the iterators of a sum are to its two factors
tile      how many rows and vectors of the result are in registers at once
nests     the loops of sums and of the block that ends them, cut alike
choice    how the vector factor is read: in place, copied into panels, or streamed
tiles     the schedule with all of k at once
panels    the factors that are copied, or folded at build time
stream    the schedule with blocks of k
"""

from __future__ import annotations

from collections.abc import Collection

from passes.ir.expr import Cast
from passes.ir.loop.nodes import Block, Function, Load, Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, loaded, written
from passes.search.defaults.contraction import cells
from passes.search.defaults.contraction.choice import schedule_group
from passes.search.defaults.contraction.nests import Nests, has_plain_loops, nests_of
from passes.search.defaults.contraction.roles import Roles, roles_of
from passes.search.defaults.pointwise import schedule_nest
from passes.search.defaults.shape import blocks, inline_maps, is_map
from passes.search.defaults.target import Target


def schedule(
    function: Function, target: Target, constants: Collection[int] = ()
) -> Schedule | None:
    """None unless the program has sums of products that the rules know how to tile.

    `constants` are the parameters, by number, that may be laid out anew: weights are, in a package.
    """
    return cells.schedule(function, target) or _schedule(function, target, constants)


def _schedule(function: Function, target: Target, constants: Collection[int]) -> Schedule | None:
    s = Schedule(function)
    sums = {b.label for b in blocks(s) if roles_of(b) is not None}
    inline_maps(s, lambda block, readers: _is_staged(block, readers, sums))
    groups = _groups(s)
    if not groups:
        return None
    done = {nest.label for nests, _ in groups for nest in nests}
    for block in blocks(s):
        if block.label not in done:
            schedule_nest(s, block.label, target)
    for nests, group in groups:
        schedule_group(s, nests, group, target, constants)
    return s


def _is_staged(block: Block, readers: list[Block], sums: set[str]) -> bool:
    """Whether a map is computed once, for all the products that read it: it does more than to
    move elements."""
    store = block.body
    assert isinstance(store, Store)
    value = store.value
    while isinstance(value, Cast):
        value = value.value
    return not isinstance(value, Load) and any(one.label in sums for one in readers)


def _groups(s: Schedule) -> list[tuple[Nests, list[Roles]]]:
    """The sums, those that end in one map together with it, each other one with a copy at its
    end."""
    found = [(b, one) for b in blocks(s) if (one := roles_of(b)) is not None]
    groups: list[tuple[Nests, list[Roles]]] = []
    for block, one in found:
        if any(one in group for _, group in groups):
            continue
        ending = _ended_together(s, block, found) or _ended_alone(s, one)
        if ending is not None:
            groups.append(ending)
    return groups


def _ended_together(
    s: Schedule, block: Block, sums: list[tuple[Block, Roles]]
) -> tuple[Nests, list[Roles]] | None:
    """The map that alone reads the sum, and all the sums that this map alone reads."""
    readers = _readers(s, block)
    if len(readers) != 1 or not is_map(readers[0]):
        return None
    (end,) = readers
    mine = [(b, one) for b, one in sums if _readers(s, b) == [end]]
    nests = nests_of(s, end.label, [one.label for _, one in mine])
    if nests is None:
        return None
    for b, _ in mine:
        (buffer,) = written(b)
        s.set_scope(f"{buffer.name}{buffer.ordinal}", "register")
    return nests, [one for _, one in mine]


def _ended_alone(s: Schedule, one: Roles) -> tuple[Nests, list[Roles]] | None:
    """The sum, computed in registers, and the block that copies it to where it was."""
    if not has_plain_loops(s, one.label):
        return None
    try:
        end = s.reindex_cache_write(one.label, "register")
    except ScheduleError:
        return None
    nests = nests_of(s, end, [one.label])
    return None if nests is None else (nests, [one])


def _readers(s: Schedule, block: Block) -> list[Block]:
    """The blocks that read what a block stores; none if that is a parameter."""
    buffers = written(block)
    if not buffers <= set(s.function.allocs):
        return []
    return [b for b in blocks(s) if b is not block and loaded(b) & buffers]
