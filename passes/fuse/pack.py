"""pack_weights: weight matrices take the layout that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from passes.fuse.fold import PREFIX as FOLDED
from passes.fuse.fold import fold
from passes.fuse.panel import FORMATS, dense_storage, pack, pack_dense, panel_storage
from passes.ir.dtypes import F32
from passes.ir.graph.nodes import Apply, TensorType, Weight
from passes.ir.module import Module
from passes.ir.node import IRError, Node, postorder, rewrite
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
        multiplied = _multiplied(module)
        weights = {
            name: _packed(entry, name in multiplied) for name, entry in module.weights.items()
        }

        def rule(node: Node) -> Node | None:
            if isinstance(node, Weight) and weights[node.name].type is not node.type:
                return Weight(node.name, weights[node.name].type)
            return None

        graphs = {name: rewrite(graph, rule) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs, weights=weights)


def _multiplied(module: Module) -> set[str]:
    """The weights that products read."""
    found = set()
    for graph in module.graphs.values():
        for node in postorder(graph):
            if isinstance(node, Apply) and node.op in ("matmul", "matmul_q"):
                found |= {value.name for value in node.inputs if isinstance(value, Weight)}
    return found


def _packed(entry: WeightEntry, multiplied: bool) -> WeightEntry:
    storage, dtype = entry.type.storage, entry.type.dtype
    if not multiplied and storage is None:
        return entry
    rows, columns = (constant(extent, "a weight") for extent in entry.type.shape)
    if storage is None:
        made = dense_storage(f"{_PREFIX}{dtype} [{rows}, {columns}]", dtype, rows, columns)
    elif storage.name.split()[0] in FORMATS:
        form = FORMATS[storage.name.split()[0]]
        made = panel_storage(_PREFIX + storage.name, form, rows, columns)
    else:
        return entry
    return replace(entry, type=TensorType(entry.type.shape, F32, made))


def stored_bytes(weights: Weights, entry: WeightEntry) -> NDArray[np.uint8]:
    """The bytes of a weight in the storage that its entry asks for."""
    storage = entry.type.storage
    source = _source(weights, entry)
    if storage is not None and storage.name.startswith(_PREFIX):
        if isinstance(source, QuantisedArray):
            form = FORMATS[storage.name.removeprefix(_PREFIX).split()[0]]
            return pack(source, form, storage)
        return pack_dense(source)
    if storage is not None and storage.name.startswith(FOLDED):
        return fold(np.asarray(source), storage)
    if isinstance(source, QuantisedArray):
        raise IRError(f"a weight stored as '{source.storage.name}' is not packed")
    return np.ascontiguousarray(source).view(np.uint8).reshape(-1)


def _source(weights: Weights, entry: WeightEntry) -> Operand:
    """The weight as the import stage stored it."""
    stored = weights.types[entry.sources[0]]
    type_ = TensorType(entry.type.shape, stored.dtype, stored.storage)
    return weights.operand(replace(entry, type=type_))


@dataclass(frozen=True)
class PackedSource:
    """What the graph interpreter takes for a module with packed weights: weight → its value."""

    weights: Weights
    entries: Mapping[str, WeightEntry]

    def __call__(self, weight: Weight) -> Operand:
        entry = self.entries[weight.name]
        storage = entry.type.storage
        if storage is None or not storage.name.startswith((_PREFIX, FOLDED)):
            return self.weights.operand(entry)
        shape = tuple([constant(extent, "a weight") for extent in entry.type.shape])
        raw = stored_bytes(self.weights, entry)
        return QuantisedArray(storage, shape, allocation_fields(storage, raw))
