"""A Llama in plain numpy float32 over the weights of a GGUF file, written to be obviously right.

It reads and dequantises with the `gguf` package and shares no code with the project, so that a
mistake in ours cannot hide behind the same mistake here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass
class Past:
    """The keys and values seen so far, one array [tokens, kv heads, head size] a layer each."""

    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.keys[0]) if self.keys else 0

    def append(self, layer: int, key: Floats, value: Floats) -> tuple[Floats, Floats]:
        """Everything this layer has seen, the new tokens included."""
        if layer == len(self.keys):
            self.keys.append(key)
            self.values.append(value)
        else:
            self.keys[layer] = np.concatenate([self.keys[layer], key])
            self.values[layer] = np.concatenate([self.values[layer], value])
        return self.keys[layer], self.values[layer]


def rms_norm(x: Floats, weight: Floats, epsilon: float) -> Floats:
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + np.float32(epsilon)) * weight


def softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x: Floats) -> Floats:
    # exp of a large -x overflows to inf, and x / inf is the right answer, 0.
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-x))


def rotate(x: Floats, cos: Floats, sin: Floats) -> Floats:
    """Rotary embedding of [tokens, heads, size]: the pairs are (0, 1), (2, 3), .. of each head.

    GGUF's converter permuted the rows of the query and key weights for that order. Dims beyond the
    rotary size stay as they are.
    """
    size = 2 * cos.shape[-1]
    even, odd = x[..., 0:size:2], x[..., 1:size:2]
    out = x.copy()
    out[..., 0:size:2] = even * cos - odd * sin
    out[..., 1:size:2] = even * sin + odd * cos
    return out


class Llama:
    """A model of the llama architecture. `layers` keeps the first few only."""

    past_type: type[Past] = Past

    def __init__(self, path: Path | str, layers: int | None = None) -> None:
        reader = gguf.GGUFReader(path)
        architecture = reader.fields["general.architecture"].contents()
        if architecture != "llama":
            raise ValueError(f"not a llama: {architecture}")
        self._fields = {
            name: entry.contents()
            for name, entry in reader.fields.items()
            if name.startswith("llama.")
        }
        if self._hyper("rope.scaling.type", "none") != "none":
            raise ValueError("rope scaling is not part of this reference")
        stored = self._hyper("block_count")
        self.layers = stored if layers is None else min(layers, stored)
        self.width = self._hyper("embedding_length")
        self.heads = self._hyper("attention.head_count")
        self.kv_heads = self._hyper("attention.head_count_kv", self.heads)
        self.head_size = self._hyper("attention.key_length", self.width // self.heads)
        self.rotary_size = self._hyper("rope.dimension_count", self.head_size)
        self.rope_base = self._hyper("rope.freq_base", 10000.0)
        self.epsilon = self._hyper("attention.layer_norm_rms_epsilon")
        self.weights: dict[str, Floats] = {}
        for tensor in reader.tensors:
            if tensor.name.startswith("blk.") and int(tensor.name.split(".")[1]) >= self.layers:
                continue
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
            self.weights[tensor.name] = values.reshape(tensor.shape[::-1].tolist())
        self.embedding = self.weights["token_embd.weight"]
        self.head = self.weights.get("output.weight", self.embedding)

    def _hyper(self, name: str, *default: Any) -> Any:
        if default:
            return self._fields.get(f"llama.{name}", default[0])
        return self._fields[f"llama.{name}"]

    def _angles(self, begin: int, end: int) -> tuple[Floats, Floats]:
        """cos and sin [tokens, 1, rotary size / 2] of positions begin .. end - 1."""
        frequency = self.rope_base ** (-np.arange(0, self.rotary_size, 2) / self.rotary_size)
        if "rope_freqs.weight" in self.weights:
            frequency = frequency / self.weights["rope_freqs.weight"]
        angle = np.arange(begin, end)[:, None, None] * frequency
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def _attention(self, x: Floats, layer: int, past: Past, begin: int) -> Floats:
        n = len(x)
        query, key, value = (
            (x @ self.weights[f"blk.{layer}.attn_{name}.weight"].T).reshape(n, -1, self.head_size)
            for name in "qkv"
        )
        cos, sin = self._angles(begin, begin + n)
        query = rotate(query, cos, sin)
        keys, values = past.append(layer, rotate(key, cos, sin), value)
        # Token i of the new ones is at position begin + i and sees everything up to itself.
        hidden = np.arange(begin + n)[None, :] > begin + np.arange(n)[:, None]
        out = np.empty_like(query)
        for head in range(self.heads):
            kv_head = head * self.kv_heads // self.heads
            scores = query[:, head] @ keys[:, kv_head].T / np.float32(np.sqrt(self.head_size))
            scores[hidden] = -np.inf
            out[:, head] = softmax(scores) @ values[:, kv_head]
        return out.reshape(n, -1) @ self.weights[f"blk.{layer}.attn_output.weight"].T

    def _feed_forward(self, x: Floats, layer: int) -> Floats:
        gate, up, down = (
            self.weights[f"blk.{layer}.ffn_{name}.weight"] for name in ("gate", "up", "down")
        )
        return (silu(x @ gate.T) * (x @ up.T)) @ down.T

    def forward(self, tokens: list[int], past: Past | None = None) -> Floats:
        """tokens -> logits [tokens, vocabulary] of every position; `past` grows in place."""
        past = self.past_type() if past is None else past
        begin = past.length
        x = self.embedding[np.asarray(tokens)]
        for layer in range(self.layers):
            norm = self.weights[f"blk.{layer}.attn_norm.weight"]
            x = x + self._attention(rms_norm(x, norm, self.epsilon), layer, past, begin)
            norm = self.weights[f"blk.{layer}.ffn_norm.weight"]
            x = x + self._feed_forward(rms_norm(x, norm, self.epsilon), layer)
        return rms_norm(x, self.weights["output_norm.weight"], self.epsilon) @ self.head.T

    def greedy(self, tokens: list[int], count: int, stops: tuple[int, ...] = ()) -> list[int]:
        """The `count` most probable next tokens, one after another; ends at one of `stops`."""
        past, new = self.past_type(), list[int]()
        while len(new) < count:
            best = int(self.forward(new[-1:] or tokens, past)[-1].argmax())
            if best in stops:
                break
            new.append(best)
        return new
