"""Small temporaries with constant indices move into registers.

    t2: f32[48] local                          t2: f32[48] register
    t2[ramp(0, 1, 16)] = …               →     t2[ramp(0, 1, 16)] = …
    … t2[ramp(0, 1, 16)] …                     … t2[ramp(0, 1, 16)] …

A register buffer is a set of slots (start and lanes), each always stored and loaded whole. A
local buffer that is used like that becomes one; a buffer that a schedule has put in registers
but that is not used like that is an error. Exact.
"""

from __future__ import annotations

from passes.codegen.emit.effects import Slot, slot_of
from passes.ir.loop.nodes import Buffer, Function, Load, Store
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
    if not promoted:
        return function
    return rewrite(function, promoted.get)


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
