"""The loop definition of attention: streaming over the keys, nothing as large as queries x keys.

    for s, h, t:                                # sequence, key head, block of queries
        m, l, acc = -inf, 0, 0                  # [query of the block, head of the group]
        for j in blocks of keys up to the last one that query block t sees:
            score   = q . k * scale, -inf where hidden
            peak    = max(m, max of score)
            weight  = exp(score - peak);  shrink = exp(m - peak)
            l, acc  = l * shrink + sum of weight, acc * shrink + weight . v
            m       = peak
        out = acc / l

The first block of keys has one that every query sees, so that no peak is ever -inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from passes.ir.arith import prove
from passes.ir.dtypes import F32, INDEX
from passes.ir.expr import (
    Add,
    Call,
    Expr,
    Le,
    Max,
    Select,
    Var,
    cast,
    ceildiv,
    const,
    index,
    minimum,
)
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer
from passes.ops.nests import nested_block


class Stream:
    """Builds it; `build` appends the blocks."""

    def __init__(
        self,
        b: LoopBuilder,
        q: Buffer,
        keys: Buffer,
        values: Buffer,
        past: Buffer,
        out: Buffer,
        *,
        scale: float,
        key_block: int,
        query_block: int,
    ) -> None:
        self.b, self.q, self.keys, self.values, self.past, self.out = b, q, keys, values, past, out
        self.scale, self.key_block, self.query_block = scale, key_block, query_block
        self.batch, self.n, heads, self.size = q.shape
        self.capacity, self.shared = keys.shape[1:3]
        self.group = heads // self.shared
        self.blocks = ceildiv(self.n, query_block)
        # Logically one of each per (s, h, t); what is alive at a time is one per thread.
        whole = (self.batch, self.shared, self.blocks, index(query_block), self.group)
        self.peak_old = b.local("m", whole, F32)
        self.peak = b.local("peak", whole, F32)
        self.shrink = b.local("shrink", whole, F32)
        self.total = b.local("l", whole, F32)
        self.mixed = b.local("acc", (*whole, self.size), F32)
        self.score = b.local("score", (*whole, index(key_block)), F32)
        self.weight = b.local("weight", (*whole, index(key_block)), F32)
        self.tile = [("i", index(query_block)), ("g", self.group)]

    def build(self) -> None:
        b = self.b
        with (
            b.loop("s", self.batch) as s,
            b.loop("h", self.shared) as h,
            b.loop("t", self.blocks) as t,
        ):
            around = [(self.batch, s), (self.shared, h), (self.blocks, t)]
            self._begin(around)
            extent = self._steps(s, t)
            with b.loop("j", extent) as j:
                self._step(around, (extent, j))
            self._end(around)

    def _seen(self, s: Expr, t: Expr) -> Expr:
        """How many positions the last query of block t sees."""
        end = minimum((t + 1) * self.query_block, self.n) if self.query_block > 1 else t + 1
        return cast(load(self.past, s), INDEX) + end

    def _steps(self, s: Expr, t: Expr) -> Expr:
        return ceildiv(self._seen(s, t), self.key_block)

    def _query(self, t: Expr, i: Expr) -> Expr:
        """The query's number; the last block's surplus queries repeat the last one."""
        if self.query_block == 1:
            return t
        return minimum(t * self.query_block + i, self.n - 1)

    def _key(self, j: Expr, k: Expr) -> Expr:
        """The key's position; those past the cache's end (all hidden) repeat the last one."""
        position = j * self.key_block + k
        if prove((self.capacity % self.key_block).equal(0)):
            return position
        return minimum(position, self.capacity - 1)

    def _begin(self, around: Sequence[tuple[Expr, Var]]) -> None:
        b = self.b
        for target, value in ((self.peak_old, -math.inf), (self.total, 0.0)):
            with nested_block(b, f"{target.name}_begin", self.tile, around=around) as at:
                b.store(target, at, value)
        tile = [*self.tile, ("d", self.size)]
        with nested_block(b, "acc_begin", tile, around=around) as at:
            b.store(self.mixed, at, 0.0)

    def _step(self, around: Sequence[tuple[Expr, Var]], step: tuple[Expr, Var]) -> None:
        b, last = self.b, [step]
        keys, size = ("k", index(self.key_block)), ("d", self.size)

        with nested_block(b, "score", [*self.tile, keys], [size], around, last) as at:
            s, h, t, i, g, k, d, j = at
            place = (s, h, t, i, g, k)
            with b.init():
                b.store(self.score, place, 0.0)
            head = h * self.group + g
            term = load(self.q, s, self._query(t, i), head, d) * load(
                self.keys, s, self._key(j, k), h, d
            )
            b.store(self.score, place, Add(load(self.score, *place), term))

        with nested_block(b, "mask", [*self.tile, keys], (), around, last) as at:
            *place_, j = at
            s, _, t, i, _, k = place_
            visible = Le(
                j * self.key_block + k, cast(load(self.past, s), INDEX) + self._query(t, i)
            )
            scaled = load(self.score, *place_) * const(self.scale, F32)
            b.store(self.score, place_, Select(visible, scaled, const(-math.inf, F32)))

        with nested_block(b, "peak", self.tile, [keys], around, last) as at:
            *place_, k, j = at
            with b.init():
                b.store(self.peak, place_, load(self.peak_old, *place_))
            b.store(self.peak, place_, Max(load(self.peak, *place_), load(self.score, *place_, k)))

        with nested_block(b, "shrink", self.tile, (), around, last) as at:
            *place_, j = at
            fall = load(self.peak_old, *place_) - load(self.peak, *place_)
            b.store(self.shrink, place_, Call("exp", (fall,), F32))

        with nested_block(b, "weight", [*self.tile, keys], (), around, last) as at:
            *place_, j = at
            below = load(self.score, *place_) - load(self.peak, *place_[:-1])
            b.store(self.weight, place_, Call("exp", (below,), F32))

        with nested_block(b, "l_rescale", self.tile, (), around, last) as at:
            *place_, j = at
            scaled = load(self.total, *place_) * load(self.shrink, *place_)
            b.store(self.total, place_, scaled)

        with nested_block(b, "l", self.tile, [keys], around, last) as at:
            *place_, k, j = at
            grown = Add(load(self.total, *place_), load(self.weight, *place_, k))
            b.store(self.total, place_, grown)

        with nested_block(b, "acc_rescale", [*self.tile, size], (), around, last) as at:
            *place_, j = at
            scaled = load(self.mixed, *place_) * load(self.shrink, *place_[:-1])
            b.store(self.mixed, place_, scaled)

        with nested_block(b, "acc", [*self.tile, size], [keys], around, last) as at:
            *place_, k, j = at
            s, h, *_, d = place_
            value = load(self.values, s, self._key(j, k), h, d)
            term = load(self.weight, *place_[:-1], k) * value
            b.store(self.mixed, place_, Add(load(self.mixed, *place_), term))

        with nested_block(b, "m", self.tile, (), around, last) as at:
            *place_, j = at
            b.store(self.peak_old, place_, load(self.peak, *place_))

    def _end(self, around: Sequence[tuple[Expr, Var]]) -> None:
        b = self.b
        tile = [*self.tile, ("d", self.size)]
        with nested_block(b, "attention", tile, around=around) as at:
            s, h, t, i, g, d = at
            value = load(self.mixed, *at) / load(self.total, *at[:-1])
            number = t * self.query_block + i
            place = (s, number, h * self.group + g, d)
            if self.query_block == 1:
                b.store(self.out, place, value)
            else:
                with b.when(number < self.n):
                    b.store(self.out, place, value)
