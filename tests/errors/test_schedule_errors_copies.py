"""Refusals of steps that would change which copies are on their way at a wait that leaves some."""

from __future__ import annotations

from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Case, Steps, program, refusals

NESTED = """
s = alloc(f32[4, 8])
for i in range(4):
    for j in range(8):
        with async_group("q"):
            with block("copy"):
                v = spatial(4, i)
                w = spatial(8, j)
                s[v, w] = a[0, w]
async_wait("q", 4, [s])
with block("use"):
    y[0] = s[0, 1]
async_wait("q", 0, [s])
"""
SIDES = """
s = alloc(f32[8])
t = alloc(f32[8])
for i in range(8):
    with async_group("q"):
        with block("one"):
            v = spatial(8, i)
            s[v] = a[0, v]
for j in range(8):
    with async_group("q"):
        with block("two"):
            w = spatial(8, j)
            t[w] = a[0, w]
async_wait("q", 8, [s, t])
with block("use"):
    y[0] = s[7]
async_wait("q", 0, [s, t])
"""
ORDER = (
    "copies of 'q' would be issued in another order or number,"
    " and a wait leaves 4 of them on their way"
)
LATER = ORDER.replace("4", "8")

CASES: dict[str, Case] = {
    "reorder": (program(NESTED), lambda t: t.s.reorder(t.j, t.i),
        "reorder of loops j5, i4", ORDER, "for j5"),
    "merge": (program(SIDES), lambda t: t.s.merge(t.i, t.j),
        "merge of loops i5, j7", LATER, "for j7"),
    "loop_partition": (
        program(SIDES), lambda t: t.s.loop_partition([t.i, t.j], t.s.expr("1")),
        "loop_partition of loops i5, j7", LATER, "for i5"),
}  # fmt: skip

test_refusal = refusals(CASES)


def test_where_every_wait_is_for_all_the_order_is_free() -> None:
    for text, step in ((NESTED, lambda t: t.s.reorder(t.j, t.i)),
                       (SIDES, lambda t: t.s.merge(t.i, t.j))):  # fmt: skip
        before = program(text.replace('"q", 4', '"q", 0').replace('"q", 8', '"q", 0'))
        steps = Steps(before)
        step(steps)
        assert_same_meaning(before, steps.s.function)


def test_loops_of_copies_may_be_split_and_unrolled() -> None:
    before = program(NESTED)
    steps = Steps(before)
    inner = steps.s.split(steps.j, 4)[1]
    steps.s.unroll(inner)
    assert_same_meaning(before, steps.s.function)
