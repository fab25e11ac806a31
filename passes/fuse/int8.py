"""quantise_activations: products with quantised weights go to the integer path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from passes.ir.graph.nodes import Apply
from passes.ir.module import Module
from passes.ir.node import Node, rewrite
from passes.ops import apply, results
from passes.ops.quantise import BLOCK


@dataclass(frozen=True)
class QuantiseActivations:
    """Approximates: activations are rounded to 8 bits, in blocks of 32.

        y = matmul(x, w: quantised)
        → codes, scale, sums = quantise_blocks(x); y = matmul_q(codes, scale, sums, w)

    Products of the same x share its quantisation (equal nodes are one).
    """

    name: ClassVar[str] = "quantise_activations"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        graphs = {name: rewrite(graph, _integer) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)


def _integer(node: Node) -> Node | None:
    if not isinstance(node, Apply) or node.op != "matmul":
        return None
    x, w = node.inputs
    if w.type.storage is None:
        return None
    sums = math.gcd(BLOCK, w.type.storage.block)
    return apply("matmul_q", *results(apply("quantise_blocks", x, sums=sums)), w)
