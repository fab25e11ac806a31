"""Weights folded at build time: they take the layouts that schedules give to parameters.

schedule of a kernel: s.transform_layout("w1", lambda i: (i[0] // 16, i[1], i[0] % 16))
→ the weight is stored as f32[N/16, K, 16] in the package; every other kernel that reads it
  is transformed likewise
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from passes.fuse.fold import folded_storage
from passes.ir.dtypes import F32
from passes.ir.expr import Expr
from passes.ir.graph.nodes import CallLoops, GraphFunction, TensorType, Value, Weight
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.ir.node import IRError, Node, keep, postorder, rewrite
from passes.ir.quantised import constant
from passes.schedule.instruction import Layout
from passes.schedule.primitives import transform_layout
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_buffer

_STEP = transform_layout.__name__


class Made(Protocol):
    """A kernel as it was scheduled, and what that folds."""

    @property
    def function(self) -> Function: ...

    @property
    def folds(self) -> Mapping[int, Fold]: ...


Schedules = Mapping[Function, Made]


@dataclass(frozen=True)
class Fold:
    """Where the elements of a parameter go, within which shape, and what lies between them (None:
    nothing reads it)."""

    layout: Layout
    shape: tuple[Expr, ...]
    fill: float | None


def folds_of(schedule: Schedule) -> dict[int, Fold]:
    """What a schedule makes of the function's parameters, by their number."""
    found: dict[int, Fold] = {}
    for number, step in enumerate(schedule.trace):
        if step.name != _STEP:
            continue
        name, layout, *pad = schedule.taken(step)
        before = schedule.at(number).function
        buffer = get_buffer(before, name, _STEP)
        if buffer not in before.params:
            continue
        position = before.params.index(buffer)
        fill = float(pad[0]) if pad else None
        earlier = found.get(position)
        if earlier is not None:
            if None not in (fill, earlier.fill) and fill != earlier.fill:
                raise IRError(f"'{before.name}': parameter '{name}' is padded in two ways")
            fill = earlier.fill if fill is None else fill
            layout = Layout(earlier.layout.axes, layout(earlier.layout.image))
        found[position] = Fold(
            layout, schedule.at(number + 1).function.params[position].shape, fill
        )
    return found


def constants_of(module: Module) -> dict[Function, frozenset[int]]:
    """The parameters of each kernel, by number, that are plain weights which nothing else reads:
    no other kernel minds how they are laid out."""
    readers: dict[str, set[tuple[Function, int] | None]] = {}
    kernels: dict[Function, list[list[Value | None]]] = {}
    for node in postorder(*module.graphs.values()):
        if isinstance(node, CallLoops):
            inputs = _inputs(node)
            kernels.setdefault(node.function, []).append(inputs)
            for position, value in enumerate(inputs):
                if isinstance(value, Weight):
                    readers.setdefault(value.name, set()).add((node.function, position))
        for child in () if isinstance(node, CallLoops) else node.children:
            if isinstance(child, Weight):
                readers.setdefault(child.name, set()).add(None)

    def alone(value: Value | None) -> bool:
        if not isinstance(value, Weight) or value.type.storage is not None:
            return False
        return len(readers[value.name]) == 1

    return {
        function: frozenset(
            [k for k, column in enumerate(zip(*calls, strict=True)) if all(map(alone, column))]
        )
        for function, calls in kernels.items()
    }


def contested(schedules: Sequence[Schedules]) -> dict[Function, set[int]]:
    """The parameters that the schedules for several targets fold in several ways."""
    found: dict[Function, set[int]] = {}
    for function in schedules[0]:
        folds = [made[function].folds for made in schedules]
        for position in set().union(*folds):
            if len({one.get(position) for one in folds} - {None}) > 1:
                found.setdefault(function, set()).add(position)
    return found


def agreed(module: Module, schedules: Sequence[Schedules]) -> dict[str, Fold]:
    """The layout of each weight that some kernel, on some target, is scheduled for.

    Raises IRError if two disagree, or if what a schedule folds is no plain weight.
    """
    found: dict[str, Fold] = {}
    for graph in module.graphs.values():
        for call in postorder(graph):
            for made in schedules if isinstance(call, CallLoops) else ():
                assert isinstance(call, CallLoops)
                values = _inputs(call)
                for position, fold in made[call.function].folds.items():
                    name = f"'{call.function.name}'"
                    weight = values[position] if position < len(values) else None
                    if not isinstance(weight, Weight) or weight.type.storage is not None:
                        raise IRError(
                            f"the schedule of {name} changes the layout of parameter {position},"
                            " which is no plain weight; fold weights only"
                        )
                    if found.setdefault(weight.name, fold) != fold:
                        raise IRError(
                            f"the schedule of {name} lays out weight '{weight.name}' otherwise"
                            " than another one; a weight has one layout in a package"
                        )
    return found


def folded(module: Module, schedules: Schedules, folds: Mapping[str, Fold]) -> Module:
    """The module with scheduled kernels, its weights stored as they want them.

    Raises IRError if something but kernels reads such a weight, or one cannot follow.
    """
    types = {name: _type(module.weights[name].type, fold) for name, fold in folds.items()}
    weights = {
        name: replace(entry, type=types.get(name, entry.type))
        for name, entry in module.weights.items()
    }
    variants: dict[tuple[Function, tuple[tuple[int, str], ...]], Function] = {}
    graphs = {
        name: _graph(graph, schedules, folds, types, variants)
        for name, graph in module.graphs.items()
    }
    return replace(module, graphs=graphs, weights=weights, functions={})


def _type(type_: TensorType, fold: Fold) -> TensorType:
    extents = [constant(e, "a weight") for e in type_.shape]
    shape = [constant(e, "a folded weight") for e in fold.shape]
    fill = 0.0 if fold.fill is None else fold.fill
    axes, places = fold.layout.axes, fold.layout.image
    return TensorType(
        type_.shape, F32, folded_storage(type_.dtype, extents, axes, places, shape, fill)
    )


def _graph(
    graph: GraphFunction,
    schedules: Schedules,
    folds: Mapping[str, Fold],
    types: Mapping[str, TensorType],
    variants: dict[tuple[Function, tuple[tuple[int, str], ...]], Function],
) -> GraphFunction:
    done: dict[Node, Node] = {}
    for node in postorder(graph):
        if isinstance(node, Weight) and node.name in types:
            done[node] = Weight(node.name, types[node.name])
        elif isinstance(node, CallLoops):
            function = schedules[node.function].function
            follow = _following(node, schedules[node.function], folds)
            if follow and (node.function, follow) not in variants:
                variants[node.function, follow] = _followed(function, follow, folds)
            function = variants.get((node.function, follow), function)
            inputs = tuple([rewrite(value, keep, done) for value in node.inputs])
            done[node] = node.replace(function=function, inputs=inputs)
        elif isinstance(node, Value) and not isinstance(node, Weight):
            read = [v.name for v in node.children if isinstance(v, Weight) and v.name in types]
            if read:
                raise IRError(
                    f"graph '{graph.name}': weight '{read[0]}' is folded, but not only kernels"
                    " read it"
                )
    return rewrite(graph, keep, done)


def _following(
    call: CallLoops, schedule: Made, folds: Mapping[str, Fold]
) -> tuple[tuple[int, str], ...]:
    """The parameters that are folded weights although the kernel's own schedule does not say so."""
    own = schedule.folds
    return tuple(
        [
            (position, value.name)
            for position, value in enumerate(_inputs(call))
            if isinstance(value, Weight) and value.name in folds and position not in own
        ]
    )


def _followed(
    function: Function, follow: tuple[tuple[int, str], ...], folds: Mapping[str, Fold]
) -> Function:
    """A kernel that reads weights where others want them."""
    for position, weight in follow:
        buffer, fold = function.params[position], folds[weight]
        name = f"{buffer.name}{buffer.ordinal}"
        function = transform_layout(function, name, fold.layout, fold.fill)
    stem = function.name.rsplit("_", 1)[0]
    return function.replace(name=f"{stem}_{function.replace(name='').digest[:8]}")


def _inputs(call: CallLoops) -> list[Value | None]:
    """The value that is each parameter of a call, None where a field of one is."""
    found: list[Value | None] = []
    for value in call.inputs:
        storage = value.type.storage
        found += [value] if storage is None else [None] * len(storage.fields)
    return found
