"""Traces: printed as Python, replayed to the identical program."""

from __future__ import annotations

from passes.schedule.schedule import Schedule, replay
from tests.unit.schedule.programs import assert_same_meaning, matmul


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


TEXT = """\
i5 = s.loop("i5")
i11 = s.loop("i11")
(i5, i11), (i16, i22) = s.loop_partition((i5, i11), s.expr("n//4*4"))
j12 = s.loop("j12")
j26, j27 = s.split(j12, 8)
"""


def test_tiled_program_keeps_its_meaning() -> None:
    assert_same_meaning(matmul(), tiled().function, sizes=(1, 4, 7))


def test_a_trace_prints_as_python() -> None:
    text = tiled().trace.as_python()
    assert text.startswith(TEXT)
    assert text.endswith('s.set_scope("t4", "register")\ns.parallel(j26)\n')


def test_printed_python_repeats_the_schedule() -> None:
    first = tiled()
    again = Schedule(matmul())
    exec(first.trace.as_python(), {"s": again})
    assert again.function is first.function
    assert again.trace == first.trace


def test_replay_gives_the_identical_program() -> None:
    first = tiled()
    again = replay(matmul(), first.trace)
    assert again.function is first.function
    assert again.trace == first.trace


def test_layouts_are_data() -> None:
    s = Schedule(matmul())
    s.transform_layout("t", lambda i: (i[1] // 8, i[0], i[1] % 8))
    wanted = 's.transform_layout("t", lambda i: (i[1]//8, i[0], i[1]%8,))\n'
    assert s.trace.as_python() == wanted
    assert replay(matmul(), s.trace).function is s.function
