"""Laws of lowering, over random programs with random loop kinds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.device import split_device
from passes.codegen.lower.facts import CPU, Facts
from passes.ir.expr import Const, Var
from passes.ir.loop.nodes import Block, For, Function
from passes.ir.loop.traverse import views_in
from passes.ir.node import IRError, Node, postorder, rewrite
from tests.property.loop_programs import LoopProgram, loop_programs
from tests.unit.codegen.running import check_lowering

QUICK = settings(max_examples=40, deadline=None)


@st.composite
def scheduled(draw: st.DrawFn) -> LoopProgram:
    """A random program with other kinds of loops and temporaries, where that is legal."""
    program: LoopProgram = draw(loop_programs())
    reduced = _reduced(program.function)
    counter = iter(range(1000))

    def other_kind(node: Node) -> Node | None:
        if not isinstance(node, For) or node.annotations or next(counter) > 12:
            return None
        kinds = ["serial", "vectorized"]
        if isinstance(node.extent, Const):
            kinds.append("unrolled")
        if node.var not in reduced:
            kinds.append("parallel")
        return node.replace(kind=draw(st.sampled_from(kinds)))

    function = rewrite(program.function, other_kind)
    nodes = postorder(function)
    if not any(isinstance(node, For) and node.kind == "parallel" for node in nodes):
        private = {b for b in function.allocs if draw(st.booleans())}
        for buffer, view in views_in(function).items():  # outer ones first
            if view.source.buffer in private:
                private.add(buffer)
        moved: dict[Node, Node] = {b: b.replace(scope="local") for b in private}
        function = rewrite(function, moved.get)
    return LoopProgram(function, program.dims, program.arrays)


def _reduced(function: Function) -> set[Var]:
    """Loop variables that some reduce iterator is bound to."""
    found: set[Var] = set()
    for node in postorder(function.body):
        if isinstance(node, Block):
            for iterator, binding in zip(node.iters, node.bindings, strict=True):
                if iterator.kind == "reduce":
                    found |= {var for var in postorder(binding) if isinstance(var, Var)}
    return found


@QUICK
@given(scheduled(), st.sampled_from([CPU, Facts(512, (1, 2, 4, 8)), Facts(128, (), 32)]))
def test_every_stage_and_the_native_code_mean_the_same(program: LoopProgram, facts: Facts) -> None:
    memory = [a.reshape(-1) for a in program.arrays]
    check_lowering(program.function, program.dims, memory, facts=facts)


@QUICK
@given(loop_programs(grid=True))
def test_threads_in_step_do_what_the_program_says(program: LoopProgram) -> None:
    function = lower_blocks(program.function)
    try:
        host = split_device(function)
    except IRError as error:  # refused in words of its own, as an axis bound twice
        assert str(error).startswith(f"'{function.name}': ")
        return
    for wanted, made in zip(program.run(), program.run(host, check_races=True), strict=True):
        np.testing.assert_array_equal(made, wanted)
