"""One kernel of several schedules, of which the sizes it is called with choose one.

    n = 1: A, n = 16: B, n = 128: B     →     if n <= 4: A
                                              else: B

Between two sizes that want different ones the border is at their geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from passes.ir.expr import index
from passes.ir.loop.nodes import Buffer, Function, If, Stmt
from passes.ir.node import IRError, Node
from passes.schedule.renaming import renamed
from passes.schedule.tree import fresh_ordinal


@dataclass(frozen=True)
class Cut:
    """`few` where a dim is at most so large, else `many`."""

    dim: str
    most: int
    few: Tree
    many: Tree


Tree: TypeAlias = "int | Cut"
"""The number of a schedule, or a decision between trees."""
Chosen: TypeAlias = tuple[Mapping[str, int], int]
"""The number of the schedule that is wanted at some sizes."""


def tree_of(points: Sequence[Chosen]) -> Tree:
    """The tree with few cuts that gives each point what it wants; points differ in their sizes.

    Cut first is where most points are on the side of their own kind.
    """
    wanted = [number for _, number in points]
    if len(set(wanted)) == 1:
        return wanted[0]
    best = min(_cuts(points), key=lambda cut: (_mixed(cut[2]) + _mixed(cut[3]), cut[0], cut[1]))
    dim, most, few, many = best
    return Cut(dim, most, tree_of(few), tree_of(many))


def dispatched(variants: Sequence[Function], tree: Tree) -> Function:
    """The function that runs the variant that the tree chooses by its dims.

    All variants have the same parameters, also in memory. Raises IRError where they have not.
    """
    first = variants[0]
    for other in variants[1:]:
        if other.params != first.params or other.dims != first.dims:
            raise IRError(
                f"'{first.name}': variants that are chosen from at run time lay out their "
                "parameters in several ways; let them agree on one"
            )
    free = max(fresh_ordinal(variant) for variant in variants)
    bodies: list[Stmt] = [first.body]
    allocs = list(first.allocs)
    for number, variant in enumerate(variants[1:], 1):
        copies: dict[Node, Buffer] = {
            buffer: buffer.replace(ordinal=free + k) for k, buffer in enumerate(variant.allocs)
        }
        body, free = renamed(variant.body, free + len(copies), f"_{number}", copies)
        bodies.append(body)
        allocs += copies.values()
    dims = {dim.name: dim for dim in first.dims}

    def chosen(tree: Tree) -> Stmt:
        if isinstance(tree, int):
            return bodies[tree]
        return If(dims[tree.dim] <= index(tree.most), chosen(tree.few), chosen(tree.many))

    return first.replace(allocs=tuple(allocs), body=chosen(tree))


def _cuts(
    points: Sequence[Chosen],
) -> list[tuple[str, int, Sequence[Chosen], Sequence[Chosen]]]:
    found: list[tuple[str, int, Sequence[Chosen], Sequence[Chosen]]] = []
    for dim in sorted(points[0][0]):
        sizes = sorted({sizes[dim] for sizes, _ in points})
        for low, high in pairwise(sizes):
            most = min(high - 1, max(low, math.isqrt(low * high)))
            few = [point for point in points if point[0][dim] <= most]
            many = [point for point in points if point[0][dim] > most]
            found.append((dim, most, few, many))
    if not found:
        raise IRError(f"two schedules are wanted at the same sizes {dict(points[0][0])}")
    return found


def _mixed(points: Sequence[Chosen]) -> int:
    """How many points are of another kind than most."""
    wanted = [number for _, number in points]
    return len(wanted) - max(wanted.count(number) for number in wanted)
