"""The cache of keys and values, and causal attention over it.

A cache is [b, C, Hkv, Dh]: b sequences, room for C positions. `past` i32 [b] tells how many
positions of each are filled; new ones follow. b and past are there from the start, so that a
batch of sequences of different lengths needs no other operator. A cache holds finite numbers
throughout (memory of states starts as zeros): positions not filled yet are weighted by zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from passes.ir.dtypes import F32, I32, INDEX
from passes.ir.expr import cast, floormod, index
from passes.ir.graph.nodes import Apply, Attr, TensorType
from passes.ir.graph.operator import (
    AttrMap,
    Inputs,
    Numbers,
    Operands,
    Operator,
    Outputs,
    Sizes,
    Types,
)
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer
from passes.ir.quantised import Array
from passes.ops.nests import nested_block
from passes.ops.shapes import same, same_shape
from passes.ops.stream import Stream


class CacheAppend(Operator):
    """The cache with new [b, n, Hkv, Dh] at positions past[b] .. past[b] + n - 1.

    It writes into the cache's own memory; positions must lie inside it, which the function's
    assumptions guarantee.
    """

    name = "cache_append"
    operands = ("cache", "new", "past")
    donates = ((0, 0),)

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        cache, new, past = inputs
        fits = len(cache.shape) == len(new.shape) == 4 and cache.dtype == new.dtype
        fits = fits and same_shape(cache.shape[2:], new.shape[2:])
        fits = fits and same(cache.shape[0], new.shape[0])
        self.require(
            fits, "takes a cache [b, C, Hkv, Dh] and new [b, n, Hkv, Dh] of its type", cache, new
        )
        fits = past.dtype == I32 and same_shape(past.shape, cache.shape[:1])
        self.require(fits, "takes past i32 [b]", cache, past)
        return (cache,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        cache, new, past = (np.asarray(x) for x in inputs)
        result = cache.copy()
        for row, begin in enumerate(past.tolist()):
            if not 0 <= begin <= cache.shape[1] - new.shape[1]:
                raise self.error(
                    f"{new.shape[1]} positions after {begin} do not fit in {cache.shape[1]}"
                )
            result[row, begin : begin + new.shape[1]] = new[row]
        return (result,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        (cache, new, past), (out,) = inputs, outputs
        assert isinstance(cache, Buffer) and isinstance(new, Buffer) and isinstance(past, Buffer)
        if out is not cache:
            b.map(out, lambda s, i, h, d: load(cache, s, i, h, d), label="copy")
        axes = list(zip(("s", "i", "h", "d"), new.shape, strict=True))
        with nested_block(b, self.name, axes) as (s, i, h, d):
            position = cast(load(past, s), INDEX) + i
            b.store(out, (s, position, h, d), load(new, s, i, h, d))


class Attention(Operator):
    """Causal attention of q f32 [b, n, H, Dh] over caches [b, C, Hkv, Dh] -> f32 [b, n, H, Dh].

    Query i of sequence s is position past[s] + i, which the caches hold already, and sees all
    positions up to itself. Query head h reads key head h // (H / Hkv).

    The loop definition streams: `query_block` queries of all heads that share a key head go over
    the keys in blocks of `key_block`, carrying the running maximum, sum and weighted values.
    """

    name = "attention"
    operands = ("q", "keys", "values", "past")
    attributes: ClassVar[Mapping[str, Attr | None]] = {
        "scale": None, "key_block": 32, "query_block": 1,
    }  # fmt: skip

    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        q, keys, values, past = inputs
        self.number(attrs, "scale")
        for name in ("key_block", "query_block"):
            self.require(self.integer(attrs, name) > 0, f"attribute '{name}' must be positive")
        fits = len(q.shape) == len(keys.shape) == 4 and q.dtype == F32 and keys.dtype.is_float
        fits = fits and keys is values and same(q.shape[0], keys.shape[0])
        self.require(
            fits and same(q.shape[3], keys.shape[3]),
            "takes q f32 [b, n, H, Dh] and two equal caches of floats [b, C, Hkv, Dh]",
            q, keys, values,
        )  # fmt: skip
        grouped = floormod(q.shape[2], keys.shape[2])
        self.require(
            same(grouped, index(0)), "takes query heads in whole groups a key head", q, keys
        )
        fits = past.dtype == I32 and same_shape(past.shape, q.shape[:1])
        self.require(fits, "takes past i32 [b]", q, past)
        return (q,)

    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        q, keys, values, past = (np.asarray(x) for x in inputs)
        keys, values = keys.astype(np.float32), values.astype(np.float32)
        _, n, heads, size = q.shape
        shared = keys.shape[2]
        result = np.empty_like(q)
        for row, begin in enumerate(past.tolist()):
            seen = keys[row, : begin + n], values[row, : begin + n]
            k, v = (np.ascontiguousarray(x.transpose(1, 0, 2)) for x in seen)
            groups = q[row].reshape(n, shared, heads // shared, size).transpose(1, 2, 0, 3)
            scores = groups @ k[:, None].swapaxes(2, 3) * np.float32(attrs["scale"])
            hidden = np.arange(begin + n)[None, :] > begin + np.arange(n)[:, None]
            scores = np.where(hidden, np.float32(-np.inf), scores)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = weights @ v[:, None] / weights.sum(axis=-1, keepdims=True)
            result[row] = mixed.transpose(2, 0, 1, 3).reshape(n, heads, size)
        return (result,)

    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        q, keys, values, past = inputs
        assert isinstance(q, Buffer) and isinstance(keys, Buffer)
        assert isinstance(values, Buffer) and isinstance(past, Buffer)
        attrs = dict(call.attrs)
        Stream(
            b, q, keys, values, past, outputs[0],
            scale=self.number(attrs, "scale"),
            key_block=self.integer(attrs, "key_block"),
            query_block=self.integer(attrs, "query_block"),
        ).build()  # fmt: skip


OPERATORS: tuple[Operator, ...] = (CacheAppend(), Attention())
