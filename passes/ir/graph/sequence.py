"""From a DAG, which has no order, to an ordered list of calls with donations kept safe."""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.graph.nodes import (
    Apply,
    CallLoops,
    GraphFunction,
    Operation,
    Result,
    State,
    Value,
)
from passes.ir.graph.operator import Operators
from passes.ir.graph.verify import values_of


@dataclass(frozen=True)
class Sequenced:
    """The calls of a function in an order that respects data and donated memory.

    `copies` are the (call, input) pairs whose input must be copied before the call overwrites
    it, because someone still needs the old content afterwards.
    """

    function: GraphFunction
    calls: tuple[Operation, ...]
    copies: tuple[tuple[Operation, int], ...]


def donations(call: Operation, operators: Operators) -> tuple[tuple[int, int], ...]:
    """The (result, input) pairs of a call whose result takes the input's memory."""
    if isinstance(call, CallLoops):
        return call.donates
    return operators[call.op].donates if isinstance(call, Apply) else ()


def sequence(function: GraphFunction, operators: Operators) -> Sequenced:
    """An order in which every reader of a donated value comes before the call that overwrites it.

        y = append(c, k); z = sum(c)   ->   z = sum(c); y = append(c, k)
        y = append(c, k); z = f(c, y)  ->   y = append(copy of c, k); z = f(c, y)

    Otherwise operands come in the order of their use, so that values die early. The same function
    gives the same order.
    """
    values = values_of(function)
    calls = [value for value in values if isinstance(value, Operation)]
    position = {call: number for number, call in enumerate(calls)}
    readers = _readers(function, calls)
    needs: dict[Operation, list[Operation]] = {
        call: [owner for value in call.inputs if (owner := _owner(value)) is not None]
        for call in calls
    }
    copies: list[tuple[Operation, int]] = []
    taken: set[Value] = set()
    for call in calls:
        for _, number in donations(call, operators):
            value = call.inputs[number]
            others = [r for r in readers.get(value, []) if r is not call]
            blocked = (
                value in taken
                or None in others
                or not _may_overwrite(function, calls, operators, value)
                or call.inputs.count(value) > 1
                or any(_reaches(needs, reader, call) for reader in others if reader is not None)
            )
            if blocked:
                copies.append((call, number))
                continue
            taken.add(value)
            needs[call] += [reader for reader in others if reader is not None]
    return Sequenced(function, tuple(_ordered(calls, needs, position)), tuple(copies))


def _may_overwrite(
    function: GraphFunction, calls: list[Operation], operators: Operators, value: Value
) -> bool:
    """The memory of a call's result always; of a state if what overwrites it becomes its update."""
    if not isinstance(value, State):
        return _owner(value) is not None
    update = dict(function.updates).get(value.name)
    seen: set[Value] = set()
    current: Value | None = value
    while current is not None and current not in seen:
        if current is update:
            return True
        seen.add(current)
        current = _successor(calls, operators, current)
    return False


def _successor(calls: list[Operation], operators: Operators, value: Value) -> Value | None:
    """The result that the first call to be donated `value` puts in its place."""
    for call in calls:
        for result, number in donations(call, operators):
            if call.inputs[number] is value:
                return call if len(call.types) == 1 else Result(call, result)
    return None


def _owner(value: Value) -> Operation | None:
    if isinstance(value, Result):
        return value.call
    return value if isinstance(value, Operation) else None


def _readers(
    function: GraphFunction, calls: list[Operation]
) -> dict[Value, list[Operation | None]]:
    """Who reads each value; None stands for the function's caller."""
    readers: dict[Value, list[Operation | None]] = {}
    for call in calls:
        for value in dict.fromkeys(call.inputs):
            readers.setdefault(value, []).append(call)
    for _, value in (*function.results, *function.updates):
        readers.setdefault(value, []).append(None)
    return readers


def _reaches(needs: dict[Operation, list[Operation]], start: Operation, target: Operation) -> bool:
    """True if `start` needs `target` directly or through others."""
    seen, stack = {start}, [start]
    while stack:
        call = stack.pop()
        if call is target:
            return True
        for needed in needs[call]:
            if needed not in seen:
                seen.add(needed)
                stack.append(needed)
    return False


def _ordered(
    calls: list[Operation],
    needs: dict[Operation, list[Operation]],
    position: dict[Operation, int],
) -> list[Operation]:
    """Depth first from the last call, needs before needing; ties by the original position."""
    order: list[Operation] = []
    done: set[Operation] = set()
    for root in calls:
        stack = [root]
        while stack:
            call = stack[-1]
            waiting = sorted({n for n in needs[call] if n not in done}, key=position.__getitem__)
            if call in done or not waiting:
                stack.pop()
                if call not in done:
                    done.add(call)
                    order.append(call)
            else:
                stack.append(waiting[0])
    return order
