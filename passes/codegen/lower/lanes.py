"""Expressions over the variables of a vectorized nest → vectors, one lane an iteration.

Lanes are numbered row-major: the innermost variable moves fastest. A value that depends on no
variable of the nest stays a scalar; one that depends on inner variables only stays a short vector
with a lane for each of their iterations, and is repeated where it meets a longer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from passes.ir.arith import free_vars, linear
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import (
    Binary,
    Broadcast,
    Call,
    Cast,
    Const,
    Expr,
    FloorDiv,
    FloorMod,
    Not,
    Ramp,
    Reinterpret,
    Select,
    Var,
    const,
)
from passes.ir.intrinsics import TABLE
from passes.ir.loop.nodes import Buffer, Load

_ELEMENTWISE = frozenset(name for name, entry in TABLE.items() if entry.lanewise)


class NoVector(Exception):
    """The statement has no vector form; its iterations run one after the other."""


class Lanes:
    """A nest of vectorized loops: variables with their constant extents, outermost first."""

    def __init__(self, axes: Sequence[tuple[Var, int]]) -> None:
        self.axes = tuple(axes)
        self.variables = frozenset(var for var, _ in axes)
        self.count = prod(extent for _, extent in axes)
        self._known: dict[Expr, Expr] = {}

    def varies(self, e: Expr) -> bool:
        """True if `e` differs between lanes."""
        return bool(free_vars(e) & self.variables)

    def wide(self, e: Expr) -> Expr:
        """`e` with one lane for each iteration."""
        return widened(self.of(e), self.count)

    def of(self, e: Expr) -> Expr:
        """The vector form of `e`, as short as may be. Raises `NoVector`."""
        found = self._known.get(e)
        if found is None:
            found = self._known[e] = self._compute(e) if self.varies(e) else e
        return found

    def _compute(self, e: Expr) -> Expr:
        if e.dtype.lanes != 1:
            raise NoVector
        if e.dtype == INDEX and (ramp := self._position(e)) is not None:
            return ramp
        match e:
            case Load(buffer, (position,)):
                return Load(buffer, (self.of(position),))
            case Binary(a, b):
                x, y = _same(self.of(a), self.of(b))
                return type(e)(x, y)
            case Not(a):
                return Not(self.of(a))
            case Select(cond, then, other):
                c, x, y = _same(self.of(cond), self.of(then), self.of(other))
                return Select(c, x, y)
            case Cast(value, dtype):
                inner = self.of(value)
                return Cast(inner, dtype.with_lanes(inner.dtype.lanes))
            case Reinterpret(Load(buffer, (Ramp(base, 1, width),)), dtype) if dtype.lanes == 1:
                return self._words(buffer, base, width, dtype)
            case Reinterpret(value, dtype):
                inner = self.of(value)
                return Reinterpret(inner, dtype.with_lanes(inner.dtype.lanes))
            case Call(name, args, dtype) if name in _ELEMENTWISE:
                parts = _same(*[self.of(argument) for argument in args])
                return Call(name, tuple(parts), dtype.with_lanes(parts[0].dtype.lanes))
        raise NoVector

    def _words(self, buffer: Buffer, base: Expr, width: int, dtype: DType) -> Expr:
        """Neighbouring words, each read as `width` elements: one longer run of elements."""
        begin = self.of(base)
        if not isinstance(begin, Ramp) or begin.stride != width:
            raise NoVector
        run = Load(buffer, (Ramp(begin.base, 1, width * begin.lanes),))
        return Reinterpret(run, dtype.with_lanes(begin.lanes))

    def _position(self, e: Expr) -> Expr | None:
        """Linear integers: a ramp where the lanes are evenly spaced, else a sum of digits."""
        split = linear(e, self.variables)
        if split is None:
            return None
        steps = [split[0].get(var, const(0)) for var, _ in self.axes]
        first = next(i for i, step in enumerate(steps) if _number(step) != 0)
        lanes = prod(extent for _, extent in self.axes[first:])
        rest = split[1]
        numbers = [_number(step) for step in steps[first:]]
        last = numbers[-1]
        if last:
            even, spacing = True, last
            for number, (_, extent) in zip(
                reversed(numbers), reversed(self.axes[first:]), strict=True
            ):
                even = even and number == spacing
                spacing *= extent
            if even:
                return Ramp(rest, last, lanes)
        whole: Expr = Broadcast(rest, lanes)
        for step, (var, _) in zip(steps[first:], self.axes[first:], strict=True):
            if _number(step) != 0:
                whole = whole + self._digit(var, lanes) * Broadcast(step, lanes)
        return whole

    def _digit(self, wanted: Var, lanes: int) -> Expr:
        """The values of one variable over `lanes` lanes."""
        inner = 1
        for var, extent in reversed(self.axes):
            if var is wanted:
                numbers: Expr = Ramp(const(0), 1, lanes)
                if inner > 1:
                    numbers = FloorDiv(numbers, Broadcast(const(inner), lanes))
                if inner * extent < lanes:
                    numbers = FloorMod(numbers, Broadcast(const(extent), lanes))
                return numbers
            inner *= extent
        raise NoVector


def widened(e: Expr, lanes: int) -> Expr:
    """`e` repeated up to `lanes` lanes."""
    missing = lanes // e.dtype.lanes
    return e if missing == 1 else Broadcast(e, missing)


def _same(*parts: Expr) -> list[Expr]:
    lanes = max(part.dtype.lanes for part in parts)
    return [widened(part, lanes) for part in parts]


def _number(e: Expr) -> int | None:
    return int(e.value) if isinstance(e, Const) else None
