"""Kernels that tell what candidates should give: the function as it stands, but for its outer
loops, which threads share, and lanes along the last axis. No tiles, no copies, no layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from passes.ir.loop.nodes import For, Function
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in
from passes.search.defaults.lanes import reduction_axis, vectorize_axis
from passes.search.defaults.pointwise import schedule_nest
from passes.search.defaults.shape import attempt, chain, driven, parallel_outer, top_nests
from passes.search.defaults.target import Target

Rule = Callable[[Function, Target], Schedule]


def with_lanes(function: Function, target: Target) -> Schedule:
    """Sums of neighbours go to lanes: for i in parallel: for k: for j in lanes: y[i, j] += …"""
    s = Schedule(function)
    for nest in top_nests(function):
        found = blocks_in(nest)
        if not isinstance(nest, For):
            continue
        if len(found) > 1:
            parallel_outer(s, chain(nest))
        elif not attempt(s, partial(_sum, s, found[0].label, target)):
            schedule_nest(s, found[0].label, target)
    return s


def without_lanes(function: Function, target: Target) -> Schedule:
    """Outer loops over threads, nothing else."""
    s = Schedule(function)
    for nest in top_nests(function):
        if isinstance(nest, For):
            parallel_outer(s, chain(nest))
    return s


def untouched(function: Function, target: Target) -> Schedule:
    """No step at all: one thread."""
    return Schedule(function)


RULES: tuple[Rule, ...] = (with_lanes, without_lanes, untouched)
"""The fastest first; a function that one does not suit, the next one may."""


def _sum(s: Schedule, label: str, target: Target) -> None:
    axis = reduction_axis(s, label)
    spatial, reduced = driven(s, label, "spatial"), driven(s, label, "reduce")
    if axis is None or axis.kind != "spatial" or len(spatial) < 2:
        schedule_nest(s, label, target)
        return
    rows = [loop for loop in spatial if loop != axis.loop]
    s.reorder(*rows, *reduced, axis.loop)
    vectorize_axis(s, axis.loop, target, unroll=False)
    parallel_outer(s, rows)
