"""What sampling steps, `place`, replays and readers of traces refuse: the whole text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.ir.node import IRError
from passes.schedule.instruction import Instruction
from passes.schedule.replay import replay
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.programs import chain, matmul
from tests.unit.schedule.steps import Steps, program

LOOP = """
10 |                     with init():
11 |                         t4[i8, j9] = f32(0.0)
12 |                     t4[i8, j9] = t4[i8, j9] + x0[i8, k10]*w1[k10, j9]
13 |     for i11 in range(n):
   |     ^^^^^^^^^^^^^^^^^^^^
14 |         for j12 in range(16):
15 |             with block("out"):
16 |                 i13 = spatial(n, i11)"""
Step = Callable[[Schedule], object]
CASES: dict[str, tuple[Step, str]] = {
    "no candidates": (
        lambda s: s.sample_categorical([]),
        "sample_categorical of a number in 'matmul': 0 candidates and 0 probabilities do not fit",
    ),
    "other probabilities": (
        lambda s: s.sample_categorical([1, 2], [1.0]),
        "sample_categorical of a number in 'matmul': 2 candidates and 1 probabilities do not fit",
    ),
    "no such candidate": (
        lambda s: s.sample_categorical([1, 2], choice=2),
        "sample_categorical of a decision in 'matmul': the choice 2 is none of "
        "Categorical(candidates=(1, 2), probabilities=(1.0, 1.0))",
    ),
    "no factors": (
        lambda s: s.sample_perfect_tile(s.loops("out")[0], 0),
        "sample_perfect_tile of loop i11 in 'matmul': 0 factors up to 16 cannot be" + LOOP,
    ),
    "not perfect": (
        lambda s: s.sample_perfect_tile(s.loops("out")[1], 2, choice=(3, 5)),
        "sample_perfect_tile of a decision in 'matmul': the choice (3, 5) is none of "
        "PerfectTile(extent=16, parts=2, innermost=16, bound=16)",
    ),
    "no partition": (
        lambda s: s.sample_partitioned_tile(s.loops("out")[0], 2, 2, 4),
        "sample_partitioned_tile of loop i11 in 'matmul': 2 factors, 4 from number 2 on, cannot be"
        + LOOP,
    ),
    "no location": (
        lambda s: s.sample_compute_location("dot", choice=7),
        "sample_compute_location of a decision in 'matmul': the choice 7 is none of "
        "ComputeLocation(candidates=(-1, 0, 1))",
    ),
    "no block": (
        lambda s: s.sample_compute_location("sum"),
        "sample_compute_location of block 'sum' in 'matmul': there is no such block",
    ),
    "no place": (
        lambda s: s.place("nothing", "root"),
        "place of block 'nothing' in 'matmul': there is no such block",
    ),
    "no loop": (
        lambda s: s.loop("q7"),
        "loop of 'q7' in 'matmul': there is no such loop",
    ),
    "no query": (
        lambda s: replay(s.function, Trace([Instruction("loops", ("sum",), ())])),
        "replay of step 1, s.loops(\"sum\"), in 'matmul': loops of block 'sum' in 'matmul':"
        " there is no such block",
    ),
    "fewer loops": (
        lambda s: replay(chain(), Trace([*_unrolled()])),
        "replay of step 1, s.loops(\"first\"), in 'chain': it gives (a loop) where the trace has"
        " (a loop, a loop)",
    ),
}  # fmt: skip


def _unrolled() -> Trace:
    """The trace of a function with two loops around the block."""
    i, j = Schedule(matmul()).loops("out")
    return Trace([Instruction("loops", ("first",), (i, j))])


@pytest.mark.parametrize("name", CASES)
def test_refusal(name: str) -> None:
    step, text = CASES[name]
    s = Schedule(matmul())
    with pytest.raises(ScheduleError) as error:
        step(s)
    assert str(error.value) == text
    assert len(s.trace) == 0


def test_a_loop_without_iterations_has_no_factors() -> None:
    t = Steps(program("for i in range(0):\n    y[i] = x[i]\n"))
    for step in (
        lambda: t.s.sample_perfect_tile(t.i, 2),
        lambda: t.s.sample_partitioned_tile(t.i, 2, 1, 1),
    ):
        with pytest.raises(ScheduleError) as error:
            step()
        assert str(error.value) == (
            f"{error.value.primitive} of loop i3 in 'f': it has no iterations to divide\n"
            "1 | def f(x0: f32[n], y1: f32[n], a2: f32[n, 8], *, n: dim[1, 64]):\n"
            "2 |     for i3 in range(0):\n"
            "  |     ^^^^^^^^^^^^^^^^^^^\n"
            "3 |         y1[i3] = x0[i3]"
        )


def test_only_samplings_decide() -> None:
    s = Schedule(matmul())
    s.parallel(s.loops("out")[0])
    with pytest.raises(ValueError, match="step 1, parallel, decides nothing"):
        s.trace.decided(1, 3)


TEXTS = {
    "no JSON": ("[", "the trace is not JSON: Expecting value: line 1 column 2 (char 1)"),
    "no name": ('[{"args": []}]', "step 1 of the trace cannot be read: 'name'"),
    "no variable": (
        '[{"name": "loops", "args": ["out"], "result": [{"var": "i"}]}]',
        "step 1 of the trace cannot be read: 'i' is no variable",
    ),
    "unknown value": (
        '[{"name": "unroll", "args": [{"loop": 1}]}]',
        "step 1 of the trace cannot be read: what ['loop'] means is unknown",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_no_traces(name: str) -> None:
    text, message = TEXTS[name]
    with pytest.raises(IRError) as error:
        Trace.from_json(text, matmul())
    assert str(error.value) == message
