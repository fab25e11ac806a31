"""What a program asks of a target: memory of a thread, vector registers, code. Candidates that ask
too much are not built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from passes.search.defaults.target import Target
from passes.search.features.allocations import Layout
from passes.search.features.operations import Operation
from passes.search.features.steps import Step
from passes.search.features.tape import Number, ceildiv, most

_MOST_INSTRUCTIONS = 1 << 13  # written out: compilers take seconds, and first level caches overflow


@dataclass(frozen=True)
class Resources:
    """Bytes of private memory of a thread, vector registers that hold buffers at a time, and
    vector instructions in the code."""

    target: Target
    private_bytes: Number
    registers: Number
    instructions: Number

    def by_cause(self) -> dict[str, tuple[Number, int]]:
        """What is wanted and the most there may be, by what to say where it is more."""
        return {
            "more private memory than a thread has": (
                self.private_bytes,
                self.target.private_bytes,
            ),
            "more registers than there are": (self.registers, self.target.vector_registers),
            "more code than is worth its time": (self.instructions, _MOST_INSTRUCTIONS),
        }


def resources_of(
    layouts: Iterable[Layout], steps: Sequence[tuple[Step, Sequence[Operation]]], target: Target
) -> Resources:
    private = [layout for layout in layouts if layout.is_private]
    in_registers = [layout for layout in private if layout.in_registers]
    size: Number = 0
    for layout in private:
        if not layout.in_registers:
            size = size + layout.bytes
    registers: Number = 0
    for layout in in_registers:
        beside = [o for o in in_registers if o.around == layout.around[: len(o.around)]]
        held: Number = 0
        for other in beside:
            held = held + ceildiv(other.bytes * 8, target.vector_bits)
        registers = most(registers, held)
    code: Number = 0
    for step, operations in steps:
        code = code + instructions_written(step, operations)
    return Resources(target, size, registers, code)


def instructions_written(step: Step, operations: Sequence[Operation]) -> Number:
    """Vector instructions in the code of a row."""
    whole: Number = 0
    for operation in operations:
        whole = whole + step.instructions(operation, written=True)
    for one in (*step.loads, *step.stores):
        if not step.is_register(one):
            whole = whole + step.of_access(one, written=True)
    return whole
