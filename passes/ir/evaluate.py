"""Numbers for expressions: evaluation over Python ints and numpy arrays, all elements at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.ir.dtypes import INDEX
from passes.ir.expr import (
    Add,
    And,
    Binary,
    BitAnd,
    BitOr,
    BitXor,
    Cast,
    Const,
    Dim,
    Div,
    Eq,
    Expr,
    FloorDiv,
    FloorMod,
    Le,
    Lt,
    Max,
    Min,
    Mul,
    Ne,
    Not,
    Or,
    Reinterpret,
    Select,
    Shl,
    Shr,
    Sub,
    Var,
)
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError, Node

Array = NDArray[Any]

_BINARY: dict[type[Binary], Callable[[Any, Any], Any]] = {
    Add: operator.add, Sub: operator.sub, Mul: operator.mul, Div: operator.truediv,
    FloorDiv: operator.floordiv, FloorMod: operator.mod, Min: np.minimum, Max: np.maximum,
    BitAnd: operator.and_, BitOr: operator.or_, BitXor: operator.xor,
    Shl: operator.lshift, Shr: operator.rshift,
    Lt: operator.lt, Le: operator.le, Eq: operator.eq, Ne: operator.ne,
    And: np.logical_and, Or: np.logical_or,
}  # fmt: skip


def evaluate(
    e: Expr,
    values: Mapping[Dim | Var, int | Array],
    arrays: Mapping[Buffer, Array] | None = None,
) -> Any:
    """The value of `e`: a number, or an array of the broadcast shape of the `values` given.

    `arrays` are the contents of the buffers it loads from. Raises IRError if a symbol or buffer
    has no value, or for calls and vector expressions.
    """
    done: dict[Node, Any] = {}
    stack: list[Expr] = [e]
    while stack:
        node = stack[-1]
        waiting = [] if node in done else [c for c in _operands(node) if c not in done]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if node not in done:
            done[node] = _value(node, done, values, arrays or {})
    return done[e]


def integer(e: Expr, dims: Mapping[Dim | Var, int]) -> int:
    """The value of an index expression of dims."""
    return int(evaluate(e, dims))


def _operands(node: Expr) -> tuple[Expr, ...]:
    if isinstance(node, Load):
        return node.indices
    return tuple([child for child in node.children if isinstance(child, Expr)])


def _value(
    node: Expr,
    done: Mapping[Node, Any],
    values: Mapping[Dim | Var, int | Array],
    arrays: Mapping[Buffer, Array],
) -> Any:
    match node:
        case Const():
            return node.value if node.dtype == INDEX else node.dtype.numpy.type(node.value)
        case Dim() | Var():
            if node not in values:
                kind = "dim" if isinstance(node, Dim) else "variable"
                raise IRError(f"{kind} '{node.name}' has no value here")
            return values[node]
        case Binary():
            return _BINARY[type(node)](done[node.a], done[node.b])
        case Not():
            return np.logical_not(done[node.a])
        case Select():
            return np.where(done[node.cond], done[node.then], done[node.other])
        case Cast():
            return np.asarray(done[node.value]).astype(node.dtype.numpy)
        case Reinterpret() if node.dtype.lanes == node.value.dtype.lanes == 1:
            return np.asarray(done[node.value]).view(node.dtype.numpy)
        case Load():
            if node.buffer not in arrays:
                raise IRError(f"buffer '{node.buffer.name}' has no content here")
            return arrays[node.buffer][tuple([done[i] for i in node.indices])]
        case _:
            raise IRError(f"{type(node).__name__} has no value outside loops")
