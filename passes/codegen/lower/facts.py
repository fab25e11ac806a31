"""What lowering needs to know of a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Facts:
    """`vector_bits`: width of a vector register; `masked_bytes`: sizes of the elements of which it
    loads and stores single lanes; `index_bits`: width of the registers that addresses are computed
    in (where it is 32, index arithmetic is narrowed to it as far as bounds allow); `thread_blocks`:
    whether it runs loops bound to blocks and threads, as GPUs do."""

    vector_bits: int = 256
    masked_bytes: tuple[int, ...] = (4, 8)
    index_bits: int = 64
    thread_blocks: bool = False

    @staticmethod
    def of(facts: Mapping[str, Any]) -> Facts:
        """From the declared facts of a CPU level: AVX-512 masks every type, AVX2 words only."""
        bits = int(facts["vector_bits"])
        return Facts(bits, (1, 2, 4, 8) if bits >= 512 else (4, 8))


CPU = Facts()
"""A CPU with AVX2."""
