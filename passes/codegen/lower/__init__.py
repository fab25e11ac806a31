"""Lowering: a scheduled kernel → statements the emitter can spell, pass by pass.

    pipeline        software pipelines that loops are annotated with
    blocks          blocks, views, tuple updates, copies → plain statements; predicates → branches
    host/device     thread blocks → a host program and its kernels; what follows is done to each
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
    strength        products in addresses are counted along with innermost loops
    spmd            which thread runs what, and the barriers between

Each pass takes a function to an equal one that is closer to the machine; all of them keep the
loop IR, so the interpreter runs every stage.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.compact import compact
from passes.codegen.lower.contract import contract
from passes.codegen.lower.device import split_device
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
from passes.codegen.lower.strength import reduce_strength
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
    whole: list[tuple[str, Step]] = [
        ("pipeline", pipeline),
        ("blocks", lower_blocks),
        ("host/device", split_device),
    ]
    each: list[tuple[str, Step]] = [
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
        ("strength", reduce_strength),
        ("spmd", share_work),
    ]
    return (*whole, *[(name, partial(_on_kernels, step)) for name, step in each])


def _on_kernels(step: Step, function: Function) -> Function:
    """The pass on a function, or on the kernels of a host program."""
    if not function.kernels:
        return step(function)
    kernels = [k.replace(function=step(k.function)) for k in function.kernels]
    return function.replace(kernels=tuple(kernels))


LOWERING = lowering()


def lower(function: Function, facts: Facts = CPU) -> Function:
    """All passes in order. Raises `IRError` where a schedule asks for what cannot be done."""
    if not facts.thread_blocks:
        check_target(function)
    for _, step in lowering(facts):
        function = step(function)
    verify_lowered(function)
    return function
