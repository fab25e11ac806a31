"""Recognising the update of a reduction block: target, combiner, identity, new value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passes.ir.dtypes import BOOL, INDEX
from passes.ir.expr import Add, Binary, Call, Expr, Max, Min
from passes.ir.loop.builder import Combine, identity
from passes.ir.loop.nodes import Block, Buffer, Load, Store
from passes.ir.node import postorder

_COMBINERS: dict[Combine, type[Add | Max | Min]] = {"add": Add, "max": Max, "min": Min}


@dataclass(frozen=True)
class Combiner:
    """`target[indices] = combine(target[indices], value)`, from what init stores, or on and on.

    `identity` is the value that changes nothing, from which partial results start.
    """

    target: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    identity: Expr
    combine: Callable[[Expr, Expr], Expr]


def combiner_of(block: Block) -> Combiner | None:
    """The block's reduction if it is one store that combines its own element with a new value.

    That is a sum (also as fma, also of several terms), max or min; nothing else in the block
    reads what it stores.
    """
    store, init = block.body, block.init
    if not isinstance(store, Store) or store.buffer.dtype in (BOOL, INDEX):
        return None
    if init is not None:
        same = isinstance(init, Store) and init.buffer is store.buffer
        if not isinstance(init, Store) or not same or init.indices != store.indices:
            return None
    old = Load(store.buffer, store.indices)
    for name, combine in _COMBINERS.items():
        value = _term(store.value, old, combine)
        if value is None:
            continue
        if any(isinstance(n, Load) and n.buffer is old.buffer for n in postorder(value)):
            return None
        return Combiner(
            store.buffer, store.indices, value, identity(name, store.buffer.dtype), combine
        )
    return None


def _term(e: Expr, old: Load, combine: type[Add | Max | Min]) -> Expr | None:
    """What `e` combines `old` with; several terms are combined with each other."""
    match e:
        case Binary(a, b) if type(e) is combine:
            for own, other in ((a, b), (b, a)):
                rest = _term(own, old, combine)
                if own is old:
                    return other
                if rest is not None:
                    return combine(rest, other)
        case Call("fma", (a, b, c)) if combine is Add:
            rest = _term(c, old, combine)
            if c is old:
                return a * b
            if rest is not None:
                return Add(rest, a * b)
    return None
