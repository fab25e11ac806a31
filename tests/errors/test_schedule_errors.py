"""Reasons for which schedule primitives refuse: the whole text, and the program left as it is.

Each case is a program, a step that would change its meaning (or makes no sense), the place and
the reason that the error names, and the line it marks.
"""

from __future__ import annotations

import pytest

from passes.ir.expr import Var, index
from passes.ir.loop.parse import parse_function
from passes.schedule.instruction import Instruction
from passes.schedule.replay import replay
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.steps import Case, Steps, program, refusals
from tests.unit.schedule.texts import DEEPER, FILL, HALVES, STAGED, SUM, TRIANGLE, TWO, where

COPY = """
for i in range(n):
    with block("copy"):
        v = spatial(n, i)
        y[v] = x[v]
"""
NEXT = TWO.replace("t[w]", "t[min(w + 1, n - 1)]")
STATE = """
t = alloc(f32[n])
for i in range(n):
    with block("old"):
        v = spatial(n, i)
        t[v] = x[v]
for j in range(n):
    with block("new"):
        w = spatial(n, j)
        x[w] = f32(1.0)
for l in range(n):
    with block("use"):
        u = spatial(n, l)
        y[u] = t[u]
"""
TWICE = """
for r in range(2):
    for k in range(8):
        with block("sum"):
            u = reduce(8, k)
            with init():
                y[0] = f32(0.0)
            y[0] = y[0] + a[0, u]
"""
PAIR = """
for i in range(n):
    for j in range(8):
        with block("left"):
            v = spatial(n, i)
            w = spatial(8, j)
            a[v, w] = x[v]
        with block("right"):
            p = spatial(n, i)
            q = reduce(8, j)
            with init():
                y[p] = f32(0.0)
            y[p] = y[p] + a[max(p - 1, 0), 7 - q]
"""
IN_PLACE = """
for i in range(n):
    with block("shift"):
        v = ordered(n, i)
        x[v] = x[max(v - 1, 0)] + f32(1.0)
"""
PRIVATE = TWO.replace("alloc(f32[n])", 'alloc(f32[n], scope="local")')
CARRIED = """
t = alloc(f32[1], scope="local")
for i in range(n):
    with block("use"):
        v = ordered(n, i)
        t[0] = x[v]
    with block("keep"):
        w = spatial(n, i)
        y[w] = t[0]
for j in range(n):
    with block("more"):
        u = spatial(n, j)
        a[u, 0] = x[u]
"""
PREDICATED = where(SUM.replace("a[v, u]", "a[v, u]*x[v]"), "k <= i")
USED_EARLY = """
for i in range(n):
    with block("before"):
        w = spatial(n, i)
        a[w, 0] = y[0]
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]
"""
OUTPUT_READ = (
    SUM
    + """
for l in range(n):
    with block("copy"):
        w = spatial(n, l)
        x[w] = y[w]
"""
)
TWO_READERS = (
    TWO
    + """
for l in range(n):
    with block("three"):
        u = spatial(n, l)
        x[u] = t[u]
"""
)
TWO_WRITERS = (
    TWO
    + """
for l in range(n):
    with block("over"):
        u = spatial(n, l)
        t[u] = x[u]
"""
)
CONTINUED = """
for r in range(2):
    for k in range(8):
        with block("sum"):
            v = spatial(1, 0)
            u = reduce(8, k)
            y[v] = y[v] + a[0, u]
"""
FOREIGN = Var("zz", 99)

CASES: dict[str, Case] = {
    "no loop": (program(COPY), lambda t: t.s.split(FOREIGN, 2),
        "split of loop zz99", "there is no such loop", ""),
    "no block": (program(COPY), lambda t: t.s.loops("nothing"),
        "loops of block 'nothing'", "there is no such block", ""),
    "no buffer": (program(COPY), lambda t: t.s.set_scope("nothing", "local"),
        "set_scope of buffer 'nothing'",
        "there is no such buffer; there are x0, y1, a2", ""),
    "set_scope any": (
        program("t9 = alloc(f32[n])\n" + TWO.lstrip()), lambda t: t.s.set_scope("t", "local"),
        "set_scope of buffer 't'", "it may be any of t3, t4", ""),
    "loop_partition ordered": (program(IN_PLACE),
        lambda t: t.s.loop_partition([t.i], index(1)),
        "loop_partition of loops i3", "i3 drives an ordered iterator of block 'shift'", "for i3"),
    "split by zero": (program(COPY), lambda t: t.s.split(t.i, 0),
        "split of loop i3", "factor 0 is less than 1", "for i3 in range(n):"),
    "fuse apart": (program(TWO), lambda t: t.s.fuse(t.i, t.j),
        "fuse of loops i4, j6", "they are not perfectly nested", "for i4 in range(n):"),
    "fuse triangle": (program(TRIANGLE), lambda t: t.s.fuse(t.i, t.k),
        "fuse of loops i3, k4", "the inner extent depends on the outer loop",
        "for i3 in range(n):"),
    "fuse kinds": (program(SUM), lambda t: (t.s.parallel(t.i), t.s.fuse(t.i, t.k)),
        "fuse of loops i3, k4", "the outer one is parallel, the inner one serial",
        "for i3 in parallel(n):"),
    "reorder twice": (program(SUM), lambda t: t.s.reorder(t.i, t.i),
        "reorder of loops i3, i3", "every loop is to be named once", "for i3 in range(n):"),
    "reorder gap": (program(TWO), lambda t: t.s.reorder(t.j, t.i),
        "reorder of loops j6, i4", "i4 is not nested without gaps in j6", "for j6 in range(n):"),
    "reorder triangle": (program(TRIANGLE), lambda t: t.s.reorder(t.k, t.i),
        "reorder of loops k4, i3", "the extent of k4 depends on i3", "for k4 in range(i3 + 1):"),
    "reorder blocks": (program(PAIR), lambda t: t.s.reorder(t.j, t.i),
        "reorder of loops j4, i3", "iterations that differ in both i3 and j4 may meet in buffer"
        " 'a2', and change order", "for j4 in range(8):"),
    "reorder restarts": (program(TWICE), lambda t: t.s.reorder(t.k, t.r),
        "reorder of loops k4, r3", "iterations that differ in both r3 and k4 may meet in buffer"
        " 'y1', and change order", "for k4 in range(8):"),
    "parallel sum": (program(SUM), lambda t: t.s.parallel(t.k),
        "parallel of loop k4", "it drives a reduce iterator of block 'sum'",
        "for k4 in range(8):"),
    "parallel carried": (program(NEXT.replace("y[w] = t[min(w + 1, n - 1)]", "y[0] = t[w]")),
        lambda t: t.s.parallel(t.j),
        "parallel of loop j6", "iterations may meet in y1[0]", "for j6 in range(n):"),
    "parallel private": (program(PRIVATE), lambda t: t.s.parallel(t.i),
        "parallel of loop i4", "thread-private buffer 't3' is used outside the loop too",
        "for i4 in range(n):"),
    "parallel in lanes": (
        program(FILL), lambda t: (t.s.vectorize(t.j), t.s.unroll(t.j), t.s.split(t.j, 2),
                                    t.s.vectorize(t.s.loops("fill")[-1]),
                                    t.s.parallel(t.s.loops("fill")[-1]),
                                    t.s.vectorize(t.s.loops("fill")[-2])),
        "vectorize of loop j7", "loop j8 inside it is parallel", "for j7 in unrolled(4):"),
    "vectorize symbolic": (program(COPY), lambda t: t.s.vectorize(t.i),
        "vectorize of loop i3", "its extent n is not a constant", "for i3 in range(n):"),
    "vectorize around": (program(SUM.replace("range(n)", "range(4)")),
        lambda t: t.s.vectorize(t.i),
        "vectorize of loop i3", "loop k4 inside it is serial", "for i3 in range(4):"),
    "vectorize ordered": (program(IN_PLACE.replace("range(n)", "range(4)")),
        lambda t: t.s.vectorize(t.i),
        "vectorize of loop i3", "it drives an ordered iterator of block 'shift'",
        "for i3 in range(4):"),
    "vectorize carried": (
        program(IN_PLACE.replace("range(n)", "range(4)").replace("ordered", "spatial")),
        lambda t: t.s.vectorize(t.i),
        "vectorize of loop i3", "lanes may meet in x0[i3]", "for i3 in range(4):"),
    "unroll symbolic": (program(COPY), lambda t: t.s.unroll(t.i),
        "unroll of loop i3", "its extent is not a constant", "for i3 in range(n):"),
    "merge far": (program(STATE), lambda t: t.s.merge(t.i, t.l),
        "merge of loops i4, l8", "loop l8 does not directly follow i4", "for l8 in range(n):"),
    "merge kinds": (program(TWO), lambda t: (t.s.parallel(t.i), t.s.merge(t.i, t.j)),
        "merge of loops i4, j6", "the first is parallel, the second serial",
        "for j6 in range(n):"),
    "merge extents": (program(TWO.replace("for j in range(n)", "for j in range(n - 1)")),
        lambda t: t.s.merge(t.i, t.j),
        "merge of loops i4, j6", "their extents n and n - 1 may differ",
        "for j6 in range(n - 1):"),
    "merge carried": (program(NEXT), lambda t: t.s.merge(t.i, t.j),
        "merge of loops i4, j6", "what the second needs may come from a later iteration of the"
        " first, in buffer 't3'", "for j6 in range(n):"),
    "cache_write predicate": (program(PREDICATED.replace("k <= i", "i < k")),
        lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its predicate may leave out all that one element is made of",
        'with block("sum"):'),
    "cache_write shift": (program(IN_PLACE.replace("ordered", "spatial")),
        lambda t: t.s.cache_write("shift", "local"),
        "cache_write of block 'shift'", "it reads elements of its output other than the one it"
        " stores", 'with block("shift"):'),
    "cache_write empty": (program(SUM.replace("range(8)", "range(n - 1)")),
        lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "loop k4 may be empty, and nothing computed",
        'with block("sum"):'),
    "cache_write private": (
        program(SUM), lambda t: (t.s.parallel(t.i), t.s.cache_write("sum", "local")),
        "cache_write of block 'sum'", "parallel loop i3 would break: thread-private buffer"
        " 'y_c7' is used outside the loop too", 'with block("sum"):'),
    "cache_write again": (program(CONTINUED), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "loop r3 continues the same sums again",
        'with block("sum"):'),
    "set_scope param": (program(COPY), lambda t: t.s.set_scope("x0", "local"),
        "set_scope of buffer 'x0'", "it is a parameter, not a temporary", "def f(x0: f32[n]"),
    "set_scope shared": (
        program(TWO), lambda t: (t.s.parallel(t.i), t.s.set_scope("t3", "local")),
        "set_scope of buffer 't3'", "parallel loop i4 would break: thread-private buffer 't3' is"
        " used outside the loop too", "t3 = alloc(f32[n])"),
    "compute_at inside": (program(TWO), lambda t: t.s.compute_at("one", t.i),
        "compute_at of block 'one' at loop i4", "the block is already under the loop",
        "for i4 in range(n):"),
    "compute_at param": (program(OUTPUT_READ), lambda t: t.s.compute_at("sum", t.l),
        "compute_at of block 'sum' at loop l7", "it stores to a parameter",
        "for l7 in range(n):"),
    "compute_at state": (program(STATE), lambda t: t.s.compute_at("old", t.l),
        "compute_at of block 'old' at loop l8", "it reads 'x0', which is stored to before its"
        " consumers have run", "for l8 in range(n):"),
    "compute_at readers": (program(TWO_READERS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "not all its readers are under the loop",
        "for j6 in range(n):"),
    "compute_at writers": (program(TWO_WRITERS), lambda t: t.s.compute_at("one", t.j),
        "compute_at of block 'one' at loop j6", "its output has other writers",
        "for j6 in range(n):"),
    "compute_at backwards": (program(DEEPER.replace("t[w]", "t[n - 1 - w]")),
        lambda t: t.s.compute_at("one", t.z),
        "compute_at of block 'one' at loop z6", "index n - 1 - j7 runs backwards in a loop inside",
        "for z6 in range(1):"),
    "compute_at race": (program(NEXT), lambda t: (t.s.parallel(t.j), t.s.compute_at("one", t.j)),
        "compute_at of block 'one' at loop j6", "parallel loop j6 would break: iterations may meet"
        " in t3[min(j6 + 1, n - 1)]", "for j6 in parallel(n):"),
    "compute_inline sum": (program(SUM), lambda t: t.s.compute_inline("sum"),
        "compute_inline of block 'sum'", "its body is not one plain store", 'with block("sum"):'),
    "compute_inline param": (program(COPY), lambda t: t.s.compute_inline("copy"),
        "compute_inline of block 'copy'", "it stores to a parameter", 'with block("copy"):'),
    "compute_inline state": (program(STATE), lambda t: t.s.compute_inline("old"),
        "compute_inline of block 'old'", "it reads 'x0', which is stored to before its consumers"
        " have run", 'with block("old"):'),
    "compute_inline writers": (program(TWO_WRITERS), lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "its output has other writers", 'with block("one"):'),
    "decompose none": (program(COPY), lambda t: t.s.decompose_reduction("copy", t.i),
        "decompose_reduction of block 'copy' at loop i3", "it has no init",
        'with block("copy"):'),
    "decompose elsewhere": (program(SUM), lambda t: t.s.decompose_reduction("sum", FOREIGN),
        "decompose_reduction of block 'sum' at loop zz99", "the loop is not around it",
        'with block("sum"):'),
    "decompose inside": (
        program(SUM), lambda t: (t.s.reorder(t.k, t.i), t.s.decompose_reduction("sum", t.i)),
        "decompose_reduction of block 'sum' at loop i3", "loop k4 outside it drives the reduction",
        'with block("sum"):'),
    "decompose twice": (program(TWICE), lambda t: t.s.decompose_reduction("sum", t.r),
        "decompose_reduction of block 'sum' at loop r3", "loop r3 comes back to the same elements"
        " and restarts them", 'with block("sum"):'),
    "decompose halves": (program(HALVES), lambda t: t.s.decompose_reduction("sum", t.i),
        "decompose_reduction of block 'sum' at loop i3", "loop i3 comes back to the same elements"
        " and restarts them", 'with block("sum"):'),
    "decompose early": (program(USED_EARLY), lambda t: t.s.decompose_reduction("sum", t.i),
        "decompose_reduction of block 'sum' at loop i3", "something else in the loop may use 'y1'"
        " before it starts", 'with block("sum"):'),
    "decompose init": (
        program(USED_EARLY.replace("a[w, 0] = y[0]", "x[w] = f32(1.0)")
                .replace("y[v] = f32(0.0)", "y[v] = x[v]")),
        lambda t: t.s.decompose_reduction("sum", t.i),
        "decompose_reduction of block 'sum' at loop i3", "the init reads 'x0', which is stored to"
        " inside the loop", 'with block("sum"):'),
    "rfactor alone": (program(STAGED), lambda t: t.s.rfactor("sum", t.i),
        "rfactor of block 'sum' at loop i4", "the loop is not around it alone",
        'with block("sum"):'),
    "rfactor product": (
        program(SUM.replace("y[v] = y[v] + a[v, u]", "y[v] = y[v]*a[v, u]")),
        lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "it does not combine its own element with a new value"
        " by +, max or min", 'with block("sum"):'),
    "rfactor rows": (program(SUM), lambda t: t.s.rfactor("sum", t.i),
        "rfactor of block 'sum' at loop i3", "the loop does not drive a reduce iterator, and"
        " nothing else", 'with block("sum"):'),
    "rfactor guarded": (
        program(PREDICATED.replace("k <= i", "i <= k")), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "its predicate i3 <= k4 may hold after it did not",
        'with block("sum"):'),
    "rfactor twice": (program(TWICE), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "loop r3 comes back to the same elements and restarts"
        " them", 'with block("sum"):'),
    "rfactor triangle": (program(TRIANGLE), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "loop k4 may be empty, or depends on another one",
        'with block("sum"):'),
    "reindex none": (program(COPY), lambda t: t.s.reindex_cache_read("copy", 0, "local"),
        "reindex_cache_read of block 'copy'", "it reduces a product of 0 factors; there is no"
        " factor 0", 'with block("copy"):'),
    "partition none": (program(TWO), lambda t: t.s.loop_partition([t.i, t.i], index(1)),
        "loop_partition of loops i4, i4", "every loop is to be named once",
        "for i4 in range(n):"),
    "partition inner": (program(SUM), lambda t: t.s.loop_partition([t.k], index(1)),
        "loop_partition of loops k4", "k4 is not at the top level", "for k4 in range(8):"),
    "partition outside": (program(TWO), lambda t: t.s.loop_partition([t.i, t.j], index(2)),
        "loop_partition of loops i4, j6", "2 may lie outside 0 … n", "for i4 in range(n):"),
    "partition shared": (
        program(CARRIED.replace("ordered", "spatial")),
        lambda t: t.s.loop_partition([t.i], t.s.expr("n//2")),
        "loop_partition of loops i4", "temporary 't3' is not cut by the loops",
        "for i4 in range(n):"),
    "partition carried": (program(NEXT), lambda t: t.s.loop_partition([t.i, t.j], t.s.expr("n//2")),
        "loop_partition of loops i4, j6", "different iterations of i4 and j6 meet in buffer 't3'",
        "for i4 in range(n):"),
    "partition between": (
        program(STATE), lambda t: t.s.loop_partition([t.i, t.l], t.s.expr("n//2")),
        "loop_partition of loops i4, l8", "a statement after i4 uses buffer 'x0' too",
        "for i4 in range(n):"),
    "partition sum": (program(SUM.replace("for i in range(n):\n    for k in range(8):",
                                          "for k in range(8):\n    for i in range(n):")),
        lambda t: t.s.loop_partition([t.k], index(2)),
        "loop_partition of loops k3", "k3 drives a reduce iterator of block 'sum'",
        "for k3 in range(8):"),
    "replay elsewhere": (program(COPY), lambda t: replay(t.s.function, Trace(
        [Instruction("split", (t.i, 2), FOREIGN)])),
        "replay of step 1, s.split(i3, 2),",
        "it gives (a loop, a loop) where the trace has a loop", ""),
    "host": (parse_function('@kernel(kind="host")\ndef f(x: f32[4]):\n    barrier()\n'),
        lambda t: t.s.split(FOREIGN, 2),
        "split of a host program", "host programs are not scheduled; schedule the kernels it"
        " launches", ""),
}  # fmt: skip

test_refusal = refusals(CASES)


def test_whole_message() -> None:
    steps = Steps(program(NEXT))
    with pytest.raises(ScheduleError) as error:
        steps.s.merge(steps.i, steps.j)
    assert str(error.value) == (
        "merge of loops i4, j6 in 'f': what the second needs may come from a later iteration of"
        " the first, in buffer 't3'\n"
        ' 4 |         with block("one"):\n'
        " 5 |             v5 = spatial(n, i4)\n"
        " 6 |             t3[v5] = x0[v5]\n"
        " 7 |     for j6 in range(n):\n"
        "   |     ^^^^^^^^^^^^^^^^^^^\n"
        ' 8 |         with block("two"):\n'
        " 9 |             w7 = spatial(n, j6)\n"
        "10 |             y1[w7] = t3[min(w7 + 1, n - 1)]"
    )


def test_a_refused_step_leaves_no_trace() -> None:
    steps = Steps(program(NEXT))
    before = steps.s.function
    with pytest.raises(ScheduleError):
        steps.s.merge(steps.i, steps.j)
    assert steps.s.function is before
    assert len(steps.s.trace) == 0
