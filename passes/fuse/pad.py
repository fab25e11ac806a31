"""pad_products: weights whose rows do not fill panels get rows to fill them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from passes.fuse.panel import ROWS
from passes.importers.storages import storage_of
from passes.ir.expr import index
from passes.ir.graph.nodes import Apply, TensorType, Weight
from passes.ir.module import Module
from passes.ir.node import Node, postorder, rewrite
from passes.ir.quantised import constant
from passes.ir.weights import Transform, WeightEntry
from passes.ops import apply


@dataclass(frozen=True)
class PadProducts:
    """Exact: the surplus columns are cut off again, and no look-up reaches the surplus rows.

        y = matmul(x, w: [32001, K]); e = gather(w, ids)
        → y = slice(matmul(x, w: [32016, K]), shape=(n, 32001)); e = gather(w, ids, rows=32001)

    Kernels work on whole panels of rows; a ragged last panel would need a kernel of its own.
    """

    name: ClassVar[str] = "pad_products"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        weights = dict(module.weights)
        for graph in module.graphs.values():
            for node in postorder(graph):
                if isinstance(node, Apply) and node.op == "matmul":
                    weight = node.inputs[1]
                    if isinstance(weight, Weight) and weights[weight.name].type is weight.type:
                        weights[weight.name] = _padded(weights[weight.name])

        def grown(weight: Node) -> Weight | None:
            if isinstance(weight, Weight) and weights[weight.name].type is not weight.type:
                return Weight(weight.name, weights[weight.name].type)
            return None

        def rule(node: Node) -> Node | None:
            if not isinstance(node, Apply):
                return None
            if node.op == "matmul" and (wide := grown(node.inputs[1])) is not None:
                product = apply("matmul", node.inputs[0], wide)
                return apply("slice", product, begin=(0, 0), shape=node.type.shape)
            if node.op == "gather" and (wide := grown(node.inputs[0])) is not None:
                rows = constant(node.inputs[0].type.shape[0], "a table")
                return apply("gather", wide, node.inputs[1], rows=rows)
            return None

        graphs = {name: rewrite(graph, rule) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs, weights=weights)


def _padded(entry: WeightEntry) -> WeightEntry:
    rows, columns = (constant(extent, "a weight") for extent in entry.type.shape)
    missing = -rows % ROWS
    if not missing:
        return entry
    storage = entry.type.storage
    if storage is not None:
        storage = storage_of(storage.name.split()[0], rows + missing, columns)
    shape = (index(rows + missing), index(columns))
    return replace(
        entry,
        type=TensorType(shape, entry.type.dtype, storage),
        transforms=(*entry.transforms, Transform("padded", (rows + missing,))),
    )
