"""Small temporaries with constant indices move into registers.

    t2: f32[48] local                          t2: f32[48] register
    t2[ramp(0, 1, 16)] = …               →     t2[ramp(0, 1, 16)] = …
    … t2[ramp(0, 1, 16)] …                     … t2[ramp(0, 1, 16)] …

A register buffer is a set of slots (start and lanes), each always stored and loaded whole. A
local buffer that is used like that becomes one; a buffer that a schedule has put in registers
but that is not used like that is an error. Where all accesses of one are under the same mask, it
needs none: what lies in the other lanes is never looked at. Exact.
"""

from __future__ import annotations

from functools import partial

from passes.codegen.emit.effects import EffectTable, Slot, slot_of, unmasked
from passes.ir.arith import free_vars
from passes.ir.expr import Const, Expr, index
from passes.ir.loop.nodes import Buffer, For, Function, Load, Store
from passes.ir.node import IRError, Node, postorder, rewrite

MOST_SLOTS = 32


def to_registers(function: Function) -> Function:
    """The function with promoted temporaries. Raises `IRError` for a bad register buffer."""
    uses: dict[Buffer, list[Load | Store]] = {}
    for node in postorder(function.body):
        if isinstance(node, Load | Store) and node.buffer.scope != "global":
            uses.setdefault(node.buffer, []).append(node)
    promoted: dict[Node, Node] = {}
    for buffer, accesses in uses.items():
        if buffer.scope == "register":
            _slots(function, buffer, accesses)
        elif _fits(function, buffer, accesses):
            promoted[buffer] = buffer.replace(scope="register")
    if promoted:
        function = rewrite(function, promoted.get)
    return _unmasked(function)


def _unmasked(function: Function) -> Function:
    """The function whose registers have no masks where all accesses agree on one."""
    masks: dict[Buffer, set[Expr | None]] = {}
    for node in postorder(function.body):
        if isinstance(node, Load | Store) and node.buffer.scope == "register":
            masks.setdefault(node.buffer, set()).add(unmasked(node.indices[0])[1])
    agreed = {b: next(iter(found)) for b, found in masks.items() if len(found) == 1}
    for buffer, mask in agreed.items():
        if mask is None or any(isinstance(node, Load) for node in postorder(mask)):
            continue
        whole = rewrite(function.body, partial(_whole, buffer))
        variables = free_vars(mask)
        loops = [n for n in postorder(whole) if isinstance(n, For) and n.var in variables]
        around = loops[0].body if loops else whole  # the innermost comes first
        # lanes that one iteration overwrites must not be asked for by another with its own mask
        if not any(slot.buffer is buffer for slot in EffectTable().of(around).exposed):
            function = _grown(function.replace(body=whole), buffer)
    return function


def _grown(function: Function, buffer: Buffer) -> Function:
    """The function with room in the buffer for the lanes that masks kept out of it."""
    accesses = [
        node
        for node in postorder(function.body)
        if isinstance(node, Load | Store) and node.buffer is buffer
    ]
    end = max(slot.start + slot.lanes for slot in _slots(function, buffer, accesses))
    (extent,) = buffer.shape
    if isinstance(extent, Const) and extent.value >= end:
        return function
    room: dict[Node, Node] = {buffer: buffer.replace(shape=(index(end),))}
    return rewrite(function, room.get)


def _whole(buffer: Buffer, node: Node) -> Node | None:
    if isinstance(node, Load | Store) and node.buffer is buffer:
        return node.replace(indices=(unmasked(node.indices[0])[0],))
    return None


def _fits(function: Function, buffer: Buffer, accesses: list[Load | Store]) -> bool:
    try:
        return len(_slots(function, buffer, accesses)) <= MOST_SLOTS
    except IRError:
        return False


def _slots(function: Function, buffer: Buffer, accesses: list[Load | Store]) -> set[Slot]:
    slots = {slot_of(access) for access in accesses}
    end = 0
    for slot in sorted(slots, key=lambda slot: (slot.start, slot.lanes)):
        if slot.start < end:
            raise IRError(
                f"'{function.name}': register buffer '{buffer.name}{buffer.ordinal}' is accessed "
                f"in overlapping pieces around element {slot.start}; vectorize all loops over it "
                "by the same factor"
            )
        end = slot.start + slot.lanes
    return slots
