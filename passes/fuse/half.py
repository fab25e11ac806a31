"""half_caches: the caches of attention hold half-precision floats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from passes.ir.dtypes import F16, F32
from passes.ir.graph.nodes import Apply, State, TensorType
from passes.ir.module import Module
from passes.ir.node import Node, rewrite
from passes.ops import apply


@dataclass(frozen=True)
class HalfCaches:
    """Approximates: keys and values are rounded to f16 when they are appended.

        cache: state f32[…]; y = attention(q, cache_append(cache, k, past), …)
        → cache: state f16[…]; y = attention(q, cache_append(cache, cast(k, f16), past), …)

    A decoding step over a long context reads more cache than weights: half the bytes, half the
    time. Products and sums stay in float32.
    """

    name: ClassVar[str] = "half_caches"
    version: ClassVar[int] = 1

    def run(self, module: Module) -> Module:
        graphs = {name: rewrite(graph, _halved) for name, graph in module.graphs.items()}
        return replace(module, graphs=graphs)


def _halved(node: Node) -> Node | None:
    """A state may have no other use than as a cache: the verifier refuses what no longer fits."""
    if isinstance(node, State) and len(node.type.shape) == 4 and node.type.dtype == F32:
        return State(node.name, TensorType(node.type.shape, F16))
    if isinstance(node, Apply) and node.op == "cache_append":
        cache, new, past = node.inputs
        if cache.type.dtype != new.type.dtype:
            return apply("cache_append", cache, apply("cast", new, dtype=F16), past)
    if isinstance(node, Apply) and node.op == "attention":
        return apply("attention", *node.inputs, **dict(node.attrs))
    return None
