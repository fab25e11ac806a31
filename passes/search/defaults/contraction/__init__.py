"""contraction: sums of products, tiled over registers.

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

from passes.ir.loop.nodes import Block, Load, Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, get_block, loaded, written
from passes.search.defaults.contraction.choice import schedule_group
from passes.search.defaults.contraction.nests import Nests, has_plain_loops, nests_of
from passes.search.defaults.contraction.roles import Roles, roles_of, without_casts
from passes.search.defaults.pointwise import schedule_nest
from passes.search.defaults.shape import blocks, inline_maps, is_map
from passes.search.defaults.target import Target


def schedule(s: Schedule, target: Target, constants: Collection[int] = ()) -> Schedule | None:
    """None unless the program has sums of products that the rules know how to tile.

    `constants` are the parameters, by number, that may be laid out anew: weights are, in a package.
    """
    sums = {one.label for one in _sums(s)}
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
    moves = isinstance(without_casts(store.value), Load)
    return not moves and any(one.label in sums for one in readers)


def _sums(s: Schedule) -> list[Roles]:
    """The sums of products. Those that are parts of others are taken together with these where
    the weights lie in panels."""
    found: list[Roles] = []
    for block in blocks(s):
        readers = _readers(s, block.label)
        whole = roles_of(block, readers[0]) if len(readers) == 1 else None
        one = whole if whole is not None and whole.in_panels else roles_of(block)
        if one is not None and block.label not in {other.whole for other in found}:
            found.append(one)
    return found


def _groups(s: Schedule) -> list[tuple[Nests, list[Roles]]]:
    """The sums, those that end in one map together with it, each other one with a copy at its
    end."""
    found = _sums(s)
    groups: list[tuple[Nests, list[Roles]]] = []
    for one in found:
        if any(one in group for _, group in groups):
            continue
        ending = _ended_together(s, one, found) or _ended_alone(s, one)
        if ending is not None:
            groups.append(ending)
    for nests, _ in groups:
        _in_registers(s, nests)
    return groups


def group_of(s: Schedule, label: str, together: bool = True) -> tuple[Nests, list[Roles]] | None:
    """The nests of the sum `label`, of the others that one map reads together with it, and of that
    map; or, if not `together` or there is none, of the sum and a copy at its end. The sums are in
    registers then. None for a block that is no such sum."""
    found = _sums(s)
    one = next((sum for sum in found if sum.label == label), None)
    if one is None:
        return None
    ending = _ended_together(s, one, found) if together else None
    ending = ending or _ended_alone(s, one)
    if ending is not None:
        _in_registers(s, ending[0])
    return ending


def _in_registers(s: Schedule, nests: Nests) -> None:
    for nest in nests[:-1]:
        (buffer,) = written(get_block(s.function, nest.label, "groups"))
        if buffer.scope != "register":
            s.set_scope(f"{buffer.name}{buffer.ordinal}", "register")


def _ended_together(s: Schedule, one: Roles, sums: list[Roles]) -> tuple[Nests, list[Roles]] | None:
    """The map that alone reads the sum, and all the sums that this map alone reads."""
    readers = _readers(s, one.whole)
    if len(readers) != 1 or not is_map(readers[0]):
        return None
    mine = [other for other in sums if _readers(s, other.whole) == readers]
    nests = nests_of(s, readers[0].label, mine)
    return None if nests is None else (nests, mine)


def _ended_alone(s: Schedule, one: Roles) -> tuple[Nests, list[Roles]] | None:
    """The sum, computed in registers, and the block that copies it to where it was."""
    if not has_plain_loops(s, one.whole):
        return None
    try:
        end = s.reindex_cache_write(one.whole, "register")
    except ScheduleError:
        return None
    nests = nests_of(s, end, [one])
    return None if nests is None else (nests, [one])


def _readers(s: Schedule, label: str) -> list[Block]:
    """The blocks that read what a block stores; none if that is a parameter."""
    block = get_block(s.function, label, "readers")
    buffers = written(block)
    if not buffers <= set(s.function.allocs):
        return []
    return [b for b in blocks(s) if b is not block and loaded(b) & buffers]
