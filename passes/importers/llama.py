"""The llama architecture from GGUF metadata and tensors → graph functions prefill, decode, score.

    tokens i32 [1, n], m tokens in the caches → logits: of the last token (prefill, decode with
    n = 1), or of every position (score); the caches then hold m + n tokens.

GGUF keeps rows of query and key weights so that rotary pairs are neighbours; they are moved here
into the half-split order of our `rope`, once and exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import numpy as np

from passes.importers.gguf_file import GgufFile
from passes.importers.gguf_weights import GgufModel
from passes.importers.imported import Imported, ImportedTensor, ModelError
from passes.ir.dtypes import F32, I32
from passes.ir.expr import Dim, Expr, IntLike, index
from passes.ir.graph.nodes import GraphFunction, Input, State, TensorType, Value, Weight
from passes.ir.weights import Transform
from passes.ops import apply, results
from passes.ops.shapes import tensor

ENTRIES = ("prefill", "decode", "score")
_SUPPORTED = {"expert_count": (0,), "rope.scaling.type": ("none", "linear")}
_LAYER = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True)
class _Shape:
    """The sizes and constants of a model."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    ffn: int
    vocabulary: int
    context: int
    eps: float


@dataclass(frozen=True)
class _Layer:
    attn_norm: Value
    q: Value
    k: Value
    v: Value
    out: Value
    ffn_norm: Value
    gate: Value
    up: Value
    down: Value


@dataclass(frozen=True)
class _Llama:
    shape: _Shape
    embedding: Weight
    frequencies: Weight
    layers: tuple[_Layer, ...]
    norm: Value
    head: Weight


def import_llama(file: GgufFile, layers: int | None = None) -> Imported:
    """The model, or its first `layers` layers, its shapes as wide as its context.

    Dims: n new tokens, m past ones, capacity of the caches, with n + m <= capacity. States:
    cache_k.<layer> and cache_v.<layer>, f32 [1, capacity, kv heads, head size].

    Raises ModelError if metadata or tensors are missing, contradict each other, or ask for what
    is not supported.
    """
    model = GgufModel(file, "llama")
    shape = _shape(model, layers)
    llama = _weights(model, shape)
    _nothing_left(model, shape.layers)
    graphs = tuple([_Builder(llama, entry).function() for entry in ENTRIES])
    return Imported(graphs, tuple(model.claimed.values()), _meta(file, shape))


def _shape(model: GgufModel, layers: int | None) -> _Shape:
    for name, supported in _SUPPORTED.items():
        given = model.file.metadata.get(f"llama.{name}", supported[0])
        if not isinstance(given, int | str) or given not in supported:
            raise ModelError(f"metadata 'llama.{name}' is {given!r}, which is not supported")
    eps = float(np.float32(model.fact("attention.layer_norm_rms_epsilon", float)))
    if not 0 < eps < 1:
        raise ModelError(f"metadata 'llama.attention.layer_norm_rms_epsilon' is {eps}")
    stored = model.count("block_count")
    if layers is not None and not 1 <= layers <= stored:
        raise ModelError(f"model.layers is {layers}, but the model has {stored} layers")
    width, heads = model.count("embedding_length"), model.count("attention.head_count")
    kv_heads = model.count("attention.head_count_kv", heads)
    head = model.count("attention.key_length", width // heads)
    if heads % kv_heads or head % 2:
        raise ModelError(
            f"{heads} heads of size {head} with {kv_heads} key heads: heads must be whole groups "
            "of an even size"
        )
    for name in ("attention.value_length", "rope.dimension_count"):
        if model.count(name, head) != head:
            raise ModelError(
                f"metadata 'llama.{name}' is {model.count(name)}, but the head size is {head}; "
                "other sizes are not supported"
            )
    table = model.file.tensors.get("token_embd.weight")
    rows = table.shape[0] if table is not None else None
    return _Shape(
        layers=layers or stored,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        ffn=model.count("feed_forward_length"),
        vocabulary=model.count("vocab_size", rows),
        context=model.count("context_length"),
        eps=eps,
    )


def _weights(model: GgufModel, shape: _Shape) -> _Llama:
    size, width, ffn = shape.head, shape.width, shape.ffn
    embedding = model.weight("token_embd.weight", shape.vocabulary, width)
    tied = not model.has("output.weight")

    def vector(name: str) -> Value:
        weight = model.weight(name, width)
        return weight if weight.type.dtype == F32 else apply("cast", weight, dtype=F32)

    layers: list[_Layer] = []
    for number in range(shape.layers):
        blk = f"blk.{number}."
        q_rows, kv_rows = shape.heads * size, shape.kv_heads * size
        split_q = [Transform("half_split", (shape.heads,))]
        split_k = [Transform("half_split", (shape.kv_heads,))]
        layers.append(
            _Layer(
                attn_norm=vector(f"{blk}attn_norm.weight"),
                q=model.weight(f"{blk}attn_q.weight", q_rows, width, transforms=split_q),
                k=model.weight(f"{blk}attn_k.weight", kv_rows, width, transforms=split_k),
                v=model.weight(f"{blk}attn_v.weight", kv_rows, width),
                out=model.weight(f"{blk}attn_output.weight", width, q_rows),
                ffn_norm=vector(f"{blk}ffn_norm.weight"),
                gate=model.weight(f"{blk}ffn_gate.weight", ffn, width),
                up=model.weight(f"{blk}ffn_up.weight", ffn, width),
                down=model.weight(f"{blk}ffn_down.weight", width, ffn),
            )
        )
    norm = vector("output_norm.weight")
    head = embedding if tied else model.weight("output.weight", shape.vocabulary, width)
    return _Llama(shape, embedding, _frequencies(model, size), tuple(layers), norm, head)


def _frequencies(model: GgufModel, size: int) -> Weight:
    """The rotary frequencies as a weight: base ** (-2d / size), over the model's own factors.

    In decimal arithmetic, which gives the same bits on every machine, as `pow` does not.
    """
    base = model.fact("rope.freq_base", float, 10000.0)
    stretch = 1.0
    if model.file.metadata.get("llama.rope.scaling.type", "none") == "linear":
        stretch = model.fact("rope.scaling.factor", float)
    if not (1 <= base <= 1e12 and 1e-3 <= stretch <= 1e6):
        raise ModelError(f"rotary base {base} or scaling factor {stretch} is out of range")
    factors = [1.0] * (size // 2)
    if model.has("rope_freqs.weight"):
        model.weight("rope_freqs.weight", size // 2)
        (given,) = model.claimed.pop("rope_freqs.weight").arrays()
        factors = [float(factor) for factor in given]
        if not all(1e-3 <= factor <= 1e6 for factor in factors):
            raise ModelError("tensor 'rope_freqs.weight' has factors out of range")
    exact = Context(prec=40)
    values: list[float] = []
    for d, factor in enumerate(factors):
        exponent = exact.divide(Decimal(-2 * d), Decimal(size))
        frequency = exact.power(Decimal(base), exponent)
        values.append(float(exact.divide(frequency, Decimal(factor) * Decimal(stretch))))
    table = np.array(values, np.float32)
    return model.claim(ImportedTensor("rope.frequencies", tensor(F32, size // 2), lambda: (table,)))


def _nothing_left(model: GgufModel, layers: int) -> None:
    """A tensor nobody reads would mean that the model is more than what is imported."""
    for name in model.file.tensors:
        match = _LAYER.match(name)
        dropped = match is not None and int(match[1]) >= layers
        if name not in model.claimed and not dropped and name != "rope_freqs.weight":
            raise ModelError(
                f"tensor '{name}' is not part of the llama architecture as it is known here; "
                "such a model is not supported"
            )


def _meta(file: GgufFile, shape: _Shape) -> dict[str, Any]:
    text = {
        name: value if isinstance(value := file.metadata.get(f"general.{name}"), str) else None
        for name in ("name", "license")
    }
    return {
        "architecture": "llama",
        **text,
        "context_length": shape.context,
        "layers": shape.layers,
        "vocabulary": shape.vocabulary,
    }


class _Builder:
    """Builds one entry point."""

    def __init__(self, llama: _Llama, entry: str) -> None:
        context = llama.shape.context
        self.llama, self.shape, self.entry = llama, llama.shape, entry
        self.m, self.capacity = Dim("m", 0, context - 1), Dim("capacity", 1, context)
        free = Dim("n", 1, context)
        self.n: Expr = index(1) if entry == "decode" else free
        self.dims = (self.m, self.capacity) if entry == "decode" else (free, self.m, self.capacity)
        self.updates: list[tuple[str, Value]] = []

    def function(self) -> GraphFunction:
        n, shape = self.n, self.shape
        tokens = Input("tokens", tensor(I32, 1, n))
        past = apply("full", value=self.m, dtype=I32, shape=(1,))
        cos, sin = results(apply("rope_tables", past, self.llama.frequencies, n=n))
        x: Value = apply("gather", self.llama.embedding, _reshape(tokens, n))
        for number, layer in enumerate(self.llama.layers):
            x = apply("add", x, self._attention(x, layer, number, past, (cos, sin)))
            x = apply("add", x, self._feed_forward(x, layer))
        if self.entry == "prefill":
            x = apply("slice", x, begin=(n - 1, 0), shape=(1, shape.width))
        logits: Value = apply("matmul", self._norm(x, self.llama.norm), self.llama.head)
        if self.entry == "score":
            logits = _reshape(logits, 1, n, shape.vocabulary)
        return GraphFunction(
            self.entry,
            self.dims,
            (tokens,),
            (("logits", logits),),
            tuple(self.updates),
            (n + self.m <= self.capacity,),
        )

    def _norm(self, x: Value, weight: Value) -> Value:
        return apply("rms_norm", x, weight, eps=self.shape.eps)

    def _attention(
        self, x: Value, layer: _Layer, number: int, past: Value, tables: Sequence[Value]
    ) -> Value:
        n, shape = self.n, self.shape
        h = self._norm(x, layer.attn_norm)

        def heads(weight: Value, count: int) -> Value:
            return _reshape(apply("matmul", h, weight), n, count, shape.head)

        q = apply("rope", heads(layer.q, shape.heads), *tables)
        k = apply("rope", heads(layer.k, shape.kv_heads), *tables)
        v = heads(layer.v, shape.kv_heads)
        keys = self._append(f"cache_k.{number}", k, past)
        values = self._append(f"cache_v.{number}", v, past)
        mixed = apply(
            "attention",
            _reshape(q, 1, n, shape.heads, shape.head), keys, values, past,
            scale=shape.head**-0.5,
        )  # fmt: skip
        return apply("matmul", _reshape(mixed, n, shape.heads * shape.head), layer.out)

    def _append(self, name: str, new: Value, past: Value) -> Value:
        shape = self.shape
        type_: TensorType = tensor(F32, 1, self.capacity, shape.kv_heads, shape.head)
        rows = _reshape(new, 1, self.n, shape.kv_heads, shape.head)
        cache = apply("cache_append", State(name, type_), rows, past)
        self.updates.append((name, cache))
        return cache

    def _feed_forward(self, x: Value, layer: _Layer) -> Value:
        h = self._norm(x, layer.ffn_norm)
        gate = apply("matmul", h, layer.gate)
        silu = apply("mul", gate, apply("sigmoid", gate))
        return apply("matmul", apply("mul", silu, apply("matmul", h, layer.up)), layer.down)


def _reshape(x: Value, *shape: IntLike) -> Value:
    return apply("reshape", x, shape=shape)
