"""pack_weights: quantised weights take the layout that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from passes.fuse.panel import FORMATS, pack, panel_storage
from passes.ir.graph.nodes import TensorType, Weight
from passes.ir.module import Module
from passes.ir.node import IRError, Node, rewrite
from passes.ir.quantised import Operand, QuantisedArray, allocation_fields, constant
from passes.ir.weights import WeightEntry, Weights

_PREFIX = "panel "


@dataclass(frozen=True)
class PackWeights:
    """Exact: the same values in another order.

        weight: f32[576, 576] stored as "Q4_1 [576, 576]"
        → the same, stored as "panel Q4_1 [576, 576]"

    One storage for all readers of a weight: products and the look-up of a tied embedding alike.
    """

    name: ClassVar[str] = "pack_weights"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        weights = {name: _packed(entry) for name, entry in module.weights.items()}

        def rule(node: Node) -> Node | None:
            if isinstance(node, Weight) and weights[node.name].type is not node.type:
                return Weight(node.name, weights[node.name].type)
            return None

        graphs = {name: rewrite(graph, rule) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs, weights=weights)


def _packed(entry: WeightEntry) -> WeightEntry:
    storage = entry.type.storage
    if storage is None or storage.name.split()[0] not in FORMATS:
        return entry
    rows, columns = (constant(extent, "a weight") for extent in entry.type.shape)
    form = FORMATS[storage.name.split()[0]]
    made = panel_storage(_PREFIX + storage.name, form, rows, columns)
    return replace(entry, type=TensorType(entry.type.shape, entry.type.dtype, made))


def stored_bytes(weights: Weights, entry: WeightEntry) -> NDArray[np.uint8]:
    """The bytes of a weight in the storage that its entry asks for."""
    storage = entry.type.storage
    if storage is None or not storage.name.startswith(_PREFIX):
        operand = weights.operand(entry)
        if isinstance(operand, QuantisedArray):
            raise IRError(f"a weight stored as '{operand.storage.name}' is not packed")
        return np.ascontiguousarray(operand).view(np.uint8).reshape(-1)
    form = FORMATS[storage.name.removeprefix(_PREFIX).split()[0]]
    return pack(_source(weights, entry), form, storage)


def _source(weights: Weights, entry: WeightEntry) -> QuantisedArray:
    """The weight as the import stage stored it."""
    stored = weights.types[entry.sources[0]].storage
    type_ = TensorType(entry.type.shape, entry.type.dtype, stored)
    operand = weights.operand(replace(entry, type=type_))
    assert isinstance(operand, QuantisedArray)
    return operand


@dataclass(frozen=True)
class PackedSource:
    """What the graph interpreter takes for a module with packed weights: weight → its value."""

    weights: Weights
    entries: Mapping[str, WeightEntry]

    def __call__(self, weight: Weight) -> Operand:
        entry = self.entries[weight.name]
        storage = entry.type.storage
        if storage is None or not storage.name.startswith(_PREFIX):
            return self.weights.operand(entry)
        shape = tuple([constant(extent, "a weight") for extent in entry.type.shape])
        raw = stored_bytes(self.weights, entry)
        return QuantisedArray(storage, shape, allocation_fields(storage, raw))
