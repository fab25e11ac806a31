"""Graph function → host program: every value gets memory, every call becomes a launch.

    %a = call k(%x, %w)                k launched on [x, w, t]        t: a temporary
    %b = reshape(%a)             →     (the memory of %a)
    %c = call append(%cache, %b)       append launched on [cache, t]  donated: in place
    return %c, cache := %c

A result is written to the memory it must end in where nothing needs what is there; otherwise, and
where a donation would destroy what is still needed, there is an explicit copy, which is reported.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from passes.codegen.host.kernels import Kernels, copy_kernel, workspaces
from passes.ir.graph.nodes import (
    Apply,
    CallLoops,
    GraphFunction,
    Input,
    Operation,
    Result,
    State,
    TensorType,
    Value,
    Weight,
)
from passes.ir.graph.operator import Operators
from passes.ir.graph.sequence import sequence
from passes.ir.graph.verify import values_of
from passes.ir.loop.nodes import Buffer, Function, Launch, Stmt, seq
from passes.ir.node import IRError

VIEW = "reshape"  # the operator whose result is its operand's memory


@dataclass(frozen=True)
class WeightField:
    """A parameter that is a field of a weight tensor, `offset` bytes after the tensor's start."""

    weight: Weight
    offset: int
    buffer: Buffer


@dataclass(frozen=True)
class HostProgram:
    """A host function and what its parameters are: inputs, outputs, states, weights' fields.

    `copies` says in words which values are copied and why.
    """

    graph: GraphFunction
    function: Function
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    states: tuple[tuple[str, Buffer], ...]
    weights: tuple[WeightField, ...]
    copies: tuple[str, ...]


def lower_host(graph: GraphFunction, kernels: Kernels, operators: Operators) -> HostProgram:
    """The host program of a graph whose only operators are calls of loop functions and reshapes.

    Loop functions are added to `kernels`. The program has no barriers yet.
    Raises IRError for any other operator, and for a state or packed value it cannot place.
    """
    return _Lowering(graph, kernels, operators).program()


class _Lowering:
    def __init__(self, graph: GraphFunction, kernels: Kernels, operators: Operators) -> None:
        self.graph, self.kernels = graph, kernels
        self.calls = _loop_calls(graph, operators)
        self.end = len(self.calls)
        self.ordinals = itertools.count()
        self.memory: dict[Value, Buffer] = {}
        self.occupants: dict[Buffer, list[Value]] = {}
        self.fields: dict[Weight, tuple[WeightField, ...]] = {}
        self.temporaries: list[Buffer] = []
        self.launches: list[Stmt] = []
        self.copies: list[str] = []
        self.last = self._last_reads()
        self.successors = _donations(self.calls)
        self.inputs = tuple([self._fixed(param, param.name, param.type) for param in graph.params])
        self.outputs = {
            name: self._buffer(name, _plain(value.type, name)) for name, value in graph.results
        }
        self.states = self._states()
        for weight in [value for value in values_of(graph) if isinstance(value, Weight)]:
            self.fields[weight] = self._weight(weight)

    def program(self) -> HostProgram:
        for position, call in enumerate(self.calls):
            self._call(position, call)
        self._final_copies()
        weights = tuple([field for fields in self.fields.values() for field in fields])
        outputs = tuple(self.outputs.values())
        states = tuple(self.states.items())
        params = (
            *self.inputs,
            *outputs,
            *[buffer for _, buffer in states],
            *[field.buffer for field in weights],
        )
        function = Function(
            self.graph.name,
            self.graph.dims,
            params,
            tuple(self.temporaries),
            seq(*self.launches),
            (("kind", "host"),),
        )
        return HostProgram(
            self.graph, function, self.inputs, outputs, states, weights, tuple(self.copies)
        )

    # Memory

    def _buffer(self, name: str, type_: TensorType) -> Buffer:
        made = Buffer(_letters(name), next(self.ordinals), type_.shape, type_.dtype)
        self.occupants[made] = []
        return made

    def _fixed(self, value: Value, name: str, type_: TensorType) -> Buffer:
        made = self._buffer(name, _plain(type_, name))
        self._settle(value, made)
        return made

    def _temporary(self, type_: TensorType, name: str = "t") -> Buffer:
        made = self._buffer(name, _plain(type_, "a temporary"))
        self.temporaries.append(made)
        return made

    def _settle(self, value: Value, memory: Buffer) -> None:
        self.memory[value] = memory
        self.occupants[memory].append(value)

    def _states(self) -> dict[str, Buffer]:
        read = {v.name: v for v in values_of(self.graph) if isinstance(v, State)}
        types = {name: value.type for name, value in self.graph.updates}
        types.update({name: state.type for name, state in read.items()})
        made = {name: self._buffer(name, _plain(types[name], name)) for name in sorted(types)}
        for name, state in read.items():
            self._settle(state, made[name])
        return made

    def _weight(self, weight: Weight) -> tuple[WeightField, ...]:
        storage = weight.type.storage
        if storage is None:
            return (WeightField(weight, 0, self._buffer(weight.name, weight.type)),)
        made = []
        for field, offset in zip(storage.fields, storage.offsets, strict=True):
            name = _letters(f"{weight.name}_{field.name}")
            buffer = field.replace(name=name, ordinal=next(self.ordinals))
            made.append(WeightField(weight, offset, buffer))
        return tuple(made)

    # Who needs what

    def _last_reads(self) -> dict[Value, int]:
        """The last call that reads a value (or a view of it); `end` if the caller does."""
        last: dict[Value, int] = {}
        for position, call in enumerate(self.calls):
            for value in call.inputs:
                last[_viewed(value)] = position
        for _, value in (*self.graph.results, *self.graph.updates):
            last[_viewed(value)] = self.end
        updated = {name for name, _ in self.graph.updates}
        for value in values_of(self.graph):
            if isinstance(value, State) and value.name not in updated:
                last[value] = self.end
        return last

    def _is_free(self, memory: Buffer, position: int, but: Value | None = None) -> bool:
        """True if nothing in `memory` is needed from call `position` on."""
        others = [value for value in self.occupants[memory] if value is not but]
        return all(self.last.get(value, -1) < position for value in others)

    def _home(self, value: Value, position: int) -> Buffer:
        """Where the value, or what takes its memory later, must be in the end; else a temporary."""
        current: Value | None = value
        while current is not None:
            wanted = [self.outputs[n] for n, v in self.graph.results if _viewed(v) is current]
            wanted += [self.states[n] for n, v in self.graph.updates if _viewed(v) is current]
            for memory in wanted:
                if self._is_free(memory, position):
                    return memory
            # What the caller reads must not lie where a final copy of something else goes.
            needed = self.last.get(current) == self.end
            current = None if needed else self.successors.get(current)
        return self._temporary(value.type)

    # Calls

    def _call(self, position: int, call: CallLoops) -> None:
        buffers: list[Buffer] = []
        place: dict[int, int] = {}  # input -> position in `buffers`
        for number, value in enumerate(call.inputs):
            place[number] = len(buffers)
            root = _viewed(value)
            if isinstance(root, Weight):
                buffers += [field.buffer for field in self.fields[root]]
            else:
                buffers.append(self.memory[root])
        donated = dict(call.donates)
        for number, value in enumerate(_results(call)):
            if number not in donated:
                home = self._home(value, position)
                buffers.append(home)
                self._settle(value, home)
                continue
            source = call.inputs[donated[number]]
            memory = buffers[place[donated[number]]]
            if not self._may_overwrite(source, memory, position, buffers):
                home = self._home(value, position)
                self._copy(memory, home, f"'{call.function.name}' overwrites what is needed later")
                buffers[place[donated[number]]] = memory = home
            self._settle(value, memory)
        self._launch(call.function, buffers)

    def _may_overwrite(
        self, value: Value, memory: Buffer, position: int, buffers: list[Buffer]
    ) -> bool:
        root = _viewed(value)
        if isinstance(root, Input | Weight) or buffers.count(memory) > 1:
            return False
        needed = self.last.get(root, -1) > position
        return not needed and self._is_free(memory, position, but=root)

    def _launch(self, function: Function, buffers: list[Buffer]) -> None:
        unknown = [dim.name for dim in function.dims if dim not in self.graph.dims]
        if unknown:
            raise IRError(
                f"graph '{self.graph.name}' calls '{function.name}', which needs the dims "
                f"{', '.join(unknown)}; the graph does not have them"
            )
        for buffer in workspaces(function):
            type_ = TensorType(buffer.shape, buffer.dtype)
            buffers = [*buffers, self._temporary(type_, buffer.name)]
        name = self.kernels.add(function)
        self.launches.append(Launch(name, function.dims, tuple(buffers)))

    def _copy(self, source: Buffer, target: Buffer, reason: str) -> None:
        names = f"{source.name}{source.ordinal} to {target.name}{target.ordinal}"
        self.copies.append(f"{self.graph.name}: copy of {names}: {reason}")
        self._launch(copy_kernel(source.shape, source.dtype), [source, target])

    def _final_copies(self) -> None:
        for name, value in self.graph.results:
            source = self._source(value)
            if source is not self.outputs[name]:
                self._copy(source, self.outputs[name], f"result '{name}' lies elsewhere")
        pending = {
            self.states[name]: source
            for name, value in self.graph.updates
            if (source := self._source(value)) is not self.states[name]
        }
        while pending:
            ready = [s for s in pending if s not in pending.values()]
            if not ready:  # states exchange their contents
                target, source = next(iter(pending.items()))
                spare = self._temporary(TensorType(source.shape, source.dtype))
                self._copy(source, spare, "states exchange their contents")
                pending[target] = spare
                continue
            self._copy(pending.pop(ready[0]), ready[0], "a state's new content lies elsewhere")

    def _source(self, value: Value) -> Buffer:
        root = _viewed(value)
        if isinstance(root, Weight):
            if root.type.storage is not None:
                raise IRError(f"graph '{self.graph.name}' gives packed weight '{root.name}' away")
            return self.fields[root][0].buffer
        return self.memory[root]


def _loop_calls(graph: GraphFunction, operators: Operators) -> list[CallLoops]:
    calls: list[CallLoops] = []
    for call in sequence(graph, operators).calls:
        if isinstance(call, CallLoops):
            calls.append(call)
        elif not (isinstance(call, Apply) and call.op == VIEW):
            op = call.op if isinstance(call, Apply) else type(call).__name__
            raise IRError(
                f"graph '{graph.name}' still has operator '{op}', which no kernel computes; "
                "the fuse stage must put it into a loop function"
            )
    return calls


def _donations(calls: list[CallLoops]) -> dict[Value, Value]:
    """Value -> the result that takes its memory."""
    found: dict[Value, Value] = {}
    for call in calls:
        results = _results(call)
        for result, number in call.donates:
            found.setdefault(_viewed(call.inputs[number]), results[result])
    return found


def _results(call: Operation) -> tuple[Value, ...]:
    if len(call.types) == 1:
        return (call,)
    return tuple([Result(call, number) for number in range(len(call.types))])


def _viewed(value: Value) -> Value:
    """The value whose memory this one is."""
    while isinstance(value, Apply) and value.op == VIEW:
        value = value.inputs[0]
    return value


def _plain(type_: TensorType, name: str) -> TensorType:
    if type_.storage is not None:
        raise IRError(f"'{name}' has storage '{type_.storage.name}'; only weights can be packed")
    return type_


def _letters(name: str) -> str:
    return re.sub(r"[^A-Za-z]+", "_", name).strip("_") or "w"
