"""Turns expressions into Python closures over a frame, with exactly the IR's scalar semantics.

A frame is a list: slots for the thread, the dims and variables, the buffers. An expression is
compiled either for single values (Python ints for `index`, numpy scalars otherwise) or `wide`:
for numpy arrays, be they the lanes of a short vector or many loop iterations at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from passes.ir import expr as ir
from passes.ir.dtypes import BOOL, INDEX, DType
from passes.ir.expr_text import print_expr
from passes.ir.intrinsics import NOWHERE, intrinsic
from passes.ir.loop.memory import ExecutionError, Races, poison
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError, Node, postorder

Frame = list[Any]
Fn = Callable[[Frame], Any]
Run = Callable[[Frame], None]

RACE = (
    "at the same time by another thread or parallel iteration;"
    " put a barrier between the two, or make the loop serial"
)
TRACKED = frozenset(["global", "shared"])
"""Scopes of buffers that iterations of some concurrent loop have in common."""
_LEVELS = 50  # of one closure
THREAD, THREADS, BLOCK = 0, 1, 2  # the first slots of a frame; dims, variables, buffers follow


class Roots(NamedTuple):
    """Compiled expressions of one statement; `run` evaluates them in order."""

    lets: list[tuple[int, Fn]]
    fns: list[Fn]

    def run(self, frame: Frame) -> list[Any]:
        for slot, fn in self.lets:
            frame[slot] = fn(frame)
        return [fn(frame) for fn in self.fns]


class Evaluator:
    """Compiles the expressions of one function. A buffer takes two slots: data, and the mask of
    the elements already written (None if all are)."""

    def __init__(self, function: str, races: Races | None = None) -> None:
        self.function = function
        self.races = races
        self.slots: dict[Node, int] = {}
        self.size = 3
        self._shared: dict[Node, int] = {}

    def slot(self, node: Node) -> int:
        """The slot of a dim, variable or buffer."""
        if node not in self.slots:
            self.slots[node] = self.reserve(2 if isinstance(node, Buffer) else 1)
        return self.slots[node]

    def reserve(self, count: int = 1) -> int:
        """The first of `count` fresh slots."""
        self.size += count
        return self.size - count

    def roots(self, exprs: Sequence[ir.Expr], wide: bool = False) -> Roots:
        """Compiles expressions evaluated together, each common subexpression once."""
        lets: list[tuple[int, Fn]] = []
        for node in _common(exprs):
            fn = self.compile(node, wide)
            self._shared[node] = self.reserve()
            lets.append((self._shared[node], fn))
        made = Roots(lets, [self.compile(e, wide) for e in exprs])
        self._shared.clear()
        return made

    def compile(self, e: ir.Expr, wide: bool = False) -> Fn:
        """The closure that gives the value of `e` in a frame."""
        if e in self._shared:
            return operator.itemgetter(self._shared[e])
        wide = wide or e.dtype.lanes > 1
        if isinstance(e, ir.Const):
            value = _constant(e)
            return lambda frame: value
        if isinstance(e, ir.Var | ir.Dim):
            return operator.itemgetter(self.slot(e))
        if isinstance(e, ir.Binary):
            return self._binary(e, wide)
        if isinstance(e, Load):
            return self._load(e, wide)
        children = [self.compile(c, wide) for c in e.children if isinstance(c, ir.Expr)]
        if isinstance(e, ir.Call):
            return self._call(e, children, wide)
        if isinstance(e, ir.Select):
            cond, then, other = children
            return _select(cond, then, other, wide=wide or e.cond.dtype.lanes > 1)
        (a,) = children
        if isinstance(e, ir.Not):
            return (lambda f: np.logical_not(a(f))) if wide else (lambda f: not a(f))
        if isinstance(e, ir.Cast):
            convert = converter(e.value.dtype, e.dtype, wide)
            return lambda f: convert(a(f))
        if isinstance(e, ir.Reinterpret):
            return _reinterpret(a, e.value.dtype, e.dtype)
        if isinstance(e, ir.Ramp):
            steps = np.arange(e.lanes, dtype=e.dtype.numpy) * e.dtype.numpy.type(e.stride)
            return lambda f: a(f) + steps
        if isinstance(e, ir.Broadcast):
            kind, lanes = e.dtype.numpy, e.lanes
            return lambda f: np.tile(np.asarray(a(f), kind), lanes)
        raise IRError(f"function '{self.function}': no meaning for a {type(e).__name__} node")

    def fail(self, e: ir.Expr, frame: Frame, what: str) -> NoReturn:
        """Raises `ExecutionError` naming the function, the block, the expression and its values."""
        raise ExecutionError(f"{self.place(frame)}: {print_expr(e)}{self._values(e, frame)} {what}")

    def place(self, frame: Frame) -> str:
        block = f", block '{frame[BLOCK]}'" if frame[BLOCK] else ""
        return f"function '{self.function}'{block}"

    def _values(self, e: ir.Expr, frame: Frame) -> str:
        known = [n for n in symbols_of(e) if n in self.slots]
        shown = ", ".join(f"{print_expr(n)} = {frame[self.slots[n]]}" for n in known)
        return f" (where {shown})" if shown else ""

    def _binary(self, e: ir.Binary, wide: bool) -> Fn:
        a, b = self.compile(e.a, wide), self.compile(e.b, wide)
        if isinstance(e, ir.Add):
            return lambda f: a(f) + b(f)
        if isinstance(e, ir.Mul):
            return lambda f: a(f) * b(f)
        if isinstance(e, ir.Sub):
            return lambda f: a(f) - b(f)
        if isinstance(e, ir.Min | ir.Max):
            return _extreme(a, b, isinstance(e, ir.Min), e.dtype, wide)
        if isinstance(e, ir.FloorDiv | ir.FloorMod):
            return self._divide(e, a, b)
        op = (_WIDE if wide or e.a.dtype.lanes > 1 else _SINGLE)[type(e)]
        return lambda f: op(a(f), b(f))

    def _divide(self, e: ir.Binary, a: Fn, b: Fn) -> Fn:
        op = operator.floordiv if isinstance(e, ir.FloorDiv) else operator.mod
        if e.dtype.is_float:
            return lambda f: op(a(f), b(f))

        def run(frame: Frame) -> Any:
            divisor = b(frame)
            if not np.all(divisor):
                self.fail(e, frame, "divides by zero")
            return op(a(frame), divisor)

        return run

    def _call(self, e: ir.Call, args: list[Fn], wide: bool) -> Fn:
        if e.name in ("thread_id", "num_threads"):
            return operator.itemgetter(THREAD if e.name == "thread_id" else THREADS)
        meaning, kind = intrinsic(e.name).meaning, e.dtype
        if wide:
            return lambda frame: meaning(*[arg(frame) for arg in args])
        if kind == INDEX:
            return lambda frame: int(meaning(*[arg(frame) for arg in args]))
        return lambda frame: np.asarray(meaning(*[arg(frame) for arg in args]))[()]

    def _load(self, e: Load, wide: bool) -> Fn:
        fns = [self.compile(i, wide) for i in e.indices]
        slot, integer = self.slot(e.buffer), e.buffer.dtype == INDEX and not wide

        def single(frame: Frame) -> Any:
            place = tuple([fn(frame) for fn in fns])
            try:
                value = frame[slot][place]
            except IndexError:
                self.outside(e, frame, place)
            if place and min(place) < 0:
                self.outside(e, frame, place)
            mask = frame[slot + 1]
            if mask is not None and not mask[place]:
                self._unwritten(e, frame)
            return int(value) if integer else value

        def several(frame: Frame) -> Any:
            place = tuple([fn(frame) for fn in fns])
            self.check_wide(e, frame, place)
            mask = frame[slot + 1]
            if mask is not None and not np.all(mask[place]):
                self._unwritten(e, frame)
            return frame[slot][place]

        def some(frame: Frame) -> Any:
            place, held = chosen(tuple([fn(frame) for fn in fns]))
            self.check_wide(e, frame, place)
            mask = frame[slot + 1]
            if mask is not None and not np.all(mask[place]):
                self._unwritten(e, frame)
            lanes = np.full(held.shape, poison(e.buffer.dtype), e.buffer.dtype.numpy)
            lanes[held] = frame[slot][place]
            return lanes

        run = some if is_masked(e.indices) else several if wide else single
        return run if self.races is None else self._tracked(e, fns, run)

    def _tracked(self, e: Load, fns: list[Fn], run: Fn) -> Fn:
        races, slot, scope = self.races, self.slot(e.buffer), e.buffer.scope

        def tracked(frame: Frame) -> Any:
            value = run(frame)
            place = tuple([fn(frame) for fn in fns])
            if is_masked(e.indices):
                place, _ = chosen(place)
            if races is not None and not races.touch(scope, frame[slot], place, write=False):
                self.fail(e, frame, f"is read here and stored to {RACE}")
            return value

        return tracked if scope in TRACKED else run

    def check_wide(self, e: Load, frame: Frame, place: tuple[Any, ...]) -> None:
        """Raises unless all the elements are inside the buffer."""
        for at, extent in zip(place, frame[self.slots[e.buffer]].shape, strict=True):
            if np.size(at) and (np.min(at) < 0 or np.max(at) >= extent):
                self.outside(e, frame, place)

    def _unwritten(self, e: Load, frame: Frame) -> NoReturn:
        self.fail(e, frame, "is read before anything is stored there; store to it first")

    def outside(self, e: Load, frame: Frame, place: tuple[Any, ...]) -> NoReturn:
        """Raises for an access outside the buffer."""
        at = ", ".join(str(i.tolist()) if isinstance(i, np.ndarray) else str(i) for i in place)
        shape = list(frame[self.slots[e.buffer]].shape)
        self.fail(
            e, frame, f"touches element [{at}], outside the buffer's shape {shape};"
            " tighten the loop's extent or guard the access by a predicate",
        )  # fmt: skip


def is_masked(indices: Sequence[ir.Expr]) -> bool:
    """True if one of the indices names the lanes that access memory."""
    return any(isinstance(i, ir.Call) and i.name == "masked" for i in indices)


def chosen(place: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """The places of the lanes that access memory, and which lanes they are."""
    held = np.all([np.asarray(at) != NOWHERE for at in place if np.ndim(at)], axis=0)
    return tuple([at[held] if np.ndim(at) else at for at in place]), held


def converter(before: DType, after: DType, wide: bool) -> Callable[[Any], Any]:
    """The function that converts values of one type to another."""
    kind = after.numpy
    if after.scalar == BOOL:
        return lambda value: np.not_equal(value, 0)
    if wide:
        return lambda value: np.asarray(value, before.numpy).astype(kind)
    if after == INDEX:
        return int
    if before == INDEX:
        return lambda value: np.int64(value).astype(kind)
    return lambda value: np.asarray(value, before.numpy).astype(kind)[()]


def _constant(e: ir.Const) -> Any:
    return e.value if e.dtype in (INDEX, BOOL) else e.dtype.numpy.type(e.value)


def _extreme(a: Fn, b: Fn, least: bool, dtype: DType, wide: bool) -> Fn:
    """Min or Max: the second operand where the comparison fails, as for NaN."""
    if wide and not dtype.is_float:
        ufunc = np.minimum if least else np.maximum
        return lambda f: ufunc(a(f), b(f))

    def run(frame: Frame) -> Any:
        x, y = a(frame), b(frame)
        wins = x < y if least else x > y
        return np.where(wins, x, y) if wide else x if wins else y

    return run


def _select(cond: Fn, then: Fn, other: Fn, *, wide: bool) -> Fn:
    def run(frame: Frame) -> Any:
        c, t, o = cond(frame), then(frame), other(frame)
        return np.where(c, t, o) if wide else t if c else o

    return run


def _reinterpret(a: Fn, before: DType, after: DType) -> Fn:
    old, new = before.numpy, after.numpy
    if before.lanes == after.lanes:
        return lambda f: np.asarray(a(f), old).view(new)[()]
    if after.lanes == 1:
        return lambda f: np.ascontiguousarray(a(f), old).view(new)[0]
    return lambda f: np.ascontiguousarray(a(f), old).reshape(-1).view(new)


_SINGLE: dict[type[ir.Binary], Callable[[Any, Any], Any]] = {
    ir.Div: operator.truediv,
    ir.BitAnd: operator.and_,
    ir.BitOr: operator.or_,
    ir.BitXor: operator.xor,
    ir.Shl: operator.lshift,
    ir.Shr: operator.rshift,
    ir.Lt: operator.lt,
    ir.Le: operator.le,
    ir.Eq: operator.eq,
    ir.Ne: operator.ne,
    ir.And: operator.and_,
    ir.Or: operator.or_,
}
_WIDE: dict[type[ir.Binary], Callable[[Any, Any], Any]] = {
    **_SINGLE,
    ir.And: np.logical_and,
    ir.Or: np.logical_or,
}


def symbols_of(e: ir.Expr) -> list[ir.Var | ir.Dim]:
    """The variables and dims that an expression itself speaks of, not its buffers' shapes."""
    found: list[ir.Var | ir.Dim] = []
    seen: set[Node] = set()
    stack: list[Node] = [e]
    while stack:
        node = stack.pop()
        if node in seen or not isinstance(node, ir.Expr):
            continue
        seen.add(node)
        if isinstance(node, ir.Var | ir.Dim):
            found.append(node)
        stack.extend(reversed(node.indices if isinstance(node, Load) else node.children))
    return found


def _common(exprs: Sequence[ir.Expr]) -> list[ir.Expr]:
    """What to evaluate on its own below `exprs`, inner ones first.

    That is what is used more than once, and a level of deep ones now and then: closures nest as
    deep as their expressions, and Python's stack is not for hundreds of them.
    """
    uses: dict[Node, int] = {}
    depth: dict[Node, int] = {}
    order = postorder(*exprs)
    for node in order:
        depth[node] = 1 + max([depth[child] for child in node.children], default=0)
        for child in node.children:
            uses[child] = uses.get(child, 0) + 1
    plain = ir.Const, ir.Var, ir.Dim
    return [
        node
        for node in order
        if isinstance(node, ir.Expr) and not isinstance(node, plain)
        if uses.get(node, 0) > 1 or depth[node] % _LEVELS == 0
    ]
