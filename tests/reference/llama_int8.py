"""The reference model with its activations rounded as on the integer path, stated plainly.

Before every product with a quantised matrix a row of activations is cut into blocks of 32, and
each value becomes the nearest multiple of its block's largest magnitude over 127. Keys and values
are kept in half precision.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.reference.llama import Floats, Llama, Past

PLAIN = {gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "BF16")}


def rounded(x: Floats) -> Floats:
    """The activations as the integer path sees them."""
    blocks = x.reshape(len(x), -1, 32)
    step = np.abs(blocks).max(axis=2, keepdims=True) / np.float32(127)
    codes = np.rint(np.divide(blocks, step, out=np.zeros_like(blocks), where=step > 0))
    return (codes * step).astype(np.float32).reshape(x.shape)


class _Rounding:
    """Stands for a matrix `w` in `x @ w.T`, and rounds x first."""

    # numpy then leaves `x @ this` to this.
    __array_ufunc__ = None

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    @property
    def T(self) -> _Rounding:
        return self

    def __rmatmul__(self, x: Floats) -> Floats:
        product: Floats = rounded(x) @ self.matrix.T
        return product


class _HalfPast(Past):
    """Keys and values that lost a few bits on their way into the cache."""

    def append(self, layer: int, key: Floats, value: Floats) -> tuple[Floats, Floats]:
        halves = [x.astype(np.float16).astype(np.float32) for x in (key, value)]
        return super().append(layer, *halves)


class Int8Llama(Llama):
    """float32 but for the caches, and the activations of products with quantised matrices."""

    past_type = _HalfPast

    def __init__(self, path: Path | str, layers: int | None = None) -> None:
        super().__init__(path, layers)
        kinds = {tensor.name: tensor.tensor_type for tensor in gguf.GGUFReader(path).tensors}

        def product(name: str, matrix: Floats) -> Floats | _Rounding:
            return matrix if kinds[name] in PLAIN else _Rounding(matrix)

        head = "output.weight" if "output.weight" in self.weights else "token_embd.weight"
        self.head = product(head, self.head)
        self.weights = {
            name: product(name, matrix) if matrix.ndim == 2 else matrix
            for name, matrix in self.weights.items()
        }
