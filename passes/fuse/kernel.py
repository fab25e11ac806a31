"""A group of operator calls as one loop function."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from passes.ir.graph.nodes import Apply, CallLoops, Operation, Result, TensorType, Value
from passes.ir.graph.operator import Operator, Operators
from passes.ir.loop.builder import LoopBuilder
from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import Buffer, Function
from passes.ir.node import IRError
from passes.ir.quantised import BufferOperand
from passes.ops.define import call_dims, operand_params


class KernelBuilder:
    """Makes kernels of groups of calls; groups that differ only in their inputs share one."""

    def __init__(self, operators: Operators) -> None:
        self.operators = operators
        self._made: dict[Hashable, Function] = {}

    def build(self, calls: Sequence[Apply], escaping: Sequence[Value]) -> CallLoops:
        """The calls (in order of data) as one kernel, whose results are the `escaping` values.

        `escaping` are the values used outside the group. Values inside it become temporaries of
        the kernel; each operator contributes the blocks of its loop definition.
        """
        inside = set(calls)
        outer = [v for call in calls for v in call.inputs if _source(v) not in inside]
        inputs = list(dict.fromkeys(outer))
        number: dict[Value, int] = {value: k for k, value in enumerate(inputs)}
        wiring = []
        for call in calls:
            wiring.append((call.op, call.attrs, tuple([number[v] for v in call.inputs])))
            for k in range(len(call.types)):
                number[output(call, k)] = len(number)
        key = (
            tuple(wiring),
            tuple([value.type for value in inputs]),
            tuple([number[value] for value in escaping]),
        )
        if key not in self._made:
            self._made[key] = self._function(calls, escaping, inputs)
        types: tuple[TensorType, ...] = tuple([value.type for value in escaping])
        return CallLoops(self._made[key], tuple(inputs), types, self._donates(escaping, inputs))

    def _donates(
        self, escaping: Sequence[Value], inputs: Sequence[Value]
    ) -> tuple[tuple[int, int], ...]:
        found = []
        for position, value in enumerate(escaping):
            given = self._given(value)
            if given is not None:
                found.append((position, inputs.index(given)))
        return tuple(found)

    def _given(self, value: Value) -> Value | None:
        """The input whose memory the value takes over."""
        call = _source(value)
        assert isinstance(call, Apply)
        number = value.number if isinstance(value, Result) else 0
        given = dict(self.operators[call.op].donates).get(number)
        return None if given is None else call.inputs[given]

    def _function(
        self, calls: Sequence[Apply], escaping: Sequence[Value], inputs: Sequence[Value]
    ) -> Function:
        """The loop function, named by its operators and its content."""
        b = LoopBuilder("kernel", dims=call_dims(*calls))
        buffers: dict[Value, BufferOperand] = {}
        for call in calls:
            names = _operand_names(self.operators[call.op], call)
            for value, name in zip(call.inputs, names, strict=True):
                if value in inputs and value not in buffers:
                    buffers[value] = operand_params(b, name, value.type)
        for call in calls:
            for k, type_ in enumerate(call.types):
                value = output(call, k)
                given = self._given(value) if value in escaping else None
                if given is not None:
                    buffers[value] = buffers[given]
                elif value in escaping:
                    buffers[value] = b.param("out", type_.shape, type_.dtype)
                else:
                    buffers[value] = b.local(_letters(call.op), type_.shape, type_.dtype)
        for call in calls:
            outputs = [_buffer(buffers[output(call, k)]) for k in range(len(call.types))]
            operands = [buffers[value] for value in call.inputs]
            self.operators[call.op].loops(b, operands, outputs, call)
        function = canonical(b.function())
        return function.replace(name=f"{_title(calls)}_{function.digest[:8]}")


def output(call: Operation, number: int) -> Value:
    """The value that is the call's result of that number."""
    return call if len(call.types) == 1 else Result(call, number)


def _source(value: Value) -> Value:
    return value.call if isinstance(value, Result) else value


def _buffer(operand: BufferOperand) -> Buffer:
    if not isinstance(operand, Buffer):
        raise IRError("a quantised tensor cannot be computed into")
    return operand


def _operand_names(operator: Operator, call: Apply) -> list[str]:
    """The operator's own names for its inputs: equal kernels must not differ by who feeds them."""
    names = [_letters(name) for name in operator.operands]
    return [names[min(k, len(names) - 1)] for k in range(len(call.inputs))]


def _letters(text: str) -> str:
    kept = "".join(c for c in text if c.isascii() and (c.isalpha() or c == "_")).strip("_")
    return kept or "v"


def _title(calls: Sequence[Apply]) -> str:
    """The operators, each once, in order; layout changes left out where there is anything else."""
    names = list(dict.fromkeys(call.op for call in calls))
    telling = [n for n in names if n not in ("reshape", "slice", "transpose")] or names
    return "_".join(telling)[:48]
