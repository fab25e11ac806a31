"""Laws of lowering, over random programs with random loop kinds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir.expr import Const, Var
from passes.ir.loop.nodes import Block, For, Function
from passes.ir.node import Node, postorder, rewrite
from tests.property.loop_programs import LoopProgram, loop_programs
from tests.unit.codegen.running import check_lowering

QUICK = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def scheduled(draw: st.DrawFn) -> LoopProgram:
    """A random program with other kinds of loops and temporaries, where that is legal."""
    program: LoopProgram = draw(loop_programs())
    reduced = _reduced(program.function)
    counter = iter(range(1000))

    def other_kind(node: Node) -> Node | None:
        if not isinstance(node, For) or next(counter) > 12:
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
        private = {b: b.replace(scope="local") for b in function.allocs if draw(st.booleans())}
        function = rewrite(function, private.get)
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
@given(scheduled())
def test_every_stage_and_the_native_code_mean_the_same(program: LoopProgram) -> None:
    check_lowering(program.function, program.dims, [a.reshape(-1) for a in program.arrays])
