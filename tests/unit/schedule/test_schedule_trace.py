"""Traces: printed as Python and JSON, replayed to the identical program or with other decisions."""

from __future__ import annotations

from random import Random

import pytest

from passes.ir.expr import index
from passes.ir.loop.nodes import Function
from passes.schedule.replay import Replayer, replay
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError, get_loop
from tests.unit.schedule.programs import N, assert_same_meaning, chain, matmul


def tiled() -> Schedule:
    """A matrix product as a kernel would have it: whole tiles of 4 x 8, then single rows."""
    s = Schedule(matmul())
    (i_dot, _, _), (i_out, _) = s.loops("dot"), s.loops("out")
    (_, head), (_, tail) = s.loop_partition([i_dot, i_out], s.expr("n//4*4"))
    panels = []
    for suffix, row, height in (("", head, 4), ("_tail", tail, 1)):
        panel, lanes = s.split(s.loops("out" + suffix)[1], 8)
        row, inner = s.split(row, height)
        s.reorder(panel, row, inner, lanes)
        s.compute_at("dot" + suffix, row)
        *_, k = s.loops("dot" + suffix)
        own = s.loops("dot" + suffix)[2:-1]
        s.reorder(k, *own)
        init = s.decompose_reduction("dot" + suffix, k)
        for label in (init, "dot" + suffix, "out" + suffix):
            s.vectorize(s.loops(label)[-1])
        panels.append(panel)
    s.merge(*panels)
    s.set_scope("t4", "register")
    s.parallel(panels[0])
    return s


def open_tiles(choices: tuple[int, int, int], function: Function | None = None) -> Schedule:
    """Tiles that are decided: rows of a tile, factors of the columns, where the product goes."""
    s = Schedule(matmul() if function is None else function)
    rows, columns, place = choices
    height = s.sample_categorical([2, 3, 4], choice=rows)
    i, j = s.loops("out")
    outer, inner = s.split(i, height)
    _, width = s.sample_perfect_tile(j, 2, 8, choice=(16 // columns, columns))
    assert width is not None
    panel, _ = s.split(j, width)
    s.reorder(outer, panel, inner)
    location = s.sample_compute_location("dot", choice=place)
    s.place("dot", location)
    s.transform_layout("t", lambda at: (at[0] // (height * 2), at[1], at[0] % (height * 2)))
    return s


TEXT = """\
i5, j6, k7 = s.loops("dot")
i11, j12 = s.loops("out")
(_, _), (i16, i22) = s.loop_partition((i5, i11), s.expr("n//4*4"))
j26, j27 = s.split(j12, 8)
"""

OPEN = """\
choice0 = s.sample_categorical((2, 3, 4), None, choice=1)
i11, j12 = s.loops("out")
i15, i16 = s.split(i11, choice0)
choice1, choice2 = s.sample_perfect_tile(j12, 2, 8, choice=(4, 4))
j17, j18 = s.split(j12, choice2)
s.reorder(i15, j17, i16)
choice3 = s.sample_compute_location("dot", choice=0)
s.place("dot", choice3)
s.transform_layout("t", lambda i: (i[0]//(choice0*2), i[1], i[0]%(choice0*2),))
"""


FAILED = """\
replay of step 3, s.unroll(i11), in 'matmul': unroll of loop i11 in 'matmul': its extent is not a \
constant
10 |                     with init():
11 |                         t4[i8, j9] = f32(0.0)
12 |                     t4[i8, j9] = t4[i8, j9] + x0[i8, k10]*w1[k10, j9]
13 |     for i11 in range(n):
   |     ^^^^^^^^^^^^^^^^^^^^
14 |         for j15 in range(2):
15 |             for j16 in range(8):
16 |                 with block("out"):"""


def test_tiled_program_keeps_its_meaning() -> None:
    assert_same_meaning(matmul(), tiled().function, sizes=(1, 4, 7))


def test_a_trace_prints_as_python() -> None:
    text = tiled().trace.as_python()
    assert text.startswith(TEXT)
    assert text.endswith('s.set_scope("t4", "register")\ns.parallel(j26)\n')
    assert open_tiles((1, 4, 0)).trace.as_python() == OPEN


@pytest.mark.parametrize("make", [tiled, lambda: open_tiles((2, 8, 1))])
def test_text_replay_and_json_repeat_the_schedule(make) -> None:
    first = make()
    again = Schedule(matmul())
    exec(first.trace.as_python(), {"s": again})
    assert again.function is first.function
    assert again.trace == first.trace
    again = replay(matmul(), first.trace)
    assert again.function is first.function
    assert again.trace == first.trace
    read = Trace.from_json(first.trace.as_json(), matmul())
    assert read == first.trace
    assert read.as_json() == first.trace.as_json()
    assert replay(matmul(), read).function is first.function


def test_other_decisions_flow_on() -> None:
    first = open_tiles((0, 2, -1)).trace
    sampled = [k for k, step in enumerate(first) if step.sampling is not None]
    for choices in ((1, 8, 0), (2, 4, 1), (2, 1, -1)):
        rows, columns, place = choices
        changed = first
        for step, choice in zip(sampled, (rows, (16 // columns, columns), place), strict=True):
            changed = changed.decided(step, choice)
        wanted = open_tiles(choices)
        made = replay(matmul(), changed)
        assert made.function is wanted.function
        assert made.trace == wanted.trace
        assert_same_meaning(matmul(), made.function, sizes=(1, 7))


def test_a_trace_fits_other_functions() -> None:
    first = tiled().trace
    other = matmul(columns=24, inner=5)
    assert_same_meaning(other, replay(other, first).function, sizes=(1, 7))


def test_choices_that_are_none_are_made_again() -> None:
    first = open_tiles((0, 8, 1)).trace
    other = matmul(columns=12)
    with pytest.raises(ScheduleError, match=r"replay of step 4, s\.sample_perfect_tile\(j12, 2, 8"):
        replay(other, first)
    made = replay(other, first, decide=lambda question: question.sampling.draw(Random(7)))
    assert made.trace.steps[0].choice == 0
    assert_same_meaning(other, made.function, sizes=(1, 7))


def test_replay_begins_at_the_first_step_that_differs() -> None:
    replayer = Replayer(matmul())
    first = tiled()
    assert replayer.replay(first.trace).function is first.function
    applied = replayer.memo.applied
    assert replayer.replay(first.trace).function is first.function
    assert replayer.memo.applied == applied
    steps = list(first.trace)
    wider = replayer.replay(Trace([*steps[:-2], *steps[-1:]]))
    assert replayer.memo.applied == applied + 1
    assert wider.function is not first.function


def test_a_schedule_as_it_was() -> None:
    s = open_tiles((1, 4, 0))
    early = s.at(3)
    assert len(early.trace) == 3
    assert early.function is s.at(4).function is not s.function
    early.unroll(early.loops("out")[1])
    assert len(s.at(3).trace) == 3
    assert s.at(len(s.trace)).function is s.function


def test_decided_numbers_are_ints_that_stay_symbolic_in_expressions() -> None:
    s = Schedule(matmul())
    height = s.sample_categorical([4], choice=0)
    assert height == 4
    assert (height + 1) * 2 == 10
    assert s.expr("n//h*h", h=height) is N // height * height
    (i, _, _), (i_out, _) = s.loops("dot"), s.loops("out")
    (head, _), _ = s.loop_partition([i, i_out], N // height * height)
    assert get_loop(s.function, head, "test").extent is N // 4 * 4
    assert 's.expr("n//choice0*choice0", choice0=choice0)' in s.trace.as_python()


def test_drawn_decisions_are_those_of_a_seed() -> None:
    def drawn(seed: int) -> Schedule:
        s = Schedule(chain(48), decide=lambda question: question.sampling.draw(Random(seed)))
        (i,) = s.loops("second")
        parts = s.sample_perfect_tile(i, 3, 4)
        s.split(i, parts)
        s.place("first", s.sample_compute_location("first"))
        return s

    assert drawn(3).function is drawn(3).function
    assert len({drawn(seed).function for seed in range(12)}) > 4
    for seed in range(4):
        assert_same_meaning(chain(48), drawn(seed).function)


def test_layouts_are_data() -> None:
    s = Schedule(matmul())
    s.transform_layout("t", lambda i: (i[1] // 8, i[0], i[1] % 8))
    wanted = 's.transform_layout("t", lambda i: (i[1]//8, i[0], i[1]%8,))\n'
    assert s.trace.as_python() == wanted
    assert replay(matmul(), s.trace).function is s.function


def test_buffers_made_on_the_way_are_asked_for() -> None:
    s = Schedule(matmul())
    copy = s.cache_write("out", "local")
    made = s.buffers("out")[0]
    s.set_scope(made, "register")
    lines = s.trace.as_python().splitlines()
    assert lines[1:] == ['y_c15, t4, r2 = s.buffers("out")', 's.set_scope(y_c15, "register")']
    assert s.buffers(copy) == ["y3", made]


def test_a_failed_replay_says_all() -> None:
    s = Schedule(matmul(rows=8))
    i, j = s.loops("out")
    s.split(j, 8)
    s.unroll(i)
    with pytest.raises(ScheduleError) as error:
        replay(matmul(), s.trace)
    assert str(error.value) == FAILED


def test_undone_steps_leave_nothing() -> None:
    s = tiled()
    whole = [s.at(number) for number in range(len(s.trace) + 1)]
    for number in (len(s.trace) - 3, 4, 0):
        s.undo(number)
        assert s.function is whole[number].function
        assert s.trace == whole[number].trace
        assert s.at(number).function is s.function
    again = Schedule(matmul())
    for one in (again, s):
        one.parallel(one.loops("dot")[0])
    assert s.trace.as_python() == again.trace.as_python()


def test_notes_are_for_readers_alone() -> None:
    s = tiled()
    s.trace.notes.append("by hand")
    text = s.trace.as_python()
    assert text.startswith("# by hand\n")
    again = Schedule(matmul())
    exec(text, {"s": again})
    assert again.function is s.function
    assert Trace.from_json(s.trace.as_json(), matmul()) == s.trace


def test_steps_are_equal_if_their_numbers_are_to_the_bit() -> None:
    def padded(pad: float, note: int) -> Schedule:
        s = Schedule(matmul())
        s.transform_layout("t4", lambda i: (i[1] // 5, i[0], i[1] % 5), pad)
        s.annotate("dot", "note", note)
        return s

    one, again = padded(float("nan"), 1), Schedule(matmul())
    exec(one.trace.as_python(), {"s": again})
    assert again.function is one.function
    assert again.trace == one.trace == Trace.from_json(one.trace.as_json(), matmul())
    assert len({step for s in (one, again) for step in s.trace}) == len(one.trace)
    assert padded(0.0, 1).trace != padded(-0.0, 1).trace
    assert padded(0.0, 1).trace != padded(0.0, True).trace


def test_a_point_is_a_number_or_an_expression() -> None:
    one, other = Schedule(matmul(rows=8)), Schedule(matmul(rows=8))
    for s, point in ((one, 4), (other, index(4))):
        s.loop_partition([s.loops("dot")[0], s.loops("out")[0]], point)
    assert one.function is other.function
    assert replay(matmul(rows=8), Trace.from_json(one.trace.as_json(), one.function)).trace == (
        one.trace
    )
