"""The memory plan: what it promises, on random programs and dims."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.codegen.host.barriers import insert_barriers, launches_of
from passes.codegen.host.plan import ArenaPlan, plan_arena
from passes.ir.dtypes import F32, I8
from passes.ir.evaluate import evaluate
from passes.ir.expr import Dim, Expr, Var, index, product
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, Function, Launch, seq
from passes.ir.node import IRError
from tests.unit.codegen.host_graphs import CAPACITY, M, N

SHAPES: tuple[tuple[Expr, ...], ...] = (
    (index(100),), (N, index(48)), (N + M, index(16)), (N, N + M), ((N + M + 15) // 16, index(64)),
    (M + 1,), (N * N,),
)  # fmt: skip
ASSUMPTION = N + M <= CAPACITY


def kernel(name: str, reads: int) -> Function:
    """Reads its first params, writes its last."""
    b = LoopBuilder(name)
    params = [b.param("x", (1,), F32) for _ in range(reads + 1)]
    value: Any = 0.0
    for param in params[:-1]:
        value = load(param, 0) + value
    b.store(params[-1], (0,), value)
    return b.function()


KERNELS = {f"k{reads}": kernel(f"k{reads}", reads) for reads in range(3)}


@st.composite
def programs(draw: st.DrawFn) -> Function:
    """A host program: every launch writes a new buffer, or an old one, from up to two others."""
    buffers: list[Buffer] = []
    launches = []
    for number in range(draw(st.integers(1, 12))):
        reads = draw(st.integers(0, min(2, len(buffers))))
        used = [draw(st.sampled_from(buffers)) for _ in range(reads)]
        fresh = [b for b in buffers if b not in used]
        if fresh and draw(st.integers(0, 4)) == 0:
            target = draw(st.sampled_from(fresh))
        else:
            kind = draw(st.sampled_from((F32, I8)))
            target = Buffer("t", number, draw(st.sampled_from(SHAPES)), kind)
            buffers.append(target)
        launches.append(Launch(f"k{reads}", (), (*used, target)))
    function = Function("f", (N, M), (), tuple(buffers), seq(*launches))
    return insert_barriers(function, KERNELS)


def number(e: Expr, n: int, m: int) -> int:
    where: dict[Dim | Var, Any] = {N: n, M: m}
    return int(evaluate(e, where, {}))


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(1, 12), st.integers(0, CAPACITY - 1))
def test_buffers_needed_together_never_overlap(function: Function, n: int, m: int) -> None:
    m = min(m, CAPACITY - n)
    plan = plan_arena(function, [ASSUMPTION])
    places = {
        buffer: (
            number(start, n, m),
            number(start, n, m) + number(product(buffer.shape), n, m) * buffer.dtype.bytes,
        )
        for buffer, start in plan.offsets.items()
    }
    phases: dict[Buffer, set[int]] = {}
    for position, phase in enumerate(launches_of(function)):
        for launch in phase:
            for buffer in launch.buffers:
                phases.setdefault(buffer, set()).add(position)
    assert set(places) == set(phases)
    for a, b in combinations(places, 2):
        together = min(phases[a]) <= max(phases[b]) and min(phases[b]) <= max(phases[a])
        apart = places[a][1] <= places[b][0] or places[b][1] <= places[a][0]
        assert apart or not together
    size = number(plan.size, n, m)
    assert all(start % 64 == 0 and end <= size for start, end in places.values())
    assert size <= plan.bound <= plan.naive


@settings(max_examples=60, deadline=None)
@given(programs())
def test_dependent_launches_are_in_different_phases(function: Function) -> None:
    for phase in launches_of(function):
        for a, b in combinations(phase, 2):
            assert a.buffers[-1] not in b.buffers and b.buffers[-1] not in a.buffers


def chain(*shapes: tuple[Expr, ...]) -> ArenaPlan:
    """A launch after the other, each reading what the last one wrote."""
    buffers = [Buffer("t", i, shape, F32) for i, shape in enumerate(shapes)]
    launches = [Launch("k0", (), (buffers[0],))]
    launches += [Launch("k1", (), (a, b)) for a, b in pairwise(buffers)]
    function = Function("f", (N, M), (), tuple(buffers), seq(*launches))
    return plan_arena(insert_barriers(function, KERNELS), [ASSUMPTION])


def test_a_chain_takes_two_slots() -> None:
    plan = chain(*[(N, index(16))] * 7)
    assert sorted(set(plan.slots.values())) == [0, 1]
    assert (plan.bound, plan.naive) == (2 * 12 * 64, 7 * 12 * 64)
    assert sorted(str(number(start, 3, 0)) for start in set(plan.offsets.values())) == ["0", "192"]


def test_assumptions_tighten_the_bound() -> None:
    plan = chain((N + M, index(16)))
    assert plan.bound == CAPACITY * 64


def test_a_size_without_bound_is_refused() -> None:
    wild = Buffer("t", 0, (Var("v", 9),), F32)
    function = Function("f", (N,), (), (wild,), Launch("k0", (), (wild,)))
    with pytest.raises(IRError) as caught:
        plan_arena(function)
    assert str(caught.value) == "temporary 't0' has a size without upper bound"
