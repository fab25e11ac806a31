"""Steps that would change which copies are on their way at a wait that leaves some: refused, and
what is free where no wait does."""

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
SOURCE = """
rows = alloc(f32[n, 8])
for i in range(n):
    with async_group("q"):
        for j in range(8):
            with block("copy"):
                u = spatial(n, i)
                v = spatial(8, j)
                rows[u, v] = a[u, v]
    async_wait("q", 1, [rows])
    for k in range(8):
        with block("use"):
            u = spatial(n, i)
            v = spatial(8, k)
            where(1 <= i)
            t[u, v] = rows[u - 1, v]
async_wait("q", 0, [rows])
for l in range(n):
    for m in range(8):
        with block("last"):
            u = spatial(n, l)
            v = spatial(8, m)
            a[u, v] = t[u, v] + a[u, v]
"""
RING = "a: f32[n, 8], t: f32[n, 8], *, n: dim[1, 64]"
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
    "source": (program(SOURCE, RING), lambda t: t.s.reverse_compute_at("last", t.k),
        "reverse_compute_at of block 'last' at loop k7", "what the copies of 'q' read would be"
        " stored to in another order with them and their waits", "for k7"),
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


def test_what_is_copied_may_change_loops_elsewhere() -> None:
    before = program(SOURCE, RING)
    steps = Steps(before)
    outer, _ = steps.s.split(steps.m, 4)
    steps.s.fuse(steps.l, outer)
    assert_same_meaning(before, steps.s.function)
