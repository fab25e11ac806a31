"""Recognising the update of a reduction block: target, combiner, identity, new value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from passes.ir.dtypes import BOOL, INDEX
from passes.ir.expr import Add, Binary, Broadcast, Call, Expr, Max, Min
from passes.ir.loop.builder import Combine, identity
from passes.ir.loop.nodes import Block, Buffer, Load, Seq, Stmt, Store, Update
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


@dataclass(frozen=True)
class Reduction:
    """`targets = combine(targets, values)`, of one element or of a tuple of them at once.

    The elements have the same indices, each in a buffer of its own: two instances of the block
    update the same tuple, or have no element in common. `update` gives the statement for other
    targets and values.
    """

    targets: tuple[Load, ...]
    values: tuple[Expr, ...]
    identity: tuple[Expr, ...]
    update: Callable[[tuple[Load, ...], tuple[Expr, ...]], Stmt]

    @property
    def buffers(self) -> frozenset[Buffer]:
        return frozenset([target.buffer for target in self.targets])

    @property
    def indices(self) -> tuple[Expr, ...]:
        return self.targets[0].indices


@lru_cache(maxsize=1 << 10)
def reduction_of(block: Block) -> Reduction | None:
    """The block's reduction: that of `combiner_of`, or one update by a combiner of tuples.

    An init starts the elements that are updated, and nothing else.
    """
    update, combiner = block.body, combiner_of(block)
    if combiner is not None:

        def stored(targets: tuple[Load, ...], values: tuple[Expr, ...]) -> Stmt:
            (target,), (value,) = targets, values
            return Store(target.buffer, target.indices, combiner.combine(target, value))

        target = Load(combiner.target, combiner.indices)
        return Reduction((target,), (combiner.value,), (combiner.identity,), stored)
    if not isinstance(update, Update):
        return None
    targets = update.targets
    buffers = {target.buffer for target in targets}
    if len(buffers) < len(targets) or len({target.indices for target in targets}) > 1:
        return None
    if block.init is not None:
        starts = block.init.stmts if isinstance(block.init, Seq) else (block.init,)
        started = [Load(s.buffer, s.indices) for s in starts if isinstance(s, Store)]
        if len(started) < len(starts) or len(starts) > len(targets) or {*started} != {*targets}:
            return None
    inside = postorder(*update.operands, *targets[0].indices)
    if any(isinstance(n, Load) and n.buffer in buffers for n in inside):
        return None
    return Reduction(
        targets,
        update.operands,
        update.combiner.identity,
        lambda targets, values: Update(targets, values, update.combiner),
    )


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
        start, lanes = identity(name, store.buffer.dtype), old.dtype.lanes
        neutral = Broadcast(start, lanes) if lanes > 1 else start
        return Combiner(store.buffer, store.indices, value, neutral, combine)
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
