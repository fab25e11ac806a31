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
from contextlib import AbstractContextManager
from typing import TypeAlias

from passes.ir.arith import prove
from passes.ir.dtypes import F32, INDEX
from passes.ir.expr import (
    Add,
    Call,
    Expr,
    IntLike,
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

Axis: TypeAlias = "tuple[str, IntLike]"  # name and extent of a loop


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
        self.tile: list[Axis] = [("i", index(query_block)), ("g", self.group)]
        self.sizes: Axis = ("d", self.size)
        self.keys_of_block: Axis = ("k", index(key_block))
        self.around: list[tuple[Expr, Var]] = []
        self.step: list[tuple[Expr, Var]] = []

    def build(self) -> None:
        b = self.b
        with (
            b.loop("s", self.batch) as s,
            b.loop("h", self.shared) as h,
            b.loop("t", self.blocks) as t,
        ):
            self.around = [(self.batch, s), (self.shared, h), (self.blocks, t)]
            self._begin()
            steps = ceildiv(self._seen(s, t), self.key_block)
            with b.loop("j", steps) as j:
                self.step = [(steps, j)]
                self._scores()
                self._weights()
                self._accumulate()
                self.step = []
            self._end(t)

    def _block(
        self, label: str, *spatial: Axis, reduce: Sequence[Axis] = ()
    ) -> AbstractContextManager[tuple[Var, ...]]:
        """A block over the open loops, the tile and more; inside the steps it runs in order."""
        return nested_block(self.b, label, [*self.tile, *spatial], reduce, self.around, self.step)

    def _seen(self, s: Expr, t: Expr) -> Expr:
        """How many positions the last query of block t sees."""
        end = minimum((t + 1) * self.query_block, self.n) if self.query_block > 1 else t + 1
        return cast(load(self.past, s), INDEX) + end

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

    def _begin(self) -> None:
        with self._block("m_begin") as at:
            self.b.store(self.peak_old, at, -math.inf)
        with self._block("l_begin") as at:
            self.b.store(self.total, at, 0.0)
        with self._block("acc_begin", self.sizes) as at:
            self.b.store(self.mixed, at, 0.0)

    def _scores(self) -> None:
        b = self.b
        with self._block("score", self.keys_of_block, reduce=[self.sizes]) as at:
            *place, d, j = at
            s, h, t, i, g, k = place
            query = load(self.q, s, self._query(t, i), h * self.group + g, d)
            key = cast(load(self.keys, s, self._key(j, k), h, d), F32)
            with b.init():
                b.store(self.score, place, 0.0)
            b.store(self.score, place, Add(load(self.score, *place), query * key))
        with self._block("mask", self.keys_of_block) as at:
            *place, j = at
            s, h, t, i, g, k = place
            own = cast(load(self.past, s), INDEX) + self._query(t, i)
            scaled = load(self.score, *place) * const(self.scale, F32)
            visible = Le(j * self.key_block + k, own)
            b.store(self.score, place, Select(visible, scaled, const(-math.inf, F32)))

    def _weights(self) -> None:
        b = self.b
        with self._block("peak", reduce=[self.keys_of_block]) as at:
            *place, k, _ = at
            with b.init():
                b.store(self.peak, place, load(self.peak_old, *place))
            b.store(self.peak, place, Max(load(self.peak, *place), load(self.score, *place, k)))
        with self._block("shrink") as at:
            *place, _ = at
            fall = load(self.peak_old, *place) - load(self.peak, *place)
            b.store(self.shrink, place, Call("exp", (fall,), F32))
        with self._block("weight", self.keys_of_block) as at:
            *place, _ = at
            below = load(self.score, *place) - load(self.peak, *place[:-1])
            b.store(self.weight, place, Call("exp", (below,), F32))

    def _accumulate(self) -> None:
        b = self.b
        with self._block("l_rescale") as at:
            *place, _ = at
            b.store(self.total, place, load(self.total, *place) * load(self.shrink, *place))
        with self._block("l", reduce=[self.keys_of_block]) as at:
            *place, k, _ = at
            grown = Add(load(self.total, *place), load(self.weight, *place, k))
            b.store(self.total, place, grown)
        with self._block("acc_rescale", self.sizes) as at:
            *place, _ = at
            b.store(self.mixed, place, load(self.mixed, *place) * load(self.shrink, *place[:-1]))
        with self._block("acc", self.sizes, reduce=[self.keys_of_block]) as at:
            *place, k, j = at
            s, h, *_, d = place
            value = cast(load(self.values, s, self._key(j, k), h, d), F32)
            term = load(self.weight, *place[:-1], k) * value
            b.store(self.mixed, place, Add(load(self.mixed, *place), term))
        with self._block("m") as at:
            *place, _ = at
            b.store(self.peak_old, place, load(self.peak, *place))

    def _end(self, block: Var) -> None:
        def is_query(i: Expr, *_: Expr) -> Expr:
            return block * self.query_block + i < self.n

        with nested_block(
            self.b, "attention", [*self.tile, self.sizes], (), self.around,
            where=is_query if self.query_block > 1 else None,
        ) as at:  # fmt: skip
            s, h, t, i, g, d = at
            place = (s, t * self.query_block + i, h * self.group + g, d)
            self.b.store(self.out, place, load(self.mixed, *at) / load(self.total, *at[:-1]))
