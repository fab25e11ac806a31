"""Analyses of programs against enumeration at small sizes and against an integer set library."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Dim, Expr, Var, index
from passes.ir.loop.nodes import Block, For, Function, Store
from passes.schedule.accesses import Access, accesses, ranges
from passes.schedule.bindings import bindings_of
from passes.schedule.dataflow import not_compact, not_complete, not_reduction
from passes.schedule.dependence import inner_loops, never_meet
from passes.schedule.footprints import Box, footprint, uncovered
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in, path_to_block, statements, written
from tests.unit.schedule.executions import Point, Unknown, at, points, sizes, touches
from tests.unit.schedule.isl_terms import NotAffine, isl_condition, isl_name, isl_term
from tests.unit.schedule.moves import random_move
from tests.unit.schedule.programs import ALL
from tests.unit.schedule.random_programs import random_program

quiet = settings(deadline=None)
MOST = 6  # the largest size enumerated


def moved(seed: int, steps: int = 8, only: tuple[str, ...] = ()) -> Function:
    """A random program after random steps that fit."""
    r = Random(seed)
    function = r.choice(ALL)() if r.random() < 0.4 else random_program(r)
    s = Schedule(function)
    for _ in range(steps):
        if not blocks_in(s.function.body):
            break
        before = s.at(len(s.trace))
        try:
            name = random_move(r, s)
        except ScheduleError:
            continue
        if only and name not in only:
            s = before
    return s.function


seeds = st.integers(0, 1 << 32)


@settings(quiet, max_examples=60)
@given(seeds)
def test_bindings_are_what_enumeration_finds(seed: int) -> None:
    function = moved(seed)
    for block in blocks_in(function.body):
        path = path_to_block(function, block.label, "test")
        found = bindings_of(path)
        nested = any(isinstance(s, Block) for s in path[:-1])
        if nested or not (found.once or found.every):
            continue
        loops = [(s.var, s.extent) for s in path if isinstance(s, For)]
        for dims in sizes(function, MOST):
            try:
                seen = _instances(block, loops, dims)
            except Unknown:
                break
            if found.once:
                assert len(set(seen)) == len(seen), block.label
            if found.every:
                spans = [range(at(it.extent, dict(dims))) for it in block.iters]
                assert set(product(*spans)) <= set(seen), block.label


def _instances(
    block: Block, loops: list[tuple[Var, Expr]], dims: dict[Dim, int]
) -> list[tuple[int, ...]]:
    """The values of a block's iterators, in the order that its loops run it."""
    return [
        tuple([at(e, point) for e in block.bindings])
        for point in points(loops, dict(dims))
        if block.predicate is None or at(block.predicate, point)
    ]


@settings(quiet, max_examples=60)
@given(seeds)
def test_bindings_agree_with_the_set_library(seed: int) -> None:
    isl = pytest.importorskip("islpy")
    function = moved(seed, steps=10, only=("split", "fuse", "reorder", "split_in_parts"))
    for block in blocks_in(function.body):
        path = path_to_block(function, block.label, "test")
        loops = [s for s in path if isinstance(s, For)]
        if sum(isinstance(s, Block) for s in path) > 1:
            continue
        found = bindings_of(path)
        try:
            domain = [f"0 <= {isl_name(s.var)} < {isl_term(s.extent)}" for s in loops]
            if block.predicate is not None:
                domain.append(isl_condition(block.predicate))
            image = ", ".join([isl_term(e) for e in block.bindings])
            whole = [f"0 <= b{k} < {isl_term(it.extent)}" for k, it in enumerate(block.iters)]
        except NotAffine:
            continue
        names, head = ", ".join([isl_name(s.var) for s in loops]), _head(function.dims)
        mapped = isl.Map(f"{head} {{ [{names}] -> [{image}] : {' and '.join(domain)} }}")
        slots = ", ".join([f"b{k}" for k in range(len(block.iters))])
        target = isl.Set(f"{head} {{ [{slots}] : {' and '.join(whole) or '1 = 1'} }}")
        bounds = isl.Set(f"{head} {{ : {_bounds(function.dims)} }}")
        mapped = mapped.intersect_params(bounds)
        if found.once:
            assert mapped.is_injective(), block.label
        if found.every:
            assert target.intersect_params(bounds).is_subset(mapped.range()), block.label


def _head(dims: tuple[Dim, ...]) -> str:
    return f"[{', '.join([d.name for d in dims])}] ->"


def _bounds(dims: tuple[Dim, ...]) -> str:
    return " and ".join([f"{d.lo} <= {d.name} <= {d.hi}" for d in dims]) or "1 = 1"


@settings(quiet, max_examples=50)
@given(seeds)
def test_what_never_meets_never_meets(seed: int) -> None:
    """Two iterations t < u of a loop, inner loops free, by the set library."""
    isl = pytest.importorskip("islpy")
    function = moved(seed)
    known = ranges(function)
    stored = written(function.body)
    asked = 0
    for loop in (s for s in statements(function) if isinstance(s, For)):
        free = inner_loops(loop)
        below = [a for a in accesses(function.body) if loop in a.loops]
        inside = list({(a.buffer, a.indices): a for a in below}.values())
        for a, b in product(inside, repeat=2):
            if a.buffer is not b.buffer or asked > 40:
                continue
            asked += 1
            if not never_meet(a, b, loop.var, free, known, stored):
                continue
            for one, two in ((a, b), (b, a)):
                try:
                    clash = _clash(isl, function, loop.var, free, one.indices, two.indices)
                except NotAffine:
                    continue
                assert clash.is_empty(), (a, b, loop.var)


def _clash(isl, function, var, free, first, second):  # type: ignore[no-untyped-def]
    """The pairs of iterations, the second later, that touch the same element."""
    known = ranges(function)
    used: set[Var] = set()
    pending = [v for e in (*first, *second, var) for v in free_vars(e)]
    while pending:
        v = pending.pop()
        if v not in used and v in known:
            used.add(v)
            pending.extend(w for e in known[v] for w in free_vars(e))
    order = [v for v in known if v in used]
    again = {v: Var(f"{v.name}_again", v.ordinal, v.dtype) for v in free | {var}}

    def later(e: Expr) -> str:
        return isl_term(substitute(e, again))

    asked = [f"{isl_name(var)} < {isl_name(again[var])}"]
    names = []
    for v in order:
        low, high = known[v]
        names.append(isl_name(v))
        asked.append(f"{isl_term(low)} <= {isl_name(v)} <= {isl_term(high)}")
        if v in again:
            names.append(isl_name(again[v]))
            asked.append(f"{later(low)} <= {isl_name(again[v])} <= {later(high)}")
    asked += [f"{isl_term(a)} = {later(b)}" for a, b in zip(first, second, strict=True)]
    condition = " and ".join([*asked, _bounds(function.dims)])
    return isl.Set(f"{_head(function.dims)} {{ [{', '.join(names)}] : {condition} }}")


@settings(quiet, max_examples=25)
@given(seeds)
def test_regions_hold_all_that_is_touched(seed: int) -> None:
    function = moved(seed)
    whole = accesses(function.body)
    for stmt in statements(function):
        if not isinstance(stmt, For | Block):
            continue
        found = footprint(function, stmt)
        for a in (a for a in whole if any(s is stmt for s, _ in a.path)):
            region = (found.writes if a.is_store else found.reads)[a.buffer]
            if region is not None:
                _check_holds(function, a, region)


def _check_holds(function: Function, a: Access, region: Box) -> None:
    loops = [(s.var, ranges(function)[s.var][1] + 1) for s, _ in a.path if isinstance(s, For)]
    try:
        for dims in sizes(function, 3):
            for point in points(loops, dict(dims)):
                if not all(at(c, point) for c in a.conditions):
                    continue
                for i, first, extent in zip(a.indices, region.first, region.extents, strict=True):
                    low = at(first, point)
                    assert low <= at(i, point) < low + at(extent, point)
    except Unknown:
        return


@settings(quiet, max_examples=80)
@given(seeds)
def test_covered_reads_are_computed_before(seed: int) -> None:
    function = moved(seed)
    temporaries = set(function.allocs)
    labels = {b.label for b in blocks_in(function.body) if not uncovered(function, b.label)}
    try:
        for dims in sizes(function, 4):
            stored: set[object] = set()
            for touch in touches(function, dims):
                if touch.is_store:
                    stored.add((touch.buffer, touch.place))
                elif touch.buffer in temporaries and touch.block and touch.block.label in labels:
                    assert (touch.buffer, touch.place) in stored, touch
    except Unknown:
        return


@settings(quiet, max_examples=80)
@given(seeds)
def test_kinds_of_blocks_are_what_enumeration_finds(seed: int) -> None:
    function = moved(seed)
    kinds = {}
    for block in blocks_in(function.body):
        if not_complete(function, block.label) is None:
            kinds[block.label] = "complete"
        elif not_reduction(function, block.label) is None:
            kinds[block.label] = "reduction"
    try:
        for dims in sizes(function, 3):
            done = list(touches(function, dims))
            for label, kind in kinds.items():
                _check_kind(function, label, kind, done)
    except Unknown:
        return


def _check_kind(function: Function, label: str, kind: str, done: list) -> None:  # type: ignore[type-arg]
    (block,) = [b for b in blocks_in(function.body) if b.label == label]
    stores = [t for t in done if t.is_store and t.buffer in written(block)]
    mine = [t for t in stores if t.block in blocks_in(block)]
    others = [t for t in stores if t not in mine and block not in blocks_in(t.block)]
    assert not others
    path = path_to_block(function, label, "test")
    nested = any(isinstance(s, Block) for s in path[:-1])
    alone = not nested and isinstance(block.body, Store)
    if kind == "complete" and alone and bindings_of(path).once:
        places = [(t.buffer, t.place) for t in mine]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_programs_as_written(make) -> None:  # type: ignore[no-untyped-def]
    function = make()
    compact = not_compact(function)
    if make.__name__ in ("matmul", "rowsum", "chain", "softmax", "dots"):
        assert compact is None
    for block in blocks_in(function.body):
        found = bindings_of(path_to_block(function, block.label, "test"))
        assert found.once


def test_points_run_in_order() -> None:
    loops = [(Var("i", 0), index(2) + 0), (Var("j", 1), Var("i", 0) + 1)]
    made: list[Point] = list(points(loops, {}))
    values = [tuple(p.values()) for p in made]
    assert values == [(0, 0), (1, 0), (1, 1)]
    assert all(a < b for a, b in pairwise(values))
