"""state_panels: a state that products read along its last axis is stored for vectors across it.

Scores of attention sum q[d] * keys[position, d] over d. With keys stored row by row, neighbours
in memory are what is summed, and every score ends in a sum over lanes. Stored in panels of 16
positions, d outermost, one load gives the same d of 16 keys: 16 scores grow side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from passes.fuse.panel import ROWS
from passes.ir.arith import free_vars
from passes.ir.expr import Const, Expr, ceildiv
from passes.ir.graph.nodes import CallLoops, GraphFunction, Operation, Result, State, TensorType, Value
from passes.ir.loop.nodes import Block, Buffer, Function, Load
from passes.ir.module import Module
from passes.ir.node import Node, keep, postorder, rewrite
from passes.schedule.combiner import combiner_of
from passes.schedule.primitives import transform_layout


@dataclass(frozen=True)
class StatePanels:
    """Exact: the same elements elsewhere, in every function that shares the state.

        keys: f32[1, C, H, D], read by products summed over D
        → f32[1, H, C/16, D, 16]: element (s, i, h, d) at [s, h, i//16, d, i%16]
    """

    name: ClassVar[str] = "state_panels"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        chosen: set[str] = set()
        for graph in module.graphs.values():
            chosen |= _contracted(graph)
        graphs = {name: _moved(graph, chosen) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)


def panels(place: Sequence[Expr]) -> tuple[Expr, ...]:
    """Where an element of a [b, C, H, D] state lies."""
    s, i, h, d = place
    return (s, h, i // ROWS, d, i % ROWS)


def _panel_type(type_: TensorType) -> TensorType:
    b, capacity, heads, size = type_.shape
    shape = (b, heads, ceildiv(capacity, ROWS), size, Const(ROWS, size.dtype))
    return TensorType(shape, type_.dtype)


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


def _moved(graph: GraphFunction, chosen: set[str]) -> GraphFunction:
    origin = _origins(graph)
    memo: dict[tuple[Function, tuple[Buffer, ...]], Function] = {}
    done: dict[Node, Node] = {}
    for node in postorder(graph):
        if isinstance(node, State) and node.name in chosen:
            done[node] = State(node.name, _panel_type(node.type))
        elif isinstance(node, CallLoops):
            done[node] = _call(node, chosen, origin, memo, done)
    return rewrite(graph, keep, done)


def _call(
    call: CallLoops,
    chosen: set[str],
    origin: dict[Value, str],
    memo: dict[tuple[Function, tuple[Buffer, ...]], Function],
    done: dict[Node, Node],
) -> Operation:
    buffers = tuple([b for value, b in _params(call) if origin.get(value) in chosen])
    inputs = tuple([rewrite(value, keep, done) for value in call.inputs])
    if not buffers:
        return call.replace(inputs=inputs)
    if (call.function, buffers) not in memo:
        memo[call.function, buffers] = _transformed(call.function, buffers)
    types = list(call.types)
    for number, given in call.donates:
        types[number] = inputs[given].type
    return call.replace(
        function=memo[call.function, buffers], inputs=inputs, types=tuple(types)
    )


def _transformed(function: Function, buffers: Sequence[Buffer]) -> Function:
    for buffer in buffers:
        function = transform_layout(function, f"{buffer.name}{buffer.ordinal}", panels)
    stem = function.name.rsplit("_", 1)[0]
    return function.replace(name=f"{stem}_{function.replace(name='').digest[:8]}")
