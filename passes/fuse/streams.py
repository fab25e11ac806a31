"""attention_tiles: how many queries and keys attention takes at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from passes.ir.expr import Const
from passes.ir.graph.nodes import Apply
from passes.ir.module import Module
from passes.ir.node import Node, rewrite
from passes.ops import apply


@dataclass(frozen=True)
class AttentionTiles:
    """Reassociates: the sums over keys are cut elsewhere.

    A function of one new token has one query a head; others take `queries` neighbours over the
    same keys, so that each key is loaded once for all of them.
    """

    queries: int = 4
    keys: int = 32

    name: ClassVar[str] = "attention_tiles"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        def rule(node: Node) -> Node | None:
            if not isinstance(node, Apply) or node.op != "attention":
                return None
            n = node.type.shape[1]
            queries = self.queries
            if isinstance(n, Const) and int(n.value) < queries:
                queries = 1
            attrs = {**dict(node.attrs), "query_block": queries, "key_block": self.keys}
            return apply("attention", *node.inputs, **attrs)

        graphs = {name: rewrite(graph, rule) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)
