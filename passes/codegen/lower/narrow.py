"""Index arithmetic is done in 32 bits where bounds prove that nothing is lost.

    ramp(i2*16, 1, 16) < broadcast(n, 16)    →    ramp(i32(0), 1, 16) < broadcast(
                                                      cast(min(max(n - i2*16, -1), 16), i32), 16)
    cast(ramp(i2*16, 1, 16), f32x16)         →    cast(ramp(cast(i2*16, i32), 1, 16), f32x16)

On every target for vectors: twice as many lanes go into a register, and few processors convert
64-bit lanes to floats. Scalars (loop variables and addresses too) stay as they are where registers
have 64 bits; where a target's have 32, they are narrowed as well. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.facts import CPU, Facts
from passes.codegen.lower.walk import Walk
from passes.ir.arith import bounds, free_vars, simplify
from passes.ir.dtypes import I32, INDEX
from passes.ir.expr import (
    Add,
    Broadcast,
    Cast,
    Compare,
    Const,
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
    Ramp,
    Sub,
    Var,
    cast,
    const,
)
from passes.ir.loop.nodes import For, Function, Load, Stmt, Store
from passes.ir.node import Node, rewrite

_ARITHMETIC = Add, Sub, Mul, FloorDiv, FloorMod, Min, Max
_LEAST, _MOST = -(1 << 31), (1 << 31) - 1


def narrow(function: Function, facts: Facts = CPU) -> Function:
    """The function with 32-bit index arithmetic where that is safe and of use."""
    walk = _Narrow(function, scalars=facts.index_bits == 32)
    return function.replace(body=walk.stmt(function.body))


class _Narrow(Walk):
    def __init__(self, function: Function, *, scalars: bool) -> None:
        super().__init__(function)
        self._scalars = scalars
        self._lanes: dict[int, Var] = {}  # the number of a lane, for each count of them

    def loop(self, loop: For) -> Stmt:
        body, extent = self.inside(loop), self.expr(loop.extent)
        wanted = self._scalars and loop.var.dtype == INDEX and loop.kind != "parallel"
        short = self._short(extent) if wanted else None
        if short is None:
            return self.rebuilt(loop, extent, body)
        var = Var(loop.var.name, loop.var.ordinal, I32)

        def retyped(node: Node) -> Node | None:
            if node is loop.var:
                return Cast(var, INDEX)
            if isinstance(node, Cast) and isinstance(node.value, Cast) and node.dtype == I32:
                return var if node.value.value is var else None
            return None

        typed = loop.replace(var=var, extent=short, body=body)
        return self.rebuilt(typed, short, rewrite(body, retyped))

    def store(self, stmt: Store) -> Stmt:
        indices = tuple([self._position(self.expr(i)) for i in stmt.indices])
        return Store(stmt.buffer, indices, self.expr(stmt.value))

    def expr(self, e: Expr) -> Expr:
        return rewrite(e, self._narrowed)

    def _narrowed(self, node: Node) -> Node | None:
        """Where index arithmetic ends: in comparisons, conversions and positions."""
        if isinstance(node, Compare) and node.a.dtype.scalar == INDEX:
            return self._comparison(node)
        if isinstance(node, Cast) and node.value.dtype.scalar == INDEX:
            wanted = node.dtype.scalar != INDEX and (self._scalars or node.dtype.lanes > 1)
            short = self._short(node.value) if wanted else None
            return None if short is None else cast(short, node.dtype)
        if isinstance(node, Load):
            return Load(node.buffer, tuple([self._position(i) for i in node.indices]))
        return None

    def _position(self, e: Expr) -> Expr:
        if not self._scalars or e.dtype != INDEX or isinstance(e, Const):
            return e
        short = self._short(e)
        return e if short is None else cast(short, INDEX)

    def _comparison(self, e: Compare) -> Expr | None:
        lanes = e.a.dtype.lanes
        gap = simplify(e.a - e.b) if lanes > 1 else e.a
        reach = gap.stride * (lanes - 1) if isinstance(gap, Ramp) else 0
        if isinstance(gap, Ramp) and isinstance(e, Lt | Le | Eq | Ne) and abs(reach) < _MOST:
            # base + k*stride against 0: k*stride against -base, which may be cut off beyond
            limit = self._within(const(0) - gap.base, min(0, reach) - 1, max(0, reach) + 1)
            return type(e)(Ramp(const(0, I32), gap.stride, lanes), Broadcast(limit, lanes))
        if lanes == 1 and not self._scalars:
            return None
        a, b = self._short(e.a), self._short(e.b)
        return None if a is None or b is None else type(e)(a, b)

    def _within(self, e: Expr, low: int, high: int) -> Expr:
        """`e` in 32 bits, or the end of the range that it lies beyond."""
        e = self.simplified(e)
        if not self._fits(e):
            e = self.simplified(Min(Max(e, const(low)), const(high)))
        return self._short(e) or cast(e, I32)

    def _short(self, e: Expr) -> Expr | None:
        """`e` in 32 bits; None if it, or what it is computed from, may not fit."""
        if isinstance(e, Cast) and e.value.dtype.scalar == I32:
            return e.value
        if not self._fits(e):
            return None
        if isinstance(e, Ramp):
            base = self._short(e.base)
            return None if base is None else Ramp(base, e.stride, e.lanes)
        if isinstance(e, Broadcast):
            value = self._short(e.value)
            return None if value is None else Broadcast(value, e.lanes)
        if isinstance(e, _ARITHMETIC) and (self._scalars or e.dtype.lanes > 1):
            a, b = self._short(e.a), self._short(e.b)
            return None if a is None or b is None else type(e)(a, b)
        return cast(e, I32) if e.dtype.lanes == 1 else None

    def _fits(self, e: Expr) -> bool:
        """Whether 32 bits hold `e`, in each of its lanes."""
        one = self._in_lane(e)
        if one is None:
            return False
        lanes = {var: (0, count - 1) for count, var in self._lanes.items()}
        low, high = bounds(one, {**self.ranges(free_vars(one)), **lanes})
        return low is not None and high is not None and low >= _LEAST and high <= _MOST

    def _in_lane(self, e: Expr) -> Expr | None:
        """What `e` is in a lane, whose number is a variable; None if that cannot be told."""
        if e.dtype.lanes == 1:
            return e
        if isinstance(e, Ramp):
            if e.lanes not in self._lanes:
                self._lanes[e.lanes] = Var("lane", next(self._ordinals), INDEX)
            return e.base + self._lanes[e.lanes] * e.stride
        if isinstance(e, Broadcast):
            return self._in_lane(e.value)
        if not isinstance(e, _ARITHMETIC):
            return None
        a, b = self._in_lane(e.a), self._in_lane(e.b)
        return None if a is None or b is None else type(e)(a, b)
