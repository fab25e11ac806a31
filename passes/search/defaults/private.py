"""Temporaries that a thread keeps to itself: as many as stay in its cache and on its stack.

t = alloc(f32[n, 64])          →    t = alloc(f32[n, 64], scope="local")     # 256 bytes
for s: … t[s, j] …                  for s: … t[s, j] …
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from math import prod

from passes.ir.arith import free_vars, substitute, upper_bound
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Buffer, Load, Store, View
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.search.defaults.shape import attempt, blocks
from passes.search.defaults.target import Target


def keep_private(s: Schedule, around: Collection[Var], target: Target) -> None:
    """Makes temporaries local while there is room for what an iteration of the loops `around`
    touches of them; the others stay in memory."""
    room = target.private_bytes
    for buffer in s.function.allocs:
        size = touched_bytes(s, buffer, around)
        name = f"{buffer.name}{buffer.ordinal}"
        if size is not None and size <= room and attempt(s, partial(s.set_scope, name, "local")):
            room -= size


def touched_bytes(s: Schedule, buffer: Buffer, around: Collection[Var]) -> int | None:
    """Most bytes of a buffer that one iteration of the loops `around` touches, as far as its axes
    tell: one element of those whose index they alone decide, all of others. None: no bound."""
    values: dict[Var, Expr] = {}
    for block in blocks(s):
        values |= zip([it.var for it in block.iters], block.bindings, strict=True)
    nodes = postorder(s.function.body)
    viewed = any(isinstance(n, View) and n.source.buffer is buffer for n in nodes)
    accesses = [n for n in nodes if isinstance(n, Load | Store) and n.buffer is buffer]
    sizes: list[int | None] = []
    for axis, extent in enumerate(buffer.shape):
        places = {substitute(access.indices[axis], values) for access in accesses}
        fixed = len(places) == 1 and all(_is_fixed(place, around) for place in places)
        sizes.append(1 if fixed and not viewed else upper_bound(extent))
    known = [size for size in sizes if size is not None]
    return None if len(known) < len(sizes) else prod(known) * buffer.dtype.bytes


def _is_fixed(place: Expr, around: Collection[Var]) -> bool:
    """Whether an index is the same all through an iteration of the loops `around`."""
    memory = any(isinstance(node, Load) for node in postorder(place))
    return not memory and free_vars(place) <= set(around)
