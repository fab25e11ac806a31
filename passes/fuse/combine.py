"""combine_products: products of one activation with several weights become one product."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from passes.fuse.panel import ROWS
from passes.importers.storages import storage_of
from passes.ir.expr import index
from passes.ir.graph.nodes import Apply, GraphFunction, TensorType, Value, Weight
from passes.ir.module import Module
from passes.ir.node import Node, keep, postorder, rewrite
from passes.ir.quantised import constant
from passes.ir.weights import WeightEntry
from passes.ops import apply

# Readers that only look at elements elsewhere: a slice of the joint product serves them as well.
# Readers that compute (the activation of a gate) would lose their fusion with the product.
_MOVES = ("reshape", "transpose", "slice")


@dataclass(frozen=True)
class CombineProducts:
    """Exact.

    q = matmul(h, wq); k = matmul(h, wk); v = matmul(h, wv)     # all only moved afterwards
    → y = matmul(h, wq+wk+wv); q, k, v = slices of y
    """

    name: ClassVar[str] = "combine_products"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        weights = dict(module.weights)
        graphs = {name: _combined(graph, weights) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs, weights=weights)


def _combined(graph: GraphFunction, weights: dict[str, WeightEntry]) -> GraphFunction:
    users: dict[Node, list[Node]] = {}
    calls = [node for node in postorder(graph) if isinstance(node, Apply)]
    for call in calls:
        for value in call.inputs:
            users.setdefault(value, []).append(call)
    for _, value in (*graph.results, *graph.updates):
        users.setdefault(value, []).append(graph)
    groups: dict[tuple[Value, str], list[Apply]] = {}
    for call in calls:
        form = _form(call)
        readers = users.get(call, [])
        moved = all(isinstance(user, Apply) and user.op in _MOVES for user in readers)
        if form is not None and moved:
            groups.setdefault((call.inputs[0], form), []).append(call)
    done: dict[Node, Node] = {}
    for (x, _), members in groups.items():
        if len(members) < 2:
            continue
        joint = _joint_weight([call.inputs[1] for call in members], weights)
        product = apply("matmul", rewrite(x, keep, done), joint)
        first = 0
        for call in members:
            shape = call.type.shape
            done[call] = apply("slice", product, begin=(0, first), shape=shape)
            first += constant(shape[1], "a weight")
    return rewrite(graph, keep, done)


def _form(call: Apply) -> str | None:
    """What weights must share to be stored as one: the format of their rows, in whole panels."""
    if call.op != "matmul":
        return None
    weight = call.inputs[1]
    if not isinstance(weight, Weight) or weight.type.storage is None:
        return None
    rows, columns = (constant(extent, "a weight") for extent in weight.type.shape)
    format_ = weight.type.storage.name.split()[0]
    return f"{format_} {columns}" if rows % ROWS == 0 else None


def _joint_weight(parts: list[Value], weights: dict[str, WeightEntry]) -> Weight:
    """The parts' rows one after the other, as a new weight of the module."""
    names = [part.name for part in parts if isinstance(part, Weight)]
    entries = [weights[name] for name in names]
    assert not any(entry.transforms for entry in entries)
    rows = sum(constant(entry.type.shape[0], "a weight") for entry in entries)
    first = entries[0].type
    assert first.storage is not None
    columns = constant(first.shape[1], "a weight")
    storage = storage_of(first.storage.name.split()[0], rows, columns)
    sources = tuple([source for entry in entries for source in entry.sources])
    type_ = TensorType((index(rows), index(columns)), first.dtype, storage)
    name = "+".join(names)
    weights[name] = WeightEntry(type_, sources)
    return Weight(name, type_)
