"""An operator's call as a loop function of its own."""

from __future__ import annotations

from passes.ir.arith import dims_of
from passes.ir.expr import Dim, Expr
from passes.ir.graph.nodes import Apply, CallLoops, TensorType
from passes.ir.graph.operator import Operators
from passes.ir.loop.builder import LoopBuilder
from passes.ir.loop.nodes import Buffer, Function
from passes.ir.quantised import BufferOperand, QuantisedBuffers


def define(call: Apply, operators: Operators, name: str | None = None) -> Function:
    """The loop function of one call: its params are the inputs' buffers, then the results'.

    A quantised input stands for one param per field, a donated input's buffer is the result's.
    """
    op = operators[call.op]
    b = LoopBuilder(name or call.op, dims=call_dims(call))
    names = [operand.rstrip("*") for operand in op.operands]
    inputs = [
        operand_params(b, names[min(i, len(names) - 1)], value.type)
        for i, value in enumerate(call.inputs)
    ]
    donated = dict(op.donates)
    outputs: list[Buffer] = []
    for number, type_ in enumerate(call.types):
        given = inputs[donated[number]] if number in donated else None
        outputs.append(
            given if isinstance(given, Buffer) else b.param("out", type_.shape, type_.dtype)
        )
    op.loops(b, inputs, outputs, call)
    return b.function()


def call_loops(call: Apply, operators: Operators, name: str | None = None) -> CallLoops:
    """The call, its operator replaced by the loop function that defines it."""
    function = define(call, operators, name)
    return CallLoops(function, call.inputs, call.types, operators[call.op].donates)


def operand_params(b: LoopBuilder, name: str, type_: TensorType) -> BufferOperand:
    """The next params of a function: one buffer, or one a field of a quantised tensor."""
    if type_.storage is None:
        return b.param(name, type_.shape, type_.dtype)
    fields = [
        b.param(f"{name}_{field.name}", field.shape, field.dtype, field.strides)
        for field in type_.storage.fields
    ]
    return QuantisedBuffers(type_.storage, type_.shape, tuple(fields))


def call_dims(*calls: Apply) -> tuple[Dim, ...]:
    """The dims that the types and attributes of calls speak of, by name."""
    found: set[Dim] = set()
    for call in calls:
        for _, attr in call.attrs:
            found.update(*[dims_of(e) for e in _expressions(attr)])
        for type_ in (*call.types, *[value.type for value in call.inputs]):
            found.update(*[dims_of(e) for e in type_.shape])
    return tuple(sorted(found, key=lambda dim: dim.name))


def _expressions(attr: object) -> list[Expr]:
    if isinstance(attr, Expr):
        return [attr]
    if isinstance(attr, tuple):
        return [e for item in attr for e in _expressions(item)]
    return []
