"""verify_limits: what a target has room for."""

from __future__ import annotations

from math import prod

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Block, Buffer, For, Load, Store
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, loops_in, path_to_block, path_to_loop
from passes.search.defaults.private import touched_bytes
from passes.search.defaults.shape import blocks, constant
from passes.search.space.rule import Context

_CODE = 1 << 13
"""Instances of blocks that are written out, a vector counting as one."""


def verify_limits(s: Schedule, context: Context) -> Schedule:
    """Raises ScheduleError for a program whose unrolled loops make too much code, whose private
    temporaries do not fit into a thread's stack and second cache, or a block of which has more
    vectors of temporaries in registers than there are registers. What is not known is let pass."""
    _check_code(s, context)
    _check_private(s, context)
    for block in blocks(s):
        _check_registers(s, block, context)
    return s


def _refused(s: Schedule, place: str, reason: str) -> ScheduleError:
    return ScheduleError("verify_limits", place, reason, s.function)


def _written_out(s: Schedule, block: Block, lanes: int) -> dict[Var, int]:
    """How many instances loops that are written out add up to, a vector counting as one."""
    around = loops_in(path_to_block(s.function, block.label, "verify_limits"))
    counts: dict[Var, int] = {}
    for loop in around:
        size = constant(loop.extent) or 1
        if loop.kind == "unrolled":
            counts[loop.var] = size
        elif loop.kind == "vectorized":
            counts[loop.var] = -(-size // lanes)
    return counts


def _check_code(s: Schedule, context: Context) -> None:
    lanes = context.target.lanes
    size = sum([prod(_written_out(s, block, lanes).values()) for block in blocks(s)])
    if size > _CODE:
        raise _refused(s, "the program", f"{size} stores would be written out, of at most {_CODE}")


def _check_private(s: Schedule, context: Context) -> None:
    shared = [n.var for n in postorder(s.function.body)
              if isinstance(n, For) and n.kind == "parallel"]  # fmt: skip
    around = {loop for v in shared for loop in _around(s, v)}
    sizes = {b: touched_bytes(s, b, around) or 0 for b in s.function.allocs if b.scope == "local"}
    room = context.target.private_bytes
    if sum(sizes.values()) > room:
        reason = f"private temporaries take {sum(sizes.values())} bytes, of at most {room}"
        raise _refused(s, "the program", reason)


def _around(s: Schedule, loop: Var) -> list[Var]:
    return [one.var for one in loops_in(path_to_loop(s.function, loop, "verify_limits"))]


def _check_registers(s: Schedule, block: Block, context: Context) -> None:
    target = context.target
    counts = _written_out(s, block, target.lanes)
    bindings: dict[Var, Expr] = dict(
        zip([it.var for it in block.iters], block.bindings, strict=True)
    )
    held: dict[Buffer, int] = {}
    for access in postorder(block.body):
        if isinstance(access, Load | Store) and access.buffer.scope == "register":
            used = {v for i in access.indices for v in free_vars(substitute(i, bindings))}
            held[access.buffer] = prod([n for v, n in counts.items() if v in used])
    vectors = sum(held.values())
    if vectors > target.vector_registers:
        reason = f"it holds {vectors} vectors in {target.vector_registers} registers"
        raise _refused(s, f"block '{block.label}'", reason)
