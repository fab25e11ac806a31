"""pointwise: nests of maps, and scatters. Outer loops over threads, the innermost over lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from passes.ir.arith import free_vars
from passes.ir.expr import Select
from passes.ir.loop.nodes import Block, For, Store, While
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in, get_block, statements
from passes.search.defaults.lanes import vectorize_axis
from passes.search.defaults.shape import (
    chain,
    driven,
    inline_maps,
    is_map,
    own_loops,
    parallel_outer,
    refusal,
    told,
    top_nests,
)
from passes.search.defaults.target import Target


def schedule(s: Schedule, target: Target) -> Schedule:
    """Takes any function: a nest that no step fits stays as it is."""
    inline_maps(s)
    for nest in top_nests(s.function):
        found = blocks_in(nest)
        if len(found) == 1 and isinstance(nest, For):
            schedule_nest(s, found[0].label, target)
        elif isinstance(nest, For):
            parallel_outer(s, chain(nest))
    return s


def schedule_nest(s: Schedule, label: str, target: Target) -> None:
    """A block that has all loops around it alone: by threads, neighbours in lanes where that fits.

    A refusal of what is meant for such a block is told in the notes of the trace.
    """
    block = get_block(s.function, label, "pointwise")
    steps: Callable[[], object] | None = None
    if is_map(block):
        steps = partial(_maps, s, block, target)
    elif _is_scatter(block):
        steps = partial(_scatter, s, label, target)
    elif all(it.kind == "spatial" for it in block.iters) and _is_straight(block):
        steps = partial(_map, s, label, target)
    refused = None if steps is None else refusal(s, steps)
    if refused is not None:
        s.trace.notes.append(f"block '{label}' has no lanes: {told(refused)}")
    if steps is None or refused is not None:
        parallel_outer(s, own_loops(s, label))


def _maps(s: Schedule, block: Block, target: Target) -> None:
    for part in _parts(s, block):
        _map(s, part, target)


def _map(s: Schedule, label: str, target: Target) -> None:
    loops = own_loops(s, label)
    if not loops:
        return
    inner = loops.pop()
    over = vectorize_axis(s, inner, target, unroll=bool(loops))
    parallel_outer(s, loops or ([] if over is None else [over]))


def _parts(s: Schedule, block: Block) -> list[str]:
    """A copy with margins along the lanes becomes a fill and a plain copy: lanes would have to
    gather what lies beside the margin."""
    store, loops = block.body, own_loops(s, block.label)
    assert isinstance(store, Store)
    if not isinstance(store.value, Select) or not loops:
        return [block.label]
    bound = zip(block.iters, block.bindings, strict=True)
    along = {it.var for it, binding in bound if loops[-1] in free_vars(binding)}
    if not along & free_vars(store.value.cond):
        return [block.label]
    try:
        return [s.decompose_padding(block.label, loops[0]), block.label]
    except ScheduleError:
        return [block.label]


def _is_straight(block: Block) -> bool:
    """Whether the block is made of stores, conditional ones too: nothing in it runs again."""
    return not any(isinstance(stmt, For | While) for stmt in statements(block.body))


def _is_scatter(block: Block) -> bool:
    kinds = [it.kind for it in block.iters]
    return set(kinds) == {"spatial", "ordered"}


def _scatter(s: Schedule, label: str, target: Target) -> None:
    """Rows meet where ids are equal, columns never do: each thread adds its columns of all rows.

    for i: for d: t[ids[i], d] += x[i, d]
    → for d_o in parallel: for i: t[ids[i], d_o*16 + lanes] += x[i, d_o*16 + lanes]
    """
    columns = driven(s, label, "spatial")
    if not columns:
        return
    *outer, column = columns
    over = vectorize_axis(s, column, target, unroll=False)
    columns = [*outer, *([] if over is None else [over])]
    s.reorder(*columns, *driven(s, label, "ordered"))
    parallel_outer(s, columns)
