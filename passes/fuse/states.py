"""state_layout: states of attention are stored the way that kernels walk over them.

Each thread follows the positions of one head, so heads come first and a head's positions lie one
after another. Scores sum q[d] * keys[position, d] over d: stored row by row, neighbours in memory
would be what is summed, and every score would end in a sum over lanes. In panels of 16 positions,
d outermost, one load gives the same d of 16 keys, and 16 scores grow side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from passes.fuse.panel import ROWS
from passes.ir.arith import free_vars
from passes.ir.expr import Const, Expr, ceildiv
from passes.ir.graph.nodes import CallLoops, GraphFunction, Result, State, TensorType, Value
from passes.ir.loop.nodes import Block, Buffer, Function, Load
from passes.ir.module import Module
from passes.ir.node import Node, keep, postorder, rewrite
from passes.schedule.combiner import combiner_of
from passes.schedule.primitives import IndexMap, transform_layout


@dataclass(frozen=True)
class StateLayout:
    """Exact: the same elements elsewhere, in every function that shares the state.

    values: f32[1, C, H, D]
    → f32[1, H, C, D]: element (s, i, h, d) at [s, h, i, d]
    keys: f32[1, C, H, D], read by products summed over D
    → f32[1, H, C/16, D, 16]: element (s, i, h, d) at [s, h, i//16, d, i%16]
    """

    name: ClassVar[str] = "state_layout"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        summed: set[str] = set()
        for graph in module.graphs.values():
            summed |= _contracted(graph)
        graphs = {name: _moved(graph, summed) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)


def panels(place: Sequence[Expr]) -> tuple[Expr, ...]:
    """Where an element of a [b, C, H, D] state summed over D lies."""
    s, i, h, d = place
    return (s, h, i // ROWS, d, i % ROWS)


def heads_first(place: Sequence[Expr]) -> tuple[Expr, ...]:
    """Where an element of another [b, C, H, D] state lies."""
    s, i, h, d = place
    return (s, h, i, d)


def _type(type_: TensorType, layout: IndexMap) -> TensorType:
    b, capacity, heads, size = type_.shape
    if layout is panels:
        shape = (b, heads, ceildiv(capacity, ROWS), size, Const(ROWS, size.dtype))
        return TensorType(shape, type_.dtype)
    return TensorType((b, heads, capacity, size), type_.dtype)


def _contracted(graph: GraphFunction) -> set[str]:
    """The states of four axes that some kernel multiplies and sums along the last axis."""
    origin = _origins(graph)
    found = set()
    for call in postorder(graph):
        if not isinstance(call, CallLoops):
            continue
        for value, buffer in _params(call):
            state = origin.get(value)
            if state is not None and len(buffer.shape) == 4 and _summed(call.function, buffer):
                found.add(state)
    return found


def _summed(function: Function, buffer: Buffer) -> bool:
    for block in postorder(function.body):
        if not isinstance(block, Block) or combiner_of(block) is None:
            continue
        reduced = frozenset(it.var for it in block.iters if it.kind == "reduce")
        loads = [n for n in postorder(block.body) if isinstance(n, Load) and n.buffer is buffer]
        if any(free_vars(load.indices[-1]) & reduced for load in loads):
            return True
    return False


def _origins(graph: GraphFunction) -> dict[Value, str]:
    """The state whose memory a value is."""
    origin: dict[Value, str] = {}
    for node in postorder(graph):
        if isinstance(node, State):
            origin[node] = node.name
        elif isinstance(node, CallLoops):
            for number, given in node.donates:
                value = node if len(node.types) == 1 else Result(node, number)
                if node.inputs[given] in origin:
                    origin[value] = origin[node.inputs[given]]
    return origin


def _params(call: CallLoops) -> list[tuple[Value, Buffer]]:
    """The inputs that are one buffer each, with that buffer."""
    found = []
    position = 0
    for value in call.inputs:
        storage = value.type.storage
        if storage is None:
            found.append((value, call.function.params[position]))
        position += 1 if storage is None else len(storage.fields)
    return found


def _moved(graph: GraphFunction, summed: set[str]) -> GraphFunction:
    origin = _origins(graph)
    layouts: dict[str, IndexMap] = {
        node.name: panels if node.name in summed else heads_first
        for node in postorder(graph)
        if isinstance(node, State) and len(node.type.shape) == 4
    }
    memo: dict[object, Function] = {}
    done: dict[Node, Node] = {}
    for node in postorder(graph):
        if isinstance(node, State) and node.name in layouts:
            done[node] = State(node.name, _type(node.type, layouts[node.name]))
        elif isinstance(node, CallLoops):
            moves = [
                (f"{buffer.name}{buffer.ordinal}", layouts[origin[value]])
                for value, buffer in _params(node)
                if origin.get(value) in layouts
            ]
            inputs = tuple([rewrite(value, keep, done) for value in node.inputs])
            key = (node.function, tuple(moves))
            if key not in memo:
                memo[key] = _transformed(node.function, moves)
            types = list(node.types)
            for number, given in node.donates:
                types[number] = inputs[given].type
            done[node] = node.replace(function=memo[key], inputs=inputs, types=tuple(types))
    return rewrite(graph, keep, done)


def _transformed(function: Function, moves: Sequence[tuple[str, IndexMap]]) -> Function:
    if not moves:
        return function
    for buffer, layout in moves:
        function = transform_layout(function, buffer, layout)
    stem = function.name.rsplit("_", 1)[0]
    return function.replace(name=f"{stem}_{function.replace(name='').digest[:8]}")
