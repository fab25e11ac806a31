"""The sizes that a recipe's kernels are tuned at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from passes.ir.graph.nodes import GraphFunction
from passes.search.extract import Point

_NEW, _PAST = (1, 16, 128, 512), (128, 1024)
_NAMES = {"new": "n", "past": "m"}


def points_of(shapes: Mapping[str, Any], graphs: Mapping[str, GraphFunction]) -> list[Point]:
    """Every graph at the product of the buckets of its dims, with the product of their weights.

    New tokens that come one by one are the decode entry's, where there is one.
    """
    buckets = {
        _NAMES["new"]: _buckets(shapes["new"], _NEW),
        _NAMES["past"]: _buckets(shapes["past"], _PAST),
    }
    single = dict(buckets["n"]).get(1, 1.0)
    found: list[Point] = []
    for name, graph in graphs.items():
        dims = [dim.name for dim in graph.dims]
        ways = [_of(buckets[dim], dim, "decode" in graphs) for dim in dims]
        for chosen in product(*ways):
            weight = 1.0 if "n" in dims else single
            for _, each in chosen:
                weight *= each
            sizes = dict(zip(dims, [at for at, _ in chosen], strict=True))
            if sizes.get("n", 1) + sizes.get("m", 0) <= shapes["past"]["max"]:
                found.append(Point(name, sizes, weight))
    return found


def _of(
    buckets: Sequence[tuple[int, float]], dim: str, decodes: bool
) -> Sequence[tuple[int, float]]:
    kept = [(at, weight) for at, weight in buckets if not (dim == "n" and at == 1 and decodes)]
    return kept or buckets


def _buckets(bounds: Mapping[str, Any], usual: Sequence[int]) -> list[tuple[int, float]]:
    """A recipe's own, else the usual ones within the bounds, and the upper bound if none is."""
    own = [(int(at), float(weight)) for at, weight in bounds["buckets"]]
    within = [(at, 1.0) for at in usual if bounds["min"] <= at <= bounds["max"]]
    return own or within or [(int(bounds["max"]), 1.0)]
