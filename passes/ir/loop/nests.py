"""Runs perfect loop nests around one store as whole-array operations.

    for i in range(n):                        y[I, J] = x[I, J] * w[J]
        for j in range(576):            →     with I = arange(n)[:, None], J = arange(576)
            y[i, j] = x[i, j] * w[j]

Every loop variable becomes an index array along its own axis. A store becomes an indexed
assignment; an update `y[i] = y[i] + term` becomes numpy's unbuffered `add.at`, which adds in
iteration order, so that even sums have the bits of the loops run one by one. What is not known to
be legal, and every failing access, is left to the loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passes.ir import expr as ir
from passes.ir.dtypes import BF16, INDEX
from passes.ir.loop.closures import BLOCK, Evaluator, Fn, Frame, Roots
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.nodes import Block, For, If, Load, Store
from passes.ir.node import Node, postorder

_BUDGET = 1 << 20  # elements of one whole-array step
_WORTH_IT = 8  # iterations below which the loops are as fast

Range = Callable[[Frame], tuple[int, int]]
_UFUNCS: dict[type[ir.Expr], Any] = {
    ir.Add: np.add,
    ir.Mul: np.multiply,
    ir.Max: np.maximum,
    ir.Min: np.minimum,
}


@dataclass
class Let:
    """What a block (or a condition, with no iterators) between the loops and the store adds."""

    label: str | None
    predicate: Fn | None
    slots: list[int]
    values: Roots
    extents: Roots
    reduce: list[int]  # the slots of its reduce iterators

    def bind(self, frame: Frame) -> bool:
        """Sets the iterators; False if one is outside its extent."""
        if self.label is not None:
            frame[BLOCK] = self.label
        for slot, value in zip(self.slots, self.values.run(frame), strict=True):
            frame[slot] = value
        found = zip(self.slots, self.extents.run(frame), strict=True)
        return all(np.min(frame[s]) >= 0 and np.all(frame[s] < extent) for s, extent in found)


class _Starts(NamedTuple):
    """Where an init runs: the places, and which of the listed points they are (None in a box)."""

    place: tuple[Any, ...]
    chosen: NDArray[Any] | None


class Nest:
    """Loops (outermost first) that may run together, and the one store inside them."""

    def __init__(
        self,
        evaluator: Evaluator,
        loops: Sequence[tuple[int, Range]],
        lets: Sequence[Let],
        store: Store,
        init: Store | None,
    ) -> None:
        self.evaluator, self.loops, self.lets = evaluator, loops, lets
        self.access = Load(store.buffer, store.indices)
        self.slot = evaluator.slot(store.buffer)
        term = _term(store)
        self.ufunc = None if term is None else _UFUNCS[type(store.value)]
        self.reads_itself = term is None and _loads(store.value, store)
        self.is_float = store.buffer.dtype.is_float
        self.place = evaluator.roots(store.indices, wide=True)
        self.value = evaluator.roots([store.value if term is None else term], wide=True)
        self.init = None if init is None else evaluator.roots([init.value], wide=True)

    def run(self, frame: Frame, loops: Sequence[Fn]) -> None:
        """Runs the nest; `loops[i]` runs loop i and those inside it one by one."""
        spans: list[tuple[int, int]] = []
        for _, span in self.loops:  # an empty loop asks nothing of those inside it
            low, high = span(frame)
            if low >= high:
                return
            spans.append((low, high))
        self._run(frame, 0, spans, loops)

    def _run(
        self, frame: Frame, start: int, spans: list[tuple[int, int]], loops: Sequence[Fn]
    ) -> None:
        sizes = [high - low for low, high in spans]
        inner = math.prod(sizes[1:])
        if sizes[0] * inner <= _WORTH_IT:
            loops[start](frame)
            return
        (low, high), rest = spans[0], spans[1:]
        step = max(_BUDGET // inner, 1)
        for first in range(low, high, step):
            chunk = first, min(first + step, high)
            if inner <= _BUDGET and self._together(frame, start, [chunk, *rest]):
                continue
            for value in range(*chunk):
                frame[self.loops[start][0]] = value
                if rest:
                    self._run(frame, start + 1, rest, loops)
                else:
                    loops[start + 1](frame)

    def _together(self, frame: Frame, start: int, spans: list[tuple[int, int]]) -> bool:
        """Runs the spans at once; False, with no element changed, if that is not legal."""
        axes = len(spans)
        values: list[NDArray[Any]] = [
            np.arange(low, high).reshape([-1 if a == axis else 1 for a in range(axes)])
            for axis, (low, high) in enumerate(spans)
        ]
        block = frame[BLOCK]
        try:
            return self._points(frame, start, values)
        except ExecutionError:
            return False
        finally:
            frame[BLOCK] = block

    def _points(self, frame: Frame, start: int, values: list[NDArray[Any]]) -> bool:
        shape = np.broadcast_shapes(*[v.shape for v in values])
        listed = False  # the points are a list (where a predicate left some out), not a box
        self._set(frame, start, values)
        for number, let in enumerate(self.lets):
            holds = np.asarray(True if let.predicate is None else let.predicate(frame))
            if not holds.any():
                return True
            if not holds.all():
                kept = np.nonzero(np.broadcast_to(holds, shape))
                values = [np.broadcast_to(v, shape)[kept] for v in values]
                shape, listed = values[0].shape, True
                self._set(frame, start, values)
                for outer in self.lets[:number]:
                    outer.bind(frame)
            if not let.bind(frame):
                return False
        return self._store(frame, shape, listed)

    def _set(self, frame: Frame, start: int, values: list[NDArray[Any]]) -> None:
        for (slot, _), value in zip(self.loops[start:], values, strict=True):
            frame[slot] = value

    def _store(self, frame: Frame, shape: tuple[int, ...], listed: bool) -> bool:
        data, mask = frame[self.slot], frame[self.slot + 1]
        races, scope = self.evaluator.races, self.access.buffer.scope
        place = tuple(self.place.run(frame))
        self.evaluator.check_wide(self.access, frame, place)
        if self.reads_itself and not _distinct(place, data.shape, shape):
            return False
        starts: _Starts | None = None
        if self.init is not None:
            first = np.ones((1,) * len(shape), bool)
            for slot in self.lets[-1].reduce:
                first = first & (frame[slot] == 0)
            if first.any():
                starts = _starts(place, data.shape, shape, first, listed)
                if starts is None:
                    return False
        known: Any = False  # which places are initialised here
        if starts is not None:
            fresh = np.zeros(data.shape, bool)
            fresh[starts.place] = True
            known = fresh[place]
        if self.ufunc is not None and mask is not None and not (mask[place] | known).all():
            return False
        (value,) = self.value.run(frame)
        picks = self.ufunc in (np.maximum, np.minimum) and self.is_float
        if picks and (_unordered(value) or _unordered(np.where(known, 0, data[place]))):
            return False
        if races is not None and not races.touch(scope, data, place, write=True):
            return False
        if starts is not None and self.init is not None:
            initial = self.init.run(frame)[0]
            if starts.chosen is not None:
                initial = np.broadcast_to(initial, shape)[starts.chosen]
                initial = initial.reshape(np.shape(data[starts.place]))
            data[starts.place] = initial
        if self.ufunc is None:
            _assign(data, place, value, shape)
        else:
            _combine(self.ufunc, data, place, value, shape)
        if mask is not None:
            mask[place] = True
            if mask.all():
                frame[self.slot + 1] = None
        return True


def legal(loops: Sequence[For], inside: Sequence[Block | If], store: Store) -> bool:
    """Whether `Nest` can try the loops with the statements `inside` them around `store`."""
    bound: set[Node] = {loop.var for loop in loops}
    for stmt in inside:
        if isinstance(stmt, Block):
            bound.update(it.var for it in stmt.iters)
    if any(node in bound for loop in loops for node in postorder(loop.extent)):
        return False
    if any(isinstance(n, ir.Expr) and n.dtype.lanes > 1 for n in postorder(loops[0])):
        return False
    if any(loop.var.dtype != INDEX for loop in loops) or store.buffer.dtype == BF16:
        return False
    last = inside[-1] if inside else None
    init = last.init if isinstance(last, Block) else None
    if isinstance(last, Block) and init is not None:
        reduce = {it.var for it in last.iters if it.kind == "reduce"}
        if not isinstance(init, Store) or init.indices != store.indices:
            return False
        if init.buffer is not store.buffer or _loads(init.value, store):
            return False
        if any(node in reduce for node in postorder(init.value, *store.indices)):
            return False
    others = [e for s in inside for e in s.children if isinstance(e, ir.Expr)]
    others += [loop.extent for loop in loops[1:]]
    if any(_loads(e, store) for e in [*store.indices, *others]):
        return False
    own = [n for n in postorder(store.value) if isinstance(n, Load) and n.buffer is store.buffer]
    return not own or _term(store) is not None or (
        init is None and all(load.indices == store.indices for load in own)
    )  # fmt: skip


def _loads(e: ir.Expr, store: Store) -> bool:
    return any(isinstance(n, Load) and n.buffer is store.buffer for n in postorder(e))


def _term(store: Store) -> ir.Expr | None:
    """`term` of an update `y[i] = y[i] op term` in which only that load reads `y`."""
    value = store.value
    if isinstance(value, ir.Binary) and type(value) in _UFUNCS:
        for own, term in ((value.a, value.b), (value.b, value.a)):
            itself = isinstance(own, Load) and own.buffer is store.buffer
            if itself and own.indices == store.indices and not _loads(term, store):  # type: ignore[attr-defined]
                return term
    return None


def _flat(place: tuple[Any, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    flat = np.asarray(0)
    for at, extent in zip(place, shape, strict=True):
        flat = flat * extent + at
    return flat


def _distinct(place: tuple[Any, ...], shape: tuple[int, ...], points: tuple[int, ...]) -> bool:
    """True if no two of the points have the same place."""
    flat = _flat(place, shape).ravel()
    if flat.size != math.prod(points):
        return False
    return bool(np.all(flat[1:] > flat[:-1])) or len(np.unique(flat)) == flat.size


def _starts(
    place: tuple[Any, ...],
    shape: tuple[int, ...],
    points: tuple[int, ...],
    first: NDArray[Any],
    listed: bool,
) -> _Starts | None:
    """The places to initialise, if each is so once and before it is updated; None if not.

    In a box of points, the axes along which the place stands still must be those of the
    reduction: a start is at their origin and nowhere else.
    """
    flat = _flat(place, shape)
    if listed:
        chosen = np.nonzero(np.broadcast_to(first, points))[0]
        earliest = np.unique(np.broadcast_to(flat, points), return_index=True)[1]
        at = tuple([np.broadcast_to(p, points)[chosen] for p in place])
        return _Starts(at, chosen) if np.isin(chosen, earliest).all() else None
    steps = (1,) * (len(points) - flat.ndim) + flat.shape
    still = [a for a, size in enumerate(points) if steps[a] == 1 and size > 1]
    origin = np.nonzero(first)
    if any(first.shape[a] == 1 or origin[a].any() for a in still):
        return None
    if any(first.shape[a] > 1 and a not in still for a in range(len(points))):
        return None
    moving = tuple([1 if a in still else size for a, size in enumerate(points)])
    return _Starts(place, None) if _distinct(place, shape, moving) else None


def _unordered(value: Any) -> bool:
    """True if numpy's maximum and the IR's could differ: at a NaN, or between the two zeros."""
    return bool(np.any(np.isnan(value) | ((value == 0) & np.signbit(value))))


def _assign(data: NDArray[Any], place: Any, value: Any, points: tuple[int, ...]) -> None:
    """Stores in iteration order: where places repeat, the last value stays."""
    target = np.broadcast_shapes(*[np.shape(at) for at in place])
    if np.broadcast_shapes(target, np.shape(value)) != target:
        place = tuple([np.broadcast_to(at, points) for at in place])
        if not place:
            value = np.broadcast_to(value, points).reshape(-1)[-1]
    data[place] = value


def _combine(
    ufunc: Any, data: NDArray[Any], place: Any, value: Any, points: tuple[int, ...]
) -> None:
    """Updates in iteration order, one point after the other."""
    terms = np.broadcast_to(value, points).reshape(-1)
    if data.flags.c_contiguous:
        flat = np.broadcast_to(_flat(place, data.shape), points).reshape(-1)
        ufunc.at(data.reshape(-1), flat, terms)
    else:
        ufunc.at(data, tuple([np.broadcast_to(at, points).reshape(-1) for at in place]), terms)
