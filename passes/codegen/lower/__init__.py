"""Lowering: a scheduled kernel → statements the emitter can spell, pass by pass.

Each pass takes a function to an equal one that is closer to the machine; all of them keep the
loop IR, so the interpreter runs every stage.
"""

from __future__ import annotations

from collections.abc import Callable

from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.compact import compact
from passes.codegen.lower.contract import contract
from passes.codegen.lower.dot import lower_dot
from passes.codegen.lower.flatten import flatten
from passes.codegen.lower.math import lower_math
from passes.codegen.lower.registers import to_registers
from passes.codegen.lower.spmd import share_work
from passes.codegen.lower.trivial import drop_trivial_loops
from passes.codegen.lower.unroll import unroll
from passes.codegen.lower.vectorize import vectorize
from passes.ir.loop.nodes import Function
from passes.ir.loop.verify import verify_lowered

LOWERING: tuple[tuple[str, Callable[[Function], Function]], ...] = (
    ("blocks", lower_blocks),
    ("trivial loops", drop_trivial_loops),
    ("compact", compact),
    ("unroll", unroll),
    ("flatten", flatten),
    ("vectorize", vectorize),
    ("dot products", lower_dot),
    ("contract", contract),
    ("math", lower_math),
    ("registers", to_registers),
    ("spmd", share_work),
)


def lower(function: Function) -> Function:
    """All passes in order. Raises `IRError` where a schedule asks for what cannot be done."""
    for _, step in LOWERING:
        function = step(function)
    verify_lowered(function)
    return function
