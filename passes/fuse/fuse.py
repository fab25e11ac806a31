"""fuse_calls: operator calls become calls of loop functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from passes.fuse.group import groups
from passes.fuse.kernel import KernelBuilder, output
from passes.ir.graph.nodes import Apply, GraphFunction, Value
from passes.ir.module import Module
from passes.ir.node import Node, keep, postorder, rewrite
from passes.ops import OPERATORS


@dataclass(frozen=True)
class FuseCalls:
    """Every operator call becomes part of a kernel; a lone reshape stays (it is only a view).

        h = rms_norm(x, g); c, s, t = quantise_blocks(h); y = matmul_q(c, s, t, w); z = y + x
        → c, s, t = rms_norm_quantise_blocks(x, g)
          z = matmul_q_add(c, s, t, w, x)

    Exact: each kernel runs its operators' own loop definitions. Equal kernels are one.
    """

    name: ClassVar[str] = "fuse_calls"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        kernels = KernelBuilder(OPERATORS)
        graphs = {name: fused(graph, kernels) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)


def fused(function: GraphFunction, kernels: KernelBuilder) -> GraphFunction:
    """The function with its groups of calls as kernels."""
    used = _uses(function)
    done: dict[Node, Node] = {}
    for group in groups(function, kernels.operators):
        inside = set(group)
        if len(group) == 1 and group[0].op == "reshape":
            continue
        values = [output(call, k) for call in group for k in range(len(call.types))]
        escaping = [value for value in values if used.get(value, set()) - inside]
        kernel = kernels.build(group, escaping)
        inputs = tuple([rewrite(value, keep, done) for value in kernel.inputs])
        moved = kernel.replace(inputs=inputs)
        done.update({value: output(moved, number) for number, value in enumerate(escaping)})
    return rewrite(function, keep, done)


def _uses(function: GraphFunction) -> dict[Value, set[Node]]:
    """Who reads each value; the function itself stands for its results and updates."""
    found: dict[Value, set[Node]] = {}
    for node in postorder(function):
        if isinstance(node, Apply):
            for value in node.inputs:
                found.setdefault(value, set()).add(node)
    for _, value in (*function.results, *function.updates):
        found.setdefault(value, set()).add(function)
    return found
