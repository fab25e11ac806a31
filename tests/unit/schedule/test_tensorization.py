"""Automatic tensorization: all mappings and no other, and each computes what the block did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from passes.ir.arith import simplify, substitute
from passes.ir.expr import Const, Expr, Var
from passes.ir.loop.nodes import Block, Function, Load, Store
from passes.ir.loop.text import print_function
from passes.ir.node import postorder
from passes.schedule.intrinsics import INTRINSICS
from passes.schedule.replay import replay
from passes.schedule.schedule import Schedule
from passes.schedule.tensorization.apply import apply
from passes.schedule.tensorization.candidates import candidates
from passes.schedule.tensorization.mapping import Mapping
from passes.schedule.tree import get_block
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.tensor_cases import SYMBOLIC, UNSIGNED, WORKLOADS
from tests.unit.schedule.tensor_workloads import N, contraction


def mappings(name: str) -> list[Mapping]:
    case = WORKLOADS[name]
    return candidates(case.function, "sum", case.intrinsic, case.sizes)


# All of them: an oracle that runs the block


def places(block: Block, values: dict[Var, int]) -> dict[str, tuple[object, ...]]:
    """Where each of three operands lies for some values of the iterators: the result, the first
    and the second factor."""
    at: dict[Var, Expr] = {v: Const(n, v.dtype) for v, n in values.items()}
    store = block.body
    assert isinstance(store, Store)
    first, second = next(e for e in store.value.children if not isinstance(e, Load)).children
    made = {}
    for name, part in (("c", Load(store.buffer, store.indices)), ("a", first), ("b", second)):
        loads = [n for n in postorder(part) if isinstance(n, Load)]
        made[name] = tuple([simplify(substitute(i, at)) for n in loads for i in n.indices])
    return made


def moved(block: Block) -> dict[Var, frozenset[str]]:
    """The operands that each iterator moves, seen from where they lie."""
    found = {}
    start = dict.fromkeys([it.var for it in block.iters], 0)
    for it in block.iters:
        assert isinstance(it.extent, Const)
        seen = [places(block, {**start, it.var: n}) for n in range(int(it.extent.value))]
        found[it.var] = frozenset(p for p in "abc" if len({one[p] for one in seen}) > 1)
    return found


def expected(function: Function, intrinsic: str) -> Iterator[tuple[frozenset[Var], ...]]:
    """Every assignment of iterators to the instruction's, or to none, in which each moves the
    operands that the instruction's iterator moves; the factors either way round, if they have one
    type. Only rows may be without any, where nothing could be one."""
    one = INTRINSICS[intrinsic]
    block, tile = get_block(function, "sum", "test"), one.entry.lanes > 0
    kins = (["ca", "cb"] if tile else []) + (["ab"] if intrinsic.startswith("dot") else [])
    movements = moved(block)
    left, right = one.description.params[:2]
    for turned in (False, True) if left.dtype == right.dtype else (False,):
        names = {"a": "b", "b": "a", "c": "c"} if turned else {c: c for c in "abc"}
        wanted = [frozenset(names[c] for c in kin) for kin in kins]
        options = [
            [None, *[k for k, kin in enumerate(wanted) if kin == movements[it.var]]]
            for it in block.iters
        ]
        for chosen in product(*options):
            groups = tuple([
                frozenset(it.var for it, k in zip(block.iters, chosen, strict=True) if k == kin)
                for kin in range(len(kins))
            ])  # fmt: skip
            rows = groups[0] or (tile and wanted[0] not in movements.values())
            if rows and all(groups[1:]):
                yield groups


@pytest.mark.parametrize("name", WORKLOADS)
def test_all_mappings_are_found(name: str) -> None:
    case, found = WORKLOADS[name], mappings(name)
    assert len(found) == case.count
    groups = {tuple([frozenset(axis.group) for axis in m.axes]) for m in found}
    assert groups == set(expected(case.function, case.intrinsic))


def test_the_better_ones_come_first() -> None:
    found = mappings("conv 2d strided")
    costs = [m.cost for m in found]
    assert costs == sorted(costs)
    assert len({str(m) for m in found}) == len(found)
    assert (
        candidates(WORKLOADS["conv 2d strided"].function, "sum", "dot4_u8_i8_x8", {"m": 2}) == found
    )


def test_nothing_is_found_for_another_computation() -> None:
    assert candidates(WORKLOADS["matmul"].function, "sum", "dot4_u8_i8_x8") == []
    assert candidates(WORKLOADS["matmul nt"].function, "sum", "dot4_i8_i8") == []


def test_text_of_a_mapping() -> None:
    first = mappings("matmul nt")[0]
    assert str(first) == (
        "m6 → i=2 padded by 1; n7 → j=8 padded by 3; k8 → k=2; c = y2[m6, n7] padded; "
        "a = a0[m6, k8] padded; b = b1[n7, k8] reindexed (elements along j are 4 apart, not 2) "
        "padded"
    )


# Each of them: the steps keep the meaning


@pytest.mark.parametrize("name", WORKLOADS)
def test_mappings_keep_the_meaning(name: str) -> None:
    function = WORKLOADS[name].function
    found = mappings(name)
    for mapping in found[:3] + found[-1:]:
        s = Schedule(function)
        apply(s, "sum", mapping)
        assert_same_meaning(function, s.function)
        assert replay(function, s.trace).function is s.function


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_extents(name: str) -> None:
    case = SYMBOLIC[name]
    function = case.function
    found = candidates(function, "sum", case.intrinsic, case.sizes)
    assert found
    for mapping in found[:2]:
        s = Schedule(function)
        apply(s, "sum", mapping)
        assert_same_meaning(function, s.function, (1, 3, 8))


def test_the_steps_are_recorded() -> None:
    function = contraction("mk,kn->mn", {"m": N, "k": 4, "n": 16}, UNSIGNED)
    s = Schedule(function)
    apply(s, "sum", candidates(function, "sum", "dot4_u8_i8_x8", {"m": 4})[0])
    names = [step.name for step in s.trace if step.name not in ("loops", "buffers")]
    assert names == [
        "reindex", "pad_einsum", "transform_layout", "transform_layout", "split", "split",
        "split", "reorder", "tensorize",
    ]  # fmt: skip
    again = Schedule(function)
    exec(s.trace.as_python(), {"s": again})
    assert again.function is s.function
    assert "dot4(" in print_function(s.function)
