"""Lowering: a scheduled kernel → statements the emitter can spell, pass by pass.

    pipeline        software pipelines that loops are annotated with
    blocks          blocks, views, tuple updates, copies → plain statements; predicates → branches
    trivial loops   loops of one iteration
    compact         private buffers shrink to what one iteration touches
    strips          vectorized loops of any extent → strips of lanes, the last of them a tail
    partition       loops cut where their conditions change
    unroll          copies for each iteration
    flatten         buffers of one axis
    vectorize       lanes → vectors; what only some lanes run, under masks
    invariants      branches out of loops (values leave loops as they are emitted)
    narrow          index arithmetic in 32 bits
    dot products    words of bytes → instructions
    contract        fused multiply-adds
    math            functions → polynomials
    registers       promotion of small temporaries
    spmd            which thread runs what, and the barriers between

Each pass takes a function to an equal one that is closer to the machine; all of them keep the
loop IR, so the interpreter runs every stage. Addresses are reduced in strength as they are emitted
(`emit.memory`). Instead of `spmd`, functions with thread blocks take the host/device split
(`device.split_device`), whose result `lockstep.run_split` runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.compact import compact
from passes.codegen.lower.contract import contract
from passes.codegen.lower.dot import lower_dot
from passes.codegen.lower.facts import CPU, Facts
from passes.codegen.lower.flatten import flatten
from passes.codegen.lower.invariants import place_invariants
from passes.codegen.lower.math import lower_math
from passes.codegen.lower.narrow import narrow
from passes.codegen.lower.partition import partition
from passes.codegen.lower.pipeline import pipeline
from passes.codegen.lower.registers import to_registers
from passes.codegen.lower.spmd import share_work
from passes.codegen.lower.strips import cut_strips
from passes.codegen.lower.target import check_target
from passes.codegen.lower.trivial import drop_trivial_loops
from passes.codegen.lower.unroll import unroll
from passes.codegen.lower.vectorize import vectorize
from passes.ir.loop.nodes import Function
from passes.ir.loop.verify import verify_lowered

Step = Callable[[Function], Function]


def lowering(facts: Facts = CPU) -> tuple[tuple[str, Step], ...]:
    """The passes with their names, in order."""
    return (
        ("pipeline", pipeline),
        ("blocks", lower_blocks),
        ("trivial loops", drop_trivial_loops),
        ("compact", compact),
        ("strips", partial(cut_strips, facts=facts)),
        ("partition", partition),
        ("unroll", unroll),
        ("flatten", flatten),
        ("vectorize", partial(vectorize, facts=facts)),
        ("invariants", place_invariants),
        ("narrow", partial(narrow, facts=facts)),
        ("dot products", lower_dot),
        ("contract", contract),
        ("math", lower_math),
        ("registers", to_registers),
        ("spmd", share_work),
    )


LOWERING = lowering()


def lower(function: Function, facts: Facts = CPU) -> Function:
    """All passes in order. Raises `IRError` where a schedule asks for what cannot be done."""
    check_target(function)
    for _, step in lowering(facts):
        function = step(function)
    verify_lowered(function)
    return function
