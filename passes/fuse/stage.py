"""The fuse stage: operator calls → kernels, on the integer path or in float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passes.chain import Progress, run_chain
from passes.ir.module import Module
from passes.ops import OPERATORS
from passes.plugins import load

# What both ways of computing share comes before and after what the integer path adds.
_BEFORE = ("combine_products", "pad_products")
_AFTER = ("pack_weights", "attention_tiles", "fuse_calls", "state_layout")
CHAINS = {
    "int8": (*_BEFORE, "quantise_activations", "half_caches", *_AFTER),
    "f32": (*_BEFORE, *_AFTER),
}


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """The module of the one input; option `compute` (int8 or f32) chooses the chain.

    Raises IRError.
    """
    (given,) = inputs.values()
    module = Module.load(given)
    chain = [load("passes", name)() for name in CHAINS[options["compute"]]]
    run_chain(module, chain, OPERATORS, progress).save(out)
