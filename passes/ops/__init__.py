"""The operators: one class each, all facets side by side.

elementwise   arithmetic, relu and other functions, casts, comparisons, select
layout        reshape, transpose, slice, concat, broadcast_to, full, iota
reduce        reduce_sum, reduce_max, argmax, softmax, rms_norm
normalise     layer_norm, group_norm, l2_norm
matmul        matmul, gather                         weights plain or quantised
scatter       scatter_add
contract      contract                               einsum of two operands
conv          conv, capsule_conv                     windows with weights
conv_transposed, pool                                … their transpose; max_pool, avg_pool
quantise      quantise_blocks, matmul_q              the integer path
rope          rope_tables, rope
attention     cache_append, attention                its loop definition is in `stream`

define        an operator's call -> a loop function of its own
kind          a loop function -> how it may fuse
"""

from __future__ import annotations

from collections.abc import Iterable

from passes.ir.graph import operator
from passes.ir.graph.nodes import Apply, Attr, Result, Value
from passes.ir.graph.operator import Operator, Operators
from passes.ir.node import IRError
from passes.ops import (
    attention,
    contract,
    conv,
    conv_transposed,
    elementwise,
    layout,
    matmul,
    normalise,
    pool,
    quantise,
    reduce,
    rope,
    scatter,
)

_MODULES = (
    elementwise, layout, reduce, normalise, matmul, scatter, contract, conv, conv_transposed, pool,
    quantise, rope, attention,
)  # fmt: skip


def _table(operators: Iterable[Operator]) -> Operators:
    table: dict[str, Operator] = {}
    for op in operators:
        if table.setdefault(op.name, op) is not op:
            raise IRError(f"two operators are called '{op.name}'")
    return table


OPERATORS: Operators = _table(op for module in _MODULES for op in module.OPERATORS)


def apply(name: str, *inputs: Value, **attrs: Attr) -> Apply:
    """The operator of that name applied to values; its result types are deduced.

    Raises IRError if there is no such operator or it does not take these values.
    """
    if name not in OPERATORS:
        raise IRError(f"unknown operator '{name}'; known: {', '.join(OPERATORS)}")
    return operator.apply(OPERATORS[name], inputs, attrs)


def results(call: Apply) -> tuple[Result, ...]:
    """The results of a call that has several."""
    return tuple([Result(call, number) for number in range(len(call.types))])
