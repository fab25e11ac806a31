"""What a token costs at least: bytes of weights to read, products to add up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pipeline.bench.engine import BenchError

_BLOCK = re.compile(r"blk\.(\d+)\.")
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


@dataclass(frozen=True)
class Work:
    """`bytes_read`: weights that one decoded token reads, as the model file stores them.
    `products` a token of a prompt needs, `head_products` the logits of its last token besides.
    Attention is left out: it grows with the context, and a floor may be too low."""

    bytes_read: int
    products: int
    head_products: int

    def operations(self, tokens: int) -> int:
        """Multiplications and additions of a prompt."""
        return 2 * (self.products * tokens + self.head_products)


def work_of(model: Path, layers: int | None) -> Work:
    """The work of a GGUF file's model, cut to its first `layers` if not None.

    Raises BenchError.
    """
    from passes.importers.gguf_file import GgufError, read_gguf

    try:
        tensors = read_gguf(model).tensors
    except GgufError as error:
        raise BenchError(str(error)) from None
    head = _HEAD if _HEAD in tensors else _EMBEDDING
    if head not in tensors:
        raise BenchError(f"{model}: has no tensor {head}, so it is no language model")
    read = products = 0
    for tensor in tensors.values():
        block = _BLOCK.match(tensor.name)
        if block and layers is not None and int(block[1]) >= layers:
            continue
        if tensor.name == _EMBEDDING != head:
            continue  # one row of it is read
        read += tensor.nbytes
        if len(tensor.shape) == 2 and tensor.name != head:
            products += prod(tensor.shape)
    return Work(read, products, prod(tensors[head].shape))
