"""Refusals of the steps that bring consumers to producers, or dissolve one in the other."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.schedule.steps import Case, Steps, program, refusals
from tests.unit.schedule.texts import CHAIN, EARLY, EPILOGUE, ONE, OUTER_SUM, TWO

HEAD = "x: f32[n], y: f32[n], a: f32[n, 8], p: i32[n], *, n: dim[1, 64]"
BRANCHES = """
t = alloc(f32[n])
if 4 < n:
    for i in range(n):
        with block("one"):
            v = spatial(n, i)
            t[v] = x[v]
else:
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            y[w] = x[w]
"""
GUARDED = CHAIN.replace("for j in range(n):\n    with", "for j in range(n):\n  if j < 4:\n    with")
PICK = CHAIN.replace("spatial(n, j)", "spatial(n, cast(p[j], index))").replace(
    "y[w] = t[w]*f32(2.0)", "p[w] = cast(t[w], i32)"
)
MORE = CHAIN.replace("w = spatial(n, j)", "w = spatial(n, j)\n        where(j%2 == 0)")
TWICE = CHAIN.replace("for i in", "for z in range(2):\n  for i in")
TRIANGLE = (
    ONE
    + """
for j in range((n + 3)//4):
    for k in range(4):
        for l in range(j*4 + k + 1):
            with block("two"):
                w = spatial(n, j*4 + k)
                u = reduce(n, l)
                where(j*4 + k < n)
                with init():
                    y[w] = f32(0.0)
                y[w] = y[w] + t[w]*x[u]
"""
)
BETWEEN = (
    ONE
    + """
for l in range(n):
    with block("three"):
        u = spatial(n, l)
        x[u] = y[u]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]
"""
)
SHIFTED = """
t = alloc(f32[n + 1])
for i in range(n + 1):
    with block("one"):
        v = spatial(n + 1, i)
        t[v] = x[v//2]
for j in range(n):
    with block("two"):
        w = reduce(n, j)
        with init():
            y[0] = f32(0.0)
        y[0] = y[0] + t[w + 1]
"""
OLD = """
t = alloc(f32[n])
for s in range(2):
    for i in range(n):
        with block("one"):
            v = spatial(n, i)
            where(i//4 == s)
            t[v] = x[v]
    for j in range(n):
        with block("two"):
            w = spatial(n, j)
            where(j < s*4 + 4)
            y[w] = t[w]
"""
BACK = TWO.replace("x[v]", "y[max(v - 1, 0)]")
INSIDE = """
t = alloc(f32[n, 8])
for i in range(n):
    with block("outer"):
        o = spatial(n, i)
        for k in range(8):
            with block("one"):
                v = spatial(n, o)
                u = spatial(8, k)
                t[v, u] = a[v, u]
for j in range(n):
    for l in range(8):
        with block("two"):
            w = spatial(n, j)
            q = spatial(8, l)
            y[w] = t[w, q]
"""
COLUMN = """
t = alloc(f32[n, 8])
for i in range(n):
    for k in range(8):
        with block("one"):
            v = spatial(n, i)
            u = spatial(8, k)
            t[v, u] = a[v, u]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w, 0]
"""
AGAIN = """
t = alloc(f32[n])
for z in range(2):
    for i in range(n):
        with block("one"):
            v = spatial(n, i)
            t[v] = x[v]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = y[w] + t[w]
"""
At = Callable[[Steps], object]


def _at(
    reason: str, text: str = CHAIN, step: At | None = None, at: str = "i4", **names: str
) -> Case:
    take = step or (lambda t: t.s.reverse_compute_at("two", t.i))
    place = f"reverse_compute_at of block 'two' at loop {at}"
    return program(text, names.get("head", HEAD)), take, place, reason, f"for {at}"


def _inline(reason: str, text: str = CHAIN) -> Case:
    place = "reverse_compute_inline of block 'two'"
    return (program(text, HEAD), lambda t: t.s.reverse_compute_inline("two"), place, reason,
            'with block("two"):')  # fmt: skip


def _fuse(reason: str, text: str = EPILOGUE, step: At | None = None) -> Case:
    take = step or (lambda t: t.s.fuse_reduction_epilogue("one", "two"))
    place = "fuse_reduction_epilogue of block 'two' into block 'one'"
    return program(text, HEAD), take, place, reason, 'with block("two"):'


def _reordered(t: Steps) -> None:
    outer, inner = t.s.split(t.k, 4)
    t.s.reorder(inner, outer)
    t.s.fuse_reduction_epilogue("one", "two")


CASES: dict[str, Case] = {
    "at itself": _at("the block and the loop are one inside the other", at="j7",
        step=lambda t: t.s.reverse_compute_at("two", t.j)),
    "at branches": _at("the loop and the block are in different branches", BRANCHES, at="i5"),
    "at order": (program(CHAIN, HEAD), lambda t: t.s.reverse_compute_at("one", t.j),
        "reverse_compute_at of block 'one' at loop j7", "the loop comes after the block",
        "for j7"),
    "at condition": _at("the block is under a condition or inside a block", GUARDED, at="i5"),
    "at block": _at("the loop is under a condition or inside a block", INSIDE, at="k7",
        step=lambda t: t.s.reverse_compute_at("two", t.k)),
    "at body": _at("its body is not one store", CHAIN + "        x[w] = t[w]\n", at="i5"),
    "at kinds": _at("it has iterators that are neither spatial nor reduce",
        CHAIN.replace("spatial(n, j)", "ordered(n, j)"), at="i5"),
    "at places": _at("two of its instances may store to one place",
        CHAIN.replace("y[w] =", "y[w//2] ="), at="i5"),
    "at others": _at("it touches elements of its output other than the one it stores",
        CHAIN.replace("= t[w]*", "= y[max(w - 1, 0)]*t[w]*"), at="i5"),
    "at memory": _at("its loops, bindings or predicate read memory that the function stores to",
        PICK, at="i5"),
    "at unrelated": _at("the loop stores to nothing that the block reads",
        CHAIN.replace("= t[w]*", "= x[w]*"), at="i5"),
    "at predicate": _at("its predicate says more than bounds of its iterators",
        MORE.replace("spatial(n, j)", "spatial(n, j//2)"), at="i5"),
    "at extent": _at("the extent of loop l9 depends on one it leaves", TRIANGLE, at="i5"),
    "at instances": _at("its own loops may not run each of its instances once",
        CHAIN.replace("spatial(n, j)", "spatial(n, min(j, 3))"), at="i5"),
    "at once": _at("the loop may not run each of the block's instances once", TWICE, at="z5",
        step=lambda t: t.s.reverse_compute_at("two", t.z)),
    "at one place": _at("the loop may not run each of the block's instances once",
        CHAIN.replace("t[w]*", "t[0]*"), at="i5"),
    "at start": _at("its reduce iterator w8 would not start at 0", SHIFTED, at="i5"),
    "at between": _at("it would move before another use of 'y1'", BETWEEN, at="i5"),
    "at later": _at("it would move before another use of 't4'",
        CHAIN.replace("t[w]*", "t[min(w + 1, n - 1)]*t[w]*"), at="i5"),
    "at barrier": _at("a barrier is where it would be moved past",
        CHAIN.replace("for j in", "barrier()\nfor j in"), at="i5"),
    "compute_at barrier": (program(CHAIN.replace("for j in", "barrier()\nfor j in"), HEAD),
        lambda t: t.s.compute_at("one", t.j), "compute_at of block 'one' at loop j7",
        "a barrier is where it would be moved past", "for j7"),
    "compute_inline opaque": (program(CHAIN.replace("spatial(n, i)", "opaque(n, i)"), HEAD),
        lambda t: t.s.compute_inline("one"), "compute_inline of block 'one'",
        "it has opaque iterators", 'with block("one"):'),
    "compute_inline view": (
        program(
            CHAIN.replace("    y[w] = t[w]*", "    r = view(t[w:+1])\n        y[w] = r[0]*"), HEAD
        ),
        lambda t: t.s.compute_inline("one"),
        "compute_inline of block 'one'", "its output is read through a view",
        'with block("one"):'),
    "inline barrier": _inline("a barrier is where it would be moved past",
        CHAIN.replace("for j in", "barrier()\nfor j in")),
    "inline store": _inline("its body is not one plain store", CHAIN + "        x[w] = t[w]\n"),
    "inline kinds": _inline("it has iterators that are not spatial",
        CHAIN.replace("spatial(n, j)", "ordered(n, j)")),
    "inline places": _inline("two of its instances may store to one place",
        CHAIN.replace("y[w] =", "y[w//2] =")),
    "inline others": _inline("it reads elements of its output other than the one it stores",
        CHAIN.replace("= t[w]*", "= y[max(w - 1, 0)]*t[w]*")),
    "inline nothing": _inline("it reads no temporary that another block alone stores to",
        CHAIN.replace("= t[w]*", "= x[w]*")),
    "inline readers": _inline("'t4' has other readers",
        CHAIN + 'for l in range(n):\n    with block("three"):\n        u = spatial(n, l)\n'
        "        x[u] = t[u]\n"),
    "inline elements": _inline("it does not read one element of 't4'",
        CHAIN.replace("t[w]*", "t[w]*t[0]*")),
    "inline producer": _inline("the body of block 'one' is not one store",
        CHAIN.replace("t[v] = x[v]", "p[v] = i32(0)\n        t[v] = x[v]")),
    "inline order": _inline("it does not come after block 'one'", EARLY),
    "inline condition": _inline("it is under a condition or inside a block", GUARDED),
    "inline block": _inline("block 'one' is inside another block",
        INSIDE.replace("y[w] =", "a[w, q] =")),
    "inline memory": _inline("its loops, bindings or indices read memory that the function stores"
        " to", PICK),
    "inline inverse": _inline("its iterators do not follow from the element of 't4'",
        CHAIN.replace("t[w]*", "t[w//2]*")),
    "inline axis": _inline("its output does not depend on the producer's iterator u9", COLUMN),
    "inline instances": _inline("its own loops may not run each of its instances once",
        CHAIN.replace("spatial(n, j)", "spatial(n, min(j, 3))")),
    "inline twice": _inline("the loops of the producer may not run each of its instances once",
        AGAIN),
    "inline back": _inline("it would store to 'y1' before the producer reads it", BACK),
    "inline old": _inline("the consumer may use what an earlier iteration of s5 computed", OLD),
    "inline between": _inline("it would move before another use of 'y1'", BETWEEN),
    "inline reduction": _inline("block 'one' is a reduction, whose values come by and by",
        EPILOGUE),
    "inline ordered": _inline("block 'one' has iterators that are not spatial",
        CHAIN.replace("spatial(n, i)", "ordered(n, i)")),
    "inline itself": _inline("block 'one' reads what it stores",
        CHAIN.replace("x[v] +", "select(v < 1, x[v], t[max(v - 1, 0)]) +")),
    "fuse combiner": _fuse("the reduction does not combine by +, max or min, or has no init",
        CHAIN),
    "fuse start": _fuse("the reduction does not start each element it combines into",
        EPILOGUE.replace("                t[v] = f32(0.0)", "                t[v] = t[v]")),
    "fuse type": _fuse("the epilogue stores i32, the reduction f32",
        EPILOGUE.replace("y[w] = max(t[w], f32(0.0))", "p[w] = cast(t[w], i32)")),
    "fuse own": _fuse("the reduction reads 'y1', which the epilogue stores",
        EPILOGUE.replace("a[v, u]", "a[v, u]*y[v]")),
    "fuse source": _fuse("it reads no temporary that block 'one' alone stores to",
        EPILOGUE.replace("max(t[w],", "max(x[w],")),
    "fuse around": _fuse("loop k5, around both, drives the reduction", OUTER_SUM),
    "fuse in place": _fuse("its epilogue reads what it stores, and does not just combine the"
        " result", EPILOGUE.replace("max(t[w], f32(0.0))", "y[w]*t[w]")),
    "fuse order": _fuse("the loops may not run the whole of the reduction in order", EPILOGUE,
        _reordered),
}  # fmt: skip

test_refusal = refusals(CASES)
